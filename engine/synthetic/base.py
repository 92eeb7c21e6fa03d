"""What every synthetic set can do, whatever its parameterisation, and its file format."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from engine.core.checkpoint import write_atomically
from engine.core.errors import ConfigError, DataError
from engine.core.events import Preview
from engine.data.prices.scaling import WindowScaling
from engine.data.source import NUM_OUTPUTS, LabelledSet, TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.meta.inner import Batch
from engine.synthetic import storage
from engine.synthetic.storage import Part, Stored

SCHEMA_VERSION = 2
Steps = Annotated[int, Field(le=10**7)]  # as many as the header of a file may claim
HEADER_KEY = "distillery"
PREPARATION = "preparation."  # stands before the names of its tensors
OTHER = "other_"  # and this before those of a second version of the samples


@dataclass(frozen=True)
class Training:
    """How a student is trained on the set "as distilled". The bounds hold for files, whose headers may claim anything.

    num_steps: length of the training; with random batches, of the longest one intended.
    start_seed: the seed of the one initialisation the set was made for; None if any will do.
    batch_size: samples per step, drawn without repetition, all at one shared rate; 0: the stored batches in stored
        order, each at its stored rate.
    is_augmented: apply the data set's augmentation (`Splits.augment`) to each random batch.
    loss: cross-entropy, or half the squared error to centred labels (`engine.meta.losses`).
    decay: of the rate over random batches: none, or along a cosine to 0.
    """

    rule: Literal["sgd", "momentum", "adam"]
    num_steps: Annotated[Steps, Field(ge=1)]
    start_seed: int | None = None
    batch_size: Annotated[Steps, Field(ge=0)] = 0
    is_augmented: bool = False
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    decay: Literal["none", "cosine"] = "none"


class Shown(Protocol):
    """Whatever turns samples into pictures: splits, or the preparation that a set carries."""

    def to_display(self, inputs: Tensor, /) -> np.ndarray: ...


class SyntheticSet(nn.Module):
    """Distilled data. Its parameters are what the outer optimiser moves.

    step: outer steps done. preparation: how real data became samples, and the way back. request: what was asked for, as
    JSON. has_labels: targets are labels, hard or soft; otherwise representations (N, d). num_batches: stored batches.
    bits: per value, as stored; usual_bits: those of a set whose width nobody chose. stored: its tensors in fewer than
    32 bits by name, of which parameters and buffers are the decoded values; empty in float32.
    """

    spec: TaskSpec
    own_training: Training
    step: int = 0
    preparation: Preparation | WindowScaling | None = None
    request: dict[str, Any] | None = None
    has_labels: bool = True
    num_batches: int = 1
    bits: int = 32
    usual_bits: ClassVar[Literal[8, 16]] = 8
    stored: Mapping[str, Stored] = MappingProxyType({})

    @property
    @abstractmethod
    def num_samples(self) -> int:
        """Samples a student can be trained on."""

    @property
    @abstractmethod
    def rates(self) -> Tensor:
        """(T,) positive learning rates, or (1,) for all steps; differentiable."""

    @abstractmethod
    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (b, *sample_shape) and targets, (b,) int64 or (b, K) float, at `indices` (b,); differentiable."""

    @abstractmethod
    def everything(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of all samples in stored order; differentiable."""

    def stored_batches(self) -> Iterator[Batch]:
        """The `num_steps` batches in stored order, again and again, at their stored rates; differentiable."""
        batches = list(zip(*(part.chunk(self.num_batches) for part in self.everything()), strict=True))
        rates = self.rates.expand(self.own_training.num_steps)
        for step in range(self.own_training.num_steps):
            inputs, targets = batches[step % self.num_batches]
            yield Batch(inputs, targets, rates[step])

    def drawn(self, generator: torch.Generator) -> Iterator[Batch]:
        """Endless batches of `training.batch_size` random samples, or all if there are fewer, at the shared rate.

        The generator is on the CPU, so every device draws the same samples. Each batch is made on request from the
        parameters as they are then; differentiable in all of them.
        """
        while True:
            indices = torch.randperm(self.num_samples, generator=generator)[: self.own_training.batch_size]
            yield Batch(*self.at(indices), self.rates[0])

    def batches(self, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """The `training.num_steps` batches of the set's own training; differentiable in every parameter of the set.

        generator: draws random batches, if the training uses them; seeded with 0 if None.
        """
        if not self.own_training.batch_size:
            return self.stored_batches()
        return islice(self.drawn(generator or torch.Generator().manual_seed(0)), self.own_training.num_steps)

    def materialise(self) -> tuple[Tensor, Tensor]:
        """Detached inputs (N, *sample_shape) and targets, (N,) int64 or (N, K) float."""
        with torch.no_grad():
            inputs, targets = self.everything()
        return inputs.detach(), targets.detach()

    def data(self) -> LabelledSet:
        """The same as data to train on."""
        return LabelledSet.as_is(*self.materialise())

    def num_stored_values(self) -> int:
        """Numbers to store: samples, labels, rates, networks."""
        return sum(value.numel() for value in self.parameters())

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """What is stored, by the names of parameters and buffers, without a second version of the samples."""

    def num_bytes(self) -> int:
        """Bytes of the parts that count, as they are stored, and 8 of the seed of a single start."""
        stored, seed = self.stored or self.encoded(32), 0 if self.own_training.start_seed is None else 8
        return seed + sum(stored[name].num_bytes() for name, part in self.parts().items() if part.is_counted)

    def encoded(self, bits: int) -> dict[str, Stored]:
        """All tensors as stored in `bits` bits per value. Raises DataError for values that are not finite."""
        parts, state = self.parts(), self.state_dict().items()
        return {name: storage.encode(value, parts[name.removeprefix(OTHER)], bits, name) for name, value in state}

    def as_stored(self, bits: int) -> Self:
        """The set whose values are those that remain in `bits` bits (0: as it is), a copy unless they are.

        Raises as `encoded`.
        """
        if bits in (0, self.bits):
            return self
        stored = self.encoded(bits)
        found = self.remade({name: each.decoded() for name, each in stored.items()})
        found.bits, found.stored = bits, {} if bits == 32 else stored
        return found

    @contextmanager
    def rounded(self, bits: int) -> Iterator[None]:
        """Within it, the set holds the values that remain in `bits` bits; then its own, with the gradients of those.

        0 bits round nothing.
        That is straight-through rounding: rounded values forward, the gradient of the identity backward.
        Source: Bengio et al. 2013, arXiv:1308.3432.
        """
        if not bits:
            yield
            return
        state = self.state_dict()
        own = {name: value.clone() for name, value in state.items()}
        for name, each in self.encoded(bits).items():
            state[name].copy_(each.decoded())
        try:
            yield
        finally:
            for name, value in own.items():
                state[name].copy_(value)

    def remade(self, state: Mapping[str, Tensor], **changes: Any) -> Self:
        """The same set with other tensors. changes: of its description."""
        found = type(self)(spec=self.spec, training=self.own_training, **(self.describe() | changes))
        found.load_state_dict(state)
        found.step, found.preparation, found.request = self.step, self.preparation, self.request
        return found.to(next(self.parameters()).device)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """JSON-able constructor arguments besides `spec` and `training`, for `load`."""

    @abstractmethod
    def check(self, inputs: Tensor, targets: Tensor) -> None:
        """Raise ValueError or RuntimeError for targets or a preparation, read from a file, that do not fit the set."""

    def project(self) -> None:
        """Bring parameters back to where they must be, after an outer step. Not differentiable."""

    def to_resume(self) -> dict[str, Tensor]:
        """What a resumed run needs to build the set again, besides its parameters."""
        return {}

    def provided(self, preparation: Preparation | WindowScaling | None, request: dict[str, Any]) -> Self:
        """The same set with its preparation and request, so that its file stands alone."""
        self.preparation, self.request = preparation, request
        return self

    def companions(self) -> Mapping[str, SyntheticSet]:
        """Other versions of the same result, by the arm they are compared as."""
        return {}

    def labels_kind(self) -> Literal["targets", "none", "soft", "hard"]:
        """What its targets are: of forecasts, of no class (representations), probabilities of classes, or classes."""
        if self.spec.is_forecast:
            return "targets"
        if not self.has_labels:
            return "none"
        return "soft" if self.materialise()[1].ndim == 2 else "hard"

    def sizes(self) -> dict[str, Any]:
        """What a result is, as kept in the summary of its run: outer step, samples, bytes, values, kind of labels."""
        samples = {"step": self.step, "num_samples": self.num_samples}
        samples |= {"num_bytes": self.num_bytes(), "bits": self.bits}
        return samples | {"num_stored_values": self.num_stored_values(), "labels": self.labels_kind()}

    def sample_names(self) -> tuple[str, ...]:
        """The class of each sample in stored order, the likeliest where labels are soft; empty without labels."""
        if not self.has_labels:
            return ("",) * self.num_samples
        targets = self.materialise()[1]
        hard = targets if targets.ndim == 1 else targets.argmax(1)
        return tuple(self.spec.class_names[int(label)] for label in hard)

    def preview(self, step: int, shown: Shown) -> Preview:
        """The set as pictures, in stored order, with the class of each, and its further views."""
        return Preview(step, shown.to_display(self.materialise()[0]), self.sample_names(), views=self.views())

    def views(self) -> dict[str, np.ndarray]:
        """Further pictures of the set by name, (n, H, W, C) uint8 each."""
        return {}

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically; its header holds all that is needed to read it back."""
        header = {"schema_version": SCHEMA_VERSION, "parameterisation": type(self).__name__, "step": self.step}
        header |= {"spec": asdict(self.spec), "training": asdict(self.own_training)}
        stored = self.stored or self.encoded(32)
        header |= {"description": self.describe(), "request": self.request}
        header |= {"bits": self.bits, "coded": storage.headers(stored)}
        tensors = {key: value for name, each in stored.items() for key, value in each.tensors(name).items()}
        if self.preparation is not None:
            tensors |= {PREPARATION + name: value.contiguous() for name, value in self.preparation.state().items()}
        # one header entry, so that the same set gives the same bytes
        write_atomically(path, save(tensors, {HEADER_KEY: json.dumps(header, sort_keys=True)}))


def read_header(path: Path) -> dict[str, Any]:
    """The header of a saved set. Raises DataError if the file is not one."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        problem = f"{path.name} cannot be read as a distilled set ({error})."
        raise DataError(f"{problem} Copy or export it again.") from error
    if HEADER_KEY not in metadata:
        raise DataError(f"{path.name} is no distilled set: its header has no '{HEADER_KEY}' entry.")
    try:
        header = json.loads(metadata[HEADER_KEY])
        version = int(header["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    if version > SCHEMA_VERSION:
        raise DataError(f"{path.name} was written by a newer version (schema {version}). Update this program.")
    return header


def load(path: Path, device: torch.device | str = "cpu") -> SyntheticSet:
    """The set that `save` wrote. Raises DataError for anything else."""
    from engine.synthetic import PARAMETERISATIONS

    header = read_header(path)
    try:
        return _from_file(path, header, PARAMETERISATIONS).to(device)
    except (ConfigError, LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise _damaged(path, error) from error


def _from_file(path: Path, header: dict[str, Any], kinds: dict[str, type[SyntheticSet]]) -> SyntheticSet:
    spec, training, step = _checked(header)
    kind = kinds.get(header["parameterisation"])
    if kind is None:
        problem = f"{path.name} holds a '{header['parameterisation']}', which this version does not know."
        raise DataError(f"{problem} Update this program to read it.")
    with torch.device("meta"):  # allocate nothing for what a header claims
        synthetic = kind(spec=spec, training=training, **header["description"])
    tensors = load_file(path)
    names = [name for name in tensors if name.startswith(PREPARATION)]
    prepared = {name.removeprefix(PREPARATION): tensors.pop(name) for name in names}
    wants_gradient = {name: value.requires_grad for name, value in synthetic.named_parameters()}
    stored = storage.read(tensors, header.get("coded", {}))
    synthetic.load_state_dict({name: each.decoded() for name, each in stored.items()}, assign=True)
    for name, value in synthetic.named_parameters():
        value.requires_grad_(wants_gradient[name])
    synthetic.step, synthetic.request = step, header.get("request")
    synthetic.bits = header.get("bits", 32)
    if synthetic.bits not in storage.WIDTHS:
        raise ValueError(f"values of {synthetic.bits} bits")
    synthetic.stored = {} if synthetic.bits == 32 else stored
    if prepared:
        synthetic.preparation = (WindowScaling if spec.is_forecast else Preparation).from_state(prepared)
    inputs, targets = synthetic.materialise()
    if not len(targets) or inputs.dtype != torch.float32 or inputs.shape != (len(targets), *spec.sample_shape):
        raise ValueError(f"samples of shape {tuple(inputs.shape)}, {inputs.dtype}")
    synthetic.check(inputs, targets)
    return synthetic


def check_preparation(prepared: Preparation | WindowScaling | None, inputs: Tensor) -> None:
    """Raise ValueError or RuntimeError for a preparation that cannot have made images (N, C, H, W)."""
    if isinstance(prepared, Preparation):
        if not prepared.mean.shape == prepared.std.shape == inputs.shape[1:2]:
            raise ValueError(f"a normalisation of {len(prepared.mean)} channels")
        prepared.of_pixels(prepared.inverse(inputs[:1]))  # a RuntimeError of torch if the whitening does not fit


def _checked(header: dict[str, Any]) -> tuple[TaskSpec, Training, int]:
    """What a header says of the set. Raises ValueError for what `save` never writes: a file may come from anywhere."""
    spec = TypeAdapter(TaskSpec).validate_python(header["spec"])
    training = TypeAdapter(Training).validate_python(header["training"])
    step = TypeAdapter(Annotated[Steps, Field(ge=0)]).validate_python(header["step"])
    if spec.num_outputs != (NUM_OUTPUTS[spec.task] if spec.is_forecast else len(spec.class_names)):
        raise ValueError(f"{spec.num_outputs} outputs with {len(spec.class_names)} names for '{spec.task}'")
    return spec, training, step


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(f"{path.name} does not hold what its header says ({reason}). Copy or export it again.")


def inverse_softplus(value: float) -> float:
    """The r with softplus(r) = value, for value > 0."""
    return value + math.log(-math.expm1(-value))
