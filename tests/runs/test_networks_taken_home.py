"""A finished self-supervised run gives its networks away: program and weights say what the engine says, alone."""

from __future__ import annotations

import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from draining import drained
from representation_runs import digits, write_images
from safetensors.torch import load_file, save_file

from engine.core.config import RunRequest
from engine.core.context import Context
from engine.data.torchvision_compat import models
from engine.data.transforms import zca
from engine.data.transforms.preparation import Preparation
from engine.evaluation.probing import comparison as probing_comparison
from engine.methods.selfsup.config import SelfsupConfig
from engine.pretrained.teachers import load_or_train
from engine.pretrained.teachers.networks import PixelInputs, Stem
from engine.runs import export
from engine.runs.exported import normalisation
from engine.runs.programs import PREPARED, filled
from engine.runs.store import Store
from engine.runs.worker import execute

CONFIG = {
    "student": {"name": "convnet", "depth": 2, "width": 8, "norm": "batch"},
    "num_images": 20,
    "parameterisation": "full",
    "outer_steps": 2,
    "num_validations": 0,
    "pool_size": 1,
    "pool_steps": 2,
    "probing": {"pretrain_steps": 5, "probe_epochs": 2, "neighbours": 0},
}
TRAINED = {"num_dims": 8, "depth": 2, "width": 8, "epochs": 1, "steps_per_epoch": 3, "batch_size": 64}


def small_resnet(path: Path) -> dict:
    """Settings of a teacher whose weights are those of a ResNet with a 3 x 3 stem."""
    torch.manual_seed(0)
    network = models.resnet18()
    network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    with torch.no_grad():
        network(torch.rand(8, 3, 16, 16))
    save_file(dict(network.state_dict()), path)
    return {"kind": "torchvision", "file": str(path)}


@pytest.mark.parametrize("teacher", ["trained here", "of torchvision"])
def test_features_of_the_program_are_those_of_the_run(tmp_path, monkeypatch, capsys, teacher):
    settings = TRAINED if teacher == "trained here" else small_resnet(tmp_path / "own.safetensors")
    config, store = CONFIG | {"teacher": settings}, Store(tmp_path / "runs")
    evaluation = {"num_students": 2, "compare_full": False}
    asked = RunRequest(source="digits", method="selfsup", config=config, evaluation=evaluation)
    networks, features_of = {}, probing_comparison.features_of

    def watched(represent, data, phase):
        networks.setdefault(phase, represent)  # the first student is one on the distilled pairs
        return features_of(represent, data, phase)

    monkeypatch.setattr(probing_comparison, "features_of", watched)
    run_id = store.submit(asked, status="running")
    execute(store, run_id)
    assert store.run(run_id).status == "done", store.run(run_id).error
    splits, context = digits(), Context(cache_root=store.root / "cache")
    of_run = {"teacher": drained(load_or_train(splits, SelfsupConfig(**config).teacher, context))[1].represent}
    of_run["student"] = networks["compute features of test images"]

    out = tmp_path / "out"
    export.export(store, run_id, out)
    write_images(tmp_path / "test", "test")
    images = [str(tmp_path / "test")] * 2
    for name, represent in of_run.items():
        monkeypatch.setattr(sys, "argv", ["train.py", *images, name])
        program = runpy.run_path(str(out / "train.py"), run_name="__main__")
        assert "accuracy" in capsys.readouterr().out
        places = torch.tensor([int(path.stem) for path, _ in program["tests"]])
        with torch.no_grad():
            ours = represent(splits.test.batch(places)[0])
        theirs = program["features"](program["tests"])
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5 * ours.abs().max().item())
        alone = program["features"](program["tests"][:1])
        torch.testing.assert_close(alone, theirs[:1], rtol=1e-4, atol=1e-5)
    assert "running_mean" in " ".join(load_file(out / "student.safetensors"))
    said = (out / "README.txt").read_text()
    assert all(f"TEST_FOLDER {name}" in said for name in of_run)
    assert export.one(store, run_id, "student.safetensors") == (out / "student.safetensors").read_bytes()
    command = [sys.executable, "-I", str(out / "train.py"), *images, "student"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0 and "accuracy" in done.stdout, done.stderr


def test_a_taken_encoder_may_teach_another_run(tmp_path):
    """The exported teacher is a weights file like any other."""
    splits, teach = digits(), partial(load_or_train, context=Context(cache_root=tmp_path / "cache"))
    config = SelfsupConfig(**CONFIG, teacher=TRAINED).teacher
    _, one = drained(teach(splits, config))
    weights = {name: value.contiguous() for name, value in one.network.state_dict().items()}
    save_file(weights, tmp_path / "teacher.safetensors")
    settings = config.model_copy(update={"kind": "file", "file": str(tmp_path / "teacher.safetensors")})
    _, other = drained(teach(splits, settings))
    inputs = splits.test.batch(torch.arange(9))[0]
    torch.testing.assert_close(one.represent(inputs), other.represent(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["standard", "unit", "zca", "zca_podd"])
@pytest.mark.parametrize("stem", [Stem(), Stem(3, 3), Stem(3, 1)])
def test_the_program_gives_a_resnet_the_pixels_that_the_engine_does(kind, stem):
    pixels = torch.rand(40, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    images = (255 * pixels).to(torch.uint8)
    fit = {"zca": zca.fit, "zca_podd": zca.fit_per_image}.get(kind)
    whitening = drained(fit(images, 0.1))[1] if fit else None
    mean, std = (images / 255).mean((0, 2, 3)), (images / 255).std((0, 2, 3))
    preparation = Preparation(kind, mean, std, whitening)
    seen = PixelInputs(preparation, stem)
    values = {"STEM_CHANNELS": stem.channels, "STEM_MEAN": seen.mean.tolist(), "STEM_STD": seen.std.tolist()}
    values |= {"is_resnet": True, PREPARED[type(whitening)]: True, "SIDE": seen.side}
    text = filled("representations", reading="", network="", statistics="", **values)
    data = normalisation(preparation)
    program: dict = {"nn": torch.nn, "F": torch.nn.functional, "torch": torch, "data": data}
    program |= {name: torch.from_numpy(data[name])[:, None, None] for name in ("mean", "std") if name in data}
    if "zca_mean" in data:
        program["mean"] = torch.from_numpy(data["zca_mean"])
    exec(text[text.index("class Pixels") : text.index("ways = ")], program)
    inputs = preparation.forward(images)
    torch.testing.assert_close(program["Pixels"]()(inputs), seen(inputs), rtol=1e-4, atol=1e-4)
