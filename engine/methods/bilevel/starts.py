"""Where inner loops start: random weights, one fixed draw, or a pool of networks part-trained on real data."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.events import Event, Progress
from engine.data.source import LabelledSet
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.methods.bilevel.config import BilevelConfig
from engine.nets.student import Student

POOL_LR = 0.01
POOL_BATCH = 128


class Starts:
    """Start weights by (outer step, number): the same pair always gives the same weights, so none are saved."""

    def __init__(self, kind: str, student: Student, context: Context, pool: tuple[Tensor, ...] = ()) -> None:
        self.kind, self.student, self.context, self.pool = kind, student, context, pool

    @classmethod
    def prepare(
        cls, student: Student, train: LabelledSet, config: BilevelConfig, context: Context
    ) -> Generator[Event, None, Starts]:
        """Train the pool, if there is one: `pool_size` networks, by SGD with momentum, for up to `pool_steps` steps."""
        pool = []
        if config.initialisation == "pool":
            for number in range(config.pool_size):
                age = round(config.pool_steps * (number + 1) / config.pool_size)
                generator = context.stream("pool", number)
                theta = student.init(generator)
                batches = _real_batches(train, age, generator)
                path = inner_loop(student, theta, batches, update_rules.momentum(), F.cross_entropy, detached=True)
                for step, trained in enumerate(path):
                    theta = trained
                    if step % 10 == 0:
                        yield Progress(f"train start network {number + 1} of {config.pool_size}", step, age)
                pool.append(theta)
        return cls(config.initialisation, student, context, tuple(pool))

    def draw(self, step: int, number: int) -> Tensor:
        """(P,) weights for the `number`th inner loop of outer step `step`."""
        if self.kind == "fixed":
            return self.student.init(self.context.stream("fixed start"))
        generator = self.context.stream("start", step, number)
        if self.kind == "pool":
            return self.pool[int(torch.randint(len(self.pool), (), generator=generator))]
        return self.student.init(generator)

    def unseen(self, count: int) -> list[Tensor]:
        """Starts for validation: random draws the outer loop never makes, or the one fixed draw if it uses that."""
        if self.kind == "fixed":
            return [self.draw(0, 0)]
        return [self.student.init(self.context.stream("validation start", number)) for number in range(count)]


def _real_batches(train: LabelledSet, count: int, generator: torch.Generator) -> Iterator[Batch]:
    lr = torch.tensor(POOL_LR, device=train.inputs.device)
    for _ in range(count):
        yield Batch(*train.batch(torch.randint(len(train), (POOL_BATCH,), generator=generator)), lr)
