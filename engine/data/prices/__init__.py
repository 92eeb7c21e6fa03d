"""Price histories, simulated or imported from CSV files, one per token.

The steps of an import: `files` collects files, `tables` reads their text, `columns`, `dates` and `numbers` interpret
it, `building` makes bars, and the library keeps them. `windows` and `scaling` turn bars into what a student sees.
"""

from engine.data.prices.bars import Bars, to_csv
from engine.data.prices.files import Opened, expanded
from engine.data.prices.importing import PricePreview, import_prices, preview, read_bars
from engine.data.prices.options import Mapping, PriceOptions
from engine.data.prices.report import PriceReport, distance, moment
from engine.data.prices.simulate import simulate
from engine.data.prices.source import LIBRARY, PriceSource, SimulatedPrices
from engine.data.prices.windows import WindowSplits

KEY_PREFIX = LIBRARY.prefix
check_title, delete, rename, saved = LIBRARY.check_title, LIBRARY.delete, LIBRARY.rename, LIBRARY.saved

__all__ = ["KEY_PREFIX", "Bars", "Mapping", "Opened", "PriceOptions", "PricePreview", "PriceReport", "PriceSource"]
__all__ += ["SimulatedPrices", "WindowSplits", "check_title", "delete", "distance", "expanded", "import_prices"]
__all__ += ["moment", "preview", "read_bars", "rename", "saved", "simulate", "to_csv"]
