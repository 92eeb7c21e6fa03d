"""OHLC distillation: its penalties, its starts, and that what it learns beats random real windows."""

from __future__ import annotations

import csv
from itertools import islice

import numpy as np
import pytest
import torch
from draining import drained

import engine
from engine.core.config import checked
from engine.core.data_config import WindowConfig
from engine.core.errors import ConfigError
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import prepare_windows
from engine.evaluation.train import loss_of, outputs
from engine.meta import update_rules
from engine.meta.inner import inner_loop
from engine.methods.ohlc.config import OhlcConfig
from engine.methods.ohlc.ohlc import correlations, distill
from engine.nets import make_student

STUDENT = {"name": "lstm", "depth": 1, "width": 8, "init": "default"}
SMALL = {"student": STUDENT, "unroll_length": 10, "outer_steps": 3, "real_batch": 64, "num_validations": 0}


def splits_of(num_bars=420, **options):
    bars = simulate(("AAA", "BBB"), num_bars, seed=7)
    return drained(prepare_windows(bars, "Toy", "toy", WindowConfig(**{"window_length": 8} | options)))[1]


def distilled(splits, seed=0, **options):
    return drained(distill(splits, checked(OhlcConfig, SMALL | options, "config"), engine.Context(seed=seed)))


def test_correlations_are_those_of_numpy():
    random = np.random.default_rng(0)
    series = random.standard_normal((1, 400)).cumsum(1) * 0.1 + random.standard_normal((1, 400))
    found = correlations(torch.from_numpy(series), 3)
    for row, values in enumerate((series[0], np.abs(series[0]))):
        values = values - values.mean()
        for lag in (1, 2, 3):
            wanted = (values[lag:] * values[:-lag]).mean() / values.var()
            assert found[row, lag - 1].item() == pytest.approx(wanted)


@pytest.mark.parametrize("features", ["returns", "prices"])
@pytest.mark.parametrize("penalty", ["smoothness", "autocorrelation"])
def test_a_penalty_becomes_smaller_where_it_is_asked_for(penalty, features):
    splits = splits_of(features=features)
    events, _ = distilled(splits, outer_steps=12, outer_lr=0.1, images_from="noise", **{penalty: 100.0})
    values = [event.values["penalty"] for event in events if event.kind == "measured"]
    assert values[-1] < 0.6 * values[0]


def test_without_penalties_there_is_none_to_tell():
    events, _ = distilled(splits_of())
    assert all("penalty" not in event.values for event in events if event.kind == "measured")


def test_a_set_for_one_start_says_which():
    assert distilled(splits_of())[1].own_training.start_seed is None
    first, again, other = (distilled(splits_of(), seed, initialisation="fixed")[1] for seed in (0, 0, 1))
    assert first.own_training.start_seed == again.own_training.start_seed != other.own_training.start_seed


def test_targets_stay_those_of_the_real_windows_where_they_are_not_learned():
    splits = splits_of()
    _, synthetic = distilled(splits, learn_targets=False, keep="last")
    for value in synthetic.targets().flatten():
        assert (splits.train.targets - value).abs().min() < 1e-6


def test_an_image_student_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="student 'convnet' is for images; windows of prices take mlp, lstm"):
        checked(OhlcConfig, {"student": {"name": "convnet"}}, "config")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            {"source": "simulated_prices", "method": "bilevel"},
            "Method 'bilevel' cannot be used with Simulated prices.*Methods for those: 'ohlc'",
        ),
        (
            {"source": "digits", "method": "ohlc"},
            "Method 'ohlc' cannot be used with Digits, which is a data set of images",
        ),
    ],
)
def test_prices_and_images_keep_to_their_own_methods(request_, sentence):
    with pytest.raises(ConfigError, match=sentence):
        engine.resolve(engine.RunRequest(**request_))


def test_prices_are_not_adapted_to_images():
    request = engine.RunRequest(source="simulated_prices", method="ohlc", config=SMALL | {"adapt_to": ["digits"]})
    with pytest.raises(ConfigError, match="no source 'digits' to transfer to. Choose one of prices: simulated_prices"):
        engine.resolve(request)


@pytest.mark.slow
def test_distilled_sequences_beat_random_real_windows_over_seeds():
    """Volatility of simulated tokens: the loss on validation windows, each arm after its best number of steps."""
    splits = splits_of(1200, target="volatility", window_length=12)
    options = {
        "unroll_length": 10,
        "validation_steps": 10,
        "student_lr": 0.1,
        "rates_lr": 0.05,
        "outer_lr": 0.3,
        "outer_steps": 20,
        "real_batch": 100,
        "outer_decay": "cosine",
        "num_validations": 2,
    }
    config = checked(OhlcConfig, SMALL | options, "config")
    student, loss = make_student(config.student, splits.spec), loss_of(splits.spec)
    usual = loss(splits.train.targets.mean(0).expand(len(splits.validation), -1), splits.validation.targets).item()

    def best(batches, seed):
        theta = student.init(torch.Generator().manual_seed(1000 + seed))
        path = inner_loop(student, theta, batches, update_rules.sgd(), loss, detached=True)
        return (
            min(loss(outputs(student, theta, splits.validation), splits.validation.targets).item() for theta in path)
            / usual
        )

    ours, random = [], []
    for seed in range(3):
        _, synthetic = distilled(splits, seed, **options)
        ours.append(best(islice(synthetic.drawn(torch.Generator().manual_seed(0)), 10), seed))
        _, real = distilled(splits, seed, **options | {"outer_steps": 1, "outer_lr": 1e-6, "num_validations": 0})
        random.append(best(islice(real.drawn(torch.Generator().manual_seed(0)), 10), seed))
    assert np.mean(ours) < np.mean(random)
    assert np.mean(ours) < 1


class TestFromPython:
    def written(self, folder, token, seed):
        (bars,) = simulate((token,), 420, seed)
        path = folder / f"{token}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["date", "open", "high", "low", "close", "volume"])
            days = bars.times.astype("datetime64[s]").astype("datetime64[D]")
            writer.writerows([day, *row] for day, row in zip(days, bars.table.tolist(), strict=True))
        return path

    def test_files_of_prices_are_distilled_in_the_words_of_the_published_system(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
        paths = [self.written(tmp_path, token, seed) for seed, token in enumerate(("AAA", "BBB"))]
        asked = {"data_paths": paths, "sequence_length": 12, "sequences_per_token": 2, "distillation_steps": 2}
        request = engine.price_request(**asked, model_type="gru", task="classification")
        assert engine.price_request(**asked).source == request.source, "the same bars are imported once"
        assert request.config["images_from"] == "real"
        assert engine.price_request(**asked, start_from="noise").config["images_from"] == "noise"
        assert request.data.windows.target == "direction" and request.data.windows.window_length == 12
        short = request.model_copy(
            update={"evaluation": engine.EvaluationConfig(num_students=1, ordinary_steps=4, inner_steps=4)}
        )
        synthetic, rows = engine.distill(short, engine.Context(cache_root=tmp_path / "cache"))
        assert synthetic.bars().shape == (4, 12, 5)
        assert {"distilled", "random_real", "kmeans_real", "full", "train_mean"} <= {row.arm for row in rows}

        engine.prices.delete(request.source, tmp_path / "data")  # other prices take the place
        (tmp_path / "again").mkdir()
        paths = [self.written(tmp_path / "again", token, seed) for seed, token in enumerate(("AAA", "BBB"), 5)]
        assert engine.price_request(paths).source == request.source
        with pytest.raises(ConfigError, match="prepared differently"):
            engine.evaluate(short, synthetic, engine.Context(cache_root=tmp_path / "cache"))

    def test_files_go_where_the_context_looks_for_data_and_one_may_come_alone(self, tmp_path):
        path = self.written(tmp_path, "AAA", 0)
        request = engine.price_request(str(path), root=tmp_path / "elsewhere")
        assert list(engine.prices.saved(tmp_path / "elsewhere")) == [request.source] == ["prices:aaa"]

    def test_neither_a_request_nor_files_is_refused(self):
        with pytest.raises(ConfigError, match="either a request or price files"):
            engine.distill()
        with pytest.raises(ConfigError, match="Two of the price files are called 'daily.csv'"):
            engine.price_request(["BTC/daily.csv", "ETH/daily.csv"])
        with pytest.raises(ConfigError, match="data_paths is empty"):
            engine.price_request([])
