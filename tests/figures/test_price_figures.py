"""Price charts show every bar as it was: hollow and filled, few points, no extreme lost, the parts of the split
named once.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

import engine
from engine import figures
from engine.data.prices.bars import Bars
from engine.data.prices.simulate import simulate
from engine.figures.prices import MANY_BARS

DAY = 86_400


def bars(num_bars: int, token: str = "TOY") -> Bars:
    return simulate((token,), num_bars, seed=3)[0]


@pytest.fixture(scope="module")
def splits():
    events = engine.SOURCES["simulated_prices"].load(engine.DataConfig(), engine.data_root())
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def test_candles_show_the_bars_with_their_volume_below():
    table = bars(12).table
    candles, volume = figures.candles(table).data
    assert np.array_equal(np.stack([candles.open, candles.high, candles.low, candles.close], 1), table[:, :4])
    assert np.array_equal(volume.y, table[:, 4]) and list(volume.x) == list(range(1, 13))
    assert volume.yaxis != (candles.yaxis or "y")


def test_candles_that_rise_are_hollow_and_those_that_fall_filled():
    candles = figures.candles(bars(5).table).data[0]
    assert candles.increasing.fillcolor == "rgba(0,0,0,0)"
    assert candles.decreasing.fillcolor == candles.decreasing.line.color != candles.increasing.line.color


@pytest.mark.parametrize(
    ("largest", "mark", "form"), [(999.0, 500, ".2~s"), (0.7, 0.5, ".2~g"), (2e6, 2e6, ".2~s"), (0.0, 0, ".2~g")]
)
def test_volume_has_one_round_mark_above_nothing_and_no_thousandths(largest, mark, form):
    table = bars(12).table
    table[:, 4] *= largest / table[:, 4].max()
    axis = figures.candles(table).layout.yaxis2
    assert axis.tickvals == pytest.approx((0, mark)) and axis.tickformat == form


def test_dates_are_those_of_the_bars_in_utc():
    toy = bars(5)
    x = figures.history(toy).data[0].x
    assert [str(date)[:10] for date in x] == ["2018-01-01", "2018-01-02", "2018-01-03", "2018-01-04", "2018-01-05"]


def test_names_of_tokens_are_text_and_no_markup():
    title = "<b onmouseover=1>"
    texts = [note.text for note in figures.candles(bars(5).table, title=title).layout.annotations]
    texts.append(figures.return_histogram(bars(50, title)).data[0].name)
    assert sum("onmouseover" in text for text in texts) == 2
    assert not any("<b" in text for text in texts)


@pytest.mark.parametrize(("count", "kind"), [(MANY_BARS, "candlestick"), (MANY_BARS + 1, "scatter")])
def test_history_is_candles_until_there_are_too_many(count, kind):
    assert figures.history(bars(count)).data[0].type == kind


def test_line_of_a_long_history_is_thin_and_keeps_its_extremes():
    long = bars(5000)
    line, volume = figures.history(long).data
    assert len(line.x) <= 2 * MANY_BARS
    closes = long.prices[:, 3]
    assert (line.y.min(), line.y.max(), line.y[0], line.y[-1]) == (closes.min(), closes.max(), closes[0], closes[-1])
    assert len(volume.y) <= MANY_BARS and volume.y.mean() == pytest.approx(long.volume.mean())


def test_parts_follow_the_split_and_every_bar_is_in_one(splits):
    whole = splits.bars[1]
    parts = figures.history_parts(whole, splits)
    assert [part.name for part in parts] == ["train", "embargo", "validation", "embargo", "test"]
    assert sum(part.num_bars for part in parts) == len(whole)
    assert (parts[0].first, parts[-1].last) == (whole.times[0], whole.times[-1])
    assert all(after.first == before.last + DAY for before, after in zip(parts, parts[1:], strict=False))
    assert {part.num_bars for part in parts if part.name == "embargo"} == {splits.config.embargo}
    ends = splits.test.ends[splits.test.tokens == 1]
    assert parts[-1].first <= ends.min() - 29 * DAY and ends.max() <= parts[-1].last


def test_parts_are_shaded_and_each_name_stands_in_the_legend_once(splits):
    figure = figures.history(splits.bars[0], figures.history_parts(splits.bars[0], splits))
    shapes = figure.layout.shapes
    assert [shape.name for shape in shapes if shape.showlegend] == ["train", "embargo", "validation", "test"]
    assert len(shapes) == 5 and len({shape.fillcolor for shape in shapes}) == 4
    assert figure.layout.showlegend


def test_logarithmic_price_axis_has_round_marks():
    axis = figures.history(bars(900), log=True).layout.yaxis
    assert axis.type == "log" and len(axis.tickvals) >= 4


def test_histogram_counts_every_return():
    toy = bars(700)
    columns, normal = figures.return_histogram(toy).data
    assert sum(columns.y) == len(toy) - 1
    assert max(normal.y) < max(columns.y)  # fat tails: more of the middle than a normal distribution has


def test_samples_are_training_windows_of_the_token_asked_for(splits):
    samples = figures.window_samples(splits, 4, seed=1, token=2)
    assert len(samples) == 4 and all(title.startswith("SIM-C, to ") for title, _ in samples)
    whole, logs = splits.bars[2], np.diff(np.log(splits.bars[2].prices[:, 3]))
    last_day = np.datetime64(int(splits.borders[0]), "s")
    for title, window in samples:
        assert window.shape == (30, 5)
        date = np.datetime64(_iso(title.split(" to ")[1]))
        assert date < last_day
        end = int(np.searchsorted(whole.times, date.astype("datetime64[s]").astype(np.int64)))
        assert np.allclose(np.diff(np.log(window[:, 3])), logs[end - 29 : end], atol=1e-5)
    assert [title for title, _ in figures.window_samples(splits, 4, seed=2, token=2)] != [title for title, _ in samples]


def _iso(date: str) -> str:
    """ "5 Jan 2018" -> "2018-01-05"."""
    return datetime.strptime(date, "%d %b %Y").date().isoformat()
