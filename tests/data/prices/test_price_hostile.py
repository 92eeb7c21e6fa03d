"""Every hostile price file is refused in one sentence, or repaired with a sentence on what was done; nothing else
happens.
"""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_files import HEADER, date_of, good, imported, refused, rows_of, text_of, toy_bars, zipped

from engine.core.errors import DataError
from engine.data.prices import Mapping, read_bars

BARS = toy_bars()
ROWS = rows_of(BARS)


def changed(line: int, **cells: str) -> bytes:
    """The good file with other cells in one line; the header is line 1."""
    rows = [list(row) for row in ROWS]
    for name, cell in cells.items():
        rows[line - 2][HEADER.index(name)] = cell
    return text_of(rows).encode()


def without(*names: str) -> bytes:
    """The good file without some columns."""
    places = [place for place, name in enumerate(HEADER) if name not in names]
    return text_of([[row[place] for place in places] for row in ROWS], [HEADER[place] for place in places]).encode()


def dated(date) -> bytes:
    return text_of(rows_of(BARS, date)).encode()


def day_of(time: int, form: str) -> str:
    return np.datetime64(int(time), "s").item().strftime(form)


FLAT = [[row[0], "5", "5", "5", "5", "1"] for row in ROWS]
GAPPY = [row for number, row in enumerate(ROWS) if number not in (40, 41, 42, 90)]
TWICE = [*ROWS[:50], ROWS[49], *ROWS[50:]]
TWO_TOKENS = [[*row, "AAA" if number < 60 else "BBB"] for number, row in enumerate(ROWS)]

REFUSED = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n  \r\n", "is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "has no line with a date and prices"),
    "a header alone": (b"date,open,high,low,close,volume\n", "has a header but no rows"),
    "headers alone": (b"date,open,high,low,close,volume\n" * 5, "contains nothing but headers"),
    "a program": (b"\x7fELF" + bytes(range(256)) * 20, "is not readable text"),
    "a pickle": (pickle.dumps(list(range(500)), protocol=4), "is not readable text"),
    "excel": (b"PK\x03\x04" + bytes(200), "save it as CSV"),
    "gzip": (gzip.compress(good()), "is compressed; unpack it"),
    "parquet": (b"PAR1" + bytes(100), "is a database or a binary table"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a document or a picture"),
    "a web page": (b"<!DOCTYPE html><html><body>Just a moment...</body></html>", "is a web page"),
    "json": (b'[{"date": "2020-01-01", "close": 5}]', "is JSON"),
    "prose": (b"Dear investor,\nprices will rise.\nYours\n" * 30, "has no line with a date and prices"),
    "no date": (
        without("date"),
        "has no recognisable column for date; it has 'open', 'high', 'low', 'close', 'volume'",
    ),
    "no close": (without("close"), "has no recognisable column for close"),
    "no open, high and low": (without("open", "high", "low"), "has no recognisable column for open, high and low"),
    "dates that are none": (
        dated(lambda time: f"bar {time % 1000}"),
        "has no readable dates in column 'date' (the first in line 2: 'bar ",
    ),
    "days in no calendar": (
        dated(lambda time: "2020-02-31"),
        "has no readable dates in column 'date' (the first in line 2: '2020-02-31')",
    ),
    "prices that are words": (
        text_of([[row[0], *["many"] * 5] for row in ROWS]).encode(),
        "has prices that are not numbers in most rows (the first in line 2: 'many')",
    ),
    "all prices null": (
        text_of([[row[0], *["null"] * 4, "5"] for row in ROWS]).encode(),
        "has no row with a date and prices",
    ),
    "high below low": (changed(7, high="1", low="2", open="1.5", close="1.5"), "line 7: the high 1 is below the low 2"),
    "open above high": (changed(9, open="9999"), "line 9: the open 9999 is not between the low"),
    "close below low": (changed(11, close="0.5"), "line 11: the close 0.5 is not between the low"),
    "a price of 0": (changed(5, low="0"), "line 5: the low is 0, but prices must be above 0"),
    "a negative price": (changed(5, open="-3.5"), "line 5: the open is -3.5, but prices must be above 0"),
    "an infinite price": (changed(12, high="inf"), "line 12: a price is infinite or absurdly high"),
    "an overflowing price": (changed(12, high="1e999"), "line 12: a price is infinite or absurdly high"),
    "an absurd price": (changed(12, high="1" + "0" * 30), "line 12: a price is infinite or absurdly high"),
    "a negative volume": (changed(8, volume="-4"), "line 8: the volume is -4"),
    "an infinite volume": (changed(8, volume="Infinity"), "line 8: the volume is inf"),
    "one bar": (text_of(ROWS[:1]).encode(), "has 1 bar, but at least 94 are needed"),
    "too few bars": (text_of(ROWS[:93]).encode(), "has 93 bars, but at least 94 are needed"),
    "one bar many times": (text_of(ROWS[:1] * 200).encode(), "has 1 bar, but at least 94 are needed"),
    "a constant series": (text_of(FLAT).encode(), "has the close 5 in every bar"),
    "two tokens in one file": (
        text_of(TWO_TOKENS, (*HEADER, "symbol")).encode(),
        "contains 2 tokens (AAA, BBB); make a file for each",
    ),
    "decimal commas between commas": (
        text_of(rows_of(BARS, number=lambda value: str(value).replace(".", ","))).encode(),
        "has 6 names in its header but 11 cells in a row",
    ),
    "a quotation mark that never ends": (
        good().replace(b"2020-01-20", b'"2020-01-20'),
        "line 21: a quotation mark is not closed in its line",
    ),
    "a line without end": (
        b"date,open,high,low,close\n" + b"1," * 60_000,
        "the line is longer than 100,000 characters",
    ),
    "half of a UTF-16 letter": (good().decode().encode("utf-16")[:-1], "is not readable text"),
}

REPAIRED = {
    "advertisement": (
        text_of(ROWS, before=["https://example.org", "Prices, as they are"]).encode(),
        "2 lines before the table were skipped ('https://example.org')",
    ),
    "comment with a quotation mark": (
        text_of(ROWS, before=['# he said "buy']).encode(),
        "1 line before the table was skipped",
    ),
    "no header": (text_of(ROWS, ()).encode(), "There is no header; the columns were recognised by their content"),
    "UTF-16": (good().decode().encode("utf-16"), "The text was read as UTF-16"),
    "UTF-16 without a mark": (good().decode().encode("utf-16-le"), "The text was read as UTF-16-LE"),
    "Latin-1": (
        text_of([[*row, "Z\u00fcrich"] for row in ROWS], (*HEADER, "Ort")).encode("latin-1"),
        "The text was read as LATIN-1",
    ),
    "newest first": (text_of(ROWS[::-1]).encode(), "The newest bar came first; the order was reversed"),
    "a row out of order": (text_of([ROWS[5], *ROWS[:5], *ROWS[6:]]).encode(), "1 row was out of order"),
    "bars twice": (text_of(TWICE).encode(), "1 duplicate bar was left out"),
    "a bar again with other prices": (
        changed(52, date=ROWS[49][0]),
        "1 bar was replaced by a later row of the same time with other prices (the first on 2020-02-19)",
    ),
    "repeated headers": (text_of([*ROWS[:60], list(HEADER), *ROWS[60:]]).encode(), "1 repeated header was left out"),
    "null rows": (
        text_of([*ROWS[:60], ["2020-02-30", *["null"] * 5], ["2019-12-31", "", "", "", "", ""], *ROWS[60:]]).encode(),
        "1 row without prices was left out",
    ),
    "NaN prices": (changed(30, low="NaN", close="n/a"), "1 row without prices was left out"),
    "a price that is a word": (
        changed(30, close="halted"),
        "1 row with unreadable prices was left out (the first in line 30: 'halted')",
    ),
    "a footer": (
        good() + b"Source: an exchange\n",
        "1 row without a readable date was left out (the first in line 122: 'Source: an exchange')",
    ),
    "a day in no calendar": (
        changed(30, date="2020-02-31"),
        "1 row without a readable date was left out (the first in line 30: '2020-02-31')",
    ),
    "no volume": (without("volume"), "The volume is missing, so it is 1 for every bar"),
    "a volume of nothing": (
        text_of([[*row[:5], "0"] for row in ROWS]).encode(),
        "The volume is empty, so it is 1 for every bar",
    ),
    "some volumes missing": (changed(30, volume=""), "1 bar without a volume has volume 0"),
    "rounded highs": (
        changed(30, high=str(BARS.prices[28, [0, 3]].max() - 0.004)),
        "1 high or low was set to the open or close because of rounding",
    ),
    "gaps": (
        text_of(GAPPY).encode(),
        "4 bars of 1 day are missing in 2 gaps, the longest from 2020-02-09 to 2020-02-13",
    ),
    "a header with a name twice": (
        text_of([[*row, ""] for row in ROWS], (*HEADER, "date")).encode(),
        "There are 2 columns called 'date'; the first one is used",
    ),
    "an offset to UTC": (
        dated(lambda time: f"{date_of(time)}T00:00:00+02:00"),
        "Times with an offset were converted to UTC",
    ),
    "day first": (
        dated(lambda time: day_of(time, "%d/%m/%Y")),
        "Dates were read with the day first, as days after the 12th show",
    ),
    "month first": (
        dated(lambda time: day_of(time, "%m/%d/%y")),
        "Dates were read with the month first, as days after the 12th show",
    ),
}


def test_there_are_more_than_forty_hostile_files():
    assert len(REFUSED) + len(REPAIRED) > 40


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence_that_names_it(case, data_root):
    content, fragment = REFUSED[case]
    sentence = refused(data_root, ("TOY.csv", content), ("OTHER.csv", good("OTHER")))
    assert fragment in sentence
    assert "'TOY.csv'" in sentence


@pytest.mark.parametrize("case", REPAIRED)
def test_a_file_that_can_be_mended_is_imported_with_a_sentence_on_the_repair(case, data_root):
    content, fragment = REPAIRED[case]
    source = imported(data_root, ("TOY.csv", content))
    (file,) = source.report.files
    assert any(fragment in repair for repair in file.repairs), file.repairs
    assert all(repair.endswith(".") and "\n" not in repair for repair in file.repairs)
    (bars,) = source.bars(data_root)
    assert len(bars) >= 94
    open_, high, low, close = bars.prices.T
    assert (
        (np.diff(bars.times) > 0).all()
        and (low <= np.minimum(open_, close)).all()
        and (high >= np.maximum(open_, close)).all()
    )


@pytest.mark.parametrize(
    "case",
    [
        "advertisement",
        "UTF-16",
        "UTF-16 without a mark",
        "Latin-1",
        "no header",
        "newest first",
        "bars twice",
        "repeated headers",
        "null rows",
        "a footer",
        "day first",
        "month first",
    ],
)
def test_a_repair_loses_nothing(case):
    bars, _ = read_bars(REPAIRED[case][0], "TOY.csv")
    np.testing.assert_array_equal(bars.times, BARS.times)
    np.testing.assert_array_equal(bars.table, BARS.table)


def test_a_name_in_the_message_cannot_break_its_line(data_root):
    assert "'TOY\N{REPLACEMENT CHARACTER}.csv' its name contains control characters" in refused(
        data_root, ("TOY\n.csv", b"")
    )


def test_a_name_that_leads_out_of_the_folder_is_left_out(data_root):
    source = imported(data_root, ("../../BTC.csv", good("X")), ("/etc/ETH.csv", good("Y")), ("SOL.csv", good()))
    assert source.tokens == ("SOL",)
    assert dict(source.report.skipped) == {
        "../../BTC.csv": "its name leads out of the folder",
        "/etc/ETH.csv": "its name is an absolute path",
    }


def test_a_file_past_the_cap_is_refused_unread(tmp_path, data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_PRICE_BYTES", "1000")
    (tmp_path / "TOY.csv").write_bytes(good())
    for content in (good(), tmp_path / "TOY.csv"):
        assert "but at most 1,000 are allowed" in refused(data_root, ("TOY.csv", content))


def test_more_rows_than_allowed_are_refused(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_PRICE_ROWS", "100")
    assert (
        "has 120 rows, but at most 100 are allowed; use longer bars or a shorter history, or set "
        "DISTILLERY_MAX_PRICE_ROWS" in refused(data_root, ("TOY.csv", good()))
    )


def test_a_mapping_of_columns_that_are_not_there_is_refused(data_root):
    assert "There is no column 'Shut' in 'TOY.csv'" in refused(
        data_root, ("TOY.csv", good()), mappings={"TOY.csv": Mapping(close="Shut")}
    )
    same = Mapping(date="date", open="date", high="high", low="low", close="close")
    assert "has one column, 'date', chosen for date and another role" in refused(
        data_root, ("TOY.csv", good()), mappings={"TOY.csv": same}
    )
    assert "which is not among the files" in refused(data_root, ("TOY.csv", good()), mappings={"X.csv": same})


LINES = st.lists(
    st.sampled_from(
        [
            b"date,open,high,low,close,volume",
            b"2020-01-01,1,2,0.5,1.5,3",
            b'"',
            b"\0",
            b"\xff\xfe",
            b"a;b;c",
            b"1577836800,1,1,1,1,1",
            b"99/99/9999,9e999,nan,,-,1",
            b"2020-01-02T25:61:00+99:99,1_0,\xc2\xa01,'1,1",
        ]
    ),
    max_size=8,
)


def check_bytes(content: bytes) -> None:
    """Only DataError, and never bars that no market has."""
    try:
        bars, repairs = read_bars(content, "x.csv")
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert (np.diff(bars.times) > 0).all() and (bars.prices > 0).all() and np.isfinite(bars.table).all()
    assert (bars.volume >= 0).all() and all(map(str.isprintable, repairs))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.binary(max_size=400), LINES.map(b"\n".join), LINES.map(lambda lines: b"\xff\xfe" + b"\n".join(lines)))
)
def test_any_bytes_are_bars_or_a_sentence(content):
    check_bytes(content)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_good_file_with_spoilt_bytes_is_bars_or_a_sentence(data):
    content = bytearray(good())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check_bytes(bytes(content))


BAD_ZIPS = {
    "no zip": (b"not a zip file at all", "This is not a complete zip file"),
    "cut off": (zipped({"A.csv": good()})[:-30], "This is not a complete zip file"),
    "a bomb": (zipped({"A.csv": b"0" * 30_000_000}), "times its size, but at most 200 times is allowed"),
    "no prices": (
        zipped({"readme.txt": b"hello", "a.png": b"x", "__MACOSX/A.csv": b"x"}),
        "There are no CSV files of prices here: 'readme.txt' is a note, by its name",
    ),
    "climbing names": (zipped({"../../A.csv": good()}), "its name leads out of the folder"),
    "a bad file beside good ones": (
        zipped({"A.csv": good(), "B.csv": b"nothing"}),
        "'B.csv' has no line with a date and prices",
    ),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_a_hostile_zip_file_is_refused_in_one_sentence(case, data_root):
    content, fragment = BAD_ZIPS[case]
    assert fragment in refused(data_root, ("prices.zip", content))


def test_a_damaged_member_is_left_out_with_its_reason(data_root):
    content = bytearray(zipped({"A.csv": good("A"), "B.csv": good("B", seed=1)}))
    content[60:90] = bytes(30)
    source = imported(data_root, ("prices.zip", bytes(content)))
    assert source.tokens == ("B",)
    assert source.report.skipped == (("A.csv", "is damaged inside the zip file"),)
