"""Weights that others trained: ResNets with torchvision's names, in the files and under the prefixes they come with."""

from __future__ import annotations

import os

import pytest
import torch
from draining import drained
from patterns import SPEC, toy_splits
from safetensors.torch import load_file, save_file
from teaching import config, teaching

from engine.core.errors import ConfigError
from engine.data.torchvision_compat import models
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.methods.selfsup.config import SelfsupConfig
from engine.nets import make_encoder
from engine.pretrained import store
from engine.pretrained.teachers.networks import PixelInputs, Stem

PREPARATION = Preparation("standard", torch.tensor([0.3]), torch.tensor([0.2]))


def splits():
    return ImageSplits(**vars(toy_splits(12)), preparation=PREPARATION)


def resnet(name="resnet18", *, is_small=False, channels=3):
    """A network whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    network = getattr(models, name)()
    if is_small:
        network.conv1, network.maxpool = torch.nn.Conv2d(channels, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    with torch.no_grad():
        network(torch.rand(4, channels if is_small else 3, 32, 32))
    return network.eval()


def expected(network, inputs):
    """What the network says of prepared inputs, without its last layer."""
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        return network(inputs)


def test_a_resnet_with_the_stem_of_small_images_is_found_in_a_checkpoint(tmp_path):
    network = resnet(is_small=True)
    weights = {f"module.backbone.{name}": value for name, value in network.state_dict().items()}
    weights |= {"module.projector.0.weight": torch.ones(3, 3), "module.momentum_backbone.conv1.weight": torch.ones(1)}
    moments = {number: {"momentum_buffer": torch.ones(1)} for number in range(60)}
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 100, "state_dict": weights, "optimizer": {"state": moments}}, path)
    _, teacher = drained(teaching(tmp_path, config(kind="torchvision", file=str(path)), splits()))
    assert teacher.title == "ResNet18 of torchvision from a file, 3 x 3 stem" and teacher.num_dims == 512
    inputs = splits().test.batch(torch.arange(3))[0]
    grey = (PREPARATION.inverse(inputs).clamp(0, 1) - 0.3) / 0.2  # as large as it is
    torch.testing.assert_close(
        teacher.represent(inputs), expected(network, grey.expand(-1, 3, -1, -1)) * teacher.scale, rtol=1e-4, atol=1e-4
    )


def test_a_resnet_with_the_stem_of_imagenet_sees_what_it_was_trained_on(tmp_path):
    network = resnet("resnet50")
    path = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    settings = config(kind="torchvision", file=str(path), resnet="resnet50")
    _, teacher = drained(teaching(tmp_path, settings, splits()))
    assert teacher.title == "ResNet50 of torchvision from a file, 7 x 7 stem"
    assert teacher.num_dims == SelfsupConfig(teacher=settings).num_dims == 2048
    inputs = splits().test.batch(torch.arange(2))[0]
    seen = PixelInputs(PREPARATION, Stem())(inputs)
    assert seen.shape == (2, 3, 64, 64)
    torch.testing.assert_close(teacher.represent(inputs), expected(network, seen) * teacher.scale, rtol=1e-3, atol=1e-3)


def test_grey_networks_and_files_without_statistics_come_in_too(tmp_path):
    network = resnet(is_small=True, channels=1)
    weights = {name: value for name, value in network.state_dict().items() if "running" not in name}
    save_file(weights, tmp_path / "grey.safetensors")
    settings = config(kind="torchvision", file=str(tmp_path / "grey.safetensors"))
    _, teacher = drained(teaching(tmp_path, settings, splits()))
    (folder,) = (tmp_path / "teachers").iterdir()
    kept = load_file(folder / "teacher.safetensors")
    assert kept["1.conv1.weight"].shape == (64, 1, 3, 3) and kept["1.bn1.running_var"].mean() != 1.0
    whole = teacher.represent(splits().test.batch(torch.arange(6))[0])
    alone = teacher.represent(splits().test.batch(torch.arange(1))[0])
    torch.testing.assert_close(alone, whole[:1], rtol=1e-4, atol=1e-5)


def test_a_network_of_this_program_may_come_in_a_pth_file_under_a_prefix(tmp_path):
    encoder = make_encoder(config().student(), SPEC, 6)
    own = encoder.unflatten(encoder.init(torch.Generator().manual_seed(3)))
    torch.save({f"encoder.{name}": value.clone() for name, value in own.items()}, tmp_path / "own.pt")
    drained(teaching(tmp_path, config(kind="file", file=str(tmp_path / "own.pt"))))
    (folder,) = (tmp_path / "teachers").iterdir()
    kept = load_file(folder / "teacher.safetensors")
    assert all(torch.equal(kept[name], own[name]) for name in own)


class Planted:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (
            lambda: resnet("resnet34").state_dict(),
            {},
            "It holds ResNet34 with torchvision's names; ResNet18 of torchvision is needed",
        ),
        (lambda: {"0.weight": torch.ones(4, 1, 3, 3)}, {}, "It holds tensors such as '0.weight' of shape (4, 1, 3, 3)"),
        (
            lambda: resnet().state_dict(),
            {"kind": "file"},
            "It holds ResNet18 with torchvision's names; ConvNet-D2, width 4 is needed. 'ResNet from a file' takes",
        ),
        (
            lambda: resnet().state_dict() | {"conv1.weight": torch.ones(64, 3, 5, 5)},
            {},
            "has no tensor 'conv1.weight' of",
        ),
        (lambda: {"model": 3}, {}, "holds no named tensors"),
        (lambda: torch.nn.Linear(2, 2), {}, "is damaged, or holds Python objects besides tensors"),
        (lambda: None, {}, "is damaged, or holds Python objects besides tensors"),
    ],
    ids=["other", "own", "kind", "stem", "numbers", "object", "text"],
)
def test_a_file_that_does_not_fit_says_what_it_holds_and_what_is_needed(tmp_path, content, changes, said):
    path = tmp_path / "some.pth"
    if (saved := content()) is None:
        path.write_text("no weights")
    else:
        torch.save(saved, path)
    with pytest.raises(ConfigError) as refused:
        drained(teaching(tmp_path, config(**({"kind": "torchvision", "file": str(path)} | changes)), splits()))
    assert said in str(refused.value) and "some.pth" in str(refused.value)
    assert "\n" not in str(refused.value) and not store.recordings(tmp_path)


def test_nothing_in_a_file_is_executed(tmp_path):
    path = tmp_path / "planted.pth"
    torch.save({"conv1.weight": torch.ones(1), "x": Planted(tmp_path / "executed")}, path)
    with pytest.raises(ConfigError, match="holds Python objects"):
        drained(teaching(tmp_path, config(kind="torchvision", file=str(path)), splits()))
    assert not (tmp_path / "executed").exists()
