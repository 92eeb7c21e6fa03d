"""Teachers' curves, spectra, approximation errors and maps, as figures; rows of pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from engine import figures
from engine.core.events import TeacherEpoch
from engine.figures import representations
from engine.runs.curves import Series


def epochs(count: int, last: int = 0) -> list[TeacherEpoch]:
    """Epoch 0 and `count` more, with a loss from the first on."""
    return [
        TeacherEpoch(e, last or count, None if e == 0 else 10.0 / e, 0.1 + 0.8 * e / count, 1.0)
        for e in range(count + 1)
    ]


def points(figure) -> int:
    return sum(len(trace.x) for trace in figure.data)


def test_teacher_has_an_accuracy_from_before_its_training_and_a_loss_from_the_first_epoch():
    accuracy, loss = figures.teacher_accuracy(epochs(4)), figures.teacher_loss(epochs(4))
    assert list(accuracy.data[0].x) == [0, 1, 2, 3, 4] and accuracy.data[0].y[-1] == pytest.approx(90)
    assert list(loss.data[0].x) == [1, 2, 3, 4] and loss.data[0].y[0] == 10.0


def test_axis_of_a_teacher_reaches_to_its_last_epoch_from_the_beginning_on():
    assert figures.teacher_loss(epochs(2, last=10)).layout.xaxis.range[1] >= 10


def test_very_long_training_of_a_teacher_sends_few_points_and_its_last():
    figure = figures.teacher_accuracy(epochs(5000))
    assert points(figure) <= 1001 and figure.data[0].x[-1] == 5000


def test_teacher_before_its_first_epoch_has_an_empty_loss():
    assert points(figures.teacher_loss(epochs(3)[:1])) == 0


SHARES = {"images": [0.5, 0.25, 0.125], "representations": [0.8, 0.2]}


def test_spectrum_adds_up_and_marks_what_is_used():
    figure = figures.spectrum(SHARES | {"used": {"images": 2, "representations": 1}})
    together = {trace.name: trace for trace in figure.data}
    assert together["images"].y == pytest.approx([50, 75, 87.5])
    assert (together["2 used"].x[0], together["2 used"].y[0]) == (2, pytest.approx(75))
    assert (together["1 used"].x[0], together["1 used"].y[0]) == (1, pytest.approx(80))


def test_spectrum_of_more_bases_than_it_knows_has_no_mark_and_one_of_whole_images_no_line():
    figure = figures.spectrum(SHARES | {"used": {"images": 900}})
    assert not any("used" in trace.name for trace in figure.data)
    assert not figures.spectrum({}).data


def test_long_spectrum_sends_few_points_and_keeps_first_and_last():
    shares = (np.ones(5000) / 5000).tolist()
    figure = figures.spectrum({"images": shares, "representations": shares})
    assert points(figure) <= 2000
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (1, 5000) and figure.data[0].y[-1] == pytest.approx(100)


def test_approximation_errors_stand_side_by_side_for_each_augmentation():
    values = {"augmentations": ["rotate_90", "flip"], "with_networks": [0.2, None], "without": [0.9, 0.8]}
    without, with_networks = figures.approximation_errors(values).data
    assert list(without.x) == ["Rotate 90", "Flip"] and without.y == pytest.approx([90, 80])
    assert with_networks.y[0] == pytest.approx(20) and with_networks.y[1] is None


def placed(num_classes: int, num_distilled: int = 5) -> dict:
    classes = [f"<b>class {n % num_classes}" for n in range(3 * num_classes)]
    places = [[float(n), -float(n)] for n in range(3 * num_classes)]
    distilled = [[0.0, float(n)] for n in range(num_distilled)]
    return {"real": places, "classes": classes, "distilled": distilled, "way": "PCA"}


def test_map_has_a_colour_a_class_and_distilled_ones_larger():
    *real, distilled = figures.representation_map(placed(10)).data
    assert len(real) == 10 and len({trace.marker.color for trace in real}) == 10
    assert distilled.name == "distilled" and distilled.marker.size > real[0].marker.size
    assert "<b>" not in real[0].name


def test_map_of_many_classes_is_one_trace_of_many_colours():
    real, distilled = figures.representation_map(placed(100)).data
    assert len(set(real.marker.color)) == len(representations.CLASS_COLOURS) and len(distilled.x) == 5


def test_map_of_very_many_distilled_images_draws_some():
    figure = figures.representation_map(placed(10, num_distilled=5000))
    assert points(figure) <= 2000


def test_map_by_other_ways_names_no_directions():
    assert figures.representation_map(placed(3) | {"way": "t-SNE"}).layout.xaxis.title.text == ""


def test_rows_of_pictures_stand_in_columns_below_their_names():
    rows = [("Real", np.full((4, 8, 8, 3), 200, np.uint8)), ("Distilled", np.zeros((4, 8, 8, 1), np.uint8))]
    picture = np.asarray(Image.open(io.BytesIO(figures.rows_png(rows, width=200))))
    inside = picture[..., 3] > 0
    bright = (picture[..., 0] == 200) & (picture[..., 1] == 200) & inside
    assert bright.sum() == 4 * (8 * 5) ** 2, "four pictures enlarged five times"
    dark = (picture[..., :3].sum(-1) == 0) & inside
    assert dark.sum() >= 4 * (8 * 5) ** 2 and np.argwhere(dark)[:, 0].min() > np.argwhere(bright)[:, 0].max()


def test_pictures_without_class_names_are_a_grid_and_not_one_column():
    images = np.zeros((20, 8, 8, 1), np.uint8)
    width, height = Image.open(io.BytesIO(figures.grid_png(images, ("",) * 20, width=400))).size
    assert (width, height) == Image.open(io.BytesIO(figures.grid_png(images, width=400))).size and height < width * 1.5


def test_constant_accuracy_has_an_axis_that_ends_at_all_of_them():
    series = {"validation_accuracy": Series(np.arange(1, 6), np.full(5, 0.9))}
    assert list(figures.curve("validation_accuracy", series).layout.yaxis.range) == [0, 100]
