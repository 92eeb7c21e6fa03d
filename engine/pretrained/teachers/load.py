"""Training a teacher, or taking it from where an earlier run left it.

A teacher is named by everything it depends on: data and their preparation, and its own settings. Runs of any seed share it. What
is trained stays: a stop loses the epoch under way, a broken file is named and made again.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as bytes_from_tensors
from torch import nn

from engine.core import checkpoint
from engine.core.checkpoint import write_atomically
from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Event, Progress, Scored, TeacherEpoch, Warned
from engine.core.options import in_effect
from engine.core.progress import paced, ticking
from engine.data.source import LabelledSet, Splits
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.probe import features_of, knn, linear_probe, share_right
from engine.evaluation.scores import HEADLINE, LINEAR_PROBE
from engine.pretrained.recording import MANIFEST, hash_of, locked, taken
from engine.pretrained.teachers import networks, train
from engine.pretrained.teachers.config import TRAINED, TeacherConfig
from engine.pretrained.teachers.store import STATE, WEIGHTS, Manifest, Point, Probed, folder_of, read_manifest
from engine.pretrained.teachers.teacher import Teacher
from engine.pretrained.teachers.train import Networks, Standing

RECIPE = 1
"""Part of every key; raise it when teachers are trained otherwise from the same settings."""
NEIGHBOURS = 20
KNOWN_IMAGES, ASKED_IMAGES = 2500, 1000
"""Training and validation images, always the same, for the nearest neighbours after every epoch."""
PROBED_IMAGES = 10_000
"""Training images, always the same, that the scale and the linear probe at the end are fitted on."""
_NAMES = {"barlow_twins": "Barlow Twins", "simclr": "SimCLR"}


def title_of(config: TeacherConfig) -> str:
    """What people call a teacher."""
    if config.kind == "imagenet":
        return "ResNet18 trained on ImageNet"
    network = "ResNet18" if config.network == "resnet18" else f"ConvNet-D{config.depth}, width {config.width}"
    return f"{network} from a file" if config.kind == "file" else f"{_NAMES[config.kind]}, {network}"


def num_dims(config: TeacherConfig) -> int:
    """Numbers of a representation."""
    return networks.IMAGENET_DIMS if config.kind == "imagenet" else config.num_dims


def key_of(splits: Splits, config: TeacherConfig) -> dict[str, Any]:
    """Everything that a teacher depends on. Raises ConfigError where its weights file cannot be read."""
    key = {"recipe": RECIPE, "data": splits.fingerprint, "teacher": in_effect(config)}
    if config.kind == "file":
        *_, digest = hash_of(networks.path_of(config.file))
        key["teacher"] |= {"file": digest}
    return key


def load_or_train(splits: Splits, config: TeacherConfig, context: Context) -> Generator[Event, None, Teacher]:
    """The teacher of a config: taken from the cache, or trained, or read from its weights, and kept there.

    Yields TeacherEpoch for every epoch, Scored for its linear probe on validation and test images (`cached` both, where they were
    measured earlier), Progress while something takes long, and Warned for a broken file.
    Raises ConfigError where images or a weights file do not fit the network, DataError where torchvision's weights cannot be had,
    Diverged where training does, OSError where the disk refuses: the epochs done until then stay.
    """
    folder = folder_of(key_of(splits, config), context.cache_root)
    preparation = getattr(splits, "preparation", None)
    to_pixels = nn.Identity() if preparation is None else preparation.inverse
    network = networks.make_network(config, splits.spec, to_pixels, context.device)
    manifest = yield from _known(folder, splits, config)
    if manifest is None:
        manifest = yield from _made_alone(network, splits, config, context, folder)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Teacher(
        manifest.title, manifest.num_dims, folder.name, network, manifest.scale,
        {
            "num_params": manifest.num_params,
            "num_epochs": manifest.num_epochs,
            "knn_accuracy": manifest.curve[-1]["knn_accuracy"] if manifest.curve else None,
            "probe_accuracy": manifest.accuracy("validation"),
            "seconds": manifest.seconds,
        },
    )  # fmt: skip


def _known(folder: Path, splits: Splits, config: TeacherConfig) -> Generator[Event, None, Manifest | None]:
    """The manifest of a teacher that is complete and sound, its epochs and scores told; None where there is none."""
    manifest = read_manifest(folder)
    if manifest is None and (folder / MANIFEST).exists():
        yield Warned(f"{folder.name}/{MANIFEST} of the teacher is damaged. The teacher is made again.")
    if manifest is None or not manifest.hash:
        return None
    problem = yield from _problem(folder / WEIGHTS, manifest.hash)
    if problem:
        yield Warned(f"The teacher's file {folder.name}/{WEIGHTS} {problem}. The teacher is made again.")
        return None
    for point in manifest.curve:
        yield TeacherEpoch(num_epochs=manifest.num_epochs, cached=True, **point)
    yield from _scored(manifest, splits, config, cached=True)
    return manifest


def _problem(path: Path, digest: str) -> Generator[Event, None, str]:
    """What is wrong with a teacher's file, as the end of a sentence; "" where it is sound."""
    if not path.exists():
        return "is missing"
    total = max(1, path.stat().st_size)
    if (yield from paced("check the teacher", hash_of(path), total)) != digest:
        return "is damaged: it is not what was kept"
    return ""


def _made_alone(
    network: nn.Module, splits: Splits, config: TeacherConfig, context: Context, folder: Path
) -> Generator[Event, None, Manifest]:
    """Make a teacher while no other process makes it; one that was made meanwhile is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as take:
        has_waited = yield from taken(take, "wait for the teacher that another run trains")
        known = (yield from _known(folder, splits, config)) if has_waited else None
        return known or (yield from _made(network, splits, config, context, folder))


def _made(
    network: nn.Module, splits: Splits, config: TeacherConfig, context: Context, folder: Path
) -> Generator[Event, None, Manifest]:
    """Give a network its weights and statistics, measure it and keep it."""
    manifest = Manifest(
        key_of(splits, config), splits.title, title_of(config), num_dims(config), sum(p.numel() for p in network.parameters()),
        config.epochs if config.kind in TRAINED else 0,
    )  # fmt: skip
    if config.kind in TRAINED:
        manifest.write(folder)
        curve = yield from _trained(network, splits, config, context, folder)
    else:
        curve = []
        yield from _brought(network, splits, config)
        manifest.write(folder)
    scale, probed = yield from _probed(network, splits, config)
    content = bytes_from_tensors({name: value.cpu().contiguous() for name, value in network.state_dict().items()})
    write_atomically(folder / WEIGHTS, content)
    *_, digest = hash_of(folder / WEIGHTS)
    manifest = manifest.completed(digest, scale, curve, probed)
    manifest.write(folder)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    yield from _scored(manifest, splits, config, cached=False)
    return manifest


def _brought(network: nn.Module, splits: Splits, config: TeacherConfig) -> Generator[Event, None, None]:
    """Load weights that were trained elsewhere, with their statistics or with those of these images."""
    if config.kind == "imagenet":
        found = yield from ticking("load torchvision's ImageNet weights", networks.imagenet_weights)
    else:
        found = networks.weights_from_file(config.file, network)
    network.load_state_dict(found, strict=False)
    if not any(name.endswith("running_mean") for name in found):
        yield from _fixed(network, splits.train)


def _trained(
    network: nn.Module, splits: Splits, config: TeacherConfig, context: Context, folder: Path
) -> Generator[Event, None, list[Point]]:
    """Train from where training was left; the network has the weights and statistics at its end. Returns its curve."""
    stream = Context(seed=config.seed).stream
    trainable = train.make_networks(config, splits.spec, context.device)
    known, asked = networks.sample(splits.train, KNOWN_IMAGES), networks.sample(splits.validation, ASKED_IMAGES)
    damage: list[str] = []
    found = checkpoint.load_latest(folder / STATE, damage.append)
    for message in damage:
        yield Warned(message)
    if found is None:
        standing, curve = Standing.of(trainable.init(stream("teacher", "start"))), []
        yield from _placed(network, trainable, standing, splits.train)
        accuracy = yield from _knn_accuracy(network, known, asked, splits.spec.num_outputs)
        curve.append({"epoch": 0, "train_loss": None, "knn_accuracy": accuracy, "seconds": 0.0})
        yield TeacherEpoch(num_epochs=config.epochs, **curve[0])
    else:
        standing, curve = _restored(found[1], context.device)
        for point in curve:
            yield TeacherEpoch(num_epochs=config.epochs, cached=True, **point)
        yield from _placed(network, trainable, standing, splits.train)
    steps = train.num_steps(config, len(splits.train))
    for number in range(len(curve) - 1, config.epochs):
        began = time.perf_counter()
        path = train.epoch(trainable, standing, splits, config, number, stream("teacher", "epoch", number))
        standing = yield from paced(f"train the teacher, epoch {number + 1} of {config.epochs}", path, steps)
        seconds = time.perf_counter() - began
        yield from _placed(network, trainable, standing, splits.train)
        accuracy = yield from _knn_accuracy(network, known, asked, splits.spec.num_outputs)
        loss = standing.loss / steps
        curve.append({"epoch": number + 1, "train_loss": loss, "knn_accuracy": accuracy, "seconds": seconds})
        checkpoint.save(folder / STATE, number + 1, _state(standing, curve))
        yield TeacherEpoch(num_epochs=config.epochs, **curve[-1])
    return curve


def _state(standing: Standing, curve: list[Point]) -> dict[str, Any]:
    """Where a training stands, for a checkpoint."""
    return {
        "theta": standing.theta,
        "first": standing.first,
        "second": standing.second,
        "step": standing.step,
        "curve": json.dumps(curve),
    }


def _restored(state: dict[str, Any], device: torch.device) -> tuple[Standing, list[Point]]:
    """What `_state` kept."""
    theta, first, second = (state[name].to(device) for name in ("theta", "first", "second"))
    return Standing(theta, first, second, state["step"]), json.loads(state["curve"])


def _placed(
    network: nn.Module, trainable: Networks, standing: Standing, train_set: LabelledSet
) -> Generator[Event, None, None]:
    """Give the network the encoder's weights as they are now, and statistics to go with them."""
    encoder = trainable.encoder
    networks.put_weights(network, encoder.unflatten(trainable.of_encoder(standing.theta)))
    yield from _fixed(network, train_set)


def _fixed(network: nn.Module, train_set: LabelledSet) -> Generator[Event, None, None]:
    data = networks.sample(train_set, networks.SAMPLE)
    yield Progress("fix the teacher's statistics", 0, 1)
    if networks.has_statistics(network):
        pieces = networks.num_pieces(data)
        yield from paced("fix the teacher's statistics", networks.fix_statistics(network, data), pieces)


def _knn_accuracy(
    network: nn.Module, known: LabelledSet, asked: LabelledSet, num_classes: int
) -> Generator[Event, None, float]:
    """The share of images that their nearest neighbours among known ones name rightly."""
    phase = "look for nearest neighbours"
    features = yield from features_of(network, known, phase)
    queries = yield from features_of(network, asked, phase)
    return share_right(knn(features, known.targets, queries, NEIGHBOURS, num_classes), asked.targets)


def _probed(
    network: nn.Module, splits: Splits, config: TeacherConfig
) -> Generator[Event, None, tuple[float, list[Probed]]]:
    """The scale of the representations, and the accuracy of a linear probe of them on validation and test images.

    Raises Diverged where all images have the same representation.
    """
    known = networks.sample(splits.train, PROBED_IMAGES)
    features = yield from features_of(network, known, "represent training images")
    variance = features.var(0, correction=0).mean().item()
    if not math.isfinite(variance) or variance <= 0:
        raise Diverged(
            "The teacher says the same of all images, or nothing that is a number. Lower the teacher's learning rate, or bring other weights.",
            quantity="teacher's representations", step=0,
        )  # fmt: skip
    scale = 1 / math.sqrt(variance)
    generator = Context(seed=config.seed).stream("teacher", "probe")
    num_classes = splits.spec.num_outputs
    fit = partial(linear_probe, features * scale, known.targets, num_classes, ProbingConfig(), generator)
    probe = yield from ticking("fit a linear probe of the teacher", fit)
    probed: list[Probed] = []
    for split in ("validation", "test"):
        data = getattr(splits, split)
        theirs = yield from features_of(network, data, f"represent {split} images")
        probed.append({"split": split, "accuracy": share_right(probe(theirs * scale).argmax(1), data.targets)})
    return scale, probed


def _scored(manifest: Manifest, splits: Splits, config: TeacherConfig, *, cached: bool) -> Generator[Event, None, None]:
    """The scores of a manifest as events."""
    images = min(PROBED_IMAGES, len(splits.train))
    recipe = f"{manifest.title}; linear probe of its representations of {images:,} training images"
    for found in manifest.probed:
        yield Scored(
            arm="teacher",
            protocol=LINEAR_PROBE,
            student="resnet18" if config.kind == "imagenet" else config.network,
            seed=config.seed,
            metric=HEADLINE,
            value=found["accuracy"],
            seconds=manifest.seconds,
            split=found["split"],
            num_samples=len(splits.train),
            num_bytes=splits.train.raw_bytes - len(splits.train),
            recipe=recipe,
            cached=cached,
        )
