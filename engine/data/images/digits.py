"""The 1,797 handwritten digits of 8 x 8 pixels and 16 grey levels that come with scikit-learn.

Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.
"""

from collections.abc import Generator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from engine.core.config import DataConfig
from engine.core.events import Event
from engine.data.source import Availability, task_of
from engine.data.transforms.prepare import ImageSplits, RawImages, prepare_images, stratified

TEST_FRACTION = 0.2
SPLIT_SEED = 1797


class DigitsSource:
    """scikit-learn's digits; a fifth of each class, by a fixed seed, is the test set."""

    kind: ClassVar[Literal["images"]] = "images"
    key = "digits"
    title = "Digits"
    summary = "Handwritten digits of 8 x 8 pixels, embedded in the program: good for a first try."
    origin = "scikit-learn, from UCI's optical recognition of handwritten digits"
    sample_shape = (1, 8, 8)
    class_names = tuple("0123456789")
    num_train = 1438
    num_test = 359
    fewest_per_class = 139

    def availability(self, data_root: Path) -> Availability:
        return Availability("present", "Embedded in the program.")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        return (_file(),)

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, ImageSplits]:
        return (yield from prepare_images(self.read(), task_of(self), self.title, self.key, config))

    def read(self) -> RawImages:
        """The images, 16 grey levels stretched to 0..255."""
        table = _table()
        # 0..16 to 0..255: the file counts black dots in 4 x 4 cells
        images = (table[:, :-1] * (255 / 16)).round().to(torch.uint8).reshape(-1, *self.sample_shape)
        targets = table[:, -1].long()
        counts = (torch.bincount(targets) * TEST_FRACTION).round().long()
        test, train = stratified(targets, counts, torch.Generator().manual_seed(SPLIT_SEED))
        return RawImages(images[train], targets[train], images[test], targets[test])


def _file() -> Path:
    """The file in scikit-learn, which takes seconds to import."""
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))


@cache
def _table() -> torch.Tensor:
    """(1797, 65) float64: 64 pixels 0..16 and the digit."""
    return torch.from_numpy(np.loadtxt(_file(), delimiter=","))
