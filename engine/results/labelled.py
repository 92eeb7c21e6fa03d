"""Labelled images, whole or as a poster: networks trained on them are compared by their accuracy."""

from __future__ import annotations

import math

from engine.core.config import RunRequest, Size
from engine.data.source import TaskSpec
from engine.figures import formats
from engine.results.kind import Kind


def size(request: RunRequest, size: Size, spec: TaskSpec) -> str:
    """The number of whole images; of a poster and other shared pixels, the images per class that need as many values."""
    if size.num_values == size.num_samples * math.prod(spec.sample_shape):
        return formats.counted(size.num_samples, "image")
    return f"{size.per_class(spec):.2g} images per class"


KIND = Kind("labelled", "images", "image", "image", "accuracy", True, size)
