"""PoDD: posters are learned under both kinds of labels, in every order of classes that needs no download."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draining import drained

from engine import SOURCES, Context, DataConfig
from engine.config import StudentConfig, checked
from engine.data import augmentation
from engine.data.source import LabelledSet, TaskSpec
from engine.errors import ConfigError, Diverged
from engine.evaluation.baselines import random_real, samples_at_equal_storage
from engine.evaluation.train import Recipe, accuracy, follow, ordinary
from engine.events import Checkpoint, Measured, Preview, Warned
from engine.meta import update_rules
from engine.meta.inner import inner_loop
from engine.methods.podd.podd import METHOD, PoddConfig, distill
from engine.nets import make_student
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
    assert settings.size(splits.spec).num_values == synthetic.poster.numel()


@pytest.mark.parametrize("order", ["listed", "features", "names", "given"])
def test_poster_is_learned_in_every_order_that_needs_no_download(splits, order, tmp_path):
    settings = config(order=order, distances=write_distances(tmp_path / "distances.csv") if order == "given" else "")
    events, synthetic = drained(distill(splits, settings, Context(seed=1)))
    assert sorted(synthetic.order) == list(range(10))
    told = [e.message for e in events if isinstance(e, Warned) and e.level == "note"]
    assert (order == "listed" and not told) or any("greedy" in message and "random" in message for message in told)
    assert {e.poster.order for e in events if isinstance(e, Preview)} == {synthetic.order}


def test_resumed_run_keeps_the_order_it_began_with(splits, tmp_path):
    path = tmp_path / "distances.csv"
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
        synthetic = PosterSet(spec=spec, training=training, grid=grid, order=[3, 1, 0, 2], labels="learned", label_cells=(4, 4))  # fmt: skip
        synthetic.start_from_tiles(0.05, torch.Generator().manual_seed(0))
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
    assert told == "One poster of 60 x 153 pixels (0.90 images per class, 27,540 values), cut into 85 patches"


def test_published_presets_have_the_published_sizes():
    """Poster, patches and images per class of Shul et al. 2024, as in their README; (rows, columns) here."""
    published = {
        "cifar10": ((3, 32, 32), 10, (60, 153), (6, 16), 0.896),
        "cifar100": ((3, 32, 32), 100, (303, 303), (20, 20), 0.897),
        "published_cub200": ((3, 32, 32), 200, (302, 610), (30, 60), 0.900),
        "published_tiny": ((3, 64, 64), 200, (608, 1211), (20, 40), 0.899),
    }
    for name, (shape, num_classes, size, numbers, ipc) in published.items():
        source, key = ("folder", name) if name.startswith("published") else (name, "published_09")
        preset = METHOD.presets_for(source)[key]
        spec = TaskSpec("classification", shape, num_classes, tuple(map(str, range(num_classes))))
        grid = checked(PoddConfig, preset.config, key).grid(spec)
        assert (grid.height, grid.width) == size and (grid.patch_rows, grid.patch_columns) == numbers
        assert grid.ipc(num_classes) == pytest.approx(ipc, abs=5e-4)


@pytest.mark.slow
def test_half_an_image_per_class_beats_random_real_images_of_equal_storage(splits):
    """A learned poster of digits against real digits of as many stored numbers, each by its own protocol, three students."""
    preset = METHOD.presets_for("digits")["quick"]
    settings = checked(PoddConfig, preset.config | {"outer_steps": 200, "num_validations": 2}, "test")
    _, synthetic = drained(distill(splits, settings, Context(seed=0)))
    student = make_student(settings.student, splits.spec)
    count = samples_at_equal_storage(synthetic.num_stored_values(), splits.spec)
    distilled, real = [], []
    for number in range(3):
        generator = torch.Generator().manual_seed(1000 + number)
        start = student.init(generator)
        theta = follow(student, start, islice(synthetic.drawn(generator), 100), synthetic.training)
        distilled.append(accuracy(student, theta, splits.test))
        data = random_real(splits.train, count, 10, generator)
        *_, theta = ordinary(student, start, data, Recipe(100, 256, 3e-3), generator, splits.augment)
        real.append(accuracy(student, theta, splits.test))
    assert min(distilled) > max(real), (distilled, real)
