"""Images with representations are exported as pictures, as arrays, and as a program that pre-trains and probes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from draining import drained
from PIL import Image
from representation_runs import CONFIG, MEANS, digits, finished, write_images

from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.data.source import LabelledSet
from engine.data.transforms.optimal import optimal
from engine.data.transforms.predefined import NAMES, OPTIMAL, Predefined, optimal_ones, predefined
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.pretrain import of_pairs, pretrain
from engine.evaluation.probing.probe import features_of, linear_probe, share_right
from engine.figures.grids import grid_image
from engine.nets import make_encoder
from engine.runs import export
from engine.runs.programs import CHANGES, expression, sources
from engine.runs.store import Store
from engine.synthetic.base import load

NAMED = [
    "README.txt",
    "train.py",
    "distilled.npz",
    "result.safetensors",
    "grid.png",
    "scores.csv",
    "report.html",
    "request.json",
]
PRINTED = re.compile(r"accuracy (\d+\.\d) % on (\d+) images\n")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Store, str, Path]:
    """A store, its run, and the folder it was exported to."""
    root = tmp_path_factory.mktemp("representations")
    store = Store(root / "runs")
    run_id = finished(store)
    export.export(store, run_id, root / "out")
    return store, run_id, root / "out"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path, int]:
    """Folders of labelled images and of test images, and how many these are."""
    root = tmp_path_factory.mktemp("images")
    write_images(root / "labelled", "train")
    return root / "labelled", root / "test", write_images(root / "test", "test")


@pytest.fixture(scope="module")
def probed(exported) -> float:
    """The accuracy that the engine's own pre-training and probe give with the same set."""
    store, run_id, _ = exported
    synthetic, splits = load(store.result(run_id)), digits()
    config = ProbingConfig(**CONFIG["probing"])
    encoder = make_encoder(StudentConfig(name="mlp"), splits.spec, synthetic.num_dims)
    draw = of_pairs(LabelledSet.as_is(*synthetic.pairs()), config.pretrain_batch, Context().stream("draw"))
    *_, theta = pretrain(encoder, encoder.init(Context().stream("start")), draw, config, config.pretrain_steps)
    known, queries = (
        drained(features_of(lambda inputs: encoder(theta, inputs), data, ""))[1] for data in (splits.train, splits.test)
    )
    probe = linear_probe(known, splits.train.targets, 10, config, Context().stream("probe"))
    return share_right(probe(queries).argmax(1), splits.test.targets)


def run_here(script: Path, *arguments: str) -> None:
    before = sys.argv
    sys.argv = [str(script), *arguments]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


def test_every_file_is_written_and_no_picture_has_a_class(exported):
    _, _, out = exported
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {*NAMED, "bases.png", *(f"images/{number:03}.png" for number in range(60))}
    said = (out / "README.txt").read_text()
    assert all(name in said for name in [*NAMED[1:], "bases.png", "images/"]) and "without labels" in said
    with Image.open(out / "images" / "003.png") as picture:
        facts = json.loads(picture.text["distillery"])
        assert np.array_equal(np.asarray(picture), np.load(out / "distilled.npz")["images"][3, :, :, 0])
    assert "label" not in facts and facts["request"]["method"] == "selfsup" and facts["result_step"] == 40


def test_arrays_hold_the_pairs_and_what_they_are_made_of(exported):
    store, run_id, out = exported
    synthetic = load(store.result(run_id))
    arrays = np.load(out / "distilled.npz", allow_pickle=False)
    inputs, representations = synthetic.materialise()
    assert np.array_equal(arrays["inputs"], inputs.numpy())
    assert np.array_equal(arrays["representations"], representations.numpy()) and "targets" not in arrays
    for name, value in synthetic.state_dict().items():
        assert np.array_equal(arrays[name], value.numpy()), name
    assert arrays["augmentations"].tolist() == [*NAMES[:-1], *OPTIMAL[:2]]
    rebuilt = [
        Predefined(name, tuple(json.loads(numbers)))
        for name, numbers in zip(arrays["augmentations"], arrays["augmentation_numbers"], strict=True)
    ]
    assert tuple(rebuilt) == synthetic.augmentations
    assert (arrays["rate"], arrays["num_steps"], arrays["batch_size"]) == (np.float32(0.1), 150, 64)
    small = arrays["image_coefficients"] @ arrays["image_bases"] + arrays["image_mean"]
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(small).view(60, *arrays["basis_shape"]), (8, 8), mode="bilinear"
    )
    torch.testing.assert_close(enlarged, inputs)
    pixels = 255 * (arrays["inputs"] * arrays["std"][:, None, None] + arrays["mean"][:, None, None])
    assert np.abs(pixels.round().clip(0, 255)[:, 0] - arrays["images"][..., 0]).max() <= 1


def test_picture_of_bases_is_the_grid_of_them_all(exported):
    store, run_id, out = exported
    bases = load(store.result(run_id)).views()["bases"]
    with Image.open(out / "bases.png") as picture:
        assert len(bases) == 20 and np.array_equal(np.asarray(picture), np.asarray(grid_image(bases, theme="page")))


def test_scores_have_transfers_and_likeness_too(exported):
    lines = list(csv.DictReader((exported[2] / "scores.csv").open(newline="")))
    assert {line["metric"] for line in lines} == {"accuracy", "accuracy@mnist", "cosine", "cka"}
    assert {line["arm"] for line in lines} == set(MEANS)


@pytest.mark.slow
def test_script_alone_pretrains_and_probes_as_the_engine_does(exported, folders, probed, tmp_path):
    labelled, test, count = folders
    # -I: neither this folder nor PYTHONPATH is looked into, so that only installed packages can be imported
    command = [sys.executable, "-I", str(exported[2] / "train.py"), str(labelled), str(test)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = PRINTED.fullmatch(done.stdout)
    accuracy = float(printed[1]) / 100
    assert int(printed[2]) == count and probed > 0.6
    assert abs(accuracy - probed) < 0.08, f"{accuracy} by the script, {probed} by the engine"


def test_script_says_what_was_recorded_and_imports_nothing_of_this_project(exported):
    text = (exported[2] / "train.py").read_text()
    assert "train.py LABELLED_FOLDER TEST_FOLDER   (recorded on the data set, with all labelled images: 80.5 ±" in text
    assert "60 distilled images" in text and "24 outputs" in text
    found = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert found == {"__future__", "math", "sys", "pathlib", "typing", "numpy", "torch", "PIL", "unicodedata"}
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 28, 28)])
def test_script_augments_images_as_the_set_does(name, shape):
    strengths = {"jitter": (0.8,), "crop_scale": (0.4,), "blur_kernel": (5,), "blur_sigma": (1.7,), "hue": (0.2,)}
    (change,) = predefined((name,), **strengths, seed=3)
    shape = (3, 28, 28) if name == "hue" else shape
    inputs = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    program: dict = {"torch": torch, "F": torch.nn.functional, "math": math, "inputs": inputs}
    exec("from __future__ import annotations\n" + sources(*[CHANGES[name]] if name in CHANGES else []), program)
    found = eval(expression(change), program)
    torch.testing.assert_close(found, change(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_script_makes_the_optimal_images_that_the_set_does(kernel):
    way = {"kernel": kernel, "gamma": 1e-3, "ridge": 0.7, "preimage_ridge": 0.2}
    inputs, targets = (
        torch.randn(20, *shape, generator=torch.Generator().manual_seed(0)) for shape in ((3, 9, 9), (6,))
    )
    program: dict = {"torch": torch, "math": math, "NamedTuple": NamedTuple, "inputs": inputs, "targets": targets}
    exec("from __future__ import annotations\n" + sources(optimal), program)
    for change in optimal_ones(3, **way):
        found = eval(expression(change), program)
        torch.testing.assert_close(found, change(inputs, targets), rtol=1e-5, atol=1e-5)


def test_script_trains_on_the_pairs_of_the_set(exported):
    """Up to the training, the program has the inputs and the representations that `pairs` gives."""
    store, run_id, out = exported
    text = (out / "train.py").read_text()
    before, _, after = text.partition("if len(sys.argv) != 3")
    augmented = after[after.index("coefficients, bases") : after.index("net = nn.Sequential(")]
    program: dict = {"__file__": str(out / "train.py")}
    exec(before + augmented, program)
    inputs, targets = load(store.result(run_id)).pairs()
    torch.testing.assert_close(program["inputs"], inputs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(program["targets"], targets, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name a folder of labelled images and one of test images, each with one sub-folder per class"),
        (("{labelled}",), "python train.py LABELLED_FOLDER TEST_FOLDER"),
        (("{labelled}", "nowhere"), "Name a folder of labelled images"),
        (("{labelled}", "{unknown}"), "has no folder 'eleven', which is in"),
        (("{labelled}", "{empty}"), "There are no images in the sub-folders"),
    ],
)
def test_what_is_wrong_with_the_folders_is_said_in_a_sentence(exported, folders, tmp_path, arguments, sentence):
    (tmp_path / "unknown" / "eleven").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "unknown" / "eleven" / "a.png")
    (tmp_path / "empty" / "1").mkdir(parents=True)
    places = {"labelled": folders[0]} | {name: tmp_path / name for name in ("unknown", "empty")}
    with pytest.raises(SystemExit) as ended:
        run_here(exported[2] / "train.py", *(argument.format(**places) for argument in arguments))
    assert sentence in str(ended.value)


def test_whole_pairs_are_exported_without_bases(store, folders, tmp_path, capsys):
    brief = CONFIG["probing"] | {"pretrain_steps": 3, "probe_epochs": 2}
    run_id = finished(store, config=CONFIG | {"parameterisation": "full", "probing": brief})
    export.export(store, run_id, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "bases.png" not in names and "bases" not in (tmp_path / "out" / "README.txt").read_text()
    arrays = np.load(io.BytesIO(export.one(store, run_id, "distilled.npz")), allow_pickle=False)
    assert arrays["representations"].shape == (60, 24) and "image_bases" not in arrays
    run_here(tmp_path / "out" / "train.py", str(folders[1]), str(folders[1]))
    assert PRINTED.fullmatch(capsys.readouterr().out)
