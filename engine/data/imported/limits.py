"""Limits on imports, each with a default and an environment variable."""

import os

from pydantic import ValidationError

from engine.core.errors import ConfigError, DataError
from engine.core.options import Config, option, option_of


class Limits(Config):
    """The limits. DISTILLERY_MAX_FILES sets `max_files`, and so on."""

    max_files: int = option(200_000, "Files per data set", low=1, unit="files")
    max_bytes: int = option(8_000_000_000, "Size of all files of a data set, unpacked", low=1, unit="bytes")
    max_file_bytes: int = option(64_000_000, "Size of an image file; larger ones are skipped", low=1, unit="bytes")
    max_ratio: int = option(200, "Unpacked size of a zip file, relative to its own size", low=1, unit="times")
    max_pixels: int = option(50_000_000, "Pixels of an image; larger ones are skipped", low=1, unit="pixels")
    min_side: int = option(4, "Shorter side of an image; smaller ones are skipped", low=1, unit="pixels")
    max_classes: int = option(1_000, "Classes per data set", low=2, unit="classes")
    max_decoded_bytes: int = option(4_000_000_000, "Memory for all decoded images of a data set", low=1, unit="bytes")
    max_price_bytes: int = option(200_000_000, "Size of a price file", low=1, unit="bytes")
    max_price_rows: int = option(5_000_000, "Rows of a price file", low=1, unit="rows")
    max_tokens: int = option(50, "Tokens per data set of prices", low=1, unit="tokens")

    def rows(self) -> list[tuple[str, int, str, str]]:
        """(environment variable, value, unit, description) of every limit."""
        return [
            (variable(name), getattr(self, name), option_of(field).unit, field.description or "")
            for name, field in type(self).model_fields.items()
        ]

    def check(self, name: str, value: int, what: str, instead: str) -> None:
        """Raise DataError if a value exceeds a limit. what: "There are 10 files". instead: "use fewer"."""
        if value > (allowed := getattr(self, name)):
            raise DataError(f"{what}, but at most {allowed:,} are allowed; {instead}, or set {variable(name)}.")


def variable(name: str) -> str:
    """The environment variable of a limit: "max_files" -> DISTILLERY_MAX_FILES."""
    return f"DISTILLERY_{name.upper()}"


def limits() -> Limits:
    """The current limits. Raises ConfigError if an environment variable is not a valid number."""
    given = {name: os.environ[variable(name)] for name in Limits.model_fields if os.environ.get(variable(name))}
    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        lowest = Limits.model_json_schema()["properties"][name]["minimum"]
        message = f"{variable(name)} is '{given[name]}'; set it to a whole number of {lowest} or more."
        raise ConfigError(message) from None
