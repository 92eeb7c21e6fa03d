"""Images and labels that experts vouch for: what a set of DATM starts as.

For each class, the images are real ones that an expert tells right, and their labels the mean logits of the experts
that do.

Source: Guo et al. 2024 (DATM), arXiv:2310.05773, section 3.3, and its code.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.core.context import Context
from engine.data.source import LabelledSet, Splits
from engine.nets.student import Student
from engine.pretrained.experts import Buffer
from engine.synthetic.pixels import PixelSet

CANDIDATES = 20
"""Real images of a class that are looked at for each one that is wanted."""


@torch.no_grad()
def start_from_experts(
    synthetic: PixelSet, splits: Splits, student: Student, experts: Buffer, context: Context
) -> Iterator[int]:
    """Replace the images of a set with soft labels and these. Yields the classes done so far.

    A class that experts never tell right keeps its images; an image that all get wrong keeps its label.
    """
    logits = synthetic.label_logits
    assert logits is not None, "labels are learned"
    count = len(experts.files)
    weights = [experts.weights(number, experts.num_epochs, context.device) for number in range(count)]
    targets = splits.train.targets.cpu()
    for label in range(splits.spec.num_outputs):
        mine = (synthetic.classes == label).nonzero().flatten()
        of_class = (targets == label).nonzero().flatten()
        order = torch.randperm(len(of_class), generator=context.stream("vouched", label))
        candidates = of_class[order[: CANDIDATES * len(mine)]]
        found = torch.stack([_answers(student, theta, splits.train, candidates) for theta in weights])  # (E, n, K)
        is_right = found.argmax(2) == label
        chosen = is_right.any(0).nonzero().flatten()[: len(mine)]
        if len(chosen):
            places = mine[: len(chosen)]
            right = is_right[:, chosen, None].to(found)
            synthetic.put(places, splits.train.batch(candidates[chosen.cpu()])[0].to(logits))
            logits[places] = (found[:, chosen] * right).sum(0) / right.sum(0)
        yield label + 1


def _answers(student: Student, theta: Tensor, data: LabelledSet, indices: Tensor) -> Tensor:
    """Logits (n, K) of images, with batch norms over these alone."""
    return torch.cat([student.quick(theta, data.batch(some)[0]) for some in indices.split(500)])
