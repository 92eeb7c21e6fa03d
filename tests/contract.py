"""The table of methods that `test_contract.py` walks through. A new method adds one line."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A toy run of a method: seconds on one core. `learned` are the parameters that must receive a gradient."""

    method: str
    source: str
    config: dict[str, Any]
    learned: tuple[str, ...]


CASES = (
    Case("bilevel", "digits", {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 4, "real_batch": 32, "num_validations": 2, "labels": "soft"}, ("images", "raw_rates", "label_logits")),
    Case("rat_bptt", "digits", {"student": {"name": "mlp"}, "ipc": 2, "unroll_length": 5, "window": 3, "batch_size": 20, "outer_steps": 4, "real_batch": 32, "num_validations": 2, "validation_steps": 5, "labels": "soft", "learn_rates": True}, ("images", "raw_rates", "label_logits")),
    Case("podd", "digits", {"student": {"name": "mlp"}, "ipc": 0.5, "order": "listed", "labels": "learned", "unroll_length": 5, "window": 3, "batch_size": 100, "outer_steps": 4, "real_batch": 32, "num_validations": 2, "validation_steps": 5, "learn_rates": True}, ("poster", "raw_rates", "label_map")),
    Case("podd", "digits", {"student": {"name": "convnet", "depth": 2, "width": 4}, "ipc": 1.2, "order": "names", "unroll_length": 5, "window": 3, "batch_size": 30, "outer_steps": 4, "real_batch": 32, "num_validations": 0, "learn_rates": True}, ("poster", "raw_rates")),
    Case("trajectory", "digits", {"student": {"name": "mlp"}, "ipc": 2, "experts": {"num_experts": 2, "epochs": 3, "lr": 0.1, "batch_size": 256}, "max_start_epoch": 2, "expert_epochs": 1, "student_steps": 4, "student_lr": 0.05, "outer_steps": 4, "num_validations": 2, "validation_steps": 5, "labels": "soft"}, ("images", "raw_rates", "label_logits")),
    Case("selfsup", "digits", {"student": {"name": "convnet", "depth": 2, "width": 4, "norm": "batch"}, "num_images": 12, "teacher": {"width": 4, "depth": 2, "num_dims": 8, "epochs": 1, "steps_per_epoch": 2, "batch_size": 32, "projector_width": 16}, "image_bases": 6, "representation_bases": 4, "basis_size": 4, "augmentations": ["flip", "blur"], "approximation_steps": 3, "pool_size": 2, "pool_steps": 3, "outer_steps": 4, "real_batch": 32, "num_validations": 2, "validation_steps": 3, "refresh_every": 2, "inner_batch": 20, "probing": {"pretrain_steps": 4, "pretrain_batch": 16}}, ("image_bases", "image_coefficients", "representation_bases", "representation_coefficients")),
    Case("ohlc", "simulated_prices", {"student": {"name": "lstm", "depth": 1, "width": 4}, "unroll_length": 4, "outer_steps": 4, "real_batch": 32, "num_inits": 2, "num_validations": 2, "validation_steps": 4, "smoothness": 0.1, "autocorrelation": 0.1}, ("raw_bars", "values", "raw_rates")),
    Case("ohlc", "simulated_prices", {"student": {"name": "transformer", "depth": 1, "width": 4}, "sequences_per_token": 2, "images_from": "noise", "window_schedule": "random_each_step", "unroll_length": 5, "window": 3, "batch_size": 6, "inner_optimiser": "adam", "student_lr": 0.01, "initialisation": "fixed", "outer_steps": 4, "real_batch": 32, "num_validations": 2, "validation_steps": 5}, ("raw_bars", "values", "raw_rates")),
    Case("selfsup", "digits", {"student": {"name": "convnet", "depth": 2, "width": 4, "norm": "batch"}, "num_images": 12, "teacher": {"width": 4, "depth": 2, "num_dims": 8, "epochs": 1, "steps_per_epoch": 2, "batch_size": 32, "projector_width": 16}, "parameterisation": "full", "pool_size": 2, "pool_steps": 3, "outer_steps": 4, "real_batch": 32, "num_validations": 2, "validation_steps": 3, "refresh_every": 2, "inner_batch": 20, "probing": {"pretrain_steps": 4, "pretrain_batch": 16}}, ("inputs", "targets")),
)  # fmt: skip
