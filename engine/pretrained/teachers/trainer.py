"""Training a teacher, or loading weights that were trained elsewhere, and measuring it.

The key holds the data, their preparation and the teacher's settings, so runs with different seeds share a teacher.
"""

import contextlib
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor, nn

from engine.core.checkpoint import write_atomically
from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Event, Scored, TeacherEpoch
from engine.core.options import in_effect
from engine.core.progress import ticking
from engine.data.source import Splits, TaskSpec
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.probe import features_of, knn, linear_probe, share_right
from engine.evaluation.scores import HEADLINE, LINEAR_PROBE
from engine.nets.statistics import SAMPLE, fix_statistics, pieces_of
from engine.nets.student import Student
from engine.pretrained import recording, store
from engine.pretrained.recording import Names, RecordingPlan, Trainer
from engine.pretrained.store import Manifest, Network, Point, Probed
from engine.pretrained.teachers import networks, train
from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.train import AdamWState

RECIPE = 2  # part of every key; raise it when the same settings come to train a teacher differently
LATER = {"hue", "blur_kernel"}  # options newer than stored teachers: in a key unless they have their defaults
NEVER = object()
NEIGHBOURS = 20
KNOWN_IMAGES, ASKED_IMAGES = 2500, 1000  # training and validation images for the nearest neighbours after every epoch
PROBED_IMAGES = 10_000  # training images that the scale and the linear probe are fitted on
TIMED_IMAGES = 125
PIECE = 64  # images per forward pass; bounds the memory of activations
FILE, TENSOR = "train.safetensors", "representations"  # the training images' representations, in the teacher's folder


@dataclass(frozen=True)
class Teacher:
    """A fixed function of each image, whose representations are distilled.

    network: prepared inputs (n, C, H, W) to (n, d). scale: factor that makes the mean variance of a dimension 1 over
    training images. digest: equal only if the representations are. summary: of a run that only trains a teacher.
    """

    title: str
    num_dims: int
    digest: str
    network: nn.Module
    scale: float
    summary: dict[str, Any]

    @torch.no_grad()
    def represent(self, inputs: Tensor) -> Tensor:
        """Representations (n, d) float32 of prepared inputs (n, C, H, W), without gradients."""
        return torch.cat([self.network(piece) for piece in inputs.split(PIECE)]) * self.scale


def load_or_train(splits: Splits, config: TeacherConfig, context: Context) -> Generator[Event, None, Teacher]:
    """The teacher of a config, trained or loaded now if it is missing from the store.

    Yields TeacherEpoch, Scored for its linear probe, Progress and Warned. Raises ConfigError if images or weights do
    not fit the network, DataError if weights cannot be loaded, Diverged, or OSError; finished epochs stay.
    """
    trainer = TeacherTrainer(splits, config, context)
    found = yield from recording.load_or_train(trainer)
    manifest, kept = found.manifest, found.manifest.networks[0]
    trainer.network.load_state_dict(load_file(found.folder / kept.file))
    summary = manifest.model_dump(include={"title", "num_dims", "num_params", "num_epochs"})
    summary |= {"probe_accuracy": kept.accuracy, "seconds": kept.seconds}
    summary["knn_accuracy"] = kept.curve[-1].accuracy if kept.curve else None
    return Teacher(manifest.title, config.output_dims, found.digest, trainer.network, kept.scale, summary)


def of_training(teacher: Teacher, splits: Splits, context: Context) -> Generator[Event, None, Tensor]:
    """Representations (N, d) float32 of the training images, in order, cached in the teacher's folder."""
    path = context.cache_root / "teachers" / teacher.digest / FILE
    with contextlib.suppress(OSError, SafetensorError):  # missing or damaged
        found = load_file(path).get(TENSOR)
        if found is not None and found.shape == (len(splits.train), teacher.num_dims):
            return found.to(context.device)
    found = yield from features_of(teacher.represent, splits.train, "represent the training images")
    write_atomically(path, bytes_from_tensors({TENSOR: found.cpu().contiguous()}))
    return found


def plan(config: TeacherConfig, spec: TaskSpec) -> RecordingPlan:
    """What a teacher takes if it is not in the store; needs no data."""
    with torch.device("meta"):
        network = networks.make_network(config, spec, None, "meta")
    num_bytes = networks.num_bytes(network)
    return RecordingPlan(1, num_bytes, missing_bytes=num_bytes)


def key_of(splits: Splits, config: TeacherConfig) -> dict[str, Any]:
    """Everything that a teacher depends on. Raises ConfigError if its weights file cannot be read."""
    usual = TeacherConfig().model_dump(mode="json", include=LATER)
    settings = {name: value for name, value in in_effect(config).items() if value != usual.get(name, NEVER)}
    if "file" in settings:
        settings["file"] = store.hash_of(networks.path_of(config.file))
    return {"recipe": RECIPE, "data": splits.fingerprint, "teacher": settings}


@dataclass(frozen=True)
class TeacherTrainer(Trainer[AdamWState]):
    """How a teacher, network 0 of its recording, is trained; see `recording.Trainer`."""

    splits: Splits
    config: TeacherConfig
    context: Context

    @property
    def folder(self) -> Path:
        return store.folder_of("teachers", self.manifest.key, self.context.cache_root)

    @cached_property
    def network(self) -> nn.Module:
        """The teacher itself; `measure` and `finish` load its weights."""
        preparation, spec = train.preparation_of(self.splits), self.splits.spec
        return networks.make_network(self.config, spec, preparation, self.context.device, self.stem)

    @cached_property
    def stem(self) -> networks.Stem:
        """Of a ResNet."""
        return networks.stem_of(self.config) if self.config.kind == "torchvision" else networks.Stem()

    @cached_property
    def manifest(self) -> Manifest:
        config, num_params = self.config, sum(parameter.numel() for parameter in self.network.parameters())
        title = f"{config.title}, {self.stem}" if config.kind == "torchvision" else config.title
        about = {"source": self.splits.title, "title": title, "num_params": num_params}
        about |= {"num_epochs": config.epochs if config.is_trained else 0, "num_dims": config.output_dims}
        return Manifest.model_validate(about | {"kind": "teachers", "key": key_of(self.splits, config)})

    @property
    def num_steps(self) -> int:
        return train.num_steps(self.config, len(self.splits.train))

    @property
    def num_bytes(self) -> int:
        return networks.num_bytes(self.network)

    def names(self, number: int) -> Names:
        return Names("the teacher", "teacher.safetensors", "state")

    def event(self, number: int, point: Point, *, cached: bool) -> Event:
        num_epochs = self.manifest.num_epochs
        return TeacherEpoch(point.epoch, num_epochs, point.train_loss, point.accuracy, point.seconds, cached)

    def report(self, number: int, network: Network, *, cached: bool) -> Iterator[Event]:
        data, config = self.splits.train, self.config
        images = f"{min(PROBED_IMAGES, len(data)):,} training images"
        about = "teacher", LINEAR_PROBE, config.architecture, config.seed, HEADLINE
        storage = len(data), data.raw_bytes - len(data)
        recipe = f"{self.manifest.title}; linear probe of its representations of {images}"
        for found in network.probed:
            yield Scored(*about, found.accuracy, network.seconds, found.split, *storage, recipe, cached=cached)

    def start(self, number: int) -> AdamWState:
        return AdamWState.of(self._trainable.init(self._stream("start")))

    def epoch(self, number: int, state: AdamWState, epoch: int) -> Iterator[AdamWState]:
        generator = self._stream("epoch", epoch - 1)
        return train.epoch(self._trainable, state, self.splits, self.config, epoch - 1, generator)

    def measure(self, number: int, state: AdamWState, epoch: int) -> Generator[Event, None, float | None]:
        """Accuracy of nearest neighbours on validation images, if there are any."""
        self._place(state)
        if "validation" not in self.splits.measured:
            return None
        known = self.splits.train.sample(KNOWN_IMAGES)
        asked = self.splits.validation.sample(ASKED_IMAGES)
        features = yield from features_of(self.network, known, "find nearest neighbours")
        queries = yield from features_of(self.network, asked, "find nearest neighbours")
        found = knn(features, known.targets, queries, NEIGHBOURS, self.splits.spec.num_outputs)
        return share_right(found, asked.targets)

    def finish(self, state: AdamWState | None, path: Path) -> Generator[Event, None, dict[str, Any]]:
        """Raises Diverged if all images have the same representation."""
        if state is None:
            yield from self._load()
        else:
            self._place(state)
        scale, probed = yield from self._probe()
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_atomically(path, bytes_from_tensors(weights))
        return {"scale": scale, "probed": probed}

    def other_seconds(self, num_networks: int, num_epochs: int) -> float:
        splits = self.splits
        per_epoch = sum(min(count, len(splits.train)) for count in (SAMPLE, KNOWN_IMAGES))
        per_epoch += min(ASKED_IMAGES, len(splits.validation))
        at_end = min(PROBED_IMAGES, len(splits.train)) + sum(map(len, splits.measured.values()))
        inputs, _ = splits.train.batch(torch.arange(min(len(splits.train), TIMED_IMAGES)))
        with torch.no_grad():
            self.network(inputs)
            began = time.perf_counter()
            self.network(inputs).sum().item()  # wait for the device
        return ((num_epochs + 1) * per_epoch + at_end) * (time.perf_counter() - began) / len(inputs)

    @cached_property
    def _trainable(self) -> Student:
        return train.make_networks(self.config, self.splits.spec, self.context.device)

    def _stream(self, *names: str | int) -> torch.Generator:
        return Context(seed=self.config.seed).stream("teacher", *names)

    def _load(self) -> Generator[Event, None, None]:
        """Load weights trained elsewhere. Batch norms without statistics get those of the training images."""
        if self.config.kind == "imagenet":
            found = yield from ticking("load torchvision's ImageNet weights", networks.imagenet_weights)
        else:
            found = networks.weights_from_file(self.config, self.network)
        self.network.load_state_dict(found, strict=False)
        if not any(name.endswith("running_mean") for name in found):
            fix_statistics(self.network, pieces_of(self.splits.train))

    def _place(self, state: AdamWState) -> None:
        """Load the encoder's current weights, and fix the batch norms' statistics for them."""
        self.network.load_state_dict(train.of_encoder(self._trainable, state.theta), strict=False)  # statistics stay
        fix_statistics(self.network, pieces_of(self.splits.train))

    def _probe(self) -> Generator[Event, None, tuple[float, tuple[Probed, ...]]]:
        """The scale of the representations, and the accuracies of a linear probe."""
        known = self.splits.train.sample(PROBED_IMAGES)
        features = yield from features_of(self.network, known, "represent training images")
        variance = features.var(0, correction=0).mean().item()
        if not math.isfinite(variance) or variance <= 0:
            what = "The teacher's representations are the same for all images, or not finite."
            advice = "Lower the teacher's learning rate, or use other weights."
            raise Diverged(f"{what} {advice}", quantity="teacher's representations", step=0)
        scale = 1 / math.sqrt(variance)
        known_and_config = features * scale, known.targets, self.splits.spec.num_outputs, ProbingConfig()
        fit = partial(linear_probe, *known_and_config, self._stream("probe"))
        probe = yield from ticking("fit a linear probe of the teacher", fit)
        probed = []
        for split, data in self.splits.measured.items():
            theirs = yield from features_of(self.network, data, f"represent {split} images")
            right = share_right(probe(theirs * scale).argmax(1), data.targets)
            probed.append(Probed.model_validate({"split": split, "accuracy": right}))
        return scale, tuple(probed)
