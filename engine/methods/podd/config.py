"""Hyperparameters of PoDD."""

from __future__ import annotations

from typing import Any, Self

from engine.methods.forms import Form
from engine.methods.forms.poster import PosterConfig
from engine.methods.windowed_config import ImagesWindowedConfig


class PoddConfig(ImagesWindowedConfig, PosterConfig):
    """The loop of RaT-BPTT, on a poster."""

    @property
    def form(self) -> Form:
        return self

    @property
    def start_option(self) -> str:
        return "poster_from"

    @classmethod
    def begun_from_result(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"poster_from": "result"}

    def for_trial(self) -> Self:
        return self.offline()
