"""Images with a teacher's representations: networks pre-trained on them are compared by a linear probe."""

from __future__ import annotations

from engine.core.config import RunRequest, Size
from engine.data.source import TaskSpec
from engine.figures import formats
from engine.results.kind import Kind


def size(request: RunRequest, size: Size, spec: TaskSpec) -> str:
    """The number of images."""
    return formats.counted(size.num_samples, "image")


KIND = Kind("representations", "images", "image", "image", "accuracy", False, size)
