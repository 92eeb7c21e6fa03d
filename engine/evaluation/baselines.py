"""Real data to compare the distilled set with: as many real samples as fit into its bytes, and as many as it has.

A real image costs 1 byte per value, as its file holds once decoded, and 1 for its label; a synthetic set costs the
bytes it is stored in (`SyntheticSet.num_bytes`).
"""

from collections.abc import Iterator

import torch

from engine.data.source import LabelledSet, TaskSpec

MOST_CLUSTERED = 5000  # samples of a class that k-means sees; a random part of larger ones
MOST_CLUSTERED_VALUES = 2**26  # and their pixel values: k-means holds nearly three copies of them in float32


def fitting(num_bytes_wanted: int, spec: TaskSpec) -> int:
    """Real samples with their labels that fit into so many bytes, at least 1, rounded down to whole classes.

    Fewer than one per class are not rounded, so that smaller posters have a baseline too.
    """
    count = max(1, num_bytes_wanted // num_bytes(1, spec))
    return count if count < spec.num_outputs else count // spec.num_outputs * spec.num_outputs


def num_drawn(train: LabelledSet, count: int, num_classes: int) -> int:
    """Samples that a draw of `count` gives; fewer if a class has less than its share."""
    share = -(-count // num_classes)
    members = torch.bincount(train.targets, minlength=num_classes)
    return min(count, int(members.clamp(max=share).sum()))


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real samples with their labels: 1 per value and 1 per label."""
    return count * (torch.Size(spec.sample_shape).numel() + 1)


def random_real(train: LabelledSet, count: int, num_classes: int, generator: torch.Generator) -> LabelledSet:
    """`count` random training samples, as evenly over the classes as `count` allows, sorted by class."""
    chosen = {}
    for label, share, members in _shares(train, count, num_classes, generator):
        chosen[label] = members[torch.randperm(len(members), generator=generator)[:share]]
    return train.subset(torch.cat([chosen[label] for label in sorted(chosen)]))


def kmeans_real(train: LabelledSet, count: int, num_classes: int, generator: torch.Generator) -> LabelledSet:
    """`count` training samples that represent the rest, by k-means of prepared pixels per class; sorted by class."""
    most = min(MOST_CLUSTERED, max(1, MOST_CLUSTERED_VALUES // train.inputs[0].numel()))
    chosen = {}
    for label, share, members in _shares(train, count, num_classes, generator):
        members = members[torch.randperm(len(members), generator=generator)[: max(most, share)]]
        central = nearest_to_centres(train.batch(members)[0], share, generator)
        chosen[label] = members[central].sort()[0]
    return train.subset(torch.cat([chosen[label] for label in sorted(chosen)]))


DRAWS = {"random_real": random_real, "random_samples": random_real, "kmeans_real": kmeans_real}
"""Small arms of real data: (train, count, number of classes, generator) -> samples."""


def _shares(
    train: LabelledSet, count: int, num_classes: int, generator: torch.Generator
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """(class, samples to take, indices of all its training samples) in random order, for shares above 0."""
    targets = train.targets.cpu()
    for place, label in enumerate(torch.randperm(num_classes, generator=generator).tolist()):
        share = count // num_classes + (place < count % num_classes)
        if share:
            yield label, share, (targets == label).nonzero().flatten()


def nearest_to_centres(inputs: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Indices (K,) int64 of the samples (N, ...) nearest to the centres of `count` clusters, all different.

    Clusters by scikit-learn's k-means from one random start. The centre of a single cluster is the mean.
    """
    values, seed = inputs.flatten(1).cpu(), int(torch.randint(2**31 - 1, (), generator=generator))
    if count == 1:
        centres = values.mean(0, keepdim=True)
    else:
        from sklearn.cluster import KMeans  # slow to import

        clusters = KMeans(min(count, len(values)), n_init=1, random_state=seed).fit(values.numpy())
        centres = torch.from_numpy(clusters.cluster_centers_).to(values)
    taken: list[int] = []
    for row in torch.cdist(centres, values):
        row[taken] = float("inf")
        taken.append(int(row.argmin()))
    return torch.tensor(taken)
