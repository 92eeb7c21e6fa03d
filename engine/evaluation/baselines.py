"""Real data to hold the distilled set against: as many real samples as its storage could hold, drawn or chosen.

Storage is counted alike on both sides, in stored values of 4 bytes. Kept as 8-bit files, the same
real samples would take a quarter.
"""

from collections.abc import Iterator

import torch

from engine.data.source import LabelledSet, TaskSpec

MOST_CLUSTERED = 5000  # samples of a class that k-means looks at; a random part of larger ones
MOST_CLUSTERED_VALUES = 2**26  # and their pixels together: k-means holds nearly three copies of them in float32


def samples_at_equal_storage(num_stored_values: int, spec: TaskSpec) -> int:
    """Real samples that fit in as many stored numbers, a sample being its values and one label; whole classes only.

    Below one sample a class the count is not rounded, so that posters smaller than that have a rival too.
    """
    return _whole_classes(num_stored_values // (torch.Size(spec.sample_shape).numel() + 1), spec)


def samples_of_values(num_values: int, spec: TaskSpec) -> int:
    """The same before a set is made, from the values planned for its samples; labels are taken to cost the same."""
    return _whole_classes(num_values // torch.Size(spec.sample_shape).numel(), spec)


def _whole_classes(count: int, spec: TaskSpec) -> int:
    count = max(1, count)
    return count if count < spec.num_outputs else count // spec.num_outputs * spec.num_outputs


def num_drawn(train: LabelledSet, count: int, num_classes: int) -> int:
    """Samples that a draw of `count` gives: fewer where a class does not have its share."""
    share = -(-count // num_classes)
    members = torch.bincount(train.targets, minlength=num_classes)
    return min(count, int(members.clamp(max=share).sum()))


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real samples counted as a synthetic set's are: 4 for a value, 1 for a label."""
    return count * (4 * torch.Size(spec.sample_shape).numel() + 1)


def random_real(train: LabelledSet, count: int, num_classes: int, generator: torch.Generator) -> LabelledSet:
    """`count` random training samples, as evenly over the classes as `count` allows, sorted by class."""
    chosen = {}
    for label, share, members in _shares(train, count, num_classes, generator):
        chosen[label] = members[torch.randperm(len(members), generator=generator)[:share]]
    return train.subset(torch.cat([chosen[label] for label in sorted(chosen)]))


def kmeans_real(train: LabelledSet, count: int, num_classes: int, generator: torch.Generator) -> LabelledSet:
    """`count` training samples that represent the rest: of each class, those nearest to as many cluster centres.

    Clusters of prepared pixels, by scikit-learn's k-means from one random start; for one sample a class this is the
    one nearest to the mean of its class. Sorted by class.
    """
    from sklearn.cluster import KMeans  # slow to import

    most = min(MOST_CLUSTERED, max(1, MOST_CLUSTERED_VALUES // train.inputs[0].numel()))
    chosen = {}
    for label, share, members in _shares(train, count, num_classes, generator):
        members = members[torch.randperm(len(members), generator=generator)[: max(most, share)]]
        pixels = train.batch(members)[0].flatten(1).cpu()
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        clusters = KMeans(min(share, len(members)), n_init=1, random_state=seed).fit(pixels.numpy())
        distances = torch.cdist(torch.from_numpy(clusters.cluster_centers_).to(pixels), pixels)
        chosen[label] = members[nearest_once(distances)].sort()[0]
    return train.subset(torch.cat([chosen[label] for label in sorted(chosen)]))


DRAWS = {"random_real": random_real, "kmeans_real": kmeans_real}
"""Small arms of real data by name: (train, count, number of classes, generator) -> samples."""


def _shares(
    train: LabelledSet, count: int, num_classes: int, generator: torch.Generator
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """(class, samples to take, indices of all its training samples) of classes that give any, in random order."""
    targets = train.targets.cpu()
    for place, label in enumerate(torch.randperm(num_classes, generator=generator).tolist()):
        share = count // num_classes + (place < count % num_classes)
        if share:
            yield label, share, (targets == label).nonzero().flatten()


def nearest_once(distances: torch.Tensor) -> torch.Tensor:
    """For each row (a centre) of (K, N) its nearest column that no earlier row took: (K,) int64, all different."""
    taken: list[int] = []
    for row in distances:
        row[taken] = float("inf")
        taken.append(int(row.argmin()))
    return torch.tensor(taken)
