"""Options of a price import."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from engine.core.options import Config, option
from engine.data.imported.names import Title, printable

MAX_TOKEN = 40
ROLES = ("date", "open", "high", "low", "close")  # what every file needs a column for

_ONE_LINE = StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TOKEN)
Token = Annotated[str, _ONE_LINE, AfterValidator(printable)]


class Mapping(Config):
    """The column for each role, named as in `PricePreview.columns`; "" for none."""

    date: str = option("", "Start of each bar: a date, a date with time, or seconds since 1970")
    time: str = option("", "Time of day, if it has its own column")
    open: str = option("", "First price of a bar")
    high: str = option("", "Highest price of a bar")
    low: str = option("", "Lowest price of a bar")
    close: str = option("", "Last price of a bar")
    volume: str = option("", "Traded volume; without it every bar has volume 1")


class PriceOptions(Config):
    """How price files become a data set. mappings, tokens: by file name, where the detected ones are wrong."""

    name: Title = Field(description="Name of the data set")
    mappings: dict[str, Mapping] = {}
    tokens: dict[str, Token] = {}
