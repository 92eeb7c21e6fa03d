"""Hyperparameters of the experts."""

from functools import partial
from typing import Literal

from engine.core.config import Config, option

_option = partial(option, group="Experts")
_advanced = partial(_option, advanced=True)


class ExpertsConfig(Config):
    """How experts are trained. Runs share experts if they differ in nothing but the number."""

    num_experts: int = _option(10, low=1, high=1000, label="Number of experts")
    """Networks to train on the real data; recorded once, then reused."""
    epochs: int = _option(10, low=1, high=1000, unit="epochs", label="Expert epochs")
    """Their weights are kept after every epoch."""
    lr: float = _option(0.01, "Learning rate of the experts", low=1e-6, high=10.0, label="Expert learning rate")
    batch_size: int = _option(256, low=1, high=8192, unit="images", label="Expert batch size")
    """Real images per minibatch."""
    optimiser: Literal["sgd", "sam", "gsam"] = _option("sgd", label="Expert optimiser")
    """SAM and GSAM (used by FTD) seek flat minima at twice the cost."""
    momentum: float = _advanced(0.0, "Momentum of the experts", low=0.0, high=0.99)
    weight_decay: float = _advanced(0.0, "Weight decay of the experts", low=0.0, high=0.1)
    lr_decay: bool = _advanced(False, label="Learning rate decay")
    """Divide the learning rate by 10 halfway through training, as published."""
    rho: float = _advanced(0.01, low=1e-5, high=1.0, when=("optimiser", ("sam", "gsam")))
    """Perturbation radius of SAM and GSAM."""
    alpha: float = _advanced(0.3, "Weight of GSAM's surrogate gap", low=0.0, high=10.0, when=("optimiser", "gsam"))
    steps_per_epoch: int = _advanced(0, low=0, high=1_000_000, unit="steps", label="Steps per epoch")
    """Minibatches per epoch; 0 for a full pass."""
    dtype: Literal["float32", "float16"] = _advanced("float32", label="Stored precision")
    """Precision of the recorded weights; float16 halves the disk space."""
    seed: int = _advanced(0, "Runs with different seeds share experts", low=0, high=2**31 - 1, label="Expert seed")
    folder: str = _advanced("", label="Expert folder")
    """Folder of experts recorded elsewhere; leave empty to use this program's own."""
