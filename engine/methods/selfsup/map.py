"""Where the distilled representations lie among the real ones, in two dimensions."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from engine.core.events import Analysed, Event
from engine.core.progress import ticking
from engine.data.source import Splits
from engine.pretrained.teachers import Teacher
from engine.synthetic.base import SyntheticSet

MOST_REAL = 600
"""Validation images on the map."""


def representation_map(synthetic: SyntheticSet, teacher: Teacher, splits: Splits) -> Generator[Event, None, None]:
    """An Analysed "map" by PCA and one "map_tsne" by t-SNE, of real validation images by the teacher and the set's own.

    Classes only colour the real ones.
    """
    order = torch.randperm(len(splits.validation), generator=torch.Generator().manual_seed(0))[:MOST_REAL]
    inputs, targets = splits.validation.batch(order)
    real = teacher.represent(inputs).cpu()
    both = torch.cat([real, synthetic.materialise()[1].float().cpu()])
    classes = [splits.spec.class_names[label] for label in targets.tolist()]
    for name, way, place in (("map", "PCA", _by_pca), ("map_tsne", "t-SNE", _by_tsne)):
        points = yield from ticking(f"map the representations by {way}", lambda place=place: place(both, len(real)))
        rounded = [[round(x, 4), round(y, 4)] for x, y in points.tolist()]
        yield Analysed(
            name, {"way": way, "real": rounded[: len(real)], "classes": classes, "distilled": rounded[len(real) :]}
        )


def _by_pca(points: Tensor, num_real: int) -> Tensor:
    """The two directions in which the real representations differ most."""
    centred = points - points[:num_real].mean(0)
    _, vectors = torch.linalg.eigh((centred[:num_real].T @ centred[:num_real]).double())
    return centred.double() @ vectors[:, -2:].flip(1)


def _by_tsne(points: Tensor, num_real: int) -> Tensor:
    from sklearn.manifold import TSNE  # slow to import

    perplexity = min(30.0, (len(points) - 1) / 3)
    return torch.from_numpy(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points.numpy()))
