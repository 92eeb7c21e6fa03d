"""A poster is exported as a picture, as arrays, and as a program that trains on its patches."""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import distilled, write_test_images

import engine
from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.data.transforms import zca
from engine.data.transforms.augment import Step, augmentation
from engine.data.transforms.preparation import Preparation
from engine.evaluation.scores import headlines, summarise
from engine.evaluation.train import Recipe
from engine.runs import export, report
from engine.runs.adopt import adopt
from engine.runs.exported import normalisation
from engine.runs.programs import train_script
from engine.runs.store import Store
from engine.synthetic.base import Training

POSTER = {
    "source": "digits",
    "method": "podd",
    "config": {
        "student": {"name": "mlp"},
        "ipc": 0.5,
        "poster_from": "real",
        "label_ipc": 1.0,
        "outer_steps": 25,
        "unroll_length": 20,
        "window": 8,
        "batch_size": 30,
        "real_batch": 256,
        "student_lr": 0.003,
        "outer_lr": 0.05,
        "labels": "learned",
        "order": "listed",
        "num_validations": 1,
        "validation_steps": 20,
        "previews": 2,
    },
    "data": {"augmentation": "flip_rotate"},
    "evaluation": {"num_students": 1, "ordinary_steps": 40, "inner_steps": 60, "compare_full": False},
}
PRINTED = re.compile(r"accuracy (\d+\.\d) % on (\d+) images\n")
GREY = TaskSpec("classification", (1, 8, 8), 2, ("a", "b"))
PLAIN = Preparation("unit", torch.zeros(1), torch.ones(1))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Store, str, Path]:
    """A store with a poster that was distilled and measured, its run, and the folder it was exported to."""
    root = tmp_path_factory.mktemp("poster")
    store = Store(root / "runs")
    run_id = distilled(store, **POSTER)
    export.export(store, run_id, root / "out")
    return store, run_id, root / "out"


def program_of(script: str, npz: bytes, tmp_path: Path) -> dict:
    """What the functions of a train.py do, without the training."""
    (tmp_path / "distilled.npz").write_bytes(npz)
    program: dict = {"__file__": str(tmp_path / "train.py")}
    exec(script.partition("is_stored = ")[0], program)
    return program


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.slow
def test_poster_is_exported_as_a_picture_at_its_own_size_that_says_where_it_comes_from(made):
    store, run_id, out = made
    synthetic = engine.load(store.result(run_id))
    with Image.open(out / "poster.png") as picture:
        picture.load()
        assert picture.size == (synthetic.grid.width, synthetic.grid.height)
        assert json.loads(picture.text["distillery"])["run"] == run_id
        view = synthetic.preview(synthetic.step, synthetic.preparation).poster
        assert np.array_equal(np.asarray(picture), view.pixels[:, :, 0])
    said = (out / "README.txt").read_text()
    assert "poster.png" in said and "to start another run from it" in said
    assert len(list((out / "images").iterdir())) == synthetic.num_samples
    assert export.one(store, run_id, "poster.png") == (out / "poster.png").read_bytes()


@pytest.mark.slow
def test_patches_in_the_arrays_are_cut_from_the_poster_in_them(made):
    arrays = np.load(made[2] / "distilled.npz", allow_pickle=False)
    poster, grid, inputs = arrays["poster"], arrays["grid"], arrays["inputs"]
    assert poster.shape == (1, grid["height"], grid["width"])
    assert len(inputs) == grid["patch_rows"] * grid["patch_columns"]
    assert np.array_equal(inputs[0], poster[:, :8, :8]) and np.array_equal(inputs[-1], poster[:, -8:, -8:])
    assert sorted(arrays["order"][arrays["order"] >= 0]) == list(range(10))
    assert arrays["label_map"].shape[0] == 10 and np.allclose(arrays["targets"].sum(1), 1, atol=1e-5)
    assert arrays["learned_rates"].shape == (1,) and arrays["batch_size"] == 30 and "batch_order" not in arrays


@pytest.mark.slow
def test_script_trains_on_patches_under_both_protocols_as_recorded(made, tmp_path, capsys):
    store, run_id, out = made
    rows = {row.protocol: row for row in headlines(summarise(store.scores(run_id))) if row.arm == "distilled"}
    count = write_test_images(tmp_path)
    text = (out / "train.py").read_text()
    patches = len(engine.load(store.result(run_id)).materialise()[0])
    assert f"on the {patches} patches of the distilled poster" in text and max(map(len, text.splitlines())) <= 120
    assert f"range({rows['as_distilled'].training['num_steps']})" in text
    for protocol in ("ordinary", "as_distilled"):
        before, sys.argv = (
            sys.argv,
            [str(out / "train.py"), str(tmp_path), *([protocol] if protocol != "ordinary" else [])],
        )
        try:
            runpy.run_path(str(out / "train.py"), run_name="__main__")
        finally:
            sys.argv = before
        printed = PRINTED.fullmatch(capsys.readouterr().out)
        accuracy = float(printed[1]) / 100
        assert int(printed[2]) == count
        assert accuracy > 0.25 and abs(accuracy - rows[protocol].mean) < 0.12, (
            f"{protocol}: {accuracy} here, {rows[protocol].mean} recorded"
        )


@pytest.mark.slow
def test_exported_poster_comes_back_as_a_run_that_shows_it(made):
    store, run_id, out = made
    again = adopt(store, (out / "result.safetensors").read_bytes(), "result.safetensors")
    (step,) = store.previews(again)
    kept = store.preview(again, step)
    synthetic = engine.load(store.result(run_id))
    shown = synthetic.preview(step, synthetic.preparation).poster
    assert np.array_equal(kept.poster.pixels, shown.pixels) and kept.poster.order == shown.order
    assert store.run(again).summary["num_samples"] == len(kept.images)


@pytest.mark.slow
def test_report_shows_the_poster_and_the_accuracy_after_each_length(made):
    store, run_id, _ = made
    text = report.report_html(store, run_id)
    assert "The poster" in text and "after training on one poster of" in text and "by inner steps" in text
    assert all(f"<th>{steps}</th>" in text for steps in ("9", "18", "30", "60 (last)"))


def test_script_changes_images_as_flip_rotate_does(tmp_path):
    script = train_script(
        StudentConfig(name="mlp"),
        GREY,
        3,
        Recipe(1, 1, 0.1),
        PLAIN,
        Training("adam", 1, batch_size=2, is_augmented=True),
        augmentation="flip_rotate",
    )
    assert "    operations = [(flip, 1), (rotate, 1)]\n    operations = [operations[torch.randint(" in script
    assert "net(changed(inputs[chosen]))" in script
    npz = packed(
        inputs=np.zeros((3, 1, 8, 8), np.float32),
        targets=np.arange(3),
        class_names=np.array(GREY.class_names),
        mean=np.zeros(1, np.float32),
        std=np.ones(1, np.float32),
    )
    program = program_of(script, npz, tmp_path)
    batch, numbers = torch.rand(3, 1, 8, 8), torch.tensor([[0.1], [0.5], [0.9]])
    for place, name in enumerate(("flip", "rotate")):
        drawn = {"rand": lambda *shape: numbers, "randint": lambda *bounds, place=place: place}
        program["torch"] = types.SimpleNamespace(**vars(torch) | drawn)
        expected = augmentation("flip_rotate").apply(batch, (Step(name, numbers),))
        assert torch.equal(program["changed"](batch), expected)


@pytest.mark.parametrize(
    ("is_augmented", "batch"),
    [(True, "changed(inputs[chosen])"), (False, "inputs[chosen] if is_stored else changed(inputs[chosen])")],
)
def test_random_batches_are_augmented_in_the_script_where_the_set_was_made_so(is_augmented, batch):
    training = Training("sgd", 7, batch_size=2, is_augmented=is_augmented)
    script = train_script(StudentConfig(name="mlp"), GREY, 3, Recipe(1, 1, 0.1), PLAIN, training, augmentation="flip")
    assert f"net({batch})" in script
    compile(script, "train.py", "exec")


def test_random_batches_of_the_script_are_samples_without_repetition_at_the_one_rate(tmp_path):
    training = Training("sgd", 7, batch_size=2)
    script = train_script(StudentConfig(name="mlp"), GREY, 3, Recipe(1, 1, 0.1), PLAIN, training)
    npz = packed(
        inputs=np.zeros((3, 1, 8, 8), np.float32),
        targets=np.arange(3),
        class_names=np.array(GREY.class_names),
        mean=np.zeros(1, np.float32),
        std=np.ones(1, np.float32),
        learned_rates=np.array([0.25], np.float32),
    )
    steps = list(program_of(script, npz, tmp_path)["drawn"]())
    assert len(steps) == 7 and {rate for _, rate in steps} == {0.25}
    assert all(len(set(chosen.tolist())) == 2 for chosen, _ in steps)


def test_script_whitens_each_image_as_the_set_was(tmp_path):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (50, 1, 8, 8), generator=generator, dtype=torch.uint8)
    images[0] = 7  # of one colour
    whitening = last(zca.fit_per_image(images, 0.1))
    preparation = Preparation("zca_podd", torch.zeros(1), torch.ones(1), whitening)
    script = train_script(StudentConfig(name="mlp"), GREY, 3, Recipe(1, 1, 0.1), preparation, Training("sgd", 1))
    assert max(map(len, script.splitlines())) <= 120
    npz = packed(
        inputs=np.zeros((3, 1, 8, 8), np.float32),
        targets=np.arange(3),
        class_names=np.array(GREY.class_names),
        **normalisation(preparation),
    )
    program = program_of(script, npz, tmp_path)
    for number in range(3):
        Image.fromarray(images[number, 0].numpy()).save(tmp_path / f"{number}.png")
        read = program["read"](tmp_path / f"{number}.png")
        assert torch.allclose(read, preparation.forward(images[number : number + 1])[0], atol=1e-4)


def last(events):
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
