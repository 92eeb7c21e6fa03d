"""Real windows to compare distilled ones with: for each token as many as the distilled set has sequences of it."""

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.data.prices.windows import WindowSet
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.evaluation.baselines import nearest_to_centres

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
    "kmeans_real": kmeans_windows,
}
"""Small arms of real windows."""
WORDS = {"random_real": "random real windows", "kmeans_real": "k-means real windows"}
"""The same in messages."""


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real windows with their targets, 4 per value; their order tells the tokens."""
    return 4 * count * (spec.sample_shape[0] * NUM_FEATURES + spec.num_outputs)


def _members(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> Iterator[tuple[torch.Tensor, int]]:
    """(indices of a token's training windows in random order, its count), for counts above 0."""
    tokens = train.tokens.cpu()
    for token, count in enumerate(counts):
        if count:
            members = (tokens == token).nonzero().flatten()
            yield members[torch.randperm(len(members), generator=generator)], count
