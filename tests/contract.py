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
)  # fmt: skip
