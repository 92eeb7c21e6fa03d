"""Figures show what was measured: few points, no peak lost, one colour an arm, numbers with units."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine import figures
from engine.core.events import Scored
from engine.evaluation.scores import summarise
from engine.figures import formats


def line(values: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(steps=np.arange(1, len(values) + 1), values=np.asarray(values, dtype=np.float64))


@given(st.integers(1, 5000), st.integers(3, 600), st.integers(0, 2**31))
def test_thin_keeps_ends_and_extremes_within_the_limit(n, limit, seed):
    values = np.random.default_rng(seed).normal(size=n)
    steps, kept = figures.curves.thin(np.arange(n), values, limit)
    assert len(kept) <= max(limit, 4)
    assert {0, n - 1} <= set(steps)
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    assert np.all(np.diff(steps) > 0)
    assert np.array_equal(values[steps], kept)


def test_thin_is_at_home_with_nan():
    values = np.full(5000, np.nan)
    values[1234] = 7.0
    assert 7.0 in figures.curves.thin(np.arange(5000), values)[1]


def test_smooth_leaves_a_straight_line_and_a_single_peak_out():
    straight = np.arange(50.0)
    assert np.allclose(figures.curves.smooth(straight, 5)[5:-5], straight[5:-5])
    assert figures.curves.smooth(straight, 1) is straight
    peaked = np.ones(50)
    peaked[20] = 1000.0
    assert np.allclose(figures.curves.smooth(peaked, 5), 1.0)


def test_smooth_fills_in_what_is_not_finite():
    assert np.allclose(figures.curves.smooth(np.array([1.0, np.nan, 3.0, np.inf, 5.0]), 3)[1:4], [2.0, 3.0, 4.0])
    assert np.isnan(figures.curves.smooth(np.full(3, np.nan), 3)).all()


def test_a_single_peak_does_not_flatten_the_curve():
    values = np.linspace(2.4, 0.6, 300)
    values[70] = 345.0
    figure = figures.curve("outer_loss", {"outer_loss": line(values)}, span=25)
    assert 2.4 < figure.layout.yaxis.range[1] < 4
    assert figure.data[0].name == "each step (1 beyond the axis)"
    calm = figures.curve("outer_loss", {"outer_loss": line(np.linspace(2.4, 0.6, 300))}, span=25)
    assert calm.layout.yaxis.range is None


def test_a_small_constant_stands_in_the_middle_of_its_axis():
    figure = figures.curve("student_lr", {"student_lr": line(np.full(200, 0.003))}, span=25)
    assert tuple(figure.layout.yaxis.range) == (0, 0.006)


@pytest.mark.parametrize("log", [False, True])
def test_curve_sends_few_points_of_a_long_run(log):
    series = {"outer_loss": line(np.exp(-np.arange(20_000) / 4000))}
    figure = figures.curve("outer_loss", series, span=25, log=log)
    assert all(len(trace.x) <= figures.curves.MAX_POINTS for trace in figure.data)
    assert [trace.name for trace in figure.data] == ["each step", "smoothed"]
    assert figure.layout.yaxis.title.text == "outer loss"
    assert (figure.layout.yaxis.type == "log") is log


def test_curve_on_a_log_axis_survives_zero_and_infinity():
    figures.curve("gradient_norm", {"gradient_norm": line([0.0, np.inf, np.nan])}, log=True)
    figures.curve("gradient_norm", {"gradient_norm": line([np.inf])}, log=True)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.01, 100.0, [0.01, 0.1, 1.0, 10.0, 100.0]),
        (0.5, 5.0, [0.5, 1.0, 2.0, 5.0]),
        (2.0, 6.0, [2.0, 3.0, 4.0, 5.0, 6.0]),
        (2.1, 2.4, [2.1, 2.2, 2.3, 2.4]),
    ],
)
def test_log_axes_have_readable_numbers(low, high, ticks):
    assert figures.curves.log_ticks(np.array([low, high, -1.0, np.inf])) == pytest.approx(ticks)


def test_bounds_belong_to_the_chart_of_their_mean():
    names = ["student_lr", "student_lr_min", "student_lr_max", "outer_loss", "something_new", "lonely_min"]
    assert figures.chart_names(names) == ["outer_loss", "student_lr", "lonely_min", "something_new"]
    series = {name: line(np.ones(100)) for name in names}
    assert [trace.name for trace in figures.curve("student_lr", series, span=9).data] == ["highest", "lowest", "mean"]
    assert figures.chart_of("something_new").title == "Something new"


def scored(arm: str, protocol: str, values: list[float]) -> list[Scored]:
    return [Scored(arm, protocol, "mlp", seed, "accuracy", value, 1.0) for seed, value in enumerate(values)]


def test_every_arm_has_its_one_colour_and_interval():
    rows = summarise(
        [
            *scored("full", "ordinary", [0.9, 0.92]),
            *scored("random_real", "ordinary", [0.5]),
            *scored("distilled", "ordinary", [0.8, 0.84]),
        ]
    )
    bars = {trace.name: trace for trace in figures.scores(rows).data}
    palette = figures.palette.PALETTES["page"]
    assert list(bars) == ["Distilled", "Random real, equal bytes", "Full data"]
    assert bars["Distilled"].marker.color == palette.distilled
    assert bars["Random real, equal bytes"].marker.color == palette.random_real
    assert bars["Full data"].marker.color == palette.full
    half = 100 * 12.706 * math.sqrt(0.0008) / math.sqrt(2)
    assert bars["Distilled"].error_y.arrayminus[0] == pytest.approx(half, rel=1e-3)
    assert bars["Distilled"].error_y.array[0] == pytest.approx(100 - 82), "no higher than all"
    assert bars["Random real, equal bytes"].error_y.array[0] == 0


def test_page_palette_is_the_theme_of_the_dashboard():
    import tomllib
    from pathlib import Path

    theme = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())["theme"]
    for name in ("light", "dark"):
        palette = figures.palette.PALETTES[name]
        shown = [palette.distilled, palette.full, palette.random_real, palette.kmeans_real, *palette.others]
        assert theme[name]["chartCategoricalColors"] == [*shown, palette.random_samples, palette.start]


def test_class_names_are_no_html():
    figure = figures.class_counts({"train": [1, 2]}, ["<b>a</b>", "b" * 40])
    assert figure.layout.xaxis.ticktext[0] == "&lt;b&gt;a&lt;/b&gt;"
    assert len(figure.layout.xaxis.ticktext[1]) == 14


def test_names_of_runs_are_no_html():
    (row,) = summarise(scored("distilled", "ordinary", [0.8]))
    assert figures.runs([("<a href='x'>run</a>", row)]).data[0].y == ("&lt;a href='x'&gt;run&lt;/a&gt;",)


def test_grid_enlarges_by_a_whole_factor_on_a_transparent_ground():
    images = np.zeros((10, 8, 8, 1), np.uint8)
    images[3] = 255
    picture = Image.open(io.BytesIO(figures.grid_png(images, [str(i) for i in range(10)], width=500)))
    assert picture.mode == "RGBA"
    alpha, grey = np.array(picture)[..., 3], np.array(picture)[..., 0]
    assert (alpha == 0).any()
    side = math.isqrt(int((grey == 255).sum()))
    assert side % 8 == 0
    assert side >= 80


def test_grid_puts_each_class_in_a_column():
    images = np.stack([np.full((4, 4, 1), 20 * label, np.uint8) for label in (0, 1, 2, 0, 1, 2)])
    picture = np.array(Image.open(io.BytesIO(figures.grid_png(images, ["a", "b", "c"] * 2, width=300))))
    tops = picture[40, [10, 160, 280], 0], picture[-5, [10, 160, 280], 0]
    assert list(tops[0]) == list(tops[1]) == [0, 20, 40]


def test_grid_shows_so_many_images_at_most():
    images = np.zeros((1000, 2, 2, 3), np.uint8)
    assert figures.grid_png(images) == figures.grid_png(images[: figures.MAX_IMAGES])


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_time_lapse_has_a_frame_a_picture(kind):
    frames = [np.full((4, 8, 8, 1), level, np.uint8) for level in (0, 100, 200)]
    picture = Image.open(io.BytesIO(figures.timelapse(frames, (), kind)))
    assert (picture.format, picture.n_frames) == (kind.upper(), 3)


def test_hero_is_a_picture_with_its_numbers():
    from xml.etree import ElementTree

    images = np.zeros((160, 8, 8, 1), np.uint8)
    svg = figures.hero_svg(images, images[:10], num_real=1295, real_bytes=84_175, synthetic_bytes=2560)
    said = " ".join(text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    assert "1,295 real images 84.2 kB 10 synthetic images 2.56 kB" in said


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (formats.number(1240.4), "1,240"),
        (formats.number(0.021349), "0.0213"),
        (formats.number(1.2e-7), "1.20e-07"),
        (formats.number(float("nan")), "–"),
        (formats.number(float("inf")), "∞"),
        (formats.number(99.99), "100"),
        (formats.percent(0.8512), "85.1 %"),
        (formats.percent_spread(0.8512, 0.0213, 5), "85.1 ± 2.1 %"),
        (formats.percent_spread(0.8512, float("nan"), 1), "85.1 %"),
        (formats.num_bytes(7680), "7.68 kB"),
        (formats.num_bytes(999), "999 B"),
        (formats.num_bytes(999_999), "1.00 MB"),
        (formats.duration(0.0123), "12.3 ms"),
        (formats.duration(0.21), "0.21 s"),
        (formats.duration(160), "2 min 40 s"),
        (formats.duration(59.7), "1 min"),
        (formats.duration(11_100), "3 h 5 min"),
        (formats.duration(None), "–"),
        (formats.ratio(130.21), "1 : 130"),
        (formats.counted(1, "image"), "1 image"),
        (formats.counted(1000, "class", "classes"), "1,000 classes"),
    ],
)
def test_numbers_read_as_people_write_them(said, wanted):
    assert said == wanted


def test_a_single_step_is_drawn_with_what_it_is_held_against():
    series = {"validation_accuracy": SimpleNamespace(steps=np.array([20]), values=np.array([0.3]))}
    figure = figures.curve("validation_accuracy", series, references={"random_real": 0.7, "random_samples": 0.6})
    assert len(figure.data[-1].x) == 2 and figure.data[-1].x[0] < 20 < figure.data[-1].x[1]
    assert [trace.name for trace in figure.data[1:]] == ["random real, equal bytes", "random real, as many samples"]
    assert figure.layout.yaxis.range[1] > 70 and figure.layout.xaxis.dtick == 1
