"""What a user chooses when images are brought in."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from engine.core.config import Config, option

MAX_NAME = 80


class ImportOptions(Config):
    """How a folder of images becomes a data set; the form and the flags are made from it."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)] = Field(
        description="How the data set is called"
    )
    image_size: int = option(
        32, "Height and width that every image is brought to; time and memory grow with its square",
        low=8, high=256, unit="pixels",
    )  # fmt: skip
    fit: Literal["crop", "pad", "stretch"] = option(
        "crop",
        "How an image that is not square is made so: its middle is cut out, it is set between black bars, or its sides "
        "are stretched",
    )
    colour: Literal["auto", "rgb", "grey"] = option(
        "auto", "Keep three channels or one; auto keeps one if every image is grey"
    )
    subset: Literal["all", "nette", "woof", "fruit", "meow", "squawk", "yellow"] = option(
        "all", "Ten classes of an ImageNet tree, found by their folders' WordNet ids", advanced=True
    )

    @field_validator("name")
    @classmethod
    def _can_be_shown(cls, name: str) -> str:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise ValueError("a name is one line of letters that can be shown")
        return unicodedata.normalize("NFC", name)
