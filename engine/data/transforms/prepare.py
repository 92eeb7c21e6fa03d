"""From raw pixels to splits; mean, standard deviation and whitening are fitted on the training part alone."""

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.core.config import DataConfig
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.data.transforms import zca
from engine.data.transforms.augment import augmentation
from engine.data.transforms.preparation import Preparation

SPLIT_SEED = 2018  # every run has the same validation images, and the same training images under a limit
RECIPE = 1  # part of every fingerprint; raise it when the same images come to be prepared differently
LATER = ("zca_kind", "dsa_operations")  # options added after the first runs


@dataclass(frozen=True)
class RawImages:
    """Images (N, C, H, W) uint8 and targets (N,) int64 as read. validation: (V,) indices of training images, if any."""

    train_images: Tensor
    train_targets: Tensor
    test_images: Tensor
    test_targets: Tensor
    validation: Tensor | None = None

    def digest(self) -> bytes:
        """A hash of every pixel, label and shape."""
        content = hashlib.blake2b(digest_size=16)
        for tensor in (self.train_images, self.train_targets, self.test_images, self.test_targets):
            content.update(repr((tuple(tensor.shape), str(tensor.dtype))).encode())
            content.update(tensor.contiguous().numpy().data)
        if self.validation is not None:
            content.update(self.validation.contiguous().numpy().data)
        return content.digest()


@dataclass(frozen=True)
class ImageSplits(Splits):
    """Splits of images, with the preparation that made them."""

    preparation: Preparation = field(kw_only=True)

    def reprepared(self, inputs: Tensor, made_by: Preparation | None) -> Tensor:
        """Inputs (N, C, H, W) float32 of another preparation, prepared like these; unchanged if it is unknown."""
        return inputs if made_by is None else self.preparation.of_pixels(made_by.inverse(inputs))


def prepare_images(
    raw: RawImages, spec: TaskSpec, title: str, key: str, config: DataConfig
) -> Generator[Event, None, ImageSplits]:
    """Split, limit and normalise a data set; the limit does not change the validation images. Raises DataError."""
    yield Progress(f"prepare {title}", 0, 3)
    augment = augmentation(config.augmentation, config.dsa_operations)
    train, validation = split_indices(raw.train_targets, spec, title, config, raw.validation)
    # defaults of later options stay out of the fingerprint, so that the first runs can still be resumed
    unsaid = {"windows"} | {name for name in LATER if getattr(config, name) == DataConfig.model_fields[name].default}
    unsaid |= {"dsa_operations"} if config.augmentation != "dsa" else set()
    settings = config.model_dump(mode="json", exclude=unsaid)
    content = json.dumps([RECIPE, key, settings], sort_keys=True).encode() + raw.digest()
    fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()

    yield Progress(f"prepare {title}", 1, 3)
    inputs = {"train": raw.train_images[train], "validation": raw.train_images[validation], "test": raw.test_images}
    mean, std = (values.float() for values in channel_statistics(inputs["train"]))
    yield Progress(f"prepare {title}", 2, 3)
    if config.zca:
        is_podd = config.zca_kind == "podd"
        whitening = yield from (zca.fit_per_image if is_podd else zca.fit)(inputs["train"], config.zca_eps)
        preparation = Preparation("zca_podd" if is_podd else "zca", mean, std, whitening)
        for name, images in inputs.items():
            inputs[name] = yield from zca.whiten_images(whitening, images, f"ZCA: whiten {name}")
        prepare: Callable[[Tensor], Tensor] = Tensor.float  # which they are already
    else:
        preparation = Preparation(config.normalisation, mean, std)
        prepare = preparation.forward

    yield Progress(f"prepare {title}", 3, 3)
    return ImageSplits(
        train=LabelledSet(inputs["train"], raw.train_targets[train], prepare),
        validation=LabelledSet(inputs["validation"], raw.train_targets[validation], prepare),
        test=LabelledSet(inputs["test"], raw.test_targets, prepare),
        spec=spec,
        to_display=preparation.to_display,
        augment=augment,
        augment_alike=augment.alike(),
        fingerprint=fingerprint,
        display_range=preparation.display_range(),
        title=title,
        preparation=preparation,
    )


def num_held_out(counts: Sequence[int], fraction: float) -> list[int]:
    """Validation images per class, given the numbers of training images: at least one."""
    return (torch.tensor(counts, dtype=torch.int64) * fraction).round().long().clamp(min=1).tolist()


def split_indices(
    targets: Tensor, spec: TaskSpec, title: str, config: DataConfig, given: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Training and validation indices, stratified by class. given: the validation indices, if already fixed."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    counts = torch.bincount(targets, minlength=spec.num_outputs)
    held_out = torch.tensor(num_held_out(counts.tolist(), config.validation_fraction))
    if given is not None:
        held_out = torch.bincount(targets[given], minlength=spec.num_outputs)
    for count, held, name in zip(counts.tolist(), held_out.tolist(), spec.class_names, strict=True):
        if held >= count:
            images = "1 training image" if count == 1 else f"{count} training images"
            left = "validation leaves it none to train on; add images of this class."
            raise DataError(f"{title}: class '{name}' has {images}, so {left}")
    if given is None:
        validation, train = stratified(targets, held_out, generator)
    else:
        is_train = torch.ones(len(targets), dtype=torch.bool)
        is_train[given] = False
        validation, train = given, is_train.nonzero().flatten()
    if not config.train_limit or config.train_limit >= len(train):
        return train, validation
    kept = limited_counts(counts - held_out, spec, title, config.train_limit)
    chosen, _ = stratified(targets[train], kept, generator)
    return train[chosen], validation


def limited_counts(available: Tensor, spec: TaskSpec, title: str, limit: int) -> Tensor:
    """Images to keep per class (K,): equal numbers, the remainder going to the first classes. Raises DataError."""
    num_classes = len(available)
    if limit < 2 * num_classes:
        limited = f"a limit of {limit} training images is less than 2 for each of {num_classes} classes"
        raise DataError(f"{title}: {limited}; choose {2 * num_classes} or more, or 0 for all.")
    wanted = torch.full((num_classes,), limit // num_classes)
    wanted[: limit % num_classes] += 1
    short = (wanted > available).nonzero().flatten().tolist()
    if short:
        first, most = short[0], int(available.min()) * num_classes
        limited = f"a balanced limit of {limit} training images takes {int(wanted[first])} of class"
        has = f"'{spec.class_names[first]}', which has {int(available[first])}"
        raise DataError(f"{title}: {limited} {has}; choose {most} or less, or 0 for all.")
    return wanted


def stratified(targets: Tensor, counts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of `counts[k]` random samples of each class k, and of the rest; a smaller count chooses a subset."""
    is_chosen = torch.zeros(len(targets), dtype=torch.bool)
    for label, count in enumerate(counts.tolist()):
        members = (targets == label).nonzero().flatten()
        is_chosen[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return is_chosen.nonzero().flatten(), (~is_chosen).nonzero().flatten()


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation (C,) float64 of images (N, C, H, W) uint8 scaled to [0, 1], exact."""
    bins = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    for chunk in images.split(zca.chunk_size(images[0].numel())):
        for channel, levels in zip(bins, chunk.unbind(1), strict=True):
            # np.bincount takes a quarter of the time of torch.bincount
            channel += torch.from_numpy(np.bincount(levels.flatten().numpy(), minlength=256))
    levels = torch.arange(256, dtype=torch.float64) / 255
    shares = bins.double() / bins.sum(1, keepdim=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(1)
    return mean, variance.sqrt()
