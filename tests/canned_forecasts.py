"""Runs of OHLC distillation in every state, written through the real store like those of `canned_runs`; no market
is in them.
"""

from __future__ import annotations

from dataclasses import replace

import canned_runs as canned
import numpy as np

import engine
from engine.core.events import Analysed, CandleView, Failed, Finished, Measured, Preview, Progress, Scored, Started

TOKENS = ("SIM-A", "SIM-B", "SIM-C")
BARS = 12
SKILLS = {"distilled": 0.031, "random_real": -0.042, "kmeans_real": -0.02, "full": 0.036}
NAIVE = {"last_value": 0.0, "train_mean": -0.001}
NOTHING = "Nothing here beats the naive forecast, the last close."
SOMETHING = "Students trained on the distilled set forecast better than the last close."


def request(target: str = "close", **changes: object) -> engine.RunRequest:
    """Three simulated tokens and a small LSTM."""
    config = {"student": {"name": "lstm", "depth": 1, "width": 8}, "outer_steps": canned.TOTAL}
    asked = {"source": "simulated_prices", "method": "ohlc", "preset": "", "config": config}
    data = engine.DataConfig.model_validate({"windows": {"target": target, "window_length": BARS}})
    return canned.request().model_copy(update=asked | {"data": data} | changes)


def view(step: int, target: str = "close", per_token: int = 1) -> CandleView:
    """Valid candles that differ from step to step."""
    rng = np.random.default_rng(step)
    count = per_token * len(TOKENS)
    closes = 100 * np.exp(np.cumsum(0.02 * rng.normal(size=(count, BARS)), axis=1))
    opens = np.concatenate([np.full((count, 1), 100.0), closes[:, :-1]], axis=1)
    highs, lows = np.maximum(opens, closes) * 1.01, np.minimum(opens, closes) * 0.99
    bars = np.stack([opens, highs, lows, closes, rng.uniform(10, 99, closes.shape)], axis=-1)
    outputs = {
        "close": ("close",),
        "volatility": ("volatility",),
        "direction": ("down", "up"),
        "both": ("close", "down", "up"),
    }
    ups = np.full((count, 1), 0.63)
    columns = {"close": np.full((count, 1), 0.8), "volatility": np.full((count, 1), -0.5), "down": 1 - ups, "up": ups}
    targets = np.concatenate([columns[name] for name in outputs[target]], axis=1)
    tokens = tuple(np.repeat(TOKENS, per_token).tolist())
    return CandleView(bars.astype(np.float32), tokens, targets.astype(np.float32), outputs[target])


def preview(step: int, target: str = "close", per_token: int = 1) -> Preview:
    """The sequences of a step with small pictures of them."""
    shown = view(step, target, per_token)
    images = np.random.default_rng(step).integers(0, 256, (len(shown.bars), 16, 24, 3), dtype=np.uint8)
    return Preview(step, images, shown.tokens, candles=shown)


def running(
    store: engine.Store, num_steps: int = 120, target: str = "close", per_token: int = 1, **changes: object
) -> str:
    """A run in the middle of its outer steps."""
    run_id = store.submit(request(target, **changes), status="running")
    rng = np.random.default_rng(0)
    store.append(run_id, [Started(canned.TOTAL, {"device": "cpu", "train": 3500})])
    store.append(run_id, [score("random_real", "ordinary", "skill", -0.042, split="validation")])
    store.append(run_id, [measured(step, rng) for step in range(1, num_steps + 1)])
    for step in (0, num_steps // 2, num_steps):
        store.append(run_id, [preview(step, target, per_token)])
    return run_id


def measured(step: int, rng: np.random.Generator) -> Measured:
    """What one outer step says."""
    values = {
        "outer_loss": 1.0 - 0.05 * step / canned.TOTAL + 0.02 * rng.random(),
        "gradient_norm": 0.1 + 0.02 * rng.random(),
    }
    values["student_lr"] = 0.05
    if step % 20 == 0:
        values["validation_skill"] = 0.03 - 0.2 * float(np.exp(-step / 30))
    return Measured(step, values)


def score(arm: str, protocol: str, metric: str, value: float, seed: int = 0, **changes: object) -> Scored:
    """One student, or one naive forecast, by one metric."""
    count = {"full": 3500, "last_value": 0, "train_mean": 0}.get(arm, 3)
    common = {"num_samples": count, "num_bytes": 400 * count, "recipe": f"recipe of {arm}"} | changes
    return Scored(arm, protocol, common.pop("student", "lstm"), seed, metric, value, 0.5, **common)


def metrics(skill: float, target: str = "close") -> dict[str, float]:
    """Every metric of a forecast of this skill."""
    found = {"skill": skill}
    if target != "direction":
        rmse = 0.03 * (1 - skill) ** 0.5
        found |= {"mae": 0.7 * rmse, "rmse": rmse, "r2": skill - 0.001, "skill_last_value": skill}
    if target != "volatility":
        found["hit_rate"] = 0.5 + skill
    if target in ("direction", "both"):
        found |= {"balanced_accuracy": 0.5 + skill, "mcc": 2 * skill}
    return found | {f"{name}@{token}": value for name, value in found.items() for token in TOKENS}


def scored(
    store: engine.Store, run_id: str, target: str, better: float = 0.0, student: str = "lstm", per_token: int = 1
) -> None:
    """Three students an arm and protocol, and the naive forecasts. per_token: sequences of the set."""
    for arm, mean in SKILLS.items():
        value = mean + better if arm == "distilled" else mean
        size = {} if arm == "full" else {"num_samples": 3 * per_token, "num_bytes": 1200 * per_token}
        protocols = {"ordinary": 0.0} if arm == "full" else {"as_distilled": 0.0, "ordinary": 0.01}
        for protocol, worse in protocols.items():
            for seed, shift in enumerate((-0.004, 0.0, 0.004)):
                found = [
                    score(arm, protocol, name, each, seed, student=student, **size)
                    for name, each in metrics(value - worse + shift, target).items()
                ]
                store.append(run_id, [*found, replace(found[0], split="validation")])
    for arm, value in NAIVE.items():
        found = metrics(value, target)
        if (arm, target) == ("last_value", "direction"):  # certain forecasts have no log loss
            found = {name: each for name, each in found.items() if not name.startswith("skill")}
        store.append(run_id, [score(arm, "naive", name, each, student=student) for name, each in found.items()])


def analyses(target: str = "close", beats_naive: bool = False) -> list[Analysed]:
    """All that a comparison finds out besides scores."""
    rng = np.random.default_rng(1)
    times = (1_600_000_000 + 86_400 * np.arange(60)).tolist()
    truth = rng.random(60).round() if target == "direction" else 0.03 * rng.normal(size=60)
    arms = {
        arm: (0.2 * truth + scale).tolist()
        for arm, scale in (("distilled", 0.001), ("full", 0.002), ("last_value", 0.0))
    }
    forecasts = {"target": target, "horizon": 1}
    forecasts["tokens"] = [
        {"token": token, "times": times, "truth": truth.tolist(), "closes": [100.0] * 60, "arms": arms}
        for token in TOKENS
    ]
    intervals = {arm: {"skill": [mean - 0.05, mean + 0.03]} for arm, mean in (SKILLS | NAIVE).items()}
    lags = [0.2, 0.1, 0.05]
    fact = {
        "kurtosis": 3.2,
        "returns": np.sort(rng.standard_t(3, 300)).tolist(),
        "acf_returns": lags,
        "acf_squared": lags,
    }
    low = {"kurtosis": 0.5, "acf_returns": [-0.1] * 3, "acf_squared": [-0.1] * 3}
    high = {"kurtosis": 9.0, "acf_returns": [0.3] * 3, "acf_squared": [0.3] * 3}
    curve = {"mean": [0.05, 0.04, 0.035], "std": [0.004, 0.002, 0.001]}
    return [
        Analysed("intervals", {"lstm": intervals}),
        Analysed("forecasts", forecasts),
        Analysed("verdict", {"beats_naive": beats_naive, "sentence": SOMETHING if beats_naive else NOTHING}),
        Analysed(
            "privacy",
            {
                "nearest": {"distilled": [1.4, 1.5, 1.7], "real": rng.normal(1.0, 0.1, 200).tolist()},
                "ratio": 1.5,
                "membership": {"auc": 0.51, "low": 0.47, "high": 0.56, "chance": 0.52},
                "sentence": "None is close to a copy of a real one.",
            },
        ),
        Analysed("facts", {"distilled": fact, "real": fact, "chance": {"low": low, "high": high}}),
    ] + [
        Analysed(
            name,
            {
                "token": token,
                "steps": [0, 10, 100],
                "metric": "rmse",
                "naive": 0.034,
                "arms": {"distilled": curve, "scratch": curve},
            },
        )
        for name, token in (("adaptation", "GOLD"), ("adaptation:prices:tin", "TIN"))
    ]


def failed(store: engine.Store) -> str:
    """A run that diverged."""
    run_id = running(store)
    store.append(
        run_id, [Failed("The student's weights became NaN. Lower the student learning rate.", "Traceback", 121)]
    )
    return run_id


def comparing(store: engine.Store) -> str:
    """A run in its comparison, before any score."""
    run_id = running(store, canned.TOTAL)
    store.append(run_id, [Progress("train students", 3, 10, part="compare")])
    return run_id


def finished(
    store: engine.Store,
    target: str = "close",
    better: float = 0.0,
    per_token: int = 1,
    beats_naive: bool = False,
    others: tuple[str, ...] = (),
    **changes: object,
) -> str:
    """A run with its comparison and a summary. others: further architectures that it was tried with."""
    run_id = running(store, canned.TOTAL, target, per_token, **changes)
    scored(store, run_id, target, better, per_token=per_token)
    for student in others:
        scored(store, run_id, target, better - 0.01, student, per_token)
    store.append(run_id, analyses(target, beats_naive))
    count = per_token * len(TOKENS)
    summary = {
        "num_samples": count,
        "num_bytes": 400 * count,
        "labels": "soft",
        "compression": 1100.0 / per_token,
        "seconds_distilling": 31.0,
        "step": canned.TOTAL,
    }
    store.append(run_id, [Finished(summary)])
    return run_id
