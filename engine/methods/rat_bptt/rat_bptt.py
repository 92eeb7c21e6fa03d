"""RaT-BPTT: random truncated back-propagation through time.

A student trains for hundreds of steps on the synthetic images, but only a window at a random place of that training is
differentiated. The gradient costs what the window costs, and early and late training both get their turn. The loop and
its equation are in methods/windowed.py.

Source: Feng, Vedantam, Kempe 2024, "Embarrassingly Simple Dataset Distillation", arXiv:2311.07025.
What differs from the paper is listed in README.md.
"""

from engine.methods.forms import AnyForm
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.windowed import distill_images
from engine.methods.windowed_config import ImagesWindowedConfig


class RatBpttConfig(ImagesWindowedConfig, AnyForm):
    """The loop of methods/windowed.py, on any form."""


METHOD = Method(
    key="rat_bptt",
    title="RaT-BPTT (long inner loops)",
    summary="Learns images for long training: a student trains hundreds of steps, and a window at a random place of "
    "that training is differentiated.",
    papers=(Paper("2311.07025", "Feng et al. 2024"),),
    config=RatBpttConfig,
    presets=read_presets(__file__),
    distill=distill_images,
)
