"""Which quantity of an outer step stopped being finite first, and what to try."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from engine.core.errors import Diverged
from engine.meta.windows import Window
from engine.synthetic.base import SyntheticSet

Paths = Iterable[Iterator[Tensor]]


def diagnose(
    synthetic: SyntheticSet, paths: Paths, window: Window, step: int, outer_loss: float, otherwise: str
) -> Diverged:
    """Say which quantity of outer step `step` stopped being finite first.

    paths: the inner loops of the step, walked again. window: their inner steps. otherwise: what may help besides lower
    learning rates, as the end of a sentence.
    """
    rate, where = synthetic.rates.max().item(), f"outer step {step}"
    remedy = f"Start again with a lower student learning rate (now up to {rate:.3g}), a lower outer learning rate"
    remedy += f", or {otherwise}."
    for name, value in synthetic.named_parameters():
        if not torch.isfinite(value).all():
            said = f"Values of the set's {name.replace('_', ' ')} are infinite or NaN at {where}."
            return Diverged(f"{said} Lower the outer learning rate.", quantity=name, step=step)
    for path in paths:
        for number, theta in enumerate(path, 1):
            if not torch.isfinite(theta).all():
                place = f"inner step {number} of {sum(window)}, in {where}"
                said = f"The student's weights became infinite or NaN at {place}. {remedy}"
                return Diverged(said, quantity="student weights", step=step)
    if not outer_loss < math.inf:
        said = f"The outer loss is {outer_loss} at {where}, though the student's weights are finite:"
        return Diverged(f"{said} its outputs overflow. {remedy}", quantity="outer loss", step=step)
    gradients = {name: p.grad for name, p in synthetic.named_parameters() if p.grad is not None}
    broken = ", ".join(name for name, gradient in gradients.items() if not torch.isfinite(gradient).all())
    said = f"The meta-gradient of {broken or 'the set'} is infinite or NaN at {where} (outer loss {outer_loss:.3g}):"
    way = f"it explodes on its way through {window.length} inner steps."
    return Diverged(f"{said} {way} {remedy}", quantity="meta-gradient", step=step)
