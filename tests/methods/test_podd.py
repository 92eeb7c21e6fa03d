"""PoDD: posters are learned under both kinds of labels, in every order of classes that needs no download."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draining import drained

from engine import SOURCES, Context, DataConfig, RunRequest, UserError, request_from_preset, resolve
from engine.core.config import EvaluationConfig, StudentConfig, checked
from engine.core.errors import ConfigError, Diverged
from engine.core.events import Checkpoint, Measured, Preview, Warned
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.augment import augmentation
from engine.evaluation.baselines import random_real, samples_at_equal_storage
from engine.evaluation.train import Recipe, accuracy, follow, ordinary
from engine.meta import update_rules
from engine.meta.inner import inner_loop
from engine.methods.forms import clip
from engine.methods.podd.podd import METHOD, PoddConfig
from engine.methods.windowed import distill_images as distill
from engine.nets import make_student
from engine.runs.estimate import estimate
from engine.synthetic import PosterSet, Training
from engine.synthetic.poster_grid import PosterGrid, PosterTooSmall, patches

TOY = {
    "student": {"name": "mlp"},
    "ipc": 0.5,
    "order": "listed",
    "unroll_length": 4,
    "window": 3,
    "batch_size": 100,
    "outer_steps": 3,
    "real_batch": 64,
    "num_validations": 0,
}


@pytest.fixture(scope="module")
def splits():
    return drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]


def config(**changes) -> PoddConfig:
    return checked(PoddConfig, TOY | changes, "test")


def write_distances(path, num_classes=10):
    distances = np.abs(np.subtract.outer(np.arange(num_classes), np.arange(num_classes)))
    np.savetxt(path, distances, delimiter=",")
    return str(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"poster_from": "real"},
        {"poster_from": "noise", "label_rule": "softmax", "temperature": 0.05},
        {"labels": "learned", "label_ipc": 1, "label_lr_divisor": 4.0},
        {"labels": "learned", "label_ipc": 10, "learn_rates": True},
        {"ipc": 1.3, "patch_rows": 3, "patch_columns": 9},
        {"poster_height": 9, "poster_width": 20, "class_rows": 4, "class_columns": 3},
        {"student": {"name": "convnet", "depth": 2, "width": 4}, "window_schedule": "fixed_late"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_option_runs_and_moves_every_pixel(splits, changes):
    settings = config(**changes)
    events, synthetic = drained(distill(splits, settings, Context(seed=1)))
    assert isinstance(synthetic, PosterSet)
    assert all(np.isfinite(list(e.values.values())).all() for e in events if isinstance(e, Measured))
    first = next(e for e in distill(splits, settings, Context(seed=1)) if isinstance(e, Checkpoint))
    assert (synthetic.poster - first.synthetic.poster).abs().amax(0).gt(0).all()
    assert settings.size(splits.spec).num_samples == synthetic.num_samples
    size = settings.size(splits.spec)
    assert size.num_values == synthetic.poster.numel()
    stored = size.num_values + size.num_label_values + synthetic.raw_rates.numel() + size.num_indices
    assert stored == synthetic.num_stored_values()
    assert size.num_bytes + 4 * synthetic.raw_rates.numel() == synthetic.num_bytes()


@pytest.fixture
def readable(tmp_path, monkeypatch):
    """A folder whose files may be read."""
    monkeypatch.setenv("DISTILLERY_FOLDERS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("order", ["listed", "features", "names", "given"])
def test_poster_is_learned_in_every_order_that_needs_no_download(splits, order, readable):
    settings = config(order=order, distances=write_distances(readable / "distances.csv") if order == "given" else "")
    events, synthetic = drained(distill(splits, settings, Context(seed=1)))
    assert sorted(synthetic.order) == list(range(10))
    told = [e.message for e in events if isinstance(e, Warned) and e.level == "note"]
    assert (order == "listed" and not told) or any("greedy" in message and "random" in message for message in told)
    assert {e.poster.order for e in events if isinstance(e, Preview)} == {synthetic.order}


def test_resumed_run_keeps_the_order_it_began_with(splits, readable):
    path = readable / "distances.csv"
    settings = config(order="given", distances=write_distances(path))
    events = distill(splits, settings, Context(seed=1))
    checkpoint = next(e for e in events if isinstance(e, Checkpoint))
    saved, order = checkpoint.snapshot(), checkpoint.synthetic.order
    path.unlink()  # whatever became of the file
    _, resumed = drained(distill(splits, settings, Context(seed=1, resume_from=saved)))
    assert resumed.order == order


def test_students_see_patches_of_the_poster_with_labels_that_sum_to_one(splits):
    _, synthetic = drained(distill(splits, config(labels="learned"), Context(seed=1)))
    inputs, targets = synthetic.materialise()
    assert torch.equal(inputs, patches(synthetic.poster.detach(), synthetic.grid))
    torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))
    assert (synthetic.label_map >= 0).all()


def test_label_map_moves_by_the_divided_step_size(splits):
    moves = []
    for divisor in (1.0, 10.0):
        sets = distill(splits, config(labels="learned", label_lr_divisor=divisor, outer_lr=0.01), Context(seed=1))
        next(e for e in sets if isinstance(e, Preview))  # nothing is learned yet
        start = sets.gi_frame.f_locals["synthetic"].label_map.detach().clone()
        first = next(e for e in sets if isinstance(e, Checkpoint))
        moves.append((first.synthetic.label_map - start).abs().max().item())
    assert moves[0] == pytest.approx(0.01, rel=0.05) and moves[1] == pytest.approx(0.001, rel=0.05)


def test_diverging_run_stops_before_it_spoils_the_poster_and_says_which_number_broke(splits):
    broken = dataclasses.replace(
        splits, train=LabelledSet(splits.train.inputs, splits.train.targets, lambda x: splits.train.prepare(x) * 1e38)
    )
    with pytest.raises(Diverged, match="(outer loss|meta-gradient).*[Ll]ower") as caught:
        drained(distill(broken, config(), Context()))
    assert caught.value.step == 0


@pytest.mark.parametrize("rule", update_rules.BY_NAME)
@pytest.mark.parametrize("name", ["flip_rotate", "dsa"])
def test_recomputed_steps_give_the_gradient_of_stored_ones_through_patches_labels_and_augmentation(rule, name):
    spec, grid = TaskSpec("classification", (3, 8, 8), 4, tuple("abcd")), PosterGrid(11, 21, 2, 2, 3, 8, 8, 8)
    student = make_student(StudentConfig(depth=2, width=4, activation="softplus"), spec)
    found = {}
    for memory, budget in (("store", None), ("recompute", None), ("auto", 20_000)):
        training = Training(rule, 6, batch_size=5)
        layout = {"grid": grid, "order": [3, 1, 0, 2], "labels": "learned", "label_cells": (4, 4)}
        synthetic = PosterSet(spec=spec, training=training, **layout)
        drained(synthetic.start_from("tiles", None, None, 0.05, torch.Generator().manual_seed(0)))
        generator = torch.Generator().manual_seed(1)
        batches = (
            batch._replace(inputs=augmentation(name)(batch.inputs, generator))
            for batch in islice(synthetic.double().drawn(generator), 6)
        )
        theta = student.init(torch.Generator().manual_seed(2)).double()
        update = update_rules.BY_NAME[rule]()
        *_, end = inner_loop(student, theta, batches, update, F.cross_entropy, memory=memory, budget=budget)
        end.square().sum().backward()
        found[memory] = [parameter.grad for parameter in synthetic.parameters()]
    assert all(gradient.abs().max() > 0 for gradient in found["store"])
    for memory in ("recompute", "auto"):
        torch.testing.assert_close(found[memory], found["store"], rtol=1e-10, atol=1e-10)


def test_given_order_without_a_file_is_refused(splits):
    with pytest.raises(ConfigError, match="needs a file of class distances"):
        drained(distill(splits, config(order="given"), Context()))


def test_size_that_cannot_be_is_refused_before_anything_runs():
    windows = TaskSpec("classification", (30, 5), 2, ("down", "up"))
    with pytest.raises(ConfigError, match="samples have shape"):
        config().size(windows)
    with pytest.raises(PosterTooSmall, match="less than one image"):
        config(ipc=0.05).size(TaskSpec("classification", (1, 8, 8), 10, tuple("0123456789")))


def test_size_is_told_in_pixels_images_and_patches():
    spec = TaskSpec("classification", (3, 32, 32), 10, tuple("0123456789"))
    told = config(ipc=0.9).describe_size(spec)
    assert told == "One poster of 60 x 153 pixels (0.90 images per class, 27,540 values), cut into 95 patches"
    told = config(ipc=0.5, labels="learned", label_ipc=6).describe_size(spec)
    assert told.endswith("cut into 110 patches, and a label map of 600 values")


def asked(**changes) -> RunRequest:
    return RunRequest(method="podd", config=TOY | changes)


def test_run_whose_order_cannot_be_found_is_refused_before_it_begins(readable, tmp_path):
    path = readable / "distances.csv"
    with pytest.raises(UserError, match="needs a file of class distances"):
        resolve(asked(order="given"))
    with pytest.raises(UserError, match="There is no CSV file"):
        resolve(asked(order="given", distances=str(path)))
    write_distances(path, num_classes=9)
    with pytest.raises(UserError, match="10 classes need 10 rows"):
        resolve(asked(order="given", distances=str(path)))
    write_distances(path)
    resolve(asked(order="given", distances=str(path)))


def test_run_that_goes_on_or_is_compared_again_does_without_the_file_of_its_order(readable):
    request = asked(order="given", distances=str(readable / "gone.csv"))
    resolve(request, begins=False)
    resolve(request.model_copy(update={"action": "evaluate", "start": "0001"}))


@pytest.mark.parametrize("package", [True, False])
def test_order_by_clip_is_refused_early_without_its_package(monkeypatch, package):
    monkeypatch.setattr(clip, "find_spec", lambda name: package)
    monkeypatch.setattr(clip, "is_at_hand", lambda: True)
    if package:
        resolve(asked(order="clip"))
    else:
        with pytest.raises(UserError, match="needs the package transformers"):
            resolve(asked(order="clip"))


@pytest.mark.parametrize(("is_at_hand", "order"), [(True, "clip"), (False, "listed")])
def test_trial_never_downloads_clip(monkeypatch, is_at_hand, order):
    monkeypatch.setattr(clip, "is_at_hand", lambda: is_at_hand)
    tried = config(order="clip", clip_download=True).for_trial()
    assert (tried.order, tried.clip_download) == (order, False)
    assert config(order="features").for_trial() == config(order="features")


def test_estimate_tries_the_poster_without_fetching_clip(monkeypatch, tmp_path):
    monkeypatch.setattr(clip, "find_spec", lambda name: name == "transformers")
    monkeypatch.setattr(clip, "_load", lambda weights, download: pytest.fail("CLIP was to be loaded"))
    monkeypatch.setattr("engine.runs.estimate.ENOUGH_SECONDS", 0.1)
    monkeypatch.setattr("engine.runs.estimate.SAMPLE_SECONDS", 0.02)
    evaluation = EvaluationConfig(num_students=1, ordinary_steps=3, inner_steps=10, compare_full=False)
    request = asked(order="clip", clip_download=True).model_copy(update={"evaluation": evaluation})
    _, found = drained(estimate(request, Context(cache_root=tmp_path)))
    assert found.seconds_per_step > 0


def test_published_presets_have_the_published_sizes():
    """Poster, patches and images per class of Shul et al. 2024, as in their README; (rows, columns) here."""
    published = {"cifar10": (10, (60, 153), (6, 16), 0.896), "cifar100": (100, (303, 303), (20, 20), 0.897)}
    for source, (num_classes, size, numbers, ipc) in published.items():
        grid = grid_of("published_09", source, num_classes, 32)
        assert (grid.height, grid.width) == size and (grid.patch_rows, grid.patch_columns) == numbers
        assert grid.ipc(num_classes) == pytest.approx(ipc, abs=5e-4)


def test_presets_resolve_where_clip_is_at_hand(monkeypatch):
    monkeypatch.setattr(clip, "check", lambda download: None)
    for preset in METHOD.presets:
        if preset.source in SOURCES:
            resolve(request_from_preset(preset.source, "podd", preset.key))


def grid_of(key: str, source: str, num_classes: int, side: int) -> PosterGrid:
    """The grid that a preset comes to, for colour images."""
    spec = TaskSpec("classification", (3, side, side), num_classes, tuple(map(str, range(num_classes))))
    return checked(PoddConfig, METHOD.presets_for(source)[key].config, key).grid(spec)


@pytest.mark.parametrize(
    ("key", "side", "published"), [("published_cub200", 32, (302, 610)), ("published_tiny", 64, (608, 1211))]
)
def test_published_presets_of_folders_follow_the_folder_and_come_near_to_the_published_size(key, side, published):
    grid = grid_of(key, "folder", 200, side)
    assert abs(grid.height - published[0]) <= 4 and abs(grid.width - published[1]) <= 4
    for num_classes in (2, 12, 200):
        assert grid_of(key, "folder", num_classes, side).ipc(num_classes) == pytest.approx(0.9, abs=0.02)


@pytest.mark.slow
def test_half_an_image_per_class_beats_random_real_images_of_equal_storage(splits):
    """A learned poster of digits against as many stored numbers of real digits, by their own protocols, n = 3."""
    preset = METHOD.presets_for("digits")["quick"]
    quicker = {"outer_steps": 150, "outer_lr": 0.1, "unroll_length": 12, "window": 6, "num_validations": 2}
    settings = checked(PoddConfig, preset.config | quicker, "test")
    _, synthetic = drained(distill(splits, settings, Context(seed=0)))
    student = make_student(settings.student, splits.spec)
    count = samples_at_equal_storage(synthetic.num_stored_values(), splits.spec)
    distilled, real = [], []
    for number in range(3):
        generator = torch.Generator().manual_seed(1000 + number)
        start = student.init(generator)
        theta = follow(student, start, islice(synthetic.drawn(generator), 100), synthetic.own_training)
        distilled.append(accuracy(student, theta, splits.test))
        data = random_real(splits.train, count, 10, generator)
        *_, theta = ordinary(student, start, data, Recipe(100, 256, 3e-3), generator, splits.augment)
        real.append(accuracy(student, theta, splits.test))
    assert min(distilled) > max(real), (distilled, real)
