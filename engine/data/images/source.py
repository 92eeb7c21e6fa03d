"""An imported image data set as a source, used like those that come with the program."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import ClassVar, Literal

from engine.core.config import DataConfig
from engine.core.events import Event, Progress
from engine.data.images import decoded
from engine.data.images.options import ImportOptions
from engine.data.images.report import ImageReport
from engine.data.imported.library import Imported, Library
from engine.data.source import task_of
from engine.data.transforms.prepare import ImageSplits, prepare_images


class FolderSource(Imported):
    """An imported image data set. path: the folder or zip file it was read from, "" for an upload."""

    kind: ClassVar[Literal["images"]] = "images"
    num_channels: int
    class_names: tuple[str, ...]
    report: ImageReport
    options: ImportOptions
    path: str

    @property
    def summary(self) -> str:
        size, count = self.options.image_size, self.num_train + self.num_test
        colour = "grey" if self.num_channels == 1 else "colour"
        return f"Your own: {len(self.class_names):,} classes, {count:,} {colour} images of {size} x {size} pixels."

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (self.num_channels, self.options.image_size, self.options.image_size)

    @property
    def num_train(self) -> int:
        return sum(self._train_counts)

    @property
    def num_test(self) -> int:
        return sum(self.report.counts["test"])

    @property
    def fewest_per_class(self) -> int:
        return min(self._train_counts)

    @property
    def _train_counts(self) -> list[int]:
        """Training images of each class, including validation."""
        counts = self.report.counts
        return [train + validation for train, validation in zip(counts["train"], counts["validation"], strict=True)]

    def renamed(self, title: str) -> FolderSource:
        return self.model_copy(update={"title": title, "options": self.options.model_copy(update={"name": title})})

    def stored(self, data_root: Path) -> Path:
        return decoded.path_of(self.digest, data_root)

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        """Its files on disk: the decoded images, and the originals of an upload."""
        files = [self.stored(data_root), *LIBRARY.folder_of(self.key, data_root).rglob("*")]
        return tuple(path for path in files if path.is_file())

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, ImageSplits]:
        """The splits. Raises DataError if the decoded images are missing or damaged, or the config leaves too few."""
        yield Progress(f"read {self.title}", 0, 1)
        raw = decoded.raw_images(self.digest, data_root)
        yield Progress(f"read {self.title}", 1, 1)
        # the key is the content's: data sets of the same images share scores
        return (yield from prepare_images(raw, task_of(self), self.title, f"{LIBRARY.prefix}{self.digest}", config))


LIBRARY = Library(FolderSource, folder="imported", prefix="folder:", fallback="images")
