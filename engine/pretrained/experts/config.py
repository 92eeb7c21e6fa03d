"""Hyperparameters of the experts."""

from __future__ import annotations

from typing import Literal

from engine.core.config import Config, option

GROUP = "Experts"


class ExpertsConfig(Config):
    """How the networks are trained whose weights are followed. Runs that agree in all of it share one recording."""

    num_experts: int = option(
        10, "Networks trained on the real data; recorded once, then reused", low=1, high=1000, group=GROUP
    )
    epochs: int = option(
        10,
        "Passes that each of them trains; its weights are kept after each",
        low=1,
        high=1000,
        unit="epochs",
        group=GROUP,
        label="Epochs of an expert",
    )
    lr: float = option(
        0.01, "Learning rate of the experts", low=1e-6, high=10.0, group=GROUP, label="Expert learning rate"
    )
    batch_size: int = option(
        256, "Real images a step", low=1, high=8192, unit="images", group=GROUP, label="Expert batch"
    )
    optimiser: Literal["sgd", "sam", "gsam"] = option(
        "sgd",
        "Plain steps, or steps that look for flat places (SAM, or GSAM as in FTD), which take twice the time",
        group=GROUP,
        label="Expert optimiser",
    )
    momentum: float = option(0.0, "Momentum of the experts", low=0.0, high=0.99, advanced=True, group=GROUP)
    weight_decay: float = option(0.0, "Weight decay of the experts", low=0.0, high=0.1, advanced=True, group=GROUP)
    lr_decay: bool = option(
        False,
        "A tenth of the learning rate from the second epoch after half of them on, as published",
        advanced=True,
        group=GROUP,
        label="Rate decay",
    )
    rho: float = option(
        0.01,
        "How far away SAM and GSAM look for a worse place",
        low=1e-5,
        high=1.0,
        advanced=True,
        group=GROUP,
        when=("optimiser", ("sam", "gsam")),
    )
    alpha: float = option(
        0.3,
        "How much GSAM goes against the part of the gradient that the far place does not share",
        low=0.0,
        high=10.0,
        advanced=True,
        group=GROUP,
        when=("optimiser", "gsam"),
    )
    steps_per_epoch: int = option(
        0,
        "Minibatches between two kept weights, called an epoch here; 0 for a whole pass",
        low=0,
        high=1_000_000,
        unit="steps",
        advanced=True,
        group=GROUP,
        label="Steps an epoch",
    )
    dtype: Literal["float32", "float16"] = option(
        "float32", "How weights are kept: exact, or in half the space", advanced=True, group=GROUP, label="Kept as"
    )
    seed: int = option(
        0,
        "Seed of the experts; it is not the run's, so that runs of any seed share them",
        low=0,
        high=2**31 - 1,
        advanced=True,
        group=GROUP,
        label="Experts' seed",
    )
    folder: str = option(
        "",
        "Folder of experts that were recorded elsewhere; empty to record here, or reuse what was",
        advanced=True,
        group=GROUP,
        label="Experts' folder",
    )
