"""Classes of unequal size: what is right of each, and what decides where accuracy would favour the largest.

Where 95 % of all images show cats, a network that always answers "cat" has an accuracy of 95 %. Its balanced accuracy,
the mean recall of the classes that are present, is 50 % if there are two.

Source: `balanced_accuracy_score` of scikit-learn; Brodersen et al. 2010, The balanced accuracy and its posterior
distribution.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.data.source import LabelledSet, Splits
from engine.evaluation.scores import BALANCED, HEADLINE
from engine.evaluation.train import EVALUATION_BATCH, accuracy

MOST_CONFUSED = 100
"""Classes of which every pair is counted."""
Network = Callable[[Tensor], Tensor]
"""A trained network: prepared inputs (n, *sample_shape) to logits (n, K)."""


def is_unbalanced(train: LabelledSet, num_classes: int) -> bool:
    """Whether the largest class exceeds twice the mean class; of two classes, where none can, twice the other."""
    largest = int(torch.bincount(train.targets).max())
    return largest * (3 if num_classes == 2 else num_classes) > 2 * len(train)


@torch.no_grad()
def confusion(network: Network, data: LabelledSet, num_classes: int) -> Tensor:
    """(K, K) int64 on the CPU: how many samples of each class, down, got each answer, across."""
    pairs = []
    for indices in torch.arange(len(data)).chunk(-(-len(data) // EVALUATION_BATCH)):
        inputs, targets = data.batch(indices)
        pairs.append(targets * num_classes + network(inputs).argmax(1))
    return torch.bincount(torch.cat(pairs).cpu(), minlength=num_classes**2).view(num_classes, num_classes)


def compact(counts: Tensor) -> tuple[tuple[int, ...], ...]:
    """The counts as rows; of more than MOST_CONFUSED classes only how many are right, and how many there are."""
    kept = counts if len(counts) <= MOST_CONFUSED else torch.stack([counts.diagonal(), counts.sum(1)])
    return tuple(map(tuple, kept.tolist()))


def added(compacts: Sequence[tuple[tuple[int, ...], ...]]) -> dict[str, Any]:
    """The sum over students as JSON: "right" and "total" of each class, "counts" [of each class][by answer] or None."""
    found = torch.tensor(compacts).sum(0)
    is_whole = found.shape[1] <= MOST_CONFUSED
    right, total = (found.diagonal(), found.sum(1)) if is_whole else found
    return {"right": right.tolist(), "total": total.tolist(), "counts": found.tolist() if is_whole else None}


def balanced_accuracy(right: Tensor, total: Tensor) -> float:
    """The mean of the shares right/total, (K,) each, of the classes that are present."""
    present = total > 0
    return (right[present] / total[present].double()).mean().item()


def validated(networks: Sequence[Network], splits: Splits) -> dict[str, float]:
    """Mean scores of trained networks on validation data by name; the last decides which set is best.

    Accuracy; where the classes are unbalanced, then balanced accuracy.
    """
    found = [accuracy(network, splits.validation) for network in networks]
    values = {f"validation_{HEADLINE}": sum(found) / len(found)}
    num_classes = splits.spec.num_outputs
    if is_unbalanced(splits.train, num_classes):
        counts = [confusion(network, splits.validation, num_classes) for network in networks]
        merits = [balanced_accuracy(each.diagonal(), each.sum(1)) for each in counts]
        values[f"validation_{BALANCED}"] = sum(merits) / len(merits)
    return values


def deciding(values: dict[str, float]) -> float:
    """The score of `validated` that decides."""
    return list(values.values())[-1]
