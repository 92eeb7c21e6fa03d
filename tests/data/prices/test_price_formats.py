"""The ways that exchanges and spreadsheets write the same bars all give the same bars."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from price_files import HEADER, date_of, good, rows_of, text_of, toy_bars

from engine.data.prices import Bars, Mapping, preview, read_bars, to_csv
from engine.data.prices.columns import plain
from engine.data.prices.numbers import decimal_of, parsed

BARS = toy_bars()
ROWS = rows_of(BARS)
NAMES = dict(zip(HEADER, HEADER, strict=True))


def form(pattern: str):
    """Dates of this strftime form."""
    return lambda time: datetime.fromtimestamp(int(time), UTC).strftime(pattern)


def german(value: float) -> str:
    return f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def quoted(rows: list[list[str]]) -> list[list[str]]:
    return [[f'"{cell}"' for cell in row] for row in rows]


def reordered(*order: str) -> list[list[str]]:
    return [[row[HEADER.index(name)] for name in order] for row in ROWS]


DATES = {
    "ISO": form("%Y-%m-%d"),
    "ISO with slashes": form("%Y/%m/%d"),
    "compact": form("%Y%m%d"),
    "compact with a time": form("%Y%m%d%H%M%S"),
    "ISO with a time": form("%Y-%m-%d %H:%M:%S"),
    "ISO with fractions and Z": form("%Y-%m-%dT%H:%M:%S.000Z"),
    "ISO with an offset": form("%Y-%m-%d %H:%M:%S+00:00"),
    "UTC behind it": form("%Y-%m-%d %H:%M:%S UTC"),
    "an hour with AM": form("%Y-%m-%d %I-%p"),
    "German": form("%d.%m.%Y"),
    "British": form("%d/%m/%Y %H:%M"),
    "American": form("%m/%d/%Y"),
    "American with AM": form("%m/%d/%Y %I:%M:%S %p"),
    "short years": form("%d-%m-%y"),
    "month names": form("%b %d, %Y"),
    "whole month names": form("%d %B %Y"),
    "month names with hyphens": form("%d-%b-%y"),
    "weekdays": form("%a, %d %b %Y %H:%M:%S GMT"),
    "JavaScript": form("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
    "seconds": lambda time: str(time),
    "seconds with fractions": lambda time: f"{time}.0",
    "milliseconds": lambda time: str(time * 1000),
    "microseconds": lambda time: str(time * 10**6),
    "nanoseconds": lambda time: str(time * 10**9),
    "a spreadsheet's days": lambda time: str(time // 86_400 + 25_569),
}


@pytest.mark.parametrize("way", DATES)
def test_dates_are_read_in_every_way_of_writing(way):
    rows = [[f'"{row[0]}"', *row[1:]] for row in rows_of(BARS, DATES[way])]
    bars, _ = read_bars(text_of(rows).encode(), "TOY.csv")
    np.testing.assert_array_equal(bars.times, BARS.times)
    np.testing.assert_array_equal(bars.table, BARS.table)


LAYOUTS = {
    "semicolons and decimal commas": text_of(rows_of(BARS, number=german), delimiter=";"),
    "tabs": text_of(ROWS, delimiter="\t"),
    "bars": text_of(ROWS, delimiter="|"),
    "everything quoted": text_of(quoted(ROWS), [f'"{name}"' for name in HEADER]),
    "quoted decimal commas": text_of(quoted(rows_of(BARS, form("%d.%m.%Y"), german)), [f'"{name}"' for name in HEADER]),
    "quoted thousands and currency": text_of(quoted(rows_of(BARS, number=lambda value: f"${value:,.2f}"))),
    "thousands by spaces": text_of(rows_of(BARS, number=lambda value: f"{value:,.2f}".replace(",", "\u202f"))),
    "thousands by apostrophes": text_of(rows_of(BARS, number=lambda value: f"{value:,.2f}".replace(",", "'"))),
    "exponents": text_of(rows_of(BARS, number=lambda value: f"{value:.8e}")),
    "another order": text_of(
        reordered("volume", "close", "low", "date", "high", "open"), ("Volume", "Close", "Low", "Date", "High", "Open")
    ),
    "another order without a header": text_of(reordered("date", "low", "open", "close", "high", "volume"), ()),
    "no header and nothing else": text_of(ROWS, ()),
    "an empty column behind": text_of([[*row, ""] for row in ROWS], (*HEADER, "")),
    "trailing separators in rows alone": text_of([[*row, ""] for row in ROWS]),
    "an index before": text_of([[str(number), *row] for number, row in enumerate(ROWS)], ("", *HEADER)),
    "more columns": text_of(
        [[*row[:5], "0", row[5], "7"] for row in ROWS], (*HEADER[:5], "Adj Close", "volume", "Trades")
    ),
    "Metatrader": text_of(
        [[form("%Y.%m.%d")(time), "00:00:00", *row[1:]] for time, row in zip(BARS.times, ROWS, strict=True)],
        ("<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"),
        "\t",
    ),
    "Yahoo": text_of(
        [[row[0], row[4], row[2], row[3], row[1], row[5]] for row in ROWS],
        ("Price", "Close", "High", "Low", "Open", "Volume"),
    ).replace("\n", "\nTicker,A,A,A,A,A\nDate,,,,,\n", 1),
    "Nasdaq": text_of(
        [
            [form("%m/%d/%Y")(time), f"${row[4]}", row[5], f"${row[1]}", f"${row[2]}", f"${row[3]}"]
            for time, row in list(zip(BARS.times, ROWS, strict=True))[::-1]
        ],
        ("Date", "Close/Last", "Volume", "Open", "High", "Low"),
    ),
    "Investing": text_of(
        [
            [f'"{form("%b %d, %Y")(time)}"', row[4], row[1], row[2], row[3], f'"{value / 1000:.4f}K"', '"1.2%"']
            for time, value, row in zip(BARS.times, BARS.volume, ROWS, strict=True)
        ],
        ("Date", "Price", "Open", "High", "Low", "Vol.", "Change %"),
    ),
    "Alpha Vantage": text_of(ROWS, ("timestamp", "1. open", "2. high", "3. low", "4. close", "5. volume")),
    "Binance": text_of(
        [
            [str(1000 * int(time)), *row[1:], str(1000 * int(time) + 86_399_999), "1", "2", "3", "4", "0"]
            for time, row in zip(BARS.times, ROWS, strict=True)
        ],
        (),
    ),
    "a word for the separator": "sep=,\n" + good().decode(),
    "old Macintosh lines": good().decode().replace("\n", "\r"),
    "Windows lines": good().decode().replace("\n", "\r\n"),
    "empty lines": good().decode().replace("\n", "\n\n"),
    "a byte order mark": "\ufeff" + good().decode(),
    "German words": text_of(
        rows_of(BARS, form("%d.%m.%Y"), german),
        ("Datum", "Eröffnung", "Tageshoch", "Tagestief", "Schlusskurs", "Volumen (Stück)"),
        ";",
    ),
}


@pytest.mark.parametrize("way", LAYOUTS)
def test_the_same_bars_are_read_from_every_layout(way):
    bars, repairs = read_bars(LAYOUTS[way].encode(), "TOY.csv")
    np.testing.assert_array_equal(bars.times, BARS.times)
    np.testing.assert_allclose(bars.table, BARS.table, rtol=1e-12)
    assert not any("volume" in repair for repair in repairs)


def test_a_file_of_the_expected_format_needs_no_repair():
    bars, repairs = read_bars(good(), "TOY.csv")
    assert repairs == ()
    np.testing.assert_array_equal(bars.table, BARS.table)


@pytest.mark.parametrize("seconds", [60, 3600, 86_400, 7 * 86_400])
def test_bars_of_every_length_that_we_write_come_back_to_the_last_digit(seconds):
    random = np.random.default_rng(1)
    close = np.exp(random.normal(-9, 3, 100))
    spread = np.exp(np.abs(random.normal(0, 0.01, 100)))
    prices = np.stack([close, close * spread, close / spread, close], 1)
    written = Bars("=cmd|'/c calc'!A1", 1_600_000_020 // 60 * 60 + seconds * np.arange(100), prices, random.random(100))
    bars, repairs = read_bars(to_csv(written).encode(), "=cmd.csv")
    assert bars.token == "=cmd" and repairs == ()
    np.testing.assert_array_equal(bars.times, written.times)
    np.testing.assert_array_equal(bars.table, written.table)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("BTC_daily.csv", "BTC"),
        ("BTCUSDT.csv", "BTCUSDT"),
        ("Binance_ETHUSDT_1h.csv", "ETHUSDT"),
        ("BTC-USD.csv", "BTC-USD"),
        ("BTCUSDT-1d-2021-01.csv", "BTCUSDT"),
        ("coins/sol_prices.TXT", "sol"),
        ("SPY max (1).csv", "SPY"),
        ("daily.csv", "daily"),
        ("Kraken_.csv", "Kraken_"),
        (".csv", "token"),
        ("'=A.csv", "=A"),
        ("x" * 90 + ".csv", "x" * 40),
        ("B\u200bTC.csv", "BTC"),
    ],
)
def test_a_token_is_called_as_its_file_is(name, token):
    assert preview(good(), name).token == token


def test_a_symbol_column_names_the_token():
    content = text_of([[*row, "BTC/USD"] for row in ROWS], (*HEADER, "Symbol")).encode()
    assert preview(content, "x_daily.csv").token == "BTC/USD"


def test_a_preview_shows_the_columns_the_first_rows_and_what_was_found():
    rows = [[*row, "x"] for row in ROWS]
    found = preview(text_of(rows, (*HEADER, "note"), before=["an advertisement"]).encode(), "TOY.csv")
    assert found.columns == (*HEADER, "note")
    assert found.mapping == Mapping(**NAMES)
    assert found.rows == tuple(map(tuple, rows[:8]))
    assert (found.num_rows, found.num_bars, found.seconds, found.problem) == (120, 120, 86_400, "")
    assert (found.first, found.last) == (BARS.times[0], BARS.times[-1])
    assert found.repairs == ("1 line before the table was skipped ('an advertisement').",)


def test_a_preview_of_a_file_with_strange_names_says_the_problem_and_takes_a_mapping():
    names = ("wann", "auf", "oben", "unten", "zu", "menge")
    content = text_of(ROWS, names).encode()
    found = preview(content, "TOY.csv")
    assert found.mapping == Mapping(date="wann")
    assert "has no recognisable column for open, high, low and close; it has 'wann', 'auf'" in found.problem
    assert found.columns == names and len(found.rows) == 8 and found.num_bars == 0
    chosen = Mapping(**dict(zip(HEADER, names, strict=True)))
    again = preview(content, "TOY.csv", chosen)
    assert again.problem == "" and again.num_bars == 120 and again.mapping == chosen
    np.testing.assert_array_equal(read_bars(content, "TOY.csv", chosen)[0].table, BARS.table)


def test_a_close_is_taken_before_an_adjusted_one_and_that_where_it_is_alone():
    both = text_of(
        [[*row, row[4]] for row in ROWS], ("Date", "Open", "High", "Low", "Adj Close", "Volume", "Close")
    ).encode()
    assert preview(both, "TOY.csv").mapping.close == "Close"
    alone = text_of(ROWS, ("Date", "Open", "High", "Low", "Adj Close", "Volume")).encode()
    assert preview(alone, "TOY.csv").mapping.close == "Adj Close"


def test_a_volume_in_pieces_is_taken_before_one_in_money_and_exchanged_rows_are_put_right():
    money = BARS.volume * BARS.prices[:, 3]
    volume, turnover = BARS.volume.copy(), money.copy()
    volume[70:], turnover[70:] = money[70:], BARS.volume[70:]
    rows = [[*row[:5], str(one), str(other)] for row, one, other in zip(ROWS, volume, turnover, strict=True)]
    bars, repairs = read_bars(text_of(rows, (*HEADER[:5], "Volume BTC", "Volume USD")).encode(), "TOY.csv")
    np.testing.assert_array_equal(bars.volume, BARS.volume)
    assert repairs == ("50 rows with swapped volume columns were corrected.",)


@pytest.mark.parametrize(("first", "other"), [("%d/%m/%Y", "day"), ("%m/%d/%Y", "month")])
def test_even_spacing_tells_the_day_of_the_first_of_each_month(first, other):
    months = [datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in range(120)]
    rows = [[month.strftime(first), *row[1:]] for month, row in zip(months, ROWS, strict=True)]
    bars, repairs = read_bars(text_of(rows).encode(), "TOY.csv")
    assert [date_of(time) for time in bars.times[:3]] == ["2000-01-01", "2000-02-01", "2000-03-01"]
    assert f"Dates were read with the {other} first, which makes the bars evenly spaced." in repairs


@pytest.mark.parametrize(
    ("cells", "decimal", "values"),
    [
        (("1,234", "2,5"), ",", (1.234, 2.5)),
        (("1,234", "5"), ".", (1234, 5)),
        (("1.234,5", "2.000"), ",", (1234.5, 2000)),
        (("1,234.5", "1,000,000"), ".", (1234.5, 1e6)),
        (("0,123", "0,2"), ",", (0.123, 0.2)),
        (("1.5M", "-"), ".", (1.5e6, np.nan)),
        (("12,34,567.8", "1"), ".", (1234567.8, 1)),
        (("1e-7", "2E3"), ".", (1e-7, 2000)),
        (("13715,650", "1"), ",", (13715.65, 1)),
    ],
)
def test_commas_and_points_are_told_apart_by_the_cells(cells, decimal, values):
    assert decimal_of(cells) == decimal
    found, is_unreadable = parsed(cells, decimal)
    np.testing.assert_array_equal(found, values)
    assert not is_unreadable.any()


def test_a_column_that_serves_twice_is_told():
    mapping = Mapping(date="date", open="close", high="high", low="low", close="close", volume="volume")
    _, repairs = read_bars(good(), "TOY.csv", mapping)
    assert "Open and close use the same column, as chosen." in repairs
    assert not any("same column" in repair for repair in read_bars(good(), "TOY.csv")[1])


def test_files_of_semicolons_have_decimal_commas_before_three_digits_too():
    assert decimal_of(("1,234", "5")) == "." and decimal_of(("1,234", "5"), is_comma_likely=True) == ","
    rows = [[*row[:1], *(f"{float(cell):.3f}".replace(".", ",") for cell in row[1:])] for row in ROWS]
    bars, _ = read_bars(text_of(rows, delimiter=";").encode(), "TOY.csv")
    np.testing.assert_allclose(bars.prices[0], [float(cell) for cell in ROWS[0][1:5]], atol=1e-3)


@pytest.mark.parametrize("cell", ["100,25", "1,23,4.5.6", "12a", "1,2", "--5", "0x10", "1 2 x", "٣x"])
def test_what_is_no_number_is_said_to_be_none(cell):
    values, is_unreadable = parsed([cell, "null"], ".")
    assert np.isnan(values).all() and is_unreadable.tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("1. open", "open"),
        ("<CLOSE>", "close"),
        ("Open Price (USD)", "open price"),
        ("openTime", "open time"),
        ("Vol.", "vol"),
        ("Höchst", "hochst"),
    ],
)
def test_names_are_compared_without_marks_and_units(name, word):
    assert plain(name) == word


@pytest.mark.real_data("ohlc")
def test_real_files_are_read_with_their_columns_and_repairs(real_data):
    paths = sorted((real_data / "ohlc").rglob("*.csv"))
    assert paths
    for path in paths:
        found = preview(path, path.name)
        assert found.problem == "" and found.num_bars > 1900 and found.seconds == 86_400
        assert (found.mapping.open, found.mapping.high, found.mapping.low, found.mapping.close) == HEADER[1:5]
        assert found.mapping.date in ("date", "open_time") and found.mapping.volume in ("volume", "Volume BTC")
        assert found.num_bars == found.num_rows
        expected = {
            "SOLUSDT.csv": ("There are 2 columns called 'open_time'; the first one is used.",),
            "Bitstamp_BTCUSD_d.csv": (
                "1 line before the table was skipped ('https://www.CryptoDataDownload.com').",
                "1,180 rows with swapped volume columns were corrected.",
                "The newest bar came first; the order was reversed.",
            ),
        }
        assert found.repairs == expected.get(path.name, ())
