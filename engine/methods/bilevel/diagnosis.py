"""Which quantity stopped being finite, where, and what to try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from engine.errors import Diverged
from engine.synthetic.pixels import PixelSet


def diagnose(synthetic: PixelSet, paths: Iterable[Iterator[Tensor]], step: int, outer_loss: float) -> Diverged:
    """Say which quantity stopped being finite first; `paths` are the inner loops of outer step `step`, walked again."""
    highest = synthetic.rates.max().item()
    if not torch.isfinite(synthetic.images).all():
        return Diverged(
            f"The synthetic images are not finite at outer step {step}. Lower the outer learning rate.",
            quantity="images",
            step=step,
        )
    for path in paths:
        for inner_step, theta in enumerate(path):
            if not torch.isfinite(theta).all():
                return Diverged(
                    f"The student's weights became infinite or NaN at inner step {inner_step + 1} of {synthetic.training.num_steps}, in outer step "
                    f"{step}: its learning rate has grown to {highest:.3g}. Start again with a lower student learning rate or outer "
                    f"learning rate, or with a gradient clip of 1.",
                    quantity="student weights", step=step,
                )  # fmt: skip
    if not outer_loss < float("inf"):
        return Diverged(
            f"The outer loss is {outer_loss} at outer step {step}, though the student's weights are finite: its outputs overflow. "
            f"Lower the student learning rate (now up to {highest:.3g}), or the number of passes.",
            quantity="outer loss", step=step,
        )  # fmt: skip
    broken = [
        name for name, p in synthetic.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    return Diverged(
        f"The meta-gradient of {', '.join(broken) or 'the set'} is infinite or NaN at outer step {step} (outer loss {outer_loss:.3g}): the gradient "
        f"explodes on its way through {synthetic.training.num_steps} inner steps. Lower the passes or the student learning rate; a gradient clip of 1 keeps earlier steps from leading there.",
        quantity="meta-gradient", step=step,
    )  # fmt: skip
