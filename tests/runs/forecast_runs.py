"""Finished runs on simulated prices, written through the real store: small sets, and scores and findings that were
never measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from draining import drained

from engine.core.config import RunRequest
from engine.core.context import Context
from engine.core.events import Analysed, Finished, Measured, Scored, Started
from engine.data import SOURCES
from engine.data.prices.windows import WindowSplits
from engine.runs.store import Store
from engine.synthetic.base import Training
from engine.synthetic.candles import CandleSet

CONFIG = {
    "student": {"name": "gru", "width": 6, "depth": 1},
    "sequences_per_token": 2,
    "unroll_length": 5,
    "outer_steps": 40,
}
SKILLS = {"distilled": 0.12, "random_real": -0.3, "kmeans_real": 0.05, "full": 0.2}
NAIVE = {"last_value": -0.8, "train_mean": 0.0}
NUM_WINDOWS = 40


def request(
    target: str = "volatility", *, features: str = "returns", token_identity: bool = False, **changes
) -> RunRequest:
    """Of a run that would make such a set of windows of 9 bars."""
    windows = {"target": target, "window_length": 9, "features": features, "token_identity": token_identity}
    values = {"source": "simulated_prices", "method": "ohlc", "config": CONFIG, "data": {"windows": windows}}
    return RunRequest(**(values | changes))


def prices(asked: RunRequest) -> WindowSplits:
    """The simulated prices as a request wants them."""
    return drained(SOURCES["simulated_prices"].load(asked.data, Path()))[1]


def made(asked: RunRequest, splits: WindowSplits) -> CandleSet:
    """The set of a request as it is at its beginning, as if it were its result."""
    rule = asked.config.get("inner_optimiser", "sgd")
    synthetic = CandleSet(
        spec=splits.spec,
        training=Training(rule, asked.config["unroll_length"], batch_size=64),
        sequences_per_token=asked.config["sequences_per_token"],
        features=splits.config.features,
    )
    synthetic.start_from("real", splits, None, 0.1, Context().stream("images"))
    return synthetic


def finished(store: Store, asked: RunRequest | None = None) -> str:
    """A run that is done, with previews, scores of every kind, analyses and a result."""
    asked = asked or request()
    splits = prices(asked)
    synthetic = made(asked, splits)
    run_id = store.submit(asked, status="running")
    began = synthetic.preview(0, splits)
    synthetic.step = 40
    synthetic.provided(splits.preparation, asked.model_dump(mode="json"))
    synthetic.save(store.folder(run_id) / "result.safetensors")
    events = [
        Started(40, {"device": "cpu", "train": 5000, "test": 1200}),
        *(Measured(step, {"outer_loss": 1 / step, "validation_skill": 0.1 - 1 / step}) for step in range(1, 41)),
        began,
        synthetic.preview(40, splits),
        *scores(synthetic),
        *findings(splits),
        Finished({"step": 40, "num_samples": 6, "num_bytes": synthetic.num_bytes(), "compression": 500.0}),
    ]
    store.append(run_id, events)
    return run_id


def scores(synthetic: CandleSet, student: str = "gru") -> list[Scored]:
    """Two students an arm and protocol, 1 % apart, and the naive forecasts."""
    found = []
    for split in ("validation", "test"):
        for arm, skill in SKILLS.items():
            for protocol, loss in (("ordinary", 0.0), ("as_distilled", 0.02)):
                if arm == "full" and protocol != "ordinary":
                    continue
                common = {
                    "arm": arm,
                    "protocol": protocol,
                    "student": student,
                    "seconds": 2.0,
                    "split": split,
                    "num_samples": 5000 if arm == "full" else 6,
                    "num_bytes": 1100,
                    "recipe": f"{arm} {protocol}",
                    "training": {"num_steps": 7, "batch_size": 64, "lr": 0.01},
                }
                for seed in range(2):
                    measured = {
                        "skill": skill - loss + seed / 100,
                        "mae": 0.0213,
                        "rmse": 0.0312,
                        "r2": -0.01,
                        "skill_last_value": 0.4,
                        "rmse@SIM-A": 0.0412,
                    }
                    found += [
                        Scored(seed=seed, metric=metric, value=value, **common) for metric, value in measured.items()
                    ]
        for arm, skill in NAIVE.items():
            common = {"arm": arm, "protocol": "naive", "student": student, "seconds": 0.0, "split": split, "seed": 0}
            found += [
                Scored(metric=metric, value=value, **common) for metric, value in (("skill", skill), ("rmse", 0.05))
            ]
    return found


def findings(splits: WindowSplits) -> list[Analysed]:
    """What a comparison tells beside scores."""
    random = np.random.default_rng(0)
    truth, times = np.abs(random.normal(0, 0.03, NUM_WINDOWS)), splits.test.ends[:NUM_WINDOWS].tolist()
    tokens = [
        {
            "token": token,
            "times": times,
            "truth": truth.tolist(),
            "closes": [100.0] * NUM_WINDOWS,
            "arms": {arm: (0.8 * truth).tolist() for arm in ("distilled", "full", "last_value")},
        }
        for token in splits.spec.class_names
    ]
    lags = [0.1, 0.05, 0.01]
    facts = {
        "kurtosis": 2.5,
        "returns": np.sort(random.normal(size=50)).tolist(),
        "acf_returns": lags,
        "acf_squared": lags,
    }
    curve = {"mean": [0.05, 0.03], "std": [0.001, 0.002]}
    return [
        Analysed("intervals", {"gru": {arm: {"skill": [skill - 0.05, skill + 0.05]} for arm, skill in SKILLS.items()}}),
        Analysed("forecasts", {"tokens": tokens, "target": splits.spec.task, "horizon": 1}),
        Analysed(
            "verdict",
            {
                "beats_naive": True,
                "sentence": "Students trained on the distilled set forecast better than the training mean.",
            },
        ),
        Analysed(
            "privacy",
            {
                "nearest": {"distilled": [1.0, 1.2], "real": [0.9, 1.1, 1.3]},
                "ratio": 1.1,
                "membership": {"auc": 0.52, "low": 0.47, "high": 0.58},
                "sentence": "None is close to a copy of a real one.",
            },
        ),
        Analysed("facts", {"distilled": facts, "real": facts}),
        Analysed(
            "adaptation",
            {
                "token": "SIM-D <new>",
                "steps": [0, 10],
                "arms": {"distilled": curve, "scratch": curve},
                "metric": "rmse",
            },
        ),
    ]
