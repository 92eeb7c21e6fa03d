"""The plain parameterisation: every pixel of every image is a free value, with labels and learning rates beside them.

M = ipc * K images in S batches; batch s holds ipc / S images of each class, sorted by class. E passes over the batches
make T = S * E inner steps; step t trains on batch t mod S with the rate softplus(r_t), or softplus(r_0) if shared.
With random batches (`Training.batch_size`) S is 1 and the order plays no part.
A second version of the images, their moving average or those it was made of, can be kept beside them; it is compared too
and counts for no storage.
Source: Wang et al. 2018, arXiv:1811.10959, section 3; soft labels: Sucholutsky & Schonlau 2019, arXiv:1910.02551.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.meta.inner import Batch
from engine.synthetic.base import SyntheticSet, Training, inverse_softplus

# A soft label starts with this logit on its class, 0 elsewhere: 0.94 of the mass for 10 classes.
SOFT_LABEL_LOGIT = 5.0

COMPANIONS = ("", "distilled_ema", "distilled_raw")
"""Arms of another version of the images; none where there is no other."""


class PixelSet(SyntheticSet):
    """Free pixels. `images` (M, C, H, W) normalised, `raw_rates` (T,) or (1,), `label_logits` (M, K) if labels are soft."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        training: Training,
        ipc: int,
        num_batches: int,
        num_rates: int,
        soft_labels: bool,
        learn_rates: bool = True,
        companion: str = "",
    ) -> None:
        """companion: the arm under which another version of the images is compared, "distilled_ema" or "distilled_raw"."""
        super().__init__()
        if companion not in COMPANIONS:
            raise ValueError(f"there is no arm '{companion}' for a companion")
        if ipc % num_batches:
            raise ConfigError(
                f"{ipc} images per class cannot be shared out evenly over {num_batches} batches. "
                f"Choose a number of batches that divides {ipc}, for instance {_nearest_divisor(ipc, num_batches)}."
            )
        self.spec, self.training = spec, training
        self.ipc, self.num_batches, self.learn_rates = ipc, num_batches, learn_rates
        num_images = ipc * spec.num_outputs
        self.images = nn.Parameter(torch.zeros(num_images, *spec.sample_shape))
        self.raw_rates = nn.Parameter(torch.zeros(num_rates), requires_grad=learn_rates)
        self.companion = companion
        self.register_buffer("other_images", torch.zeros_like(self.images.data) if companion else None)
        classes = torch.arange(spec.num_outputs).repeat_interleave(ipc // num_batches).repeat(num_batches)
        self.register_buffer("classes", classes)
        self.label_logits = (
            nn.Parameter(SOFT_LABEL_LOGIT * F.one_hot(classes, spec.num_outputs).float()) if soft_labels else None
        )

    def start_from(
        self,
        images_from: Literal["noise", "real", "result"],
        splits: Splits,
        result: SyntheticSet | None,
        lr: float,
        generator: torch.Generator,
    ) -> None:
        """Begin as a config's `images_from` says."""
        if images_from == "result":
            self.start_from_result(result, splits, lr)
        elif images_from == "real":
            self.start_from_real(splits.train, lr, generator)
        else:
            self.start_from_noise(lr, generator)

    def start_from_noise(self, lr: float, generator: torch.Generator) -> None:
        """Images ~ N(0, 1) in the normalised space; every rate `lr`."""
        with torch.no_grad():
            self.images.copy_(torch.randn(self.images.shape, generator=generator))
            self.raw_rates.fill_(inverse_softplus(lr))

    def start_from_real(self, real: LabelledSet, lr: float, generator: torch.Generator) -> None:
        """Images are random real ones of the right class, without repetition; every rate `lr`."""
        with torch.no_grad():
            for label, name in enumerate(self.spec.class_names):
                mine = (self.classes == label).nonzero().flatten()
                theirs = (real.targets.cpu() == label).nonzero().flatten()
                wanted = self.real_each * len(mine)
                if len(theirs) < wanted:
                    raise ConfigError(
                        f"Class '{name}' has {len(theirs)} training images, fewer than the {wanted} {self.WANTED_FOR}"
                    )
                chosen = theirs[torch.randperm(len(theirs), generator=generator)[:wanted]]
                self.images[mine] = self.made_of(real.batch(chosen)[0].to(self.images))
            self.raw_rates.fill_(inverse_softplus(lr))

    WANTED_FOR = "wanted per class. Lower the images per class, or start from noise."

    @property
    def real_each(self) -> int:
        """Real images that one of `images` begins as."""
        return 1

    def made_of(self, real: Tensor) -> Tensor:
        """Images as they begin, of n * real_each real ones (n * real_each, C, H, W)."""
        return real

    def start_from_result(self, result: SyntheticSet | None, splits: Splits, lr: float) -> None:
        """Images of a finished set, of the same classes and as many of each; its rates where it has as many, else `lr`.

        The set may have been prepared otherwise: its pixels are shown and prepared anew, without rounding.
        Raises ConfigError where it does not fit.
        """
        if result is None:
            raise ConfigError("There is no result to start from. Name a run with one in 'start', or start from noise.")
        inputs, targets = result.materialise()
        hard = (targets if targets.ndim == 1 else targets.argmax(1)).cpu()
        if inputs.shape[1:] != self.images.shape[1:] or not torch.equal(hard.sort()[0], self.classes.cpu().sort()[0]):
            raise ConfigError(
                f"The result to start from has {len(inputs)} images of shape {tuple(inputs.shape[1:])}, this run {len(self.images)} of "
                f"shape {tuple(self.images.shape[1:])}. Choose the same data set and images per class, or start from noise."
            )
        with torch.no_grad():
            order = hard.argsort(stable=True)[self.classes.cpu().argsort(stable=True).argsort()]
            self.images.copy_(splits.reprepared(inputs.cpu(), result.preparation)[order])
            if self.label_logits is not None and targets.ndim == 2:
                self.label_logits.copy_(targets.cpu()[order].clamp_min(1e-6).log())
            learned = result.rates.expand(result.training.num_steps).tolist()
            if len(set(learned)) == self.raw_rates.numel() == 1:
                values = learned[:1]  # both have one rate for all steps
            elif len(learned) == self.training.num_steps == self.raw_rates.numel():
                values = learned
            else:
                values = [lr] * self.raw_rates.numel()
            self.raw_rates.copy_(torch.tensor([inverse_softplus(value) for value in values]))

    @property
    def rates(self) -> Tensor:
        """(T,) or (1,) positive learning rates."""
        return F.softplus(self.raw_rates)

    @property
    def labels(self) -> Tensor:
        """(M,) int64, or (M, K) probabilities."""
        return self.classes if self.label_logits is None else self.label_logits.softmax(1)

    @property
    def num_samples(self) -> int:
        return len(self.images)

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.images.device)
        return self.images[indices], self.labels[indices]

    def stored_batches(self) -> Iterator[Batch]:
        images, labels = self.images.chunk(self.num_batches), self.labels.chunk(self.num_batches)
        rates = self.rates.expand(self.training.num_steps)
        for step in range(self.training.num_steps):
            yield Batch(images[step % self.num_batches], labels[step % self.num_batches], rates[step])

    def clamp(self, low: Tensor, high: Tensor) -> None:
        """Cut pixels to (C, 1, 1) bounds. Not differentiable: a projection after an outer step."""
        with torch.no_grad():
            self.images.copy_(torch.minimum(torch.maximum(self.images, low.to(self.images)), high.to(self.images)))

    def materialise(self) -> tuple[Tensor, Tensor]:
        return self.images.detach(), self.labels.detach()

    def exchange(self, companion: str) -> None:
        """Let the two versions of the images change places; `companion` is the arm of the one that was first."""
        with torch.no_grad():
            first = self.images.clone()
            self.images.copy_(self.other_images)
            self.other_images.copy_(first)
        self.companion = companion

    def companions(self) -> dict[str, SyntheticSet]:
        if self.other_images is None:
            return {}
        other = type(self)(spec=self.spec, training=self.training, **(self.describe() | {"companion": ""}))
        state = {name: value for name, value in self.state_dict().items() if name != "other_images"}
        other.load_state_dict(state | {"images": self.other_images})
        other.step, other.preparation, other.request = self.step, self.preparation, self.request
        return {self.companion: other.to(self.images.device)}

    def num_stored_values(self) -> int:
        labels = len(self.classes) if self.label_logits is None else self.label_logits.numel()
        return self.images.numel() + labels + self.raw_rates.numel()

    def num_bytes(self) -> int:
        labels = len(self.classes) if self.label_logits is None else 4 * self.label_logits.numel()
        start = 0 if self.training.start_seed is None else 8
        return 4 * (self.images.numel() + self.raw_rates.numel()) + labels + start

    def describe(self) -> dict[str, Any]:
        return {
            "ipc": self.ipc,
            "num_batches": self.num_batches,
            "num_rates": self.raw_rates.numel(),
            "soft_labels": self.label_logits is not None,
            "learn_rates": self.learn_rates,
            "companion": self.companion,
        }


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    return min(divisors, key=lambda d: abs(d - wanted))
