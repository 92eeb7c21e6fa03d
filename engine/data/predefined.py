"""Predefined augmentations: fixed changes of images, drawn once, so that a changed image has a representation of its own."""

from __future__ import annotations

from typing import Literal, get_args

PredefinedName = Literal["rotate_90", "rotate_180", "rotate_270", "flip", "jitter", "crop", "blur"]
NAMES: tuple[PredefinedName, ...] = get_args(PredefinedName)
