"""Caps on what is brought in, each with a default and an environment variable that changes it."""

from __future__ import annotations

import os

from pydantic import ValidationError

from engine.core.errors import ConfigError
from engine.core.options import Config, option, option_of


class Limits(Config):
    """The caps. `max_files` is changed by DISTILLERY_MAX_FILES, and so on."""

    max_files: int = option(200_000, "Files of one data set", low=1, unit="files")
    max_bytes: int = option(8_000_000_000, "All files of one data set together, unpacked", low=1, unit="bytes")
    max_file_bytes: int = option(64_000_000, "One image file; larger ones are skipped", low=1, unit="bytes")
    max_ratio: int = option(200, "How many times its size a zip file may unpack to", low=1, unit="times")
    max_pixels: int = option(
        50_000_000, "Width times height of one image; larger ones are skipped", low=1, unit="pixels"
    )
    min_side: int = option(4, "The shorter side of an image; smaller ones are skipped", low=1, unit="pixels")
    max_classes: int = option(1_000, "Class folders of one data set", low=2, unit="classes")
    max_decoded_bytes: int = option(
        4_000_000_000, "All images of one data set at the chosen size, in memory", low=1, unit="bytes"
    )

    def rows(self) -> tuple[tuple[str, int, str, str], ...]:
        """(environment variable, value, unit, sentence) of every cap."""
        return tuple(
            (variable(name), getattr(self, name), option_of(field).unit, field.description or "")
            for name, field in type(self).model_fields.items()
        )


def variable(name: str) -> str:
    """The environment variable of a cap: "max_files" -> DISTILLERY_MAX_FILES."""
    return f"DISTILLERY_{name.upper()}"


def limits() -> Limits:
    """The caps as they are now. Raises ConfigError where an environment variable is no such number."""
    given = {name: os.environ[variable(name)] for name in Limits.model_fields if os.environ.get(variable(name))}
    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        lowest = Limits.model_json_schema()["properties"][name]["minimum"]
        raise ConfigError(
            f"{variable(name)} is '{given[name]}'; set it to a whole number of {lowest} or more."
        ) from None
