"""What is exported opens in the program it is for, says where it comes from, and appears whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import distilled, failed, stopped
from store_tools import rebuild

import engine
from engine.cli.main import main
from engine.core.errors import RunError
from engine.core.events import Scored
from engine.data.images import FolderSource, ImportOptions
from engine.runs import export, exported
from engine.runs.store import Store

NAMES = [
    "README.txt",
    "train.py",
    "distilled.npz",
    "result.safetensors",
    "grid.png",
    "scores.csv",
    "report.html",
    "request.json",
    "student.safetensors",
]


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory) -> Path:
    store, run_id = finished
    to = tmp_path_factory.mktemp("exported") / "result"
    export.export(store, run_id, to)
    return to


def test_every_file_is_written_and_named(finished, tmp_path):
    store, run_id = finished
    paths = export.export(store, run_id, tmp_path / "deep" / "out")
    names = [str(path.relative_to(tmp_path / "deep" / "out")) for path in paths]
    assert names == NAMES + [f"images/{number:03}-{number}.png" for number in range(10)]
    assert all(path.stat().st_size for path in paths)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    said = (tmp_path / "deep" / "out" / "README.txt").read_text()
    assert all(name in said for name in [*NAMES[1:], "images/"])


def test_pictures_carry_the_request_and_the_steps_really_run(folder):
    for path in (folder / "grid.png", folder / "images" / "003-3.png"):
        with Image.open(path) as picture:
            picture.load()
            said = json.loads(picture.text["distillery"])
        assert said["request"]["config"]["outer_steps"] == 40
        assert (said["steps_run"], said["total_steps"], said["status"]) == (40, 40, "done")
        assert said["result_step"] in range(1, 41) and re.fullmatch(r"\d+\.\d+\.\d+", said["version"])


def test_single_images_have_their_own_size_and_the_sets_pixels(folder):
    arrays = np.load(folder / "distilled.npz", allow_pickle=False)
    for number, image in enumerate(arrays["images"]):
        with Image.open(folder / "images" / f"{number:03}-{number}.png") as picture:
            assert np.array_equal(np.asarray(picture), image[:, :, 0])


def test_arrays_hold_the_set_its_schedule_and_its_normalisation(finished, folder):
    store, run_id = finished
    synthetic = engine.load(store.result(run_id))
    arrays = np.load(folder / "distilled.npz", allow_pickle=False)
    inputs, targets = synthetic.materialise()
    assert np.array_equal(arrays["inputs"], inputs.numpy()) and np.array_equal(arrays["targets"], targets.numpy())
    assert list(arrays["class_names"]) == list("0123456789") and arrays["images"].dtype == np.uint8
    for step, order, rate in zip(synthetic.batches(), arrays["batch_order"], arrays["learned_rates"], strict=True):
        assert np.array_equal(arrays["inputs"][order], step.inputs.detach().numpy()) and rate == step.lr.item()
    pixels = arrays["inputs"] * arrays["std"][:, None, None] + arrays["mean"][:, None, None]
    shown = (255 * pixels).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert np.abs(shown.astype(int) - arrays["images"]).max() <= 1


def test_whitening_soft_labels_and_several_batches_are_in_the_arrays(store, tmp_path):
    config = {
        "student": {"name": "mlp"},
        "ipc": 2,
        "num_batches": 2,
        "passes": 2,
        "labels": "soft",
        "outer_steps": 2,
        "real_batch": 16,
    }
    run_id = distilled(
        store,
        config=config,
        data={"zca": True},
        evaluation={"num_students": 1, "ordinary_steps": 2, "compare_full": False},
    )
    arrays = np.load(io.BytesIO(export.one(store, run_id, "distilled.npz")), allow_pickle=False)
    assert str(arrays["normalisation"]) == "zca" and arrays["targets"].shape == (20, 10)
    assert np.allclose(arrays["targets"].sum(1), 1, atol=1e-5)
    assert arrays["batch_order"].tolist() == [list(range(10)), list(range(10, 20))] * 2
    pixels = arrays["inputs"].reshape(20, -1) @ arrays["zca_backward"] + arrays["zca_mean"]
    shown = (255 * pixels).round().clip(0, 255).reshape(20, 8, 8, 1)
    assert np.abs(shown - arrays["images"]).max() <= 1
    assert np.allclose(
        (pixels - arrays["zca_mean"]) @ arrays["zca_forward"], arrays["inputs"].reshape(20, -1), atol=1e-3
    )


def test_scores_have_a_line_a_student(finished, folder):
    store, run_id = finished
    lines = list(csv.DictReader((folder / "scores.csv").open(newline="")))
    scores = store.scores(run_id)
    assert len(lines) == len(scores) > 10
    for line, score in zip(lines, scores, strict=True):
        assert (line["arm"], line["protocol"], int(line["seed"])) == (score.arm, score.protocol, score.seed)
        assert float(line["value"]) == score.value and line["recipe"] == score.recipe


def test_no_cell_of_the_scores_starts_a_formula(finished, store):
    run_id = stopped(store, _copied(finished, store))
    for start in "=+-@\t\r":
        store.append(
            run_id,
            [
                Scored(
                    f"{start}arm", "ordinary", f"{start}cmd|' /C calc'!A0", 0, "accuracy", 0.5, 0.1, recipe=f"{start}1"
                )
            ],
        )
    lines = list(csv.reader(io.StringIO(export.one(store, run_id, "scores.csv").decode(), newline="")))
    cells = [cell for line in lines for cell in line]
    assert len(lines) == 7 and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("ended", [stopped, failed])
def test_run_that_ended_early_is_exported_with_what_it_has(finished, store, tmp_path, ended):
    run_id = ended(store, _copied(finished, store))
    export.export(store, run_id, tmp_path / "out")
    with Image.open(tmp_path / "out" / "grid.png") as picture:
        said = json.loads(picture.text["distillery"])
    assert (said["steps_run"], said["total_steps"]) == (7, 40)
    assert (tmp_path / "out" / "scores.csv").read_text().strip() == ",".join(export.COLUMNS)
    compile((tmp_path / "out" / "train.py").read_text(), "train.py", "exec")


def test_test_images_are_brought_to_size_as_an_imported_data_set_was(finished, monkeypatch):
    store, run_id = finished
    assert "image = image.resize((8, 8)" in export.one(store, run_id, "train.py").decode()
    imported = FolderSource.model_construct(title="Mine", options=ImportOptions(name="Mine", fit="crop"))
    monkeypatch.setattr(exported, "sources", lambda root: {"digits": imported})
    assert "image = ImageOps.fit(image, (8, 8)" in export.one(store, run_id, "train.py").decode()


def test_evaluation_is_exported_as_the_result_it_evaluates(finished, store):
    first = _copied(finished, store)
    short = {"num_students": 1, "ordinary_steps": 2, "compare_full": False}
    run_id = distilled(store, action="evaluate", start=first, evaluation=short)
    with Image.open(io.BytesIO(export.one(store, run_id, "grid.png"))) as picture:
        said = json.loads(picture.text["distillery"])
    assert said["steps_run"] == said["total_steps"] == said["result_step"] > 0
    assert export.one(store, run_id, "distilled.npz") == export.one(store, first, "distilled.npz")
    report = export.one(store, run_id, "report.html").decode()
    assert f"the result of run {first}" in report and "Curves" not in report


def test_zip_holds_the_same_files_in_one_folder_and_is_the_same_each_time(finished, folder):
    store, run_id = finished
    content = export.bundle(store, run_id)
    assert content == export.bundle(store, run_id)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert all(name.startswith(f"run-{run_id}/") and ".." not in name and "\\" not in name for name in names)
        for name in names:
            assert archive.read(name) == (folder / name.partition("/")[2]).read_bytes()
    assert len(names) == len([path for path in folder.rglob("*") if path.is_file()])


def test_full_disk_leaves_nothing_and_says_so(finished, tmp_path, monkeypatch):
    store, run_id = finished
    written = []
    write = Path.write_bytes

    def refuse_the_fourth(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse_the_fourth)
    with pytest.raises(RunError, match="cannot be exported to .*No space left on device.*Free some space"):
        export.export(store, run_id, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [] and len(written) == 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, RunError("The data set is gone.")])
def test_export_that_breaks_off_in_any_way_leaves_nothing(finished, tmp_path, monkeypatch, error):
    def broken_off(taken):
        raise error

    store, run_id = finished
    monkeypatch.setitem(export.FILES, "scores.csv", broken_off)
    with pytest.raises((KeyboardInterrupt, RunError)):
        export.export(store, run_id, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_holds_something_is_left_alone(finished, tmp_path):
    store, run_id = finished
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        export.export(store, run_id, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_run_without_a_result_says_so(store):
    run_id = store.submit(engine.RunRequest())
    with pytest.raises(RunError, match="has no result yet; it is queued"):
        export.bundle(store, run_id)
    assert "has no result yet" in export.refusal(store, run_id)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("T-shirt/top", "t-shirt-top"),
        ("../../etc/passwd", "etc-passwd"),
        ("Übergröße", "ubergroe"),
        ("猫", "class"),
        ("CON", "con"),
        ("a\0b", "a-b"),
        ("x" * 300, "x" * 40),
        ("  ", "class"),
    ],
)
def test_class_names_become_safe_file_names(name, safe):
    assert export.slug(name) == safe


def test_command_line_exports_a_folder_a_zip_and_a_report(finished, tmp_path, capsys, folder):
    store, run_id = finished
    runs = ("--runs", str(store.root))
    assert main(["export", run_id, "--to", str(tmp_path / "a"), *runs]) == 0
    assert (tmp_path / "a" / "distilled.npz").read_bytes() == (folder / "distilled.npz").read_bytes()
    assert main(["export", run_id, "--zip", "--to", str(tmp_path), *runs]) == 0
    assert zipfile.is_zipfile(tmp_path / f"run-{run_id}.zip")
    assert main(["report", run_id, "--to", str(tmp_path / "new" / "r.html"), *runs]) == 0
    assert (tmp_path / "new" / "r.html").read_bytes() == (folder / "report.html").read_bytes()
    capsys.readouterr()
    assert main(["report", run_id, "--to", str(tmp_path / "a"), *runs]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["export", "0099", "--to", str(tmp_path / "b"), *runs]) == 2


def test_targets_and_inputs_are_plain_tensors_for_torch(folder):
    arrays = np.load(folder / "distilled.npz", allow_pickle=False)
    assert torch.from_numpy(arrays["inputs"]).dtype == torch.float32
    assert torch.from_numpy(arrays["targets"]).dtype == torch.int64


def _copied(finished, store: Store) -> str:
    """The finished run as the first run of another store."""
    theirs, run_id = finished
    shutil.copytree(theirs.folder(run_id), store.root / run_id)
    rebuild(store)
    return run_id
