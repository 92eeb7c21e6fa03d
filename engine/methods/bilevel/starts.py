"""Where inner loops start: random weights, one fixed draw, or a pool of networks part-trained on real data."""

from collections.abc import Generator, Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.events import Event
from engine.core.progress import paced
from engine.data.source import LabelledSet
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.methods.bilevel.config import BilevelConfig
from engine.nets.student import Student

POOL_LR = 0.01
POOL_BATCH = 128


class Starts:
    """Start weights by (outer step, number): the same pair always gives the same weights, so none are saved."""

    def __init__(self, student: Student, config: BilevelConfig, context: Context) -> None:
        self.student, self.config, self.context = student, config, context
        self.pool: list[Tensor] = []

    def prepare(self, train: LabelledSet) -> Generator[Event, None, None]:
        """Train the pool, if there is one: `pool_size` networks, by SGD with momentum, for up to `pool_steps` steps."""
        count = self.config.pool_size if self.config.initialisation == "pool" else 0
        for number in range(count):
            age = round(self.config.pool_steps * (number + 1) / count)
            generator = self.context.stream("pool", number)
            theta = self.student.init(generator)
            batches, rule = _real_batches(train, age, generator), update_rules.momentum()
            path = chain([theta], inner_loop(self.student, theta, batches, rule, F.cross_entropy, detached=True))
            self.pool.append((yield from paced(f"train start network {number + 1} of {count}", path, age)))

    def draw(self, step: int, number: int) -> Tensor:
        """(P,) weights for the `number`th inner loop of outer step `step`."""
        if self.config.initialisation == "fixed":
            return self.student.init(self.context.stream("fixed start"))
        generator = self.context.stream("start", step, number)
        if self.pool:
            return self.pool[int(torch.randint(len(self.pool), (), generator=generator))]
        return self.student.init(generator)

    def unseen(self, count: int) -> list[Tensor]:
        """Starts for validation: random draws the outer loop never makes, or the one fixed draw if it uses that."""
        if self.config.initialisation == "fixed":
            return [self.draw(0, 0)]
        return [self.student.init(self.context.stream("validation start", number)) for number in range(count)]


def _real_batches(train: LabelledSet, count: int, generator: torch.Generator) -> Iterator[Batch]:
    lr = torch.tensor(POOL_LR, device=train.inputs.device)
    for _ in range(count):
        yield Batch(*train.batch(torch.randint(len(train), (POOL_BATCH,), generator=generator)), lr)
