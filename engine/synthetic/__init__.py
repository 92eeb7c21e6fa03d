"""Parameterisations of distilled data, by the name their files carry."""

from engine.synthetic.base import SyntheticSet, Training, load
from engine.synthetic.bases import BasisSet
from engine.synthetic.candles import CandleSet
from engine.synthetic.canvas import CanvasSet
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.pairs import PairSet
from engine.synthetic.pixels import PixelSet
from engine.synthetic.poster import PosterSet

PARAMETERISATIONS: dict[str, type[SyntheticSet]] = {
    kind.__name__: kind for kind in (PixelSet, CanvasSet, PosterSet, BasisSet, LowRankSet, PairSet, CandleSet)
}

__all__ = [
    "PARAMETERISATIONS",
    "BasisSet",
    "CandleSet",
    "CanvasSet",
    "LowRankSet",
    "PairSet",
    "PixelSet",
    "PosterSet",
    "SyntheticSet",
    "Training",
    "load",
]
