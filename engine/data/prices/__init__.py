"""Price histories: simulated, or brought by a user as one CSV a token.

`import_prices` is a generator of events that returns a `PriceSource`; `preview` shows a file before that, `saved` lists what
is there. What the modules do, in the order of an import: `files` takes files in, `tables` reads their text, `columns`, `dates`,
`numbers` and `cells` find out what it means, `building` makes bars of it, `library` keeps these. `windows` and `scaling` turn
bars into what a student sees.
"""

from __future__ import annotations

from engine.data.prices.bars import Bars
from engine.data.prices.files import ENDINGS, Content, Opened, expanded
from engine.data.prices.importing import PricePreview, import_prices, preview, read_bars
from engine.data.prices.library import check_title, delete, rename, saved
from engine.data.prices.options import ROLES, Mapping, PriceOptions
from engine.data.prices.report import FileReport, PriceReport, distance, moment
from engine.data.prices.simulate import simulate
from engine.data.prices.source import KEY_PREFIX, PriceSource, SimulatedPrices
from engine.data.prices.writing import to_csv

__all__ = [
    "ENDINGS",
    "KEY_PREFIX",
    "ROLES",
    "Bars",
    "Content",
    "FileReport",
    "Mapping",
    "Opened",
    "PriceOptions",
    "PricePreview",
    "PriceReport",
    "PriceSource",
    "SimulatedPrices",
    "check_title",
    "delete",
    "distance",
    "expanded",
    "import_prices",
    "moment",
    "preview",
    "read_bars",
    "rename",
    "saved",
    "simulate",
    "to_csv",
]
