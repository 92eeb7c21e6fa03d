"""Real data to hold the distilled set against: as many real samples as its storage could hold.

Storage is counted alike on both sides, in stored values of 4 bytes. Kept as 8-bit files, the same
real samples would take a quarter.
"""

from __future__ import annotations

import torch

from engine.data.source import LabelledSet, TaskSpec


def samples_at_equal_storage(num_stored_values: int, spec: TaskSpec) -> int:
    """Real samples that fit in as many stored numbers, a sample being its values and one label; whole classes only.

    Below one sample a class the count is not rounded, so that posters smaller than that have a rival too.
    """
    values_per_sample = torch.Size(spec.sample_shape).numel() + 1
    count = max(1, num_stored_values // values_per_sample)
    return count if count < spec.num_outputs else count // spec.num_outputs * spec.num_outputs


def num_bytes(count: int, spec: TaskSpec) -> int:
    """Bytes of `count` real samples counted as a synthetic set's are: 4 for a value, 1 for a label."""
    return count * (4 * torch.Size(spec.sample_shape).numel() + 1)


def random_real(train: LabelledSet, count: int, num_classes: int, generator: torch.Generator) -> LabelledSet:
    """`count` random training samples, as evenly over the classes as `count` allows, sorted by class."""
    targets = train.targets.cpu()
    order = torch.randperm(num_classes, generator=generator).tolist()
    chosen = []
    for place, label in enumerate(order):
        share = count // num_classes + (place < count % num_classes)
        members = (targets == label).nonzero().flatten()
        chosen.append((label, members[torch.randperm(len(members), generator=generator)[:share]]))
    return train.subset(torch.cat([members for _, members in sorted(chosen, key=lambda pair: pair[0])]))
