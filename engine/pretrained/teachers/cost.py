"""What the teacher of a run takes, before it is trained: whether it is there, bytes, and seconds by a few timed steps."""

from __future__ import annotations

import time
from collections.abc import Generator

import torch

from engine.core.checkpoint import latest_step
from engine.core.context import Context
from engine.core.events import Event, Progress
from engine.data.source import LabelledSet, Splits
from engine.pretrained.recording import RecordingPlan
from engine.pretrained.teachers import networks, train
from engine.pretrained.teachers.config import TRAINED, TeacherConfig
from engine.pretrained.teachers.load import ASKED_IMAGES, KNOWN_IMAGES, PROBED_IMAGES, key_of
from engine.pretrained.teachers.store import STATE, folder_of, read_manifest
from engine.pretrained.teachers.train import Networks, Standing

TIMED_SECONDS = 1.0
MOST_TIMED = 20
"""Steps are timed until one of the two is reached."""
TIMED_IMAGES = 125


def try_teacher(splits: Splits, config: TeacherConfig, context: Context) -> Generator[Event, None, RecordingPlan]:
    """Look for the teacher of a config, and time a few steps of what is not trained of it. Nothing is kept.

    Whether its file is sound is seen when it is used. One that is brought along counts no seconds.
    """
    yield Progress("try the teacher", 0, 1)
    network = networks.make_network(config, splits.spec, torch.nn.Identity(), context.device)
    num_bytes = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    folder = folder_of(key_of(splits, config), context.cache_root)
    manifest = read_manifest(folder)
    if manifest is not None and manifest.hash:
        return RecordingPlan(1, num_bytes, num_recorded=1)
    if config.kind not in TRAINED:
        return RecordingPlan(1, num_bytes, missing_bytes=num_bytes)
    missing = config.epochs - (latest_step(folder / STATE) or 0)
    trainable = train.make_networks(config, splits.spec, context.device)
    steps = missing * train.num_steps(config, len(splits.train))
    seconds = steps * _step_seconds(trainable, splits, config, context)
    seconds += _num_looked_at(splits, missing) * _image_seconds(network, splits.train)
    return RecordingPlan(1, num_bytes, missing_bytes=num_bytes, seconds=seconds)


def _num_looked_at(splits: Splits, epochs: int) -> int:
    """Images that go through the network besides training it: before the first epoch, after each, and at the end."""
    of_train = (min(count, len(splits.train)) for count in (networks.SAMPLE, KNOWN_IMAGES))
    each_time = sum(of_train) + min(ASKED_IMAGES, len(splits.validation))
    at_end = min(PROBED_IMAGES, len(splits.train)) + len(splits.validation) + len(splits.test)
    return (epochs + 1) * each_time + at_end


def _step_seconds(trainable: Networks, splits: Splits, config: TeacherConfig, context: Context) -> float:
    """Seconds of a step of training."""
    standing = Standing.of(trainable.init(context.stream("trial teacher")))
    path = train.epoch(trainable, standing, splits, config, 0, context.stream("trial"))
    moments = [time.perf_counter()]
    for _ in path:
        moments.append(time.perf_counter())
        if len(moments) > MOST_TIMED or (len(moments) > 2 and moments[-1] - moments[1] > TIMED_SECONDS):
            break
    if len(moments) > 2:
        moments = moments[1:]  # the first step makes ready what later ones find
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def _image_seconds(network: torch.nn.Module, data: LabelledSet) -> float:
    """Seconds that one image takes through a network."""
    inputs, _ = data.batch(torch.arange(min(len(data), TIMED_IMAGES)))
    with torch.no_grad():
        network(inputs)
        began = time.perf_counter()
        network(inputs).sum().item()  # wait for the device
    return (time.perf_counter() - began) / len(inputs)
