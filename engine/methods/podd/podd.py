"""PoDD: one poster for the whole data set, from which overlapping patches are cut and labelled by where they lie.

Images of a class share their pixels with their neighbours on the poster, so the budget may be less than one image per
class and still show each class in many places. Three parts:

    poster   P patches cut at even distances from one (C, H, W) poster; gradients add up where patches overlap
    PoCO     similar classes become neighbours (methods/forms/order.py)
    PoDDL    a patch's label is the share of each class's area in it, or is read from a learned label map

and the loop of RaT-BPTT around them (methods/windowed.py): this is `rat_bptt` on a poster.

Source: Shul, Horwitz, Hoshen 2024, "Distilling Datasets Into Less Than One Image", arXiv:2403.12040.
What differs from the paper is listed in README.md.
"""

from typing import ClassVar, Self

from engine.methods.forms import Form
from engine.methods.forms.poster import PosterConfig
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.windowed import distill_images
from engine.methods.windowed_config import ImagesWindowedConfig


class PoddConfig(ImagesWindowedConfig, PosterConfig):
    """The loop of RaT-BPTT, on a poster."""

    start_options: ClassVar[tuple[str, ...]] = ("poster_from",)

    @property
    def form(self) -> Form:
        return self

    def for_trial(self) -> Self:
        return self.offline()


METHOD = Method(
    key="podd",
    title="PoDD (one poster)",
    summary="Learns one poster for all classes and cuts overlapping patches out of it: less than one image per class, "
    "because neighbours share pixels.",
    papers=(Paper("2403.12040", "Shul et al. 2024"), Paper("2311.07025", "Feng et al. 2024")),
    config=PoddConfig,
    presets=read_presets(__file__),
    distill=distill_images,
)
