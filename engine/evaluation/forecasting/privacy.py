"""Privacy: whether distilled windows reveal training windows.

Nearest real window. The distance of two windows is the root mean squared difference of their values as a student sees
them, so 1 is about a standard deviation. A copy of a training window has distance 0. For scale: the distances between
real training windows of a token that share no bar.

Membership inference. From the distance to the nearest distilled window, relative to the window's own size, an attacker
guesses whether a real window was trained on. An area under the ROC curve (AUC) of 0.5 reveals nothing. Held-out windows
come from another time and may differ for that reason alone, so the same attack on distilled windows whose bars are
shuffled in time gives the level of `chance`.

Source: membership inference, Shokri et al. 2017, arXiv:1610.05820; by distance to synthetic data, Chen et al. 2020,
arXiv:1909.03935.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.prices.windows import WindowSet, WindowSplits
from engine.data.source import NUM_FEATURES
from engine.evaluation.bench import generator_of
from engine.evaluation.forecasting.bootstrap import NUM_RESAMPLES, SEED, interval
from engine.synthetic.candles import CandleSet

MOST_REAL = 400
"""Training windows whose nearest neighbours are found, evenly over tokens and time."""
NUM_SHUFFLES = 5
DATES_A_BLOCK = 50
"""Neighbouring dates whose windows are resampled together."""
COPY = 0.5
"""A distilled window counts as close to a copy below this share of the median distance between real windows."""

Suspicion = tuple[np.ndarray, np.ndarray]
"""The attacker's scores of n real windows, higher for members, and the windows' ends, (n,) each."""


def privacy(synthetic: CandleSet, splits: WindowSplits) -> dict[str, Any]:
    """Distances of distilled windows to training windows, and whether membership can be inferred from them.

    Returns {"nearest": {"distilled", "real": distances}, "ratio": of their medians, "membership": {"auc", "low",
    "high", "chance"}, "sentence"}.
    """
    inputs, tokens = synthetic.materialise()[0].cpu(), synthetic.tokens.cpu()
    distilled = nearest(inputs, tokens, splits.train)
    real = between_real(splits)
    ratio = float(np.median(distilled) / max(np.median(real), np.finfo(float).tiny))
    membership = infer_membership(inputs, tokens, splits)
    found = {"distilled": distilled.round(6).tolist(), "real": real.round(6).tolist()}
    return {
        "nearest": found,
        "ratio": ratio,
        "membership": membership,
        "sentence": f"{_about_distances(found, ratio)} {_about_membership(membership)}",
    }


def num_close(nearest: Mapping[str, Sequence[float]]) -> int:
    """How many distilled windows are close to a copy of a real one. nearest: as `privacy` returns it."""
    return int((np.array(nearest["distilled"]) < COPY * np.median(nearest["real"])).sum())


def nearest(inputs: Tensor, tokens: Tensor, train: WindowSet) -> np.ndarray:
    """(M,): the distance of each window (M, T, F) to the nearest training window of its token."""
    found = torch.full((len(inputs),), torch.inf, dtype=torch.float64)
    for token in tokens.unique():
        mine = tokens == token
        found[mine] = _distances(inputs[mine], train.inputs[train.tokens == token]).min(1).values
    return found.numpy()


def between_real(splits: WindowSplits) -> np.ndarray:
    """Distances of training windows to the nearest one of their token that shares no bar with them."""
    found, train, length = [], splits.train, splits.spec.sample_shape[0]
    for token, bars in enumerate(splits.bars):
        members = (train.tokens == token).nonzero().flatten()
        places = np.searchsorted(bars.times, train.ends[members].cpu().numpy())
        count = min(-(-MOST_REAL // len(splits.bars)), len(members))
        some = np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))
        distances = _distances(train.inputs[members[some]], train.inputs[members]).numpy()
        distances[np.abs(places[some][:, None] - places[None]) < length] = np.inf
        least = distances.min(1)
        found.append(least[np.isfinite(least)])
    return np.concatenate(found)


def infer_membership(inputs: Tensor, tokens: Tensor, splits: WindowSplits) -> dict[str, float]:
    """How well distances to the windows (M, T, F) of tokens (M,) separate training from held-out windows.

    {"auc", "low", "high": its 95 % interval over blocks of dates, "chance": the mean AUC with bars shuffled in time}.
    """
    members, others = _suspicions(inputs, tokens, splits)
    wins, sizes, other_sizes = _wins(members, others)
    random = np.random.default_rng(SEED)
    draws = []
    for _ in range(NUM_RESAMPLES):
        left, right = (np.bincount(random.integers(size, size=size), minlength=size) for size in wins.shape)
        draws.append((left @ wins @ right) / ((left @ sizes) * (right @ other_sizes)))
    low, high = interval(np.array(draws))
    chances = [_auc_of_shuffled(inputs, tokens, splits, number) for number in range(NUM_SHUFFLES)]
    overall = float(wins.sum() / (sizes.sum() * other_sizes.sum()))
    return {"auc": overall, "low": low, "high": high, "chance": float(np.mean(chances))}


def _auc_of_shuffled(inputs: Tensor, tokens: Tensor, splits: WindowSplits, number: int) -> float:
    """The AUC of the attack with the bars of each window shuffled."""
    generator = generator_of("shuffled bars", number)
    shuffled = torch.stack([window[torch.randperm(len(window), generator=generator)] for window in inputs])
    (members, _), (others, _) = _suspicions(shuffled, tokens, splits)
    return auc(members, others)


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs in which the member's score is higher than the other's; ties count half."""
    order = np.sort(others)
    below = np.searchsorted(order, members, "left") + np.searchsorted(order, members, "right")
    return float(below.mean() / 2 / len(others))


def _suspicions(inputs: Tensor, tokens: Tensor, splits: WindowSplits) -> tuple[Suspicion, Suspicion]:
    """Suspicions of training windows, and of validation and test windows together."""
    members, *held_out = (_suspicion(inputs, tokens, part) for part in (splits.train, splits.validation, splits.test))
    return members, (np.concatenate([score for score, _ in held_out]), np.concatenate([end for _, end in held_out]))


def _suspicion(inputs: Tensor, tokens: Tensor, windows: WindowSet) -> Suspicion:
    """Suspicion of real windows, of tokens that the set has."""
    scores, ends = [], []
    for token in tokens.unique():
        mine = windows.tokens == token
        real = windows.inputs[mine]
        distances = _distances(real, inputs[tokens == token]).min(1).values
        size = _distances(real, torch.zeros_like(real[:1])).squeeze(1)
        scores.append((-distances / size.clamp(min=1e-12)).numpy())
        ends.append(windows.ends[mine].cpu().numpy())
    return np.concatenate(scores), np.concatenate(ends)


def _wins(members: Suspicion, others: Suspicion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A, B): pairs in which a member of block a scores higher than another of block b; and the block sizes."""
    (mine, ends), (theirs, other_ends) = members, others
    left, right = _blocks(ends), _blocks(other_ends)
    wins = [[auc(mine[rows], theirs[columns]) * len(rows) * len(columns) for columns in right] for rows in left]
    return np.array(wins), np.array([len(each) for each in left]), np.array([len(each) for each in right])


def _blocks(ends: np.ndarray) -> list[np.ndarray]:
    """Indices of the windows of each block of dates."""
    dates, place = np.unique(ends, return_inverse=True)
    number = place // DATES_A_BLOCK
    return [np.flatnonzero(number == block) for block in range(number.max() + 1)]


def _distances(left: Tensor, right: Tensor) -> Tensor:
    """(n, m) float64: root mean squared differences of windows (n, T, F) and (m, T, F), without the token's columns."""
    x, y = (each[..., :NUM_FEATURES].flatten(1).double().cpu() for each in (left, right))
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") / x.shape[1] ** 0.5


def _about_distances(nearest: Mapping[str, Sequence[float]], ratio: float) -> str:
    close, total = num_close(nearest), len(nearest["distilled"])
    are = f"{close} of {total} {'is' if close == 1 else 'are'}" if close else "none is"
    return (
        f"The median distance from a distilled window to the nearest training window is {ratio:.2f} times that between "
        f"training windows that share no bar; {are} close to a copy of a real one."
    )


def _about_membership(found: dict[str, float]) -> str:
    auc = f"AUC {found['auc']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
    told, by_dates = f"Membership inference by distance to the distilled set has {auc}", f"{found['chance']:.2f}"
    if found["low"] > max(0.5, found["chance"]):
        return f"{told}: the set reveals training windows (0.5 is chance, {by_dates} is due to the dates alone)."
    return f"{told}: no more than chance (0.5) or the difference in dates alone ({by_dates})."
