"""Hyperparameters of RaT-BPTT."""

from __future__ import annotations

from typing import Literal

from engine.core.config import ImagesPerClass, Size, Task, option
from engine.methods.windowed import WindowedConfig


class RatBpttConfig(WindowedConfig, ImagesPerClass):
    """Hyperparameters, in the order the form shows them."""

    images_from: Literal["noise", "real", "result"] = option(
        "noise",
        "What the images start as: random numbers, real images, or the result of another run",
        group="Synthetic set",
        label="Images start from",
    )
    labels: Literal["hard", "soft"] = option(
        "hard", "One class an image, or a learned distribution over classes", group="Synthetic set"
    )
    label_lr_divisor: float = option(
        1.0,
        "The labels' step size is the outer learning rate divided by this",
        low=0.01,
        high=10_000.0,
        advanced=True,
        group="Synthetic set",
        when=("labels", "soft"),
    )
    clamp: bool = option(
        False, "Cut pixels to the range of real ones after every outer step", advanced=True, group="Synthetic set"
    )

    @property
    def starts_from(self) -> str:
        return self.images_from

    def size(self, spec: Task) -> Size:
        """`ipc` images of each class."""
        return self.whole_images(spec, self.labels == "soft")
