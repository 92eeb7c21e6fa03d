"""RaT-BPTT: random truncated back-propagation through time, on whole images of each class.

A student trains for hundreds of steps on the synthetic images, but only a window at a random place of that training is
differentiated. The gradient costs what the window costs, and early and late training both get their turn; the loop and
its equation are in methods/windowed.py.

Source: Feng, Vedantam, Kempe 2024, "Embarrassingly Simple Dataset Distillation", arXiv:2311.07025.
What differs from the paper is listed in README.md.
"""

from __future__ import annotations

from collections.abc import Generator

from engine.core.context import Context
from engine.core.events import Event
from engine.data.source import Splits
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.rat_bptt.config import RatBpttConfig
from engine.methods.windowed import distill_windowed, moved
from engine.synthetic.pixels import PixelSet


def distill(splits: Splits, config: RatBpttConfig, context: Context) -> Generator[Event, None, PixelSet]:
    """Learn `config.ipc` images per class on which a student can be trained for long, in random batches.

    Yields and raises what `distill_windowed` does, and ConfigError where the images cannot start as they should.
    """
    synthetic = _initial_set(splits, config, context).to(context.device)

    def project() -> None:
        if config.clamp and splits.display_range is not None:
            synthetic.clamp(*splits.display_range)

    groups = moved(config, synthetic.images, synthetic.label_logits, synthetic.raw_rates, config.label_lr_divisor)
    return (yield from distill_windowed(synthetic, groups, splits, config, context, project))


def _initial_set(splits: Splits, config: RatBpttConfig, context: Context) -> PixelSet:
    synthetic = PixelSet(
        spec=splits.spec,
        training=config.training,
        ipc=config.ipc,
        num_batches=1,
        num_rates=1,
        soft_labels=config.labels == "soft",
        learn_rates=config.learn_rates,
    )
    synthetic.start_from(config.images_from, splits, context.start, config.student_lr, context.stream("images"))
    return synthetic


METHOD = Method(
    key="rat_bptt",
    title="RaT-BPTT (long inner loops)",
    summary="Learns images for long trainings: a student trains hundreds of steps, and a window at a random place of that training is differentiated.",
    papers=(Paper("2311.07025", "Feng et al. 2024"),),
    tasks=frozenset({"classification"}),
    config=RatBpttConfig,
    presets=read_presets(__file__),
    distill=distill,
)
