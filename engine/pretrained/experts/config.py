"""Hyperparameters of the experts."""

from __future__ import annotations

from functools import partial
from typing import Literal

from engine.core.config import Config, option

_option = partial(option, group="Experts")
_advanced = partial(_option, advanced=True)


class ExpertsConfig(Config):
    """How experts are trained. Runs that agree in all of it but the number share their experts."""

    num_experts: int = _option(
        10,
        "Networks to train on the real data; recorded once, then reused",
        low=1,
        high=1000,
        label="Number of experts",
    )
    epochs: int = _option(
        10, "Their weights are kept after every epoch", low=1, high=1000, unit="epochs", label="Expert epochs"
    )
    lr: float = _option(0.01, "Learning rate of the experts", low=1e-6, high=10.0, label="Expert learning rate")
    batch_size: int = _option(
        256, "Real images per minibatch", low=1, high=8192, unit="images", label="Expert batch size"
    )
    optimiser: Literal["sgd", "sam", "gsam"] = _option(
        "sgd", "SAM and GSAM (used by FTD) seek flat minima at twice the cost", label="Expert optimiser"
    )
    momentum: float = _advanced(0.0, "Momentum of the experts", low=0.0, high=0.99)
    weight_decay: float = _advanced(0.0, "Weight decay of the experts", low=0.0, high=0.1)
    lr_decay: bool = _advanced(
        False, "Divide the learning rate by 10 halfway through training, as published", label="Learning rate decay"
    )
    rho: float = _advanced(
        0.01, "Perturbation radius of SAM and GSAM", low=1e-5, high=1.0, when=("optimiser", ("sam", "gsam"))
    )
    alpha: float = _advanced(0.3, "Weight of GSAM's surrogate gap", low=0.0, high=10.0, when=("optimiser", "gsam"))
    steps_per_epoch: int = _advanced(
        0, "Minibatches per epoch; 0 for a full pass", low=0, high=1_000_000, unit="steps", label="Steps per epoch"
    )
    dtype: Literal["float32", "float16"] = _advanced(
        "float32", "Precision of the recorded weights; float16 halves the disk space", label="Stored precision"
    )
    seed: int = _advanced(0, "Runs with different seeds share experts", low=0, high=2**31 - 1, label="Expert seed")
    folder: str = _advanced(
        "", "Folder of experts recorded elsewhere; leave empty to use this program's own", label="Expert folder"
    )
