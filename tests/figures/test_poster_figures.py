"""A poster is shown whole and true, every class named, every patch where it is cut."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image
from posters import GRID, NAMES, poster_view

from engine import figures
from engine.core.spacing import edges, offsets
from engine.figures import poster
from engine.synthetic.poster_grid import PosterGrid

LONG = tuple(f"{number:03d}.Black_footed_Albatross" for number in range(200))
CUB = {
    "height": 302,
    "width": 610,
    "class_rows": 10,
    "class_columns": 20,
    "patch_rows": 30,
    "patch_columns": 60,
    "patch_height": 32,
    "patch_width": 32,
}


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [50, 300, 1000])
def test_a_poster_keeps_its_aspect_and_every_pixel_is_a_square(channels, width):
    view = poster_view(channels=channels)
    picture = opened(figures.poster_png(view, width=width))
    factor = picture.width // GRID["width"]
    assert picture.size == (factor * GRID["width"], factor * GRID["height"]) and factor >= 1
    wanted = np.broadcast_to(view.pixels, (*view.pixels.shape[:2], 3)).repeat(factor, 0).repeat(factor, 1)
    assert np.array_equal(np.asarray(picture), wanted)


def test_patches_and_areas_lie_where_the_engine_cuts_them():
    grid = PosterGrid(**GRID)
    tops, lefts = poster.patch_corners(GRID)
    assert tops == offsets(grid.height, grid.patch_height, grid.patch_rows)
    assert lefts == offsets(grid.width, grid.patch_width, grid.patch_columns)
    boxes = [box for _, box in poster._areas(poster_view(), 3)]
    assert sorted({box[1] for box in boxes} | {box[3] for box in boxes}) == [3 * e for e in edges(25, 2)]
    assert sorted({box[0] for box in boxes} | {box[2] for box in boxes}) == [3 * e for e in edges(61, 5)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_overlay_writes_in_every_class_area_and_changes_little_of_it(theme):
    view = poster_view()
    bare = np.asarray(opened(figures.poster_png(view, theme))).astype(int)
    marked = np.asarray(opened(figures.poster_png(view, theme, overlay=True))).astype(int)
    ink = {"light": (0x1E, 0x22, 0x27), "dark": (0xE8, 0xE6, 0xE3)}[theme]
    for _, (left, top, right, bottom) in poster._areas(view, bare.shape[1] // GRID["width"]):
        area = marked[top:bottom, left:right]
        assert (abs(area - ink).max(2) <= 8).any(), "no letter in a class area"
        assert (area != bare[top:bottom, left:right]).any(2).mean() < 0.3


def test_a_name_stays_inside_its_area_at_the_largest_size_that_fits():
    for name in ("cat", "computer_keyboard", "black footed albatross", "x" * 60):
        lines, size = poster._fitted(name, 120, 90)
        wide, tall = poster._extent(lines, figures.grids.text_font(size))
        assert wide <= 120 - 6 and tall <= 0.8 * 90
    assert poster._fitted("cat", 120, 90)[1] > poster._fitted("computer_keyboard", 120, 90)[1]
    assert poster._fitted("computer_keyboard", 120, 90)[0] == ["computer", "keyboard"]
    assert poster._fitted("x" * 60, 120, 90)[0][0].endswith("…")


@pytest.mark.slow
def test_classes_without_room_for_a_name_are_numbered_and_listed():
    view = poster_view(CUB, LONG, 3)
    assert figures.numbered_classes(view, 1200) == []
    numbered = figures.numbered_classes(view, 610)
    assert numbered == [(number + 1, name) for number, name in enumerate(LONG)]
    assert figures.numbered_classes(poster_view()) == []


def test_an_empty_class_cell_stays_empty():
    view = poster_view(names=NAMES[:9], order=(*range(9), -1))
    bare, marked = (np.asarray(opened(figures.poster_png(view, overlay=shown))) for shown in (False, True))
    height, width = bare.shape[:2]
    corner = np.s_[height // 2 + 8 : height, 4 * width // 5 + 8 : width]
    assert np.array_equal(bare[corner], marked[corner])


def test_the_patch_grid_marks_the_middle_of_each_patch_and_one_in_full():
    view = poster_view()
    view.pixels[:] = 0
    picture = np.asarray(opened(figures.poster_png(view, "light", patch_grid=True)))
    factor = picture.shape[1] // GRID["width"]
    tops, lefts = poster.patch_corners(GRID)
    for top in tops:
        for left in lefts:
            y, x = round((top + 4) * factor), round((left + 4) * factor)
            assert picture[y, x].max() > 150, "no mark in the middle of a patch"
    accent = tuple(int(figures.palette.PALETTES["light"].distilled[place : place + 2], 16) for place in (1, 3, 5))
    rows, columns = (picture == accent).all(2).nonzero()
    assert rows.max() - rows.min() == pytest.approx(8 * factor, abs=6)
    assert columns.max() - columns.min() == pytest.approx(8 * factor, abs=6)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_time_lapse_has_a_frame_a_poster_in_true_aspect(kind):
    views = [poster_view(seed=seed) for seed in range(3)]
    picture = opened(figures.poster_timelapse(views, kind))
    assert (picture.format, picture.n_frames, picture.info.get("loop")) == (kind.upper(), 3, 0)
    assert picture.width / picture.height == GRID["width"] / GRID["height"]


def test_webp_keeps_every_colour():
    views = [poster_view(channels=3, seed=seed) for seed in range(2)]
    picture = opened(figures.poster_timelapse(views, "webp"))
    factor = picture.width // GRID["width"]
    for frame, view in enumerate(views):
        picture.seek(frame)
        assert np.array_equal(np.asarray(picture.convert("RGB"))[::factor, ::factor], view.pixels)


def test_pointing_finds_each_patch_with_its_likeliest_classes():
    view = poster_view(order=tuple(range(10)))
    found = figures.poster_html(view)
    said = re.findall(r"<span>(.*?)</span>", found)
    assert len(said) == 72
    assert said[0] == "Patch in row 1, column 1: 0 100.0 %"
    assert said[71].startswith("Patch in row 6, column 12: 9 ")
    weights = [weight for _, weight in poster.heaviest(view.patch_labels[36], NAMES)]
    assert weights == sorted(weights, reverse=True) and weights[-1] > 0


def test_the_places_that_can_be_pointed_at_cover_the_poster_once():
    found = re.findall(
        r'<b style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%">', figures.poster_html(poster_view())
    )
    boxes = np.array(found, dtype=float) / 100
    assert (boxes[:, 2] * boxes[:, 3]).sum() == pytest.approx(1, abs=1e-3)
    assert boxes[:, :2].min() == 0 and (boxes[:, :2] + boxes[:, 2:]).max() == pytest.approx(1, abs=1e-4)


def test_class_names_are_no_html_under_the_pointer():
    view = poster_view(names=("<script>", *NAMES[1:]))
    assert "<script>" not in figures.poster_html(view) and "&lt;script&gt;" in figures.poster_html(view)
    assert "<script>" not in figures.label_heatmap(view).to_json()


def test_the_heat_map_has_every_class_by_place_and_every_patch_by_row():
    view = poster_view()
    (heat,) = figures.label_heatmap(view).data
    assert np.asarray(heat.z).shape == (10, 72)
    assert list(heat.y) == [NAMES[label] for label in view.order]
    assert np.asarray(heat.z)[0, 0] == pytest.approx(1), "the first patch is of the first class"
    assert (heat.x[0], heat.x[13]) == ("row 1, column 1", "row 2, column 2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_classs_map_lies_as_its_patches_do(theme):
    view = poster_view(order=tuple(range(10)))
    (first,), (last,) = (figures.class_weights(view, label, theme).data for label in (0, 9))
    assert np.asarray(first.z).shape == (6, 12)
    assert np.asarray(first.z)[0, 0] == np.asarray(last.z)[-1, -1] == 1


def test_a_learned_map_is_drawn_cell_by_cell_and_names_its_heaviest_classes():
    label_map = np.zeros((10, 3, 4), np.float16)
    label_map[7, 2, 3], label_map[1, 2, 3], label_map[1, 0, 0] = 1.5, 0.25, 0.5
    view = dataclasses.replace(poster_view(), label_map=label_map)
    (whole,) = figures.learned_map(view).data
    assert np.array_equal(whole.z, label_map.max(0)) and whole.zmax == 1.5
    assert (whole.text[2][3], whole.text[0][0], whole.text[1][1]) == ("7", "1", "")
    assert (whole.customdata[2][3], whole.customdata[1][1]) == ("7: 1.50<br>1: 0.25", "")
    (seven,) = figures.class_weights(view, 7, of_map=True).data
    assert np.array_equal(seven.z, label_map[7]) and seven.zmax == whole.zmax


@pytest.mark.parametrize(("columns", "text"), [(4, "&lt;b&gt;a very long"), (12, "&lt;b&gt;a"), (30, None)])
def test_cells_of_a_learned_map_hold_as_much_of_a_name_as_has_room_and_tells_classes_apart(columns, text):
    names = ("<b>a very long name", "<b>b", *NAMES[2:])
    label_map = np.ones((10, 3, columns), np.float16)
    (whole,) = figures.learned_map(dataclasses.replace(poster_view(names=names), label_map=label_map)).data
    assert whole.customdata[0][0].startswith("&lt;b&gt;a very long name: 1.00<br>&lt;b&gt;b: 1.00")
    assert (whole.text and whole.text[0][0]) == text


def test_shades_mean_the_same_in_all_maps_of_a_poster_and_reach_its_largest_weight():
    view = poster_view()
    view.patch_labels[:] *= np.float16(0.4)
    drawn = [figures.label_heatmap(view), *(figures.class_weights(view, label) for label in range(10))]
    assert {(figure.data[0].zmin, figure.data[0].zmax) for figure in drawn} == {(0, float(np.float16(0.4)))}
