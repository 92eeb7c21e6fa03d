"""Distilled and real representations in two dimensions."""

from collections.abc import Generator
from functools import partial

import torch
from torch import Tensor

from engine.core.events import Analysed, Event
from engine.core.progress import ticking
from engine.data.source import Splits
from engine.pretrained.teachers import Teacher
from engine.synthetic.base import SyntheticSet

MAX_REAL = 600
"""Validation images on the map."""


def representation_map(synthetic: SyntheticSet, teacher: Teacher, splits: Splits) -> Generator[Event, None, None]:
    """Yield representations of real validation images and of the set in 2-D: Analysed "map" (PCA) and "map_tsne".

    Classes only colour the real images.
    """
    order = torch.randperm(len(splits.validation), generator=torch.Generator().manual_seed(0))[:MAX_REAL]
    inputs, targets = splits.validation.batch(order)
    real = teacher.represent(inputs).cpu()
    both = torch.cat([real, synthetic.materialise()[1].float().cpu()])
    classes = [splits.spec.class_names[label] for label in targets.tolist()]
    for name, way, place in (("map", "PCA", _by_pca), ("map_tsne", "t-SNE", _by_tsne)):
        points = yield from ticking(f"map the representations by {way}", partial(place, both, len(real)))
        rounded = [[round(x, 4), round(y, 4)] for x, y in points.tolist()]
        placed = {"real": rounded[: len(real)], "distilled": rounded[len(real) :]}
        yield Analysed(name, {"way": way, "classes": classes, **placed})


def _by_pca(points: Tensor, num_real: int) -> Tensor:
    """The first two principal components of the real representations."""
    centred = points - points[:num_real].mean(0)
    _, vectors = torch.linalg.eigh((centred[:num_real].T @ centred[:num_real]).double())
    return centred.double() @ vectors[:, -2:].flip(1)


def _by_tsne(points: Tensor, num_real: int) -> Tensor:
    from sklearn.manifold import TSNE  # slow to import

    perplexity = min(30.0, (len(points) - 1) / 3)
    return torch.from_numpy(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points.numpy()))
