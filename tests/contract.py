"""The cases of `test_contract.py`. A new method adds one case, a new form one for each method."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A toy run of a method: seconds on one core. `learned` are the parameters that must receive a gradient."""

    method: str
    source: str
    config: dict[str, Any]
    learned: tuple[str, ...]

    @property
    def name(self) -> str:
        """The method, and the form if it is not the default one."""
        return f"{self.method} {self.config['stored_as']}" if "stored_as" in self.config else self.method


BRIEF = {"outer_steps": 4, "real_batch": 32, "num_validations": 2}
MLP = {"student": {"name": "mlp"}}
SMALL = {"student": {"name": "convnet", "depth": 2, "width": 4}}
NORMED = {"student": {"name": "convnet", "depth": 2, "width": 4, "norm": "batch"}}
LSTM = {"student": {"name": "lstm", "depth": 1, "width": 4}}
TRANSFORMER = {"student": {"name": "transformer", "depth": 1, "width": 4}}

SOFT = {"labels": "soft"}
CANVAS = {"stored_as": "canvas", "canvas": {"size": 2, "samples": 2}} | SOFT
POSTER = {"stored_as": "poster", "poster": {"order": "listed", "labels": "learned", "poster_from": "real"}}
LOW_RANK = {"stored_as": "low_rank", "low_rank": {"ipc": 2, "num_bases": 4, "basis_size": 6}} | SOFT

STORED = BRIEF | MLP | {"passes": 2}
WINDOWED = BRIEF | MLP | {"unroll_length": 5, "window": 3, "batch_size": 20, "validation_steps": 5, "learn_rates": True}
WHOLE = WINDOWED | {"batch_size": 200}  # every sample at every step
EXPERTS = {"num_experts": 2, "epochs": 3, "lr": 0.1, "batch_size": 256}
FOLLOWED = {"experts": EXPERTS, "max_start_epoch": 2, "expert_epochs": 1, "student_steps": 4, "student_lr": 0.05}
MATCHED = MLP | FOLLOWED | {"outer_steps": 4, "num_validations": 2, "validation_steps": 5}
REGRESSED = BRIEF | SMALL | {"pool_size": 2, "pool_steps": 3, "validation_steps": 3}
FEATURES = BRIEF | MLP | {"validation_steps": 5}
GRADIENTS = FEATURES | SMALL | {"objective": "gradients", "network_matches": 2, "network_steps": 2}
TEACHER = {"width": 4, "depth": 2, "num_dims": 8, "epochs": 1, "steps_per_epoch": 2, "batch_size": 32}
POOL = {"pool_size": 2, "pool_steps": 3, "refresh_every": 2, "inner_batch": 20}
PROBED = {"validation_steps": 3, "probing": {"pretrain_steps": 4, "pretrain_batch": 16}}
PAIRS = BRIEF | NORMED | POOL | PROBED | {"num_images": 12, "teacher": TEACHER | {"projector_width": 16}}
AUGMENTED = {"augmentations": ["flip", "blur"], "approximation_steps": 3}
BASES = {"image_bases": 6, "representation_bases": 4, "basis_size": 4} | AUGMENTED
SEQUENCES = BRIEF | LSTM | {"unroll_length": 4, "num_inits": 2, "validation_steps": 4}
PENALTIES = {"smoothness": 0.1, "autocorrelation": 0.1}
TRUNCATED = {"window_schedule": "random_each_step", "unroll_length": 5, "window": 3, "batch_size": 6}
NOISE = {"images_from": "noise", "initialisation": "fixed", "inner_optimiser": "adam", "student_lr": 0.01}
TWO_EACH = BRIEF | TRANSFORMER | TRUNCATED | NOISE | {"sequences_per_token": 2, "validation_steps": 5}
WIDE_POSTER = SMALL | {"ipc": 1.2, "order": "names", "batch_size": 30, "num_validations": 0}

OF_IMAGES = ("images", "raw_rates", "label_logits")
OF_POSTER = ("poster", "raw_rates", "label_map")
OF_BASES = ("bases", "coefficients", "raw_rates", "label_logits")
OF_PAIRS = ("image_bases", "image_coefficients", "representation_bases", "representation_coefficients")
OF_BARS = ("raw_bars", "values", "raw_rates")

CASES = (
    Case("bilevel", "digits", STORED | SOFT, OF_IMAGES),
    Case("bilevel", "digits", STORED | POSTER, OF_POSTER),
    Case("bilevel", "digits", STORED | LOW_RANK | {"num_batches": 2}, OF_BASES),
    Case("rat_bptt", "digits", WINDOWED | SOFT | {"ipc": 2}, OF_IMAGES),
    Case("rat_bptt", "digits", WHOLE | CANVAS, OF_IMAGES),
    Case("rat_bptt", "digits", WHOLE | POSTER, OF_POSTER),
    Case("rat_bptt", "digits", WINDOWED | LOW_RANK, OF_BASES),
    Case("podd", "digits", WHOLE | {"ipc": 0.5, "order": "listed", "labels": "learned"}, OF_POSTER),
    Case("podd", "digits", WINDOWED | WIDE_POSTER, ("poster", "raw_rates")),
    Case("trajectory", "digits", MATCHED | SOFT | {"ipc": 2}, OF_IMAGES),
    Case("trajectory", "digits", MATCHED | CANVAS, OF_IMAGES),
    Case("trajectory", "digits", MATCHED | POSTER, OF_POSTER),
    Case("trajectory", "digits", MATCHED | LOW_RANK, OF_BASES),
    Case("regression", "digits", REGRESSED | {"ipc": 2, "mirror": True, "average": 0.5}, ("images", "label_shares")),
    Case("regression", "digits", REGRESSED | CANVAS | {"loss": "cross_entropy"}, ("images", "label_logits")),
    Case("regression", "digits", REGRESSED | POSTER | {"outer_optimiser": "lamb"}, ("poster", "label_map")),
    Case("regression", "digits", REGRESSED | LOW_RANK | {"labels": "free"}, ("bases", "coefficients", "label_shares")),
    Case("matching", "digits", FEATURES | SOFT | {"ipc": 2}, ("images", "label_logits")),
    Case("matching", "digits", FEATURES | CANVAS, ("images", "label_logits")),
    Case("matching", "digits", GRADIENTS | POSTER, ("poster", "label_map")),
    Case("matching", "digits", GRADIENTS | LOW_RANK, ("bases", "coefficients", "label_logits")),
    Case("selfsup", "digits", PAIRS | BASES, OF_PAIRS),
    Case("selfsup", "digits", PAIRS | {"parameterisation": "full"}, ("inputs", "targets")),
    Case("ohlc", "simulated_prices", SEQUENCES | PENALTIES, OF_BARS),
    Case("ohlc", "simulated_prices", TWO_EACH, OF_BARS),
)
