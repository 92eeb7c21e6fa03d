"""Parameterisations of distilled data, by the name their files carry."""

from engine.synthetic.base import SyntheticSet, Training, load
from engine.synthetic.pixels import PixelSet

PARAMETERISATIONS: dict[str, type[SyntheticSet]] = {"PixelSet": PixelSet}

__all__ = ["PARAMETERISATIONS", "PixelSet", "SyntheticSet", "Training", "load"]
