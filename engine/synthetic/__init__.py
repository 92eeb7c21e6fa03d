"""Parameterisations of distilled data, by the name their files carry."""

from engine.synthetic.base import SyntheticSet, Training, load
from engine.synthetic.pixels import PixelSet
from engine.synthetic.poster import PosterSet

PARAMETERISATIONS: dict[str, type[SyntheticSet]] = {"PixelSet": PixelSet, "PosterSet": PosterSet}

__all__ = ["PARAMETERISATIONS", "PixelSet", "PosterSet", "SyntheticSet", "Training", "load"]
