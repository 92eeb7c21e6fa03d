"""The bars of an imported data set, and their digest. bars.npz: times_0 (n,) int64, table_0 (n, 5) float64, ..."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.core.errors import DataError
from engine.data.prices.bars import Bars

FILE = "bars.npz"


def digest_of(bars: Sequence[Bars]) -> str:
    """Equal for equal tokens and bars, wherever they came from."""
    digest = hashlib.blake2b(digest_size=16)
    for each in bars:
        digest.update(f"{each.token}\0{len(each)}\0".encode())
        digest.update(np.ascontiguousarray(each.times, "<i8").data)
        digest.update(np.ascontiguousarray(each.table, "<f8").data)
    return digest.hexdigest()


def write(bars: Sequence[Bars], folder: Path) -> None:
    """Write the bars into a folder and flush them to disk."""
    arrays: dict[str, np.ndarray] = {}
    for number, each in enumerate(bars):
        arrays |= {f"times_{number}": each.times, f"table_{number}": each.table}
    with (folder / FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, tokens: Sequence[str], digest: str) -> tuple[Bars, ...]:
    """The bars that were written. Raises DataError if the file is missing, damaged, or has another digest."""
    found = []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for number, token in enumerate(tokens):
                times, table = arrays[f"times_{number}"], arrays[f"table_{number}"]
                found.append(Bars(token, times, np.ascontiguousarray(table[:, :4]), np.ascontiguousarray(table[:, 4])))
        if digest_of(found) != digest:
            raise ValueError("not the bars that were imported")
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
        what = f"The prices {path.absolute()} are missing or damaged ({error})"
        raise DataError(f"{what}; delete the data set and import it again.") from None
    return tuple(found)
