"""PoDD: one poster for the whole data set, from which overlapping patches are cut and labelled by where they lie.

Images of a class share their pixels with their neighbours on the poster, so the budget may be less than one image per
class and still show each class in many places. Three parts:

    poster   P patches cut at even distances from one (C, H, W) poster; gradients add up where patches overlap
    PoCO     classes that are alike become neighbours (order.py)
    PoDDL    a patch's label is the share of each class's area in it, or is read from a learned map of labels

and the loop of RaT-BPTT around them (methods/windowed.py).

Source: Shul, Horwitz, Hoshen 2024, "Distilling Datasets Into Less Than One Image", arXiv:2403.12040.
What differs from the paper is listed in README.md.
"""

from __future__ import annotations

from collections.abc import Generator

import torch

from engine.core.context import Context
from engine.core.events import Event, Warned
from engine.data.source import Splits
from engine.methods.method import Method, Paper
from engine.methods.podd.config import PoddConfig
from engine.methods.podd.distances import given_distances
from engine.methods.podd.order import placed
from engine.methods.presets import read_presets
from engine.methods.windowed import distill_windowed, moved
from engine.synthetic.poster import PosterSet


def distill(splits: Splits, config: PoddConfig, context: Context) -> Generator[Event, None, PosterSet]:
    """Learn one poster, `config.ipc` images per class large, on whose patches a student can be trained for long.

    Yields and raises what `distill_windowed` does; before it Progress of the class order and, where it was chosen by
    distances, what it costs. Raises ConfigError too where poster, patches and classes do not fit, or no order is found.
    """
    order = yield from _class_order(splits, config, context)
    synthetic = _initial_set(splits, order, config, context).to(context.device)
    groups = moved(config, synthetic.poster, synthetic.label_map, synthetic.raw_rates, config.label_lr_divisor)
    kept = {"order": torch.tensor(order)}
    return (yield from distill_windowed(synthetic, groups, splits, config, context, synthetic.clip_labels, kept))


def _class_order(splits: Splits, config: PoddConfig, context: Context) -> Generator[Event, None, list[int]]:
    """The class of each class area, row by row; that of the run so far where there is one."""
    if context.resume_from is not None:
        return context.resume_from["order"].tolist()
    distances = None
    if config.order == "given":
        distances = given_distances(config.distances, splits.spec.class_names, context.data_root)
    grid = config.grid(splits.spec)
    cells = (grid.class_rows, grid.class_columns)
    found = yield from placed(
        config.order, splits, cells, context, distances=distances, clip_download=config.clip_download
    )
    if found.costs:
        yield Warned(f"{found}.", level="note")
    return list(found.order)


def _initial_set(splits: Splits, order: list[int], config: PoddConfig, context: Context) -> PosterSet:
    synthetic = PosterSet(
        spec=splits.spec,
        training=config.training,
        grid=config.grid(splits.spec),
        order=order,
        labels=config.labels,
        label_cells=config.label_cells(splits.spec),
        label_rule=config.label_rule,
        temperature=config.temperature,
        learn_rates=config.learn_rates,
    )
    generator = context.stream("poster")
    if config.poster_from == "real":
        synthetic.start_from_real(splits.train, config.student_lr, generator)
    elif config.poster_from == "tiles":
        synthetic.start_from_tiles(config.student_lr, generator)
    else:
        synthetic.start_from_noise(config.student_lr, generator)
    return synthetic


METHOD = Method(
    key="podd",
    title="PoDD (one poster)",
    summary="Learns one poster for all classes, from which overlapping patches are cut: less than one image per class, with neighbours sharing pixels.",
    papers=(Paper("2403.12040", "Shul et al. 2024"), Paper("2311.07025", "Feng et al. 2024")),
    tasks=frozenset({"classification"}),
    config=PoddConfig,
    presets=read_presets(__file__),
    distill=distill,
)
