"""Options of an image import."""

from typing import Literal

from pydantic import Field

from engine.core.options import Config, option
from engine.data.imported.names import Title


class ImportOptions(Config):
    """How a folder of images becomes a data set; the form and the command-line flags are made from it."""

    name: Title = Field(description="Name of the data set")
    image_size: int = option(32, "Height and width of each image after scaling", low=8, high=256, unit="pixels")
    fit: Literal["crop", "pad", "stretch"] = option("crop")
    """How to make images square: cut out the centre, add black bars, or stretch."""
    colour: Literal["auto", "rgb", "grey"] = option("auto", "Channels to keep: auto keeps one if all images are grey")
    subset: Literal["all", "nette", "woof", "fruit", "meow", "squawk", "yellow"] = option("all", advanced=True)
    """Use only ten classes of an ImageNet folder, found by their WordNet ids."""
