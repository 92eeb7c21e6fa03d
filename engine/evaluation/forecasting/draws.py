"""Real windows to hold distilled ones against: of each token as many as the distilled set has sequences of it."""

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.data.prices.windows import WindowSet
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.evaluation.baselines import nearest_once

MOST_CLUSTERED = 2000
"""Windows of a token that k-means looks at; a random part of more."""


def random_windows(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> WindowSet:
    """`counts` random training windows, of each token its own count, sorted by token."""
    return train.subset(torch.cat([members[:count] for members, count in _members(train, counts, generator)]))


def kmeans_windows(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> WindowSet:
    """The training windows nearest to the centres of as many clusters, of each token its own count, sorted by token.

    Clusters of windows as a student sees them, by scikit-learn's k-means from one random start; for one window a
    token this is the one nearest to the mean.
    """
    from sklearn.cluster import KMeans  # slow to import

    chosen = []
    for members, count in _members(train, counts, generator):
        members = members[: max(MOST_CLUSTERED, count)]
        seen = train.inputs[members].flatten(1).cpu()
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        clusters = KMeans(min(count, len(members)), n_init=1, random_state=seed).fit(seen.numpy())
        distances = torch.cdist(torch.from_numpy(clusters.cluster_centers_).to(seen), seen)
        chosen.append(members[nearest_once(distances)])
    return train.subset(torch.cat(chosen))


DRAWS: dict[str, Callable[[WindowSet, Sequence[int], torch.Generator], WindowSet]] = {
    "random_real": random_windows,
    "kmeans_real": kmeans_windows,
}
"""Small arms of real windows by name."""
WORDS = {"random_real": "random real windows", "kmeans_real": "k-means real windows"}
"""The same in messages."""


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real windows with their targets, 4 a value; which token each is of is known by its place."""
    return 4 * count * (spec.sample_shape[0] * NUM_FEATURES + spec.num_outputs)


def _members(train: WindowSet, counts: Sequence[int], generator: torch.Generator) -> Iterator[tuple[torch.Tensor, int]]:
    """(indices of a token's training windows in random order, how many are wanted) of tokens that any are wanted of."""
    tokens = train.tokens.cpu()
    for token, count in enumerate(counts):
        if count:
            members = (tokens == token).nonzero().flatten()
            yield members[torch.randperm(len(members), generator=generator)], count
