"""Real data to hold the distilled set against: as many real samples as its storage could hold."""

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
