"""What every method promises, checked on the toy run of each in `contract.py`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from contract import CASES
from draining import drained

from engine import METHODS, SOURCES, Context, RunRequest, events
from engine.core.config import Config, DataConfig, checked
from engine.data import task_of
from engine.methods.selfsup import map as representation_map
from engine.run import resolve
from engine.synthetic import load
from engine.synthetic.base import SyntheticSet

CARD_SECTIONS = (
    "## Idea",
    "## Equation",
    "## What to expect",
    "## Hyperparameters worth moving",
    "## What differs",
    "## Sources",
)
STOPS = 1, 3  # the steps that a run goes on from


@pytest.fixture(scope="module", autouse=True)
def small_map():
    """t-SNE of hundreds of representations takes longer than all the rest of these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(representation_map, "MAX_REAL", 60)
        yield


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def splits(case):
    return drained(SOURCES[case.source].load(DataConfig(), Context().data_root))[1]


class Whole(NamedTuple):
    """A run that never stopped, and what was taken from it on its way."""

    context: Context
    events: list[events.Event]
    synthetic: SyntheticSet
    gradients: dict[str, torch.Tensor | None]  # of the first step, for what is learned
    snapshots: dict[int, dict[str, Any]]  # by step


@pytest.fixture(scope="module")
def whole(case, splits, tmp_path_factory):
    context = Context(seed=3, cache_root=tmp_path_factory.mktemp("cache"))
    generator, found, gradients, snapshots = started(case, splits, context), [], {}, {}
    while True:
        try:
            event = next(generator)
        except StopIteration as end:
            return Whole(context, found, end.value, gradients, snapshots)
        found.append(event)
        if isinstance(event, events.Checkpoint) and event.step in STOPS:
            snapshots[event.step] = event.snapshot()
        if isinstance(event, events.Checkpoint) and event.step == 1:
            everything = event.synthetic.named_parameters()
            learned = {name: parameter for name, parameter in everything if parameter.requires_grad}
            gradients |= {name: None if p.grad is None else p.grad.clone() for name, p in learned.items()}


def started(case, splits, context):
    method, config = resolve(RunRequest(source=case.source, method=case.method, config=case.config))
    return method.distill(splits, config, context)


def state_of(synthetic):
    return {name: value.clone() for name, value in synthetic.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_every_method_has_a_case():
    assert {case.method for case in CASES} == set(METHODS)


class TestContract:
    def test_measures_every_step_and_gives_checkpoints_and_previews(self, case, splits, whole):
        steps = case.config["outer_steps"]
        assert [event.step for event in whole.events if isinstance(event, events.Measured)] == list(range(1, steps + 1))
        checkpoints = [event.step for event in whole.events if isinstance(event, events.Checkpoint)]
        assert checkpoints == list(range(1, steps + 1))
        previews = [event for event in whole.events if isinstance(event, events.Preview)]
        inputs, _ = whole.synthetic.materialise()
        assert {0, steps} <= {preview.step for preview in previews}, "the start and the end are kept"
        assert previews[-1].step == whole.synthetic.step, "the last picture is the returned set"
        assert (previews[-1].images == splits.to_display(inputs)).all()
        assert previews[0].images.dtype == "uint8" and len(previews[0].images) == len(previews[0].labels) == len(inputs)

    def test_what_it_started_as_is_told_before_the_first_step(self, whole):
        kinds = [event.kind for event in whole.events]
        assert kinds.count("begun") == 1 and kinds.index("begun") < kinds.index("measured")

    def test_every_learned_parameter_gets_a_finite_gradient_that_is_not_zero(self, case, whole):
        assert set(whole.gradients) == set(case.learned)
        for name, gradient in whole.gradients.items():
            assert gradient is not None, name
            assert torch.isfinite(gradient).all(), name
            flat = gradient.flatten(1) if gradient.ndim > 1 else gradient[:, None]
            assert (flat.abs().amax(1) > 0).all(), f"{name}: some sample gets no gradient"

    def test_same_seed_gives_the_same_bits_and_another_seed_others(self, case, splits, whole):
        again, other = (
            state_of(drained(started(case, splits, dataclasses.replace(whole.context, seed=seed)))[1])
            for seed in (whole.context.seed, 4)
        )
        assert same(state_of(whole.synthetic), again)
        assert not same(again, other)

    @pytest.mark.parametrize("stop_at", STOPS)
    def test_stop_and_resume_gives_the_same_bits_as_never_stopping(self, case, splits, whole, stop_at):
        context = dataclasses.replace(whole.context, resume_from=whole.snapshots[stop_at])
        rest, resumed = drained(started(case, splits, context))
        assert same(state_of(whole.synthetic), state_of(resumed))
        tail = [e.values for e in whole.events if isinstance(e, events.Measured) and e.step > stop_at]
        assert tail == [e.values for e in rest if isinstance(e, events.Measured)]

    @pytest.mark.parametrize("kind", [events.Event, events.Checkpoint], ids=["at once", "between steps"])
    def test_close_ends_it(self, case, splits, whole, kind):
        generator = started(case, splits, whole.context)
        next(event for event in generator if isinstance(event, kind))
        generator.close()
        with pytest.raises(StopIteration):
            next(generator)

    def test_result_survives_its_file(self, whole, tmp_path):
        synthetic = whole.synthetic
        synthetic.save(tmp_path / "result.safetensors")
        again = load(tmp_path / "result.safetensors")
        assert same(state_of(synthetic), state_of(again))
        assert again.own_training == synthetic.own_training and again.spec == synthetic.spec
        assert again.num_bytes() == synthetic.num_bytes() and again.num_stored_values() == synthetic.num_stored_values()
        for ours, theirs in zip(synthetic.batches(), again.batches(), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))

    def test_size_is_known_before_the_set_is_made(self, case, splits, whole):
        _, config = resolve(RunRequest(source=case.source, method=case.method, config=case.config))
        size, synthetic = config.size(splits.spec), whole.synthetic
        rates = dict(synthetic.named_parameters()).get("raw_rates", torch.zeros(0)).numel()
        assert size.num_samples == synthetic.num_samples == len(synthetic.materialise()[1])
        stored = size.num_values + size.num_label_values + size.num_indices + rates
        assert stored == synthetic.num_stored_values()
        assert size.bits == synthetic.usual_bits
        rest = 4 * rates + (0 if synthetic.own_training.start_seed is None else 8)
        for bits in (32, 16, 8):
            assert dataclasses.replace(size, bits=bits).num_bytes + rest == synthetic.as_stored(bits).num_bytes()
        assert config.describe_size(splits.spec)

    def test_config_and_events_survive_json(self, case, whole):
        method = METHODS[case.method]
        config = checked(method.config, case.config, "case")
        assert method.config.model_validate_json(config.model_dump_json()) == config
        for event in whole.events:
            if not isinstance(event, events.Preview | events.Begun | events.Checkpoint):
                assert events.from_json(json.loads(json.dumps(events.to_json(event)))) == event

    def test_every_source_of_the_task_has_a_quick_preset(self, case):
        method = METHODS[case.method]
        fitting = {key for key, source in SOURCES.items() if task_of(source).task in method.tasks}
        fitting.add("prices" if SOURCES[case.source].kind == "prices" else "folder")
        assert all("quick" in method.presets_for(key) for key in fitting)
        assert {preset.source for preset in method.presets if preset.source} <= fitting

    def test_card_is_complete(self, case):
        card = (Path(__file__).parents[1] / "engine" / "methods" / case.method / "README.md").read_text()
        for section in CARD_SECTIONS:
            assert section in card
        assert "%" in card.split("## What to expect")[1].split("##")[0], "no measured score"
        for paper in METHODS[case.method].papers:
            assert paper.arxiv in card

    def test_every_option_has_a_sentence_and_numbers_have_bounds(self, case):
        fields = METHODS[case.method].config.model_fields
        nested = [
            f.annotation for f in fields.values() if isinstance(f.annotation, type) and issubclass(f.annotation, Config)
        ]
        both = [*fields.items(), *(item for config in nested for item in config.model_fields.items())]
        for name, field in both:
            if field.annotation in nested:
                continue
            assert field.description, name
            if field.annotation in (int, float):
                assert {type(m).__name__ for m in field.metadata} >= {"Ge", "Le"}, name
