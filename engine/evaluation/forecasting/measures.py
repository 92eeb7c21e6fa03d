"""Measures of forecasts, against the truth and against naive forecasts.

With x a log return (or its absolute value), y its forecast and L the loss of a window, (x - y)^2, or -log of the
probability given to the direction that came true where directions alone are forecast:

    skill = 1 - mean(L of the forecast) / mean(L of the reference forecast)

The reference is the last value for closes (the price stays), the token's training mean for volatility, and its training
frequencies for directions. 0 is as good as the reference, 1 perfect, below 0 worse. All windows of all tokens are
pooled; the measures of one token are named after it, "rmse@BTC".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor

from engine.data.prices.windows import WindowSet, WindowSplits
from engine.evaluation.scores import SKILL
from engine.evaluation.train import outputs
from engine.nets.student import Student

LAST_VALUE, TRAIN_MEAN = "last_value", "train_mean"
"""The naive forecasts: nothing changes, or always the training mean."""
OUTERMOST = 1e3
"""Outputs are clipped here, in standard deviations or logits, so that a diverged student gets a (bad) score."""
DECIMALS = 8
"""Of forecasts: a millionth of a per cent."""
SMALLEST_PROBABILITY = 1e-7
NONE = np.empty(0)
"""The part of a forecast that the task does not ask for."""
Numbers = Annotated[
    np.ndarray,
    PlainValidator(lambda values: NONE if values is None else np.array(values)),
    PlainSerializer(lambda array: array.tolist() if array.size else None),
]
"""An array that JSON keeps as a list, and an empty one as null."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast of N windows, or the truth.

    move: (N,) float64, the log return over the horizon, or its absolute value. up: (N,) float64, the probability that
    the close rises by more than the threshold. What the task does not need is empty, (0,).
    """

    move: Numbers
    up: Numbers


@dataclass(frozen=True, eq=False)
class Judge:
    """The truth and the naive forecasts of one part of the data, in the order of its windows.

    names: of the tokens. tokens: (N,), of each window. ends: (N,) unix seconds, of each window's last bar.
    naive: by LAST_VALUE and TRAIN_MEAN.
    """

    task: str
    names: tuple[str, ...]
    tokens: np.ndarray
    ends: np.ndarray
    truth: Forecast
    naive: dict[str, Forecast]

    @property
    def reference(self) -> Forecast:
        """The naive forecast that skill is relative to."""
        return self.naive[reference_of(self.task)]

    def has_skill(self, said: Forecast) -> bool:
        """Whether a forecast has a bounded loss; probabilities of 0 and 1, as of the last value, have none."""
        return self.task != "direction" or not np.isin(said.up, (0.0, 1.0)).all()


def judge_of(splits: WindowSplits, windows: WindowSet) -> Judge:
    """The judge of `windows`, a part of `splits`."""
    naive = {
        LAST_VALUE: of_targets(windows.last_value, windows.tokens, splits),
        TRAIN_MEAN: of_targets(train_means(splits)[windows.tokens], windows.tokens, splits),
    }
    truth = of_targets(windows.targets, windows.tokens, splits)
    tokens, ends = windows.tokens.cpu().numpy(), windows.ends.cpu().numpy()
    return Judge(splits.spec.task, splits.spec.class_names, tokens, ends, truth, naive)


def train_means(splits: WindowSplits) -> Tensor:
    """(K, D): the mean of each token's training targets, frequencies for directions."""
    train = splits.train
    return torch.stack([train.targets[train.tokens == token].mean(0) for token in range(len(splits.spec.class_names))])


def of_targets(targets: Tensor, tokens: Tensor, splits: WindowSplits) -> Forecast:
    """Targets (N, D) as a student is taught them, of tokens (N,), in log returns and probabilities."""
    task = splits.spec.task
    move = NONE if task == "direction" else splits.scaling.values(targets[:, 0], tokens).round(DECIMALS)
    up = targets[:, -1].double().cpu().numpy().round(DECIMALS) if task in ("direction", "both") else NONE
    return Forecast(move, up)


def forecast(student: Student, theta: Tensor, windows: WindowSet, splits: WindowSplits) -> Forecast:
    """What a student with weights `theta` (P,) says of `windows`."""
    said = outputs(student, theta, windows).nan_to_num(nan=OUTERMOST).clamp(-OUTERMOST, OUTERMOST)
    if splits.spec.task in ("direction", "both"):
        said = torch.cat([said[:, :-2], said[:, -2:].softmax(1)], 1)
    return of_targets(said, windows.tokens, splits)


def mean_of(forecasts: Sequence[Forecast]) -> Forecast:
    """The mean forecast of several students."""
    moves, ups = [each.move for each in forecasts], [each.up for each in forecasts]
    return Forecast(np.mean(moves, axis=0), np.mean(ups, axis=0))


def reference_of(task: str) -> str:
    """The naive forecast that skill is measured against."""
    return LAST_VALUE if task in ("close", "both") else TRAIN_MEAN


def losses(judge: Judge, said: Forecast) -> np.ndarray:
    """(N,): the loss of each window, squared error of log returns, or log loss if only directions are forecast."""
    if judge.task == "direction":
        given = np.where(judge.truth.up > 0.5, said.up, 1 - said.up)
        return -np.log(given.clip(SMALLEST_PROBABILITY, 1))
    return (judge.truth.move - said.move) ** 2


def skill(judge: Judge, said: Forecast, naive: str = "") -> float:
    """The skill of a forecast over all windows, relative to a naive one, the reference if `naive` is empty."""
    against = judge.naive[naive] if naive else judge.reference
    return _skill(losses(judge, said), losses(judge, against))


def measured(judge: Judge, said: Forecast, *, by_token: bool = False) -> dict[str, float]:
    """Every defined measure of a forecast by name; by_token: of each token too.

    skill, skill_last_value: fractions. mae, rmse: in log returns. r2: relative to the mean of the measured windows.
    hit_rate: the fraction of correct directions; no change counts as half correct. balanced_accuracy: the mean of the
    fractions of ups and downs that are correct. mcc: Matthews' correlation of directions, 0 for a constant forecast.
    """
    found = _measures(judge, said, np.ones(len(judge.tokens), dtype=bool))
    for token, name in enumerate(judge.names if by_token else ()):
        its_own = _measures(judge, said, judge.tokens == token)
        found |= {f"{metric}@{name}": value for metric, value in its_own.items()}
    return {metric: value for metric, value in found.items() if math.isfinite(value)}


def _measures(judge: Judge, said: Forecast, rows: np.ndarray) -> dict[str, float]:
    """The measures of the windows in `rows`, (N,) bool; NaN if undefined."""
    if not rows.any():
        return {}
    found, task = {}, judge.task
    if judge.has_skill(said):
        loss = losses(judge, said)[rows]
        found[SKILL] = _skill(loss, losses(judge, judge.reference)[rows])
    if task != "direction":
        found |= _of_moves(judge.truth.move[rows], said.move[rows])
        found["skill_last_value"] = _skill(loss, losses(judge, judge.naive[LAST_VALUE])[rows])
    if said.up.size:
        found |= _of_directions(judge.truth.up[rows] > 0.5, said.up[rows] > 0.5)
    elif task == "close":
        found["hit_rate"] = float(0.5 + 0.5 * (np.sign(judge.truth.move[rows]) * np.sign(said.move[rows])).mean())
    return found


def _skill(loss: np.ndarray, reference: np.ndarray) -> float:
    mean = reference.mean()
    return float(1 - loss.mean() / mean) if mean > 0 else math.nan


def _of_moves(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    errors = truth - said
    variance = truth.var()
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": float(1 - (errors**2).mean() / variance) if variance > 0 else math.nan,
    }


def _of_directions(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Of directions, (n,) bool each."""
    right = truth == said
    found = {"hit_rate": float(right.mean()), "mcc": matthews(truth, said)}
    if truth.any() and not truth.all():
        found["balanced_accuracy"] = float(np.mean([right[truth == way].mean() for way in (False, True)]))
    return found


def matthews(truth: np.ndarray, said: np.ndarray) -> float:
    """Matthews' correlation of two (n,) bool, 0 where one of them is constant.

    Source: Matthews 1975, Biochimica et Biophysica Acta 405.
    """
    deviations = truth.std() * said.std()
    return float(((truth & said).mean() - truth.mean() * said.mean()) / deviations) if deviations > 0 else 0.0
