"""Images of another data set in the form that a network was trained for."""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.preparation import Preparation

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


def adapted(data: LabelledSet, spec: TaskSpec, preparation: Preparation) -> LabelledSet:
    """Images uint8 (N, c, h, w) as inputs of a network for samples (C, H, W) prepared by `preparation`.

    Colour becomes luminance for a greyscale network, grey is repeated for a colour one; images are resized by bilinear
    interpolation with antialiasing. Targets stay those of the other data set.
    """

    def prepare(images: Tensor) -> Tensor:
        return preparation.of_pixels(fitted(images.float() / 255, spec.sample_shape))

    return LabelledSet(data.inputs, data.targets, prepare)


def fitted(pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pixels (N, c, h, w) in [0, 1] with the channels and sides of `shape`, (C, H, W)."""
    if shape[0] == 1 and pixels.shape[1] == 3:
        weights = torch.tensor(LUMINANCE, device=pixels.device)
        pixels = (pixels * weights[:, None, None]).sum(1, keepdim=True)
    pixels = pixels.expand(-1, shape[0], -1, -1)
    if pixels.shape[2:] == shape[1:]:
        return pixels
    return F.interpolate(pixels, shape[1:], mode="bilinear", antialias=True, align_corners=False)
