"""Parameterisations of distilled data, by the name their files carry."""

from engine.synthetic.base import SyntheticSet, Training, load
from engine.synthetic.bases import BasisSet
from engine.synthetic.candles import CandleSet
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.pixels import CanvasSet, PixelSet
from engine.synthetic.poster import PosterSet
from engine.synthetic.representations import PairSet

KINDS = (PixelSet, CanvasSet, PosterSet, BasisSet, LowRankSet, PairSet, CandleSet)
PARAMETERISATIONS: dict[str, type[SyntheticSet]] = {kind.__name__: kind for kind in KINDS}

__all__ = ["PARAMETERISATIONS", "BasisSet", "CandleSet", "CanvasSet", "LowRankSet", "PairSet", "PixelSet", "PosterSet"]
__all__ += ["SyntheticSet", "Training", "load"]
