"""A poster as a set: what a student is given, what is stored, what is shown, and how it starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from draining import drained
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.core.config import RunRequest
from engine.core.errors import ConfigError, DataError
from engine.core.spacing import edges
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.runs.store import Store
from engine.synthetic import PosterSet, Training, load
from engine.synthetic.poster_grid import PosterGrid

SPEC = TaskSpec("classification", (3, 8, 8), 10, tuple("abcdefghij"))
GRID = PosterGrid(11, 29, 2, 5, 3, 12, 8, 8)
ORDER = [3, 1, 4, 0, 9, 2, 6, 5, 8, 7]
LEARNED = {"labels": "learned", "label_cells": (4, 10)}
KINDS = [{"labels": "fixed"}, {"labels": "fixed", "label_rule": "softmax", "temperature": 0.2}, LEARNED]


def poster_set(**changes) -> PosterSet:
    options = {
        "spec": SPEC,
        "training": Training("adam", 20, batch_size=7, is_augmented=True),
        "grid": GRID,
        "order": ORDER,
        "labels": "fixed",
    } | changes
    synthetic = PosterSet(**options)
    drained(synthetic.start_from("tiles", None, None, 0.01, torch.Generator().manual_seed(0)))
    return synthetic


def real_images(num: int = 40) -> LabelledSet:
    """Images of one colour, which is a tenth of the class."""
    targets = torch.arange(num) % 10
    return LabelledSet((targets / 10)[:, None, None, None].expand(-1, 3, 8, 8).clone(), targets, lambda inputs: inputs)


def splits_showing(to_display) -> Splits:
    real = real_images()
    return Splits(real, real, real, SPEC, to_display, lambda inputs, _: inputs, "")


def as_pictures(inputs: torch.Tensor) -> np.ndarray:
    return (inputs * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_batch_is_random_patches_with_their_labels_at_the_one_rate(kind):
    synthetic = poster_set(**kind)
    inputs, targets = synthetic.materialise()
    assert inputs.shape == (36, 3, 8, 8) and synthetic.num_samples == 36
    torch.testing.assert_close(targets.sum(1), torch.ones(36))
    found = list(synthetic.batches(torch.Generator().manual_seed(1)))
    generator = torch.Generator().manual_seed(1)
    assert len(found) == 20
    for batch in found:
        indices = torch.randperm(36, generator=generator)[:7]
        assert torch.equal(batch.inputs, inputs[indices]) and batch.lr.item() == pytest.approx(0.01)
        torch.testing.assert_close(batch.targets, targets[indices])


def test_a_batch_larger_than_the_set_is_all_of_it_once():
    synthetic = poster_set(training=Training("adam", 2, batch_size=1000))
    for batch in synthetic.batches():
        assert batch.inputs.flatten(1).unique(dim=0).shape[0] == len(batch.inputs) == 36


def test_without_a_batch_size_every_step_takes_all_patches_in_order():
    synthetic = poster_set(training=Training("adam", 3))
    assert [torch.equal(batch.inputs, synthetic.materialise()[0]) for batch in synthetic.batches()] == [True] * 3


def test_every_learned_value_gets_a_gradient():
    synthetic = poster_set(**LEARNED)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(10, generator=generator)
    for batch, _ in zip(synthetic.drawn(generator), range(40), strict=False):
        ((batch.inputs**2).sum() + (batch.targets @ weights).sum() + batch.lr).backward()
    for name, value in synthetic.named_parameters():
        assert value.grad.isfinite().all() and (value.grad != 0).all(), name


class Reading(torch.nn.Module):
    """What two patches of a set give a student, as a module that can be called with other parameters."""

    def __init__(self, synthetic: PosterSet) -> None:
        super().__init__()
        self.synthetic = synthetic

    def forward(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = self.synthetic.at(indices)
        return inputs.sin() * self.synthetic.rates[0], targets


def test_gradients_through_a_whole_set_agree_with_finite_differences():
    spec, grid = TaskSpec("classification", (1, 3, 3), 2, ("a", "b")), PosterGrid(4, 6, 1, 2, 2, 3, 3, 3)
    reading = Reading(poster_set(spec=spec, grid=grid, order=[1, 0], labels="learned", label_cells=(2, 3))).double()
    parameters = {name: value.detach().clone().requires_grad_() for name, value in reading.named_parameters()}

    def read(*values):
        given = dict(reading.named_buffers()) | dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(reading, given, (torch.tensor([4, 0]),), strict=True)

    assert torch.autograd.gradcheck(read, tuple(parameters.values()))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_file_gives_the_same_set_back(kind, tmp_path):
    synthetic = poster_set(**kind)
    synthetic.save(tmp_path / "poster.safetensors")
    again = load(tmp_path / "poster.safetensors")
    assert (
        again.describe() == synthetic.describe() and again.own_training == synthetic.own_training and again.grid == GRID
    )
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in synthetic.named_parameters()]
    for ours, theirs in zip(synthetic.batches(), again.batches(), strict=True):
        assert torch.equal(ours.inputs, theirs.inputs) and torch.equal(ours.targets, theirs.targets)
    assert again.sample_names() == synthetic.sample_names()


@pytest.mark.parametrize(
    "change",
    [
        {"order": [0] * 10},
        {"order": list(range(9))},
        {"order": [0.0, *range(1, 10)]},
        {"grid": asdict(GRID) | {"width": 30}},
        {"grid": asdict(GRID) | {"height": 10**9, "patch_rows": 10**8}},
        {"grid": asdict(GRID) | {"patch_height": 7}},
        {"grid": {"height": 11}},
        {"label_cells": [40, 100]},
        {"label_cells": [2, 5]},
        {"label_cells": None},
        {"labels": "guessed"},
        {"temperature": -1.0},
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused_before_anything_is_made_of_it(change, tmp_path):
    path = tmp_path / "poster.safetensors"
    poster_set(**LEARNED).save(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["distillery"])
    header["description"] |= change
    save_file(load_file(path), path, {"distillery": json.dumps(header)})
    with pytest.raises(DataError, match="does not hold what its header says"):
        load(path)


def test_labels_of_all_patches_are_those_of_each_one():
    synthetic = poster_set(**LEARNED)
    torch.testing.assert_close(synthetic.labels(), synthetic.labels(torch.arange(GRID.num_patches)))


@pytest.mark.parametrize(
    ("labels", "grid", "num_cells"),
    [
        ({}, {"class_rows": 320, "class_columns": 320}, 320 * 320),
        (
            {"labels": "learned", "label_cells": [1400, 1400]},
            {"height": 1400, "width": 1400, "patch_rows": 200, "patch_columns": 200},
            10,
        ),
        (
            {"labels": "learned", "label_cells": [30_000, 8]},
            {
                "height": 30_000,
                "width": 8,
                "patch_columns": 1,
                "patch_rows": 20_000,
                "class_columns": 2,
                "class_rows": 5,
            },
            10,
        ),
    ],
    ids=["areas of cells", "cells of a label map", "rows of a label map"],
)
def test_a_description_of_labels_that_take_too_much_memory_is_refused(labels, grid, num_cells):
    large = asdict(GRID) | {"height": 320, "width": 320, "patch_rows": 100, "patch_columns": 100} | grid
    with pytest.raises(ConfigError, match="takes too much memory"):
        poster_set(grid=large, order=[*range(10), *[-1] * (num_cells - 10)], **labels)


def test_patches_of_too_many_channels_are_refused():
    spec = TaskSpec("classification", (1000, 8, 8), 10, tuple("abcdefghij"))
    large = asdict(GRID) | {"height": 320, "width": 320, "patch_rows": 100, "patch_columns": 100}
    with (
        pytest.raises(ConfigError, match="10,000 patches of 1000x8x8 values take too much memory"),
        torch.device("meta"),
    ):
        poster_set(spec=spec, grid=large)


@pytest.mark.parametrize("shape", [[], [8], [8, 8], [3, 8, 8, 8]], ids=str)
def test_a_header_with_samples_that_are_no_images_is_refused(shape, tmp_path):
    path = tmp_path / "poster.safetensors"
    poster_set().save(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["distillery"])
    header["spec"]["sample_shape"] = shape
    save_file(load_file(path), path, {"distillery": json.dumps(header)})
    with pytest.raises(DataError, match="does not hold what its header says"):
        load(path)


@pytest.mark.parametrize("spoilt", [-0.1, float("nan")])
def test_a_label_map_of_values_that_no_label_has_is_refused(spoilt, tmp_path):
    path = tmp_path / "poster.safetensors"
    synthetic = poster_set(**LEARNED)
    with torch.no_grad():
        synthetic.label_map[3] = spoilt
    synthetic.save(path)
    with pytest.raises(DataError, match="soft labels that are negative or no numbers"):
        load(path)


@pytest.mark.parametrize(("batch_size", "fits"), [(-1, False), (10**9, False), (50, True)])
def test_a_batch_size_in_a_header_is_one_that_can_be(batch_size, fits, tmp_path):
    path = tmp_path / "poster.safetensors"
    poster_set(training=Training("adam", 5, batch_size=batch_size)).save(path)
    if fits:
        assert load(path).own_training.batch_size == batch_size
    else:
        with pytest.raises(DataError, match="batch_size"):
            load(path)


def test_storage_is_counted_to_the_last_value():
    fixed, learned = poster_set(), poster_set(**LEARNED)
    values = 3 * 11 * 29 + 1
    assert fixed.num_stored_values() == values + 10 and fixed.num_bytes() == 4 * values + 10
    assert learned.num_stored_values() == values + 400 + 10 and learned.num_bytes() == 4 * (values + 400) + 10


def test_an_order_must_hold_every_class_once_and_fill_the_grid():
    for order in ([0] * 10, list(range(9)), [*range(9), -1]):
        with pytest.raises(ConfigError, match="each class from 0 to 9 once"):
            poster_set(order=order)
    with pytest.raises(ConfigError, match="has 11 cells, the poster 10"):
        poster_set(order=[*range(10), -1])
    roomy = poster_set(grid=PosterGrid(16, 32, 3, 4, 3, 12, 8, 8), order=[*range(10), -1, -1])
    assert roomy.labels().shape == (36, 10)


def test_samples_follow_the_order_of_the_classes():
    listed, turned = poster_set(order=list(range(10))), poster_set(order=list(range(9, -1, -1)))
    assert torch.equal(listed.labels(), turned.labels().flip(1))
    assert listed.sample_names()[0] == "a" and turned.sample_names()[0] == "j"


def test_learned_labels_start_as_the_shares_of_area_of_the_same_patches():
    grid = PosterGrid(12, 30, 2, 5, 3, 12, 8, 8)
    learned, fixed = poster_set(grid=grid, **LEARNED), poster_set(grid=grid)
    torch.testing.assert_close(learned.labels().detach(), fixed.labels(), atol=2e-3, rtol=0)
    some = torch.tensor([35, 0, 13, 24])
    torch.testing.assert_close(learned.at(some)[1].detach(), fixed.at(some)[1], atol=2e-3, rtol=0)


def test_patches_of_another_size_than_images_are_refused():
    with pytest.raises(ConfigError, match="Patches of 8 x 8 pixels are no images of 6 x 8"):
        poster_set(spec=TaskSpec("classification", (3, 6, 8), 10, SPEC.class_names))


def test_clipping_leaves_no_negative_label_and_changes_no_other():
    synthetic = poster_set(**LEARNED)
    with torch.no_grad():
        synthetic.label_map.sub_(0.5)
    before = synthetic.label_map.detach().clone()
    synthetic.project()
    assert torch.equal(synthetic.label_map, before.clamp(min=0)) and before.min() < 0


def test_tiles_have_unit_deviation_and_are_the_generators_own():
    grid = PosterGrid(64, 160, 2, 5, 8, 20, 8, 8)
    plain, other = poster_set(grid=grid), poster_set(grid=grid)
    assert plain.poster.std().item() == pytest.approx(1, abs=0.2)
    drained(other.start_from("tiles", None, None, 0.01, torch.Generator().manual_seed(1)))
    assert not torch.allclose(other.poster, plain.poster)


@pytest.mark.parametrize("order", [ORDER, [*range(10), -1, -1]])
def test_a_real_start_puts_an_image_of_the_class_into_each_cell(order):
    grid = GRID if len(order) == 10 else PosterGrid(16, 32, 3, 4, 3, 12, 8, 8)
    synthetic = poster_set(grid=grid, order=order)
    drained(
        synthetic.start_from("real", SimpleNamespace(train=real_images()), None, 0.02, torch.Generator().manual_seed(0))
    )
    tops, lefts = edges(grid.height, grid.class_rows), edges(grid.width, grid.class_columns)
    for cell, label in enumerate(order):
        i, j = divmod(cell, grid.class_columns)
        found = synthetic.poster[:, tops[i] : tops[i + 1], lefts[j] : lefts[j + 1]]
        assert found.std() < 1e-5 and (label < 0 or found.mean().item() == pytest.approx(label / 10, abs=1e-5))
    assert synthetic.rates.item() == pytest.approx(0.02)


def test_a_class_without_images_is_named():
    real = real_images().subset(torch.arange(5))
    with pytest.raises(ConfigError, match="Class 'j' has no training images"):
        drained(poster_set().start_from("real", SimpleNamespace(train=real), None, 0.02, torch.Generator()))


def test_a_preview_shows_patches_and_the_poster_itself():
    synthetic = poster_set(**LEARNED)
    shown = synthetic.preview(4, splits_showing(as_pictures))
    assert np.array_equal(shown.images, as_pictures(synthetic.materialise()[0]))
    assert np.array_equal(shown.poster.pixels, as_pictures(synthetic.poster.detach()[None])[0])
    assert shown.labels == synthetic.sample_names() and shown.poster.order == tuple(ORDER)
    assert shown.poster.grid == asdict(GRID) and shown.poster.class_names == SPEC.class_names
    assert shown.poster.patch_labels.dtype == np.float16 and shown.poster.patch_labels.shape == (36, 10)
    learned = synthetic.label_map.detach().numpy()
    assert shown.poster.label_map.dtype == np.float16 and np.array_equal(
        shown.poster.label_map, learned.astype(np.float16)
    )
    assert poster_set().preview(4, splits_showing(as_pictures)).poster.label_map is None


def test_where_patches_show_a_pixel_differently_the_poster_shows_their_mean():
    levels = iter(range(36))

    def flat(inputs):
        return np.stack([np.full((8, 8, 3), next(levels), np.uint8) for _ in inputs])

    view = poster_set().preview(0, splits_showing(flat)).poster
    assert view.pixels[0, 0].tolist() == [0] * 3 and view.pixels[-1, -1].tolist() == [35] * 3
    rows = [i for i, top in enumerate(GRID.patch_tops) if top <= 5 < top + 8]
    seen = [12 * i + j for i in rows for j, left in enumerate(GRID.patch_lefts) if left <= 9 < left + 8]
    assert len(seen) > 4 and view.pixels[5, 9, 0] == round(sum(seen) / len(seen))


def test_a_store_keeps_the_poster_of_a_preview_and_reads_pictures_without_one(tmp_path):
    store = Store(tmp_path)
    run_id = store.submit(RunRequest(), status="running")
    shown = poster_set(**LEARNED).preview(3, splits_showing(as_pictures))
    plain = type(shown)(4, shown.images, shown.labels)
    store.append(run_id, [shown, plain])
    again = store.preview(run_id, 3)
    assert np.array_equal(again.images, shown.images) and again.labels == shown.labels
    assert np.array_equal(again.poster.pixels, shown.poster.pixels)
    assert np.array_equal(again.poster.patch_labels, shown.poster.patch_labels)
    assert np.array_equal(again.poster.label_map, shown.poster.label_map)
    for name in ("grid", "order", "class_names"):
        assert getattr(again.poster, name) == getattr(shown.poster, name)
    assert store.preview(run_id, 4).poster is None
