"""An imported data set as a source: chosen, loaded and distilled like those that come with the program."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from engine.core.config import DataConfig
from engine.core.events import Event, Progress
from engine.data.images import decoded
from engine.data.images.options import ImportOptions
from engine.data.images.report import Report
from engine.data.source import Availability, TaskSpec
from engine.data.transforms.prepare import ImageSplits, prepare_images

KEY_PREFIX = "folder:"


@dataclass(frozen=True)
class FolderSource:
    """A data set that a user brought.

    report: what the import found. options: what it was made with. created: unix seconds. digest: names its decoded
    images. path: the folder or zip file of this machine it was read from, "" for an upload.
    """

    kind: ClassVar[Literal["images"]] = "images"
    key: str
    title: str
    origin: str
    num_channels: int
    class_names: tuple[str, ...]
    report: Report
    options: ImportOptions
    created: float
    digest: str
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
        """Training images of each class, validation included."""
        return [
            sum(counts) for counts in zip(self.report.counts["train"], self.report.counts["validation"], strict=True)
        ]

    def availability(self, data_root: Path) -> Availability:
        """Present while its decoded images are."""
        if decoded.path_of(self.digest, data_root).exists():
            return Availability("present", f"{self.origin}, decoded under {data_root.absolute()}.")
        return Availability("missing", "Its decoded images are gone; delete it and import it again.")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        """Its files on disk: the decoded images, and the originals of an upload."""
        folder = data_root / "imported" / self.key.removeprefix(KEY_PREFIX)
        files = [decoded.path_of(self.digest, data_root), *folder.rglob("*")]
        return tuple(path for path in files if path.is_file())

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, ImageSplits]:
        """The splits, from the decoded images.

        Raises:
            DataError: the decoded images are gone or damaged, or the config leaves too few.
        """
        yield Progress(f"read {self.title}", 0, 1)
        raw = decoded.raw_images(self.digest, data_root)
        yield Progress(f"read {self.title}", 1, 1)
        spec = TaskSpec("classification", self.sample_shape, len(self.class_names), self.class_names)
        # by content, not by name: scores of the same images are shared
        return (yield from prepare_images(raw, spec, self.title, f"{KEY_PREFIX}{self.digest}", config))

    def to_json(self) -> str:
        """What `from_json` reads."""
        values = {
            "schema_version": 1,
            "title": self.title,
            "origin": self.origin,
            "num_channels": self.num_channels,
            "class_names": self.class_names,
            "report": self.report.model_dump(mode="json"),
            "options": self.options.model_dump(mode="json"),
            "created": self.created,
            "digest": self.digest,
            "path": self.path,
        }
        return json.dumps(values, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, key: str) -> FolderSource:
        """The source that was written. Raises ValueError, KeyError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("schema_version") != 1:
            raise ValueError("written by another version")
        return cls(
            **values
            | {
                "key": key,
                "class_names": tuple(values["class_names"]),
                "report": Report.model_validate(values["report"]),
                "options": ImportOptions.model_validate(values["options"]),
            }
        )
