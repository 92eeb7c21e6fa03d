"""Hyperparameters of RaT-BPTT."""

from __future__ import annotations

from engine.methods.forms import AnyForm
from engine.methods.windowed_config import ImagesWindowedConfig


class RatBpttConfig(ImagesWindowedConfig, AnyForm):
    """The loop of methods/windowed.py, on any form."""
