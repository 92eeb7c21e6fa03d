"""Real windows to compare distilled ones with: as many as fit into the set's bytes, and as many as its sequences.

A real window costs 2 bytes per value, as float16.
"""

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.data.prices.windows import WindowSet
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.evaluation.baselines import nearest_to_centres
from engine.evaluation.plan import SAMPLES, START

MOST_CLUSTERED = 2000
"""Windows of a token that k-means sees; a random part of more."""


def random_windows(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> WindowSet:
    """Random training windows, `counts` of each token, sorted by token."""
    return train.subset(torch.cat([members[:count] for members, count in _members(train, counts, generator)]))


def kmeans_windows(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> WindowSet:
    """Training windows that represent the rest by k-means, `counts` of each token, sorted by token."""
    chosen = []
    for members, count in _members(train, counts, generator):
        members = members[: max(MOST_CLUSTERED, count)]
        chosen.append(members[nearest_to_centres(train.inputs[members], count, generator)])
    return train.subset(torch.cat(chosen))


DRAWS: dict[str, Callable[[WindowSet, Sequence[int], torch.Generator], WindowSet]] = {
    "random_real": random_windows,
    SAMPLES: random_windows,
    "kmeans_real": kmeans_windows,
}
"""Small arms of real windows."""
WORDS = {
    "random_real": "random real windows of equal bytes",
    SAMPLES: "as many random real windows",
    "kmeans_real": "k-means real windows of equal bytes",
    START: "the starting set",
    "full": "the full set",
}
"""What students are trained on, in messages."""


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real windows with their targets, 2 per value; their order tells the tokens."""
    return 2 * count * (spec.sample_shape[0] * NUM_FEATURES + spec.num_outputs)


def fitting(num_bytes_wanted: int, spec: TaskSpec) -> int:
    """Real windows of each token that fit into so many bytes together, the same number for all, at least 1."""
    return max(1, num_bytes_wanted // num_bytes(len(spec.class_names), spec))


def _members(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> Iterator[tuple[torch.Tensor, int]]:
    """(indices of a token's training windows in random order, its count), for counts above 0."""
    tokens = train.tokens.cpu()
    for token, count in enumerate(counts):
        if count:
            members = (tokens == token).nonzero().flatten()
            yield members[torch.randperm(len(members), generator=generator)], count
