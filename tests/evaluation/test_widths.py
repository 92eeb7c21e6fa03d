"""How the bits per value of a finished set are chosen, and what a run then compares and returns."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from draining import drained

from engine import RunRequest, run
from engine.core.context import Context
from engine.core.events import Analysed, Checkpoint, Preview, Scored
from engine.data.source import TaskSpec
from engine.evaluation import widths
from engine.methods.bilevel.config import BilevelConfig
from engine.synthetic import CandleSet, PixelSet, Training

SPEC = TaskSpec("classification", (1, 4, 4), 2, ("a", "b"))


def pixel_set():
    synthetic = PixelSet(spec=SPEC, training=Training("sgd", 2), ipc=3)
    with torch.no_grad():
        synthetic.images.copy_(torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    return synthetic


@dataclass
class Scripted:
    """A comparison whose students score as listed for each width."""

    merits: dict[int, list[float]]
    num_validation: int = 1000
    tried: list[int] = field(default_factory=list)

    def __call__(self, synthetic):
        def train(bench, training):
            yield from ()
            self.tried.append(synthetic.bits)
            return self.merits[synthetic.bits][training.number]

        trials = [SimpleNamespace(student="", number=number) for number in range(len(self.merits[32]))]
        splits = SimpleNamespace(validation=range(self.num_validation))
        return SimpleNamespace(
            splits=splits, trials=lambda: trials, train=train, bench=lambda name: None, merit=lambda found: found
        )


def stored(scripted, asked=0, synthetic=None):
    events, found = drained(widths.as_stored(synthetic or pixel_set(), asked, scripted))
    return found, next(event.values for event in events if isinstance(event, Analysed))


@pytest.mark.parametrize(
    ("merits", "bits"),
    [
        ({32: [0.8, 0.9], 8: [0.8, 0.89], 4: [0.8, 0.9], 3: [0.8, 0.9], 2: [0.8, 0.9]}, 2),
        ({32: [0.8, 0.9], 8: [0.8, 0.9], 4: [0.8, 0.9], 3: [0.79, 0.89]}, 4),
        ({32: [0.8, 0.9], 8: [0.79, 0.9], 4: [0.79, 0.9]}, 8),  # 0.5 points on average, but not surely
        ({32: [0.8, 0.9], 8: [0.77, 0.9], 4: [0.79, 0.9]}, 8),  # 1.5 points, but not surely more than 0.5
        ({32: [0.8, 0.9], 8: [0.7, 0.8], 16: [0.8, 0.9]}, 16),
        ({32: [0.8, 0.9], 8: [0.7, 0.8], 16: [0.7, 0.8]}, 32),
    ],
)
def test_the_fewest_bits_that_hold_are_chosen_from_the_top(merits, bits):
    found, told = stored(Scripted(merits))
    assert found.bits == told["bits"] == bits and not told["is_asked"]
    assert set(told["widths"]) == {str(width) for width in merits}
    assert told["widths"][str(bits)]["bytes"] == found.num_bytes()
    assert told["widths"]["32"] == {"bytes": pixel_set().num_bytes(), "score": pytest.approx(0.85), "students": 2}


def test_without_validation_data_the_usual_bits_are_taken_untested():
    found, told = stored(Scripted({32: [0.8]}, num_validation=0))
    assert found.bits == 8 and told["widths"] == {"8": {"bytes": found.num_bytes()}}


@pytest.mark.parametrize(("asked", "tried"), [(32, []), (16, [32, 16]), (3, [32, 3])])
def test_asked_bits_are_taken_whatever_they_cost(asked, tried):
    scripted = Scripted({32: [0.9], asked: [0.1]})
    found, told = stored(scripted, asked)
    assert found.bits == asked and scripted.tried == tried and told["is_asked"]


def test_sequences_are_usually_stored_in_float16():
    spec = TaskSpec("close", (4, 5), 1, ("x",))
    synthetic = CandleSet(spec=spec, training=Training("sgd", 2), sequences_per_token=2, features="returns")
    scripted = Scripted({32: [0.9], 16: [0.9]})
    assert stored(scripted, synthetic=synthetic)[0].bits == 16 and scripted.tried == [32, 16]


@pytest.fixture(scope="module")
def brief():
    config = {"student": {"name": "mlp"}, "outer_steps": 5, "num_validations": 1, "store_bits": "3", "passes": 2}
    config |= {"images_from": "real"}
    evaluation = {"num_students": 1, "ordinary_steps": 2, "compare_full": False}
    return RunRequest(source="digits", method="bilevel", config=config, evaluation=evaluation)


def test_a_run_compares_and_returns_what_it_stores(brief, tmp_path):
    events, synthetic = drained(run(brief, Context(seed=0, cache_root=tmp_path)))
    assert synthetic.bits == 3 and all(len(each.unique()) <= 8 for each in synthetic.images.unbind(1))
    scored = [event for event in events if isinstance(event, Scored) and event.arm in ("distilled", "start")]
    assert {(score.arm, score.num_bytes) for score in scored} == {
        ("distilled", synthetic.num_bytes()),
        ("start", synthetic.num_bytes()),
    }
    summary = events[-1].summary
    assert summary["num_bytes"] == synthetic.num_bytes() == 3 * 640 // 8 + 8 + 10 + 8 and summary["bits"] == 3
    last = [event for event in events if isinstance(event, Preview)][-1]
    assert all(len(set(images.ravel().tolist())) <= 8 for images in [last.images])


def test_a_resumed_run_rounds_to_the_same_bits(brief, tmp_path):
    _, whole = drained(run(brief, Context(seed=0, cache_root=tmp_path)))
    stopped = run(brief, Context(seed=0, cache_root=tmp_path))
    third = next(event for event in stopped if isinstance(event, Checkpoint) and event.step == 3)
    saved = third.snapshot()
    stopped.close()
    _, again = drained(run(brief, Context(seed=0, cache_root=tmp_path, resume_from=saved)))
    assert torch.equal(whole.images, again.images) and torch.equal(whole.raw_rates, again.raw_rates)


def test_the_later_steps_see_rounded_values_where_few_bits_are_asked_for():
    few, auto = BilevelConfig(outer_steps=10, store_bits="4"), BilevelConfig(outer_steps=10)
    assert [few.rounded_bits(step) for step in (0, 3, 4, 9)] == [0, 0, 4, 4] and few.rounded_bits() == 4
    assert auto.rounded_bits() == 0 and BilevelConfig(store_bits="float16").rounded_bits() == 0


def test_usual_bits_may_cost_one_sample_of_few():
    assert widths.is_close([0.9], [0.893], 143, is_usual=True)
    assert not widths.is_close([0.9], [0.893], 5000, is_usual=True)
    assert not widths.is_close([0.9], [0.893], 143, is_usual=False)


def test_bits_may_be_given_as_a_number_as_a_command_line_has_them():
    assert BilevelConfig.model_validate({"store_bits": 4}) == BilevelConfig(store_bits="4")
    with pytest.raises(ValueError, match="store_bits"):
        BilevelConfig.model_validate({"store_bits": 5})
