"""Sequences of price bars with learnable targets; every value of the parameters gives valid candles.

M = sequences per token * K tokens, sorted by token. A bar is made of five free numbers r, first bounded to (-B, B) by
r <- B tanh(r / B). With softplus s(.) and the sigmoid q(.), a student sees

    returns   r0, r1, s(r2), s(r3), v + s(r4 - v)                         gap, body, wicks of 0 or more, volume
    prices    b + d q(r0), b + d, b, b + d q(r3), s(r4)                   open, high, low, close, volume
              with the low b = p + s(r2 - p) and the span d = s(r1)

v and p are the scaled values of a volume and a price of 0: volumes are never below 0, and prices always above it. In
both, low <= open, close <= high. Nothing is clamped: gradients reach every number.
"""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.core.events import CandleView, Preview
from engine.data.prices.scaling import WindowScaling
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.synthetic.base import Shown, SyntheticSet, Training, inverse_softplus
from engine.synthetic.storage import Part

BOUND = 25.0  # B, in standard deviations: wider than any bar of a market
ABOVE_ZERO = 0.999  # how far a sequence can fall on the way from a token's lowest price, or usual volume, to 0
LEAST = 1e-3  # a wick, span or volume of 0 has no inverse, so real ones start from this at least
DIRECTION_LOGIT = 2.0  # a direction starts with this logit on its side, 0 on the other: 0.88 of the mass
OUTPUTS: dict[str, tuple[str, ...]] = {"close": ("close",), "volatility": ("volatility",)}
OUTPUTS |= {"direction": ("down", "up"), "both": ("close", "down", "up")}


class CandleSet(SyntheticSet):
    """`raw_bars` (M, T, 5), `values` (M, 1) or None, `direction_logits` (M, 2) or None, `raw_rates` (1,)."""

    usual_bits = 16
    preparation: WindowScaling | None
    values: nn.Parameter | None
    direction_logits: nn.Parameter | None
    price_floor: Tensor
    volume_floor: Tensor

    def __init__(
        self,
        *,
        spec: TaskSpec,
        training: Training,
        sequences_per_token: int,
        features: Literal["returns", "prices"],
        learn_targets: bool = True,
        learn_rates: bool = True,
    ) -> None:
        super().__init__()
        if features not in ("returns", "prices"):
            raise ValueError(f"there are no features '{features}'")
        self.spec, self.own_training, self.features = spec, training, features
        self.sequences_per_token, self.learn_targets, self.learn_rates = sequences_per_token, learn_targets, learn_rates
        num_tokens = len(spec.class_names)
        num_sequences = sequences_per_token * num_tokens
        num_bars, num_features = spec.sample_shape
        if num_features not in (NUM_FEATURES, NUM_FEATURES + num_tokens):
            raise ValueError(f"{num_features} features for {num_tokens} tokens")
        self.says_token = num_features > NUM_FEATURES
        self.raw_bars = nn.Parameter(torch.zeros(num_sequences, num_bars, NUM_FEATURES))
        for name, size in (("values", 1), ("direction_logits", 2)):
            is_told = spec.task != "direction" if name == "values" else spec.task in ("direction", "both")
            value = nn.Parameter(torch.zeros(num_sequences, size), requires_grad=learn_targets) if is_told else None
            self.register_parameter(name, value)
        self.raw_rates = nn.Parameter(torch.zeros(1), requires_grad=learn_rates)
        self.register_buffer("price_floor", torch.zeros(num_sequences, 1))
        self.register_buffer("volume_floor", torch.zeros(num_sequences, 1))

    def start_from(
        self, images_from: str, splits: WindowSplits, result: SyntheticSet | None, lr: float, generator: torch.Generator
    ) -> None:
        """Start as a config's `images_from` says; raises ConfigError if that is impossible."""
        scaling = splits.scaling
        zero = (-scaling.feature_shift / scaling.feature_scale).float()[self.tokens]
        with torch.no_grad():
            self.price_floor.copy_(ABOVE_ZERO * zero[:, 2:3])
            self.volume_floor.copy_(ABOVE_ZERO * zero[:, 4:5])
            self.raw_rates.fill_(inverse_softplus(lr))
        if images_from == "result":
            self._start_from_result(result, splits)
            return
        windows = self._drawn(splits.train.to(torch.device("cpu")), generator)
        with torch.no_grad():
            if images_from == "real":
                self.raw_bars.copy_(self._raw_of(windows.inputs[..., :NUM_FEATURES]))
            else:
                self.raw_bars.copy_(torch.randn(self.raw_bars.shape, generator=generator))
            if self.values is not None:
                self.values.copy_(windows.targets[:, :1])
            if self.direction_logits is not None:
                self.direction_logits.copy_(DIRECTION_LOGIT * windows.targets[:, -2:])

    def _drawn(self, train: WindowSet, generator: torch.Generator) -> WindowSet:
        """As many random training windows of each token as there are sequences."""
        chosen = []
        for token, name in enumerate(self.spec.class_names):
            mine = (train.tokens == token).nonzero().flatten()
            if len(mine) < self.sequences_per_token:
                found = (
                    f"{len(mine):,} training windows, fewer than the {self.sequences_per_token:,} sequences per token"
                )
                raise ConfigError(f"{name} has {found}. Lower the sequences per token, or the stride.")
            chosen.append(mine[torch.randperm(len(mine), generator=generator)[: self.sequences_per_token]])
        return train.subset(torch.cat(chosen))

    def _start_from_result(self, result: SyntheticSet | None, splits: WindowSplits) -> None:
        """Sequences and targets of a finished set of the same shape and scaling, with its rate."""
        if not isinstance(result, CandleSet) or result.spec != self.spec or len(result.raw_bars) != len(self.raw_bars):
            problem = "The result to start from holds other tokens, windows, targets or numbers of sequences."
            raise ConfigError(f"{problem} Choose the same data set and settings, or start from real windows.")
        if result.preparation is not None and not splits.scaling.is_like(result.preparation):
            problem = "The result to start from was made from bars on another scale."
            raise ConfigError(f"{problem} Choose the data preparation of its run, or start from real windows.")
        with torch.no_grad():
            for name in ("raw_bars", "values", "direction_logits", "raw_rates"):
                mine, theirs = getattr(self, name), getattr(result, name)
                if mine is not None:
                    mine.copy_(theirs.to(mine))

    def groups(self, lr: float, target_lr: float, rates_lr: float) -> list[dict[str, Any]]:
        """Parameter groups of an outer optimiser, each with its step size: bars, learned targets, learned rate."""
        groups: list[dict[str, Any]] = [{"params": [self.raw_bars], "lr": lr}]
        if self.learn_targets:
            targets = [part for part in (self.values, self.direction_logits) if part is not None]
            groups.append({"params": targets, "lr": target_lr})
        if self.learn_rates:
            groups.append({"params": [self.raw_rates], "lr": rates_lr})
        return groups

    @property
    def tokens(self) -> Tensor:
        """(M,) int64: the token of each sequence."""
        count = torch.arange(len(self.spec.class_names), device=self.raw_bars.device)
        return count.repeat_interleave(self.sequences_per_token)

    @property
    def num_samples(self) -> int:
        return len(self.raw_bars)

    @property
    def rates(self) -> Tensor:
        return F.softplus(self.raw_rates)

    def inputs(self) -> Tensor:
        """(M, T, F) as a student sees them; differentiable."""
        bars = self._bars()
        if not self.says_token:
            return bars
        columns = F.one_hot(self.tokens, len(self.spec.class_names)).to(bars)[:, None].expand(-1, bars.shape[1], -1)
        return torch.cat([bars, columns], 2)

    def targets(self) -> Tensor:
        """(M, D): the value in standard deviations, then the probabilities of down and up; differentiable."""
        parts: list[Tensor] = [] if self.values is None else [self.values]
        if self.direction_logits is not None:
            parts.append(self.direction_logits.softmax(1))
        return torch.cat(parts, 1)

    def everything(self) -> tuple[Tensor, Tensor]:
        return self.inputs(), self.targets()

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.inputs()[indices], self.targets()[indices]

    def bars(self) -> np.ndarray:
        """(M, T, 5) float64: open, high, low, close, volume; needs the scaling (`preparation`)."""
        if self.preparation is None:
            raise ValueError("the set does not say how its bars were scaled")
        return self.preparation.bars(self.inputs(), self.tokens)

    def parts(self) -> dict[str, Part]:
        """The floors follow from the scaling."""
        found = {"raw_bars": Part(axis=2), "raw_rates": Part("exact")}
        found |= {name: Part("exact", is_counted=False) for name in ("price_floor", "volume_floor")}
        told = [name for name in ("values", "direction_logits") if getattr(self, name) is not None]
        return found | {name: Part("fine") for name in told}

    def describe(self) -> dict[str, Any]:
        names = ("sequences_per_token", "features", "learn_targets", "learn_rates")
        return {name: getattr(self, name) for name in names}

    def sample_names(self) -> tuple[str, ...]:
        return tuple(self.spec.class_names[token] for token in self.tokens.tolist())

    def check(self, inputs: Tensor, targets: Tensor) -> None:
        if targets.shape[1:] != (self.spec.num_outputs,) or not bool(torch.isfinite(targets).all()):
            shape = tuple(targets.shape)
            raise ValueError(f"targets of shape {shape} for {self.spec.num_outputs} outputs, or no numbers")
        scaling, num_tokens = self.preparation, len(self.spec.class_names)
        if scaling is not None and len(scaling.target_scale) != num_tokens:
            raise ValueError(f"a scaling of {len(scaling.target_scale)} tokens, not of {num_tokens}")

    def preview(self, step: int, shown: Shown) -> Preview:
        """The sequences as small pictures, and as bars."""
        scaling = shown.scaling if isinstance(shown, WindowSplits) else shown
        if not isinstance(scaling, WindowScaling):
            raise TypeError("sequences are shown by the scaling of their bars")
        inputs, targets = self.materialise()
        bars = scaling.bars(inputs, self.tokens).astype(np.float32)
        names = self.sample_names()
        view = CandleView(bars, names, targets.float().cpu().numpy(), OUTPUTS[self.spec.task])
        return Preview(step, scaling.to_display(inputs), names, candles=view)

    def _bars(self) -> Tensor:
        """(M, T, 5): see the head of this file."""
        r0, r1, r2, r3, r4 = (BOUND * (self.raw_bars / BOUND).tanh()).unbind(2)
        volume = self.volume_floor + F.softplus(r4 - self.volume_floor)
        if self.features == "returns":
            return torch.stack([r0, r1, F.softplus(r2), F.softplus(r3), volume], 2)
        low, span = self.price_floor + F.softplus(r2 - self.price_floor), F.softplus(r1)
        return torch.stack([low + span * r0.sigmoid(), low + span, low, low + span * r3.sigmoid(), volume], 2)

    def _raw_of(self, bars: Tensor) -> Tensor:
        """The free numbers (M, T, 5) that give bars (M, T, 5), up to a small step away from the edge of valid bars."""
        x0, x1, x2, x3, x4 = bars.unbind(2)
        volume = self.volume_floor + _inverse(x4 - self.volume_floor)
        if self.features == "returns":
            free = torch.stack([x0, x1, _inverse(x2), _inverse(x3), volume], 2)
        else:
            span = (x1 - x2).clamp(min=LEAST)
            low = self.price_floor + _inverse(x2 - self.price_floor)
            inside = [((x - x2) / span).clamp(LEAST, 1 - LEAST).logit() for x in (x0, x3)]
            free = torch.stack([inside[0], _inverse(span), low, inside[1], volume], 2)
        return BOUND * (free / BOUND).clamp(-0.999, 0.999).atanh()


def _inverse(values: Tensor) -> Tensor:
    """The r with softplus(r) = values, those below `LEAST` raised to it."""
    values = values.clamp(min=LEAST)
    return values + (-(-values).expm1()).log()
