"""Small price files for the tests of the import, and what it makes of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
from draining import drained

from engine.core.errors import UserError
from engine.data.prices import Bars, PriceOptions, PriceSource, import_prices

HEADER = ("date", "open", "high", "low", "close", "volume")
DAY = 86_400
FIRST_DAY = 1_577_836_800  # 2020-01-01


def toy_bars(
    token: str = "TOY", num_bars: int = 120, seed: int = 0, seconds: int = DAY, first: int = FIRST_DAY
) -> Bars:
    """Prices around 100 with two decimals."""
    random = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 0.02, num_bars))), 2)
    open_ = np.append(close[0], close[:-1])
    high = np.round(np.maximum(open_, close) + random.uniform(0.01, 2, num_bars), 2)
    low = np.round(np.minimum(open_, close) - random.uniform(0.01, 2, num_bars), 2)
    times = first + seconds * np.arange(num_bars, dtype=np.int64)
    return Bars(token, times, np.stack([open_, high, low, close], 1), np.round(random.uniform(10, 5000, num_bars), 1))


def date_of(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def rows_of(bars: Bars, date: Callable[[int], str] = date_of, number: Callable[[float], str] = str) -> list[list[str]]:
    """The cells of each bar in the order of HEADER."""
    return [
        [date(time), *(number(value) for value in values)]
        for time, values in zip(bars.times, bars.table.tolist(), strict=True)
    ]


def text_of(
    rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, delimiter: str = ",", before: Sequence[str] = ()
) -> str:
    """Lines as they are: nothing is quoted."""
    lines = [*before, *([delimiter.join(header)] if header else []), *(delimiter.join(row) for row in rows)]
    return "\n".join(lines) + "\n"


def good(token: str = "TOY", **values) -> bytes:
    """A file without a flaw."""
    return text_of(rows_of(toy_bars(token, **values))).encode()


def zipped(files: dict[str, bytes], **packing) -> bytes:
    """A zip file of {name: content}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def imported(data_root: Path, *brought: tuple[str, bytes | Path], name: str = "Coins", **values) -> PriceSource:
    """The source that files become."""
    return drained(import_prices(brought, PriceOptions(name=name, **values), data_root))[1]


def refusal(importing: Generator, data_root: Path) -> str:
    """The sentence an import is refused with; checks that it is one, and that nothing is left on disk."""
    with pytest.raises(UserError) as refused:
        drained(importing)
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence and len(sentence) < 600
    assert not list((data_root / "prices").glob("*")) and not list((data_root / "prices").glob(".*"))
    return sentence


def refused(data_root: Path, *brought: tuple[str, bytes | Path], **values) -> str:
    """The sentence that files are refused with."""
    return refusal(import_prices(brought, PriceOptions(name="Coins", **values), data_root), data_root)
