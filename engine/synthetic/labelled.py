"""What sets of labelled images share, however they store them: learning rates, companions, starts, parameter groups.

A set stores its samples in one or several parameters (`parts`), with labels and learning rates softplus(r) beside them.
It can keep a second version of the samples, such as their moving average: an arm of its own that does not count as
storage.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.core.events import Event
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.meta.losses import shares
from engine.synthetic.base import OTHER, SyntheticSet, Training, check_preparation, inverse_softplus
from engine.synthetic.storage import Part

SOFT_LABEL_LOGIT = 5.0  # a soft label starts with this logit on its class, 0 elsewhere: 0.94 of the mass for 10 classes
LabelsKind = Literal["hard", "soft", "free"]
"""One class per sample; learned probabilities; learned shares that may be of any size (`engine.meta.losses`)."""
COMPANIONS = ("", "distilled_ema", "distilled_raw")  # arms of the other version; "" for no other version


class LabelledImages(SyntheticSet):
    """Parameters `parts`, then `raw_rates` (T,) or (1,), then the labels if they are learned.

    bounds: (C, 1, 1) values that `project` cuts pixels to; None for no limit.
    """

    preparation: Preparation | None
    raw_rates: nn.Parameter
    bounds: tuple[Tensor, Tensor] | None = None

    def __init__(
        self,
        spec: TaskSpec,
        training: Training,
        parts: dict[str, Tensor],
        num_rates: int = 1,
        learn_rates: bool = True,
        companion: str = "",
    ) -> None:
        super().__init__()
        if companion not in COMPANIONS:
            raise ValueError(f"there is no arm '{companion}' for a companion")
        self.spec, self.own_training = spec, training
        self.learn_rates, self.companion, self.part_names = learn_rates, companion, tuple(parts)
        for name, value in parts.items():
            self.register_parameter(name, nn.Parameter(value))
        self.raw_rates = nn.Parameter(torch.zeros(num_rates), requires_grad=learn_rates)
        for name, value in parts.items():
            self.register_buffer(OTHER + name, torch.zeros_like(value) if companion else None)

    @property
    @abstractmethod
    def label_parameter(self) -> nn.Parameter | None:
        """What learned labels are made of; None if labels are fixed."""

    @abstractmethod
    def start_from_real(self, real: LabelledSet, generator: torch.Generator) -> None:
        """Random real images of each class, without repetition."""

    def start_from_noise(self, generator: torch.Generator) -> None:
        """Random numbers of unit variance in the prepared space."""
        for name in self.part_names:
            value = self.get_parameter(name)
            value.copy_(torch.randn(value.shape, generator=generator))

    def start_from_tiles(self, generator: torch.Generator) -> None:
        """A tile of random numbers for each class, on a poster alone."""
        raise ConfigError("Only a poster can start from tiles. Start from real images or noise.")

    @abstractmethod
    def fit(self, result: LabelledImages, inputs: Tensor, targets: Tensor, train: LabelledSet) -> None:
        """Come as near as this form can to the samples of another set.

        inputs: (N, C, H, W) of `result`, prepared as in this run. targets: (N,) or (N, K). train: real images.
        Raises ConfigError if there are too few samples.
        """

    def start_from(
        self, start: str, splits: ImageSplits, result: SyntheticSet | None, lr: float, generator: torch.Generator
    ) -> Generator[Event, None, None]:
        """Start as a config says, with all rates `lr`. Raises ConfigError where that cannot be."""
        yield from ()
        with torch.no_grad():
            self.raw_rates.fill_(inverse_softplus(lr))
            if start == "result":
                self._start_from_result(result, splits)
            elif start == "real":
                self.start_from_real(splits.train, generator)
            elif start == "tiles":
                self.start_from_tiles(generator)
            else:
                self.start_from_noise(generator)
            for name in self.part_names if self.companion else ():
                self.get_buffer(OTHER + name).copy_(self.get_parameter(name))

    def _start_from_result(self, result: SyntheticSet | None, splits: ImageSplits) -> None:
        """Start from a finished set of any form; keep its rates if there are as many.

        Samples that were prepared in another way are prepared again, without rounding.
        """
        if not isinstance(result, LabelledImages):
            problem = "The result to start from holds no labelled images."
            raise ConfigError(f"{problem} Choose the result of another method, or start from real images.")
        inputs, targets = (part.cpu() for part in result.materialise())
        if inputs.shape[1:] != self.spec.sample_shape or result.spec.num_outputs != self.spec.num_outputs:
            theirs, ours = ("x".join(map(str, shape)) for shape in (inputs.shape[1:], self.spec.sample_shape))
            held = f"{result.spec.num_outputs} classes of {theirs} values"
            problem = f"The result to start from holds {held}, this data set {self.spec.num_outputs} of {ours}."
            raise ConfigError(f"{problem} Choose the data set it was made from, or start from real images.")
        self.fit(result, splits.reprepared(inputs, result.preparation), targets, splits.train)
        rates = result.rates.expand(result.own_training.num_steps).tolist()
        if len(set(rates)) == self.raw_rates.numel() == 1:
            rates = rates[:1]  # both have one rate for all steps
        if len(rates) == self.raw_rates.numel():
            self.raw_rates.copy_(torch.tensor([inverse_softplus(rate) for rate in rates]))

    def groups(self, lr: float, label_lr: float, rates_lr: float) -> list[dict[str, Any]]:
        """Parameter groups of an outer optimiser, each with its step size: samples, learned labels, learned rates."""
        groups: list[dict[str, Any]] = [{"params": [self.get_parameter(name)], "lr": lr} for name in self.part_names]
        if self.label_parameter is not None:
            groups.append({"params": [self.label_parameter], "lr": label_lr})
        if self.learn_rates:
            groups.append({"params": [self.raw_rates], "lr": rates_lr})
        return groups

    @property
    def rates(self) -> Tensor:
        return F.softplus(self.raw_rates)

    def average(self, decay: float) -> None:
        """Move the companion towards the samples: e <- decay e + (1 - decay) x."""
        with torch.no_grad():
            for name in self.part_names:
                self.get_buffer(OTHER + name).lerp_(self.get_parameter(name), 1 - decay)

    def exchange(self, companion: str) -> None:
        """Swap the two versions of the samples; `companion` is the arm of the one that was first."""
        with torch.no_grad():
            for name in self.part_names:
                value, other = self.get_parameter(name), self.get_buffer(OTHER + name)
                first = value.clone()
                value.copy_(other)
                other.copy_(first)
        self.companion = companion

    def companions(self) -> Mapping[str, Self]:
        if not self.companion:
            return {}
        state = self.state_dict()
        state |= {name: state.pop(OTHER + name) for name in self.part_names}
        other = self.remade(state, companion="")
        if self.stored:
            kept = {OTHER + name: name for name in self.part_names}
            others = {kept.get(name, name): each for name, each in self.stored.items() if name not in kept.values()}
            other.bits, other.stored = self.bits, others
        return {self.companion: other}

    def project(self) -> None:
        """Cut pixels to `bounds`."""
        if self.bounds is not None:
            low, high = (bound.to(self.raw_rates) for bound in self.bounds)
            with torch.no_grad():
                for name in self.part_names:
                    pixels = self.get_parameter(name)
                    pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))

    def describe(self) -> dict[str, Any]:
        rates = {"num_rates": self.raw_rates.numel(), "learn_rates": self.learn_rates}
        return rates | {"companion": self.companion}

    def parts(self) -> dict[str, Part]:
        return {"raw_rates": Part("exact")}

    def check(self, inputs: Tensor, targets: Tensor) -> None:
        if targets.ndim == 1:
            if targets.dtype != torch.int64 or not bool(((targets >= 0) & (targets < self.spec.num_outputs)).all()):
                raise ValueError(f"labels that are none of its {self.spec.num_outputs} classes")
        elif not bool((targets >= 0).all() if self.own_training.loss == "cross_entropy" else targets.isfinite().all()):
            raise ValueError("soft labels that are negative or no numbers")
        for other in self.companions().values():
            samples = other.materialise()[0]
            if samples.shape != inputs.shape or samples.dtype != torch.float32:
                raise ValueError("a companion of other samples")
        check_preparation(self.preparation, inputs)


class ImagesPerClass(LabelledImages):
    """`ipc` images of each class in `num_batches` batches, each with a label: its class, or learned.

    Soft labels are stored as logits (M, K), free ones as the shares (M, K) themselves.

    M = ipc * K images, sorted by class within each batch. Subclasses say what the images are made of.
    """

    classes: Tensor
    label_logits: nn.Parameter | None
    label_shares: nn.Parameter | None
    real_each = 1  # samples that one image is made of
    wanted_for = "wanted per class. Lower the images per class, or start from noise."

    def __init__(
        self,
        spec: TaskSpec,
        training: Training,
        parts: dict[str, Tensor],
        *,
        ipc: int,
        num_batches: int = 1,
        soft_labels: bool = False,
        free_labels: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(spec, training, parts, **options)
        self.ipc, self.num_batches = ipc, num_batches
        classes = torch.arange(spec.num_outputs).repeat_interleave(ipc // num_batches).repeat(num_batches)
        self.register_buffer("classes", classes)
        own = F.one_hot(classes, spec.num_outputs).float()
        self.register_parameter("label_logits", nn.Parameter(SOFT_LABEL_LOGIT * own) if soft_labels else None)
        self.register_parameter("label_shares", nn.Parameter(own) if free_labels else None)

    @abstractmethod
    def put(self, places: Tensor, samples: Tensor) -> None:
        """Make the images at `places` (n,) of n * real_each samples (n * real_each, C, H, W)."""

    @property
    def label_parameter(self) -> nn.Parameter | None:
        return self.label_logits if self.label_shares is None else self.label_shares

    @property
    def labels(self) -> Tensor:
        """(M,) int64, (M, K) probabilities, or (M, K) shares."""
        if self.label_shares is not None:
            return self.label_shares
        return self.classes if self.label_logits is None else self.label_logits.softmax(1)

    @property
    def num_samples(self) -> int:
        return len(self.classes)

    def start_from_real(self, real: LabelledSet, generator: torch.Generator) -> None:
        targets = real.targets.cpu()
        for label, name in enumerate(self.spec.class_names):
            mine = (self.classes == label).nonzero().flatten()
            theirs = (targets == label).nonzero().flatten()
            wanted = self.real_each * len(mine)
            if len(theirs) < wanted:
                problem = f"Class '{name}' has {len(theirs)} training images, fewer than the {wanted}"
                raise ConfigError(f"{problem} {self.wanted_for}")
            chosen = theirs[torch.randperm(len(theirs), generator=generator)[:wanted]]
            self.put(mine, real.batch(chosen)[0].to(self.raw_rates))

    def fit(self, result: LabelledImages, inputs: Tensor, targets: Tensor, train: LabelledSet) -> None:
        """As many samples of each class as there are images; their labels too where both sets have soft ones."""
        for label, name in enumerate(self.spec.class_names):
            mine = (self.classes == label).nonzero().flatten()
            wanted = self.real_each * len(mine)
            chosen = samples_of(targets, label, wanted)
            if len(chosen) < wanted:
                problem = (
                    f"The result to start from has {len(chosen)} samples of class '{name}', fewer than the {wanted}"
                )
                raise ConfigError(f"{problem} needed. Lower the images per class, or start from real images.")
            self.put(mine, inputs[chosen].to(self.raw_rates))
            if self.label_parameter is not None and targets.ndim == 2:
                found = targets[chosen].view(len(mine), self.real_each, -1).mean(1).to(self.raw_rates)
                is_soft = self.label_logits is not None
                self.label_parameter[mine] = shares(found).clamp_min(1e-6).log() if is_soft else found

    def parts(self) -> dict[str, Part]:
        classes = Part("index", is_counted=self.label_parameter is None)
        kept = {"label_logits": self.label_logits, "label_shares": self.label_shares}
        labels = {name: Part("fine") for name, value in kept.items() if value is not None}
        return super().parts() | {"classes": classes} | labels

    def num_stored_values(self) -> int:
        return super().num_stored_values() + (len(self.classes) if self.label_parameter is None else 0)

    def describe(self) -> dict[str, Any]:
        has_soft = {"soft_labels": self.label_logits is not None}
        has_free = {} if self.label_shares is None else {"free_labels": True}
        return super().describe() | {"ipc": self.ipc, "num_batches": self.num_batches} | has_soft | has_free


def samples_of(targets: Tensor, label: int, wanted: int) -> Tensor:
    """Indices (n,), n <= wanted, of the samples that best stand for a class, in stored order.

    targets: (N,) classes, or (N, K) shares. First come samples whose likeliest class it is, then those that give it at
    least half as much as their likeliest class; surer ones first.
    """
    if targets.ndim == 1:
        return (targets == label).nonzero().flatten()[:wanted]
    shares, own = targets[:, label], targets.argmax(1) == label
    candidates = (shares >= targets.amax(1) / 2).nonzero().flatten()
    order = (own[candidates].float() + shares[candidates] / (1 + shares.max())).argsort(descending=True, stable=True)
    return candidates[order[:wanted]].sort()[0]
