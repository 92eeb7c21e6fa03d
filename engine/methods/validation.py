"""Validation of a set during a run: fresh students trained on it by its own recipe, in random batches."""

from collections.abc import Generator

from engine.core.context import Context
from engine.core.events import Event
from engine.core.progress import paced
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import validated
from engine.evaluation.train import at_random
from engine.nets.student import Student
from engine.synthetic.labelled import LabelledImages


def with_students(
    student: Student, synthetic: LabelledImages, splits: ImageSplits, count: int, num_steps: int, context: Context
) -> Generator[Event, None, dict[str, float]]:
    """Mean validation scores of `count` students trained for `num_steps`; starts and batches are always the same."""
    data, rate, networks = synthetic.data(), synthetic.rates[0].item(), []
    for number in range(count):
        theta = student.init(context.stream("validation start", number))
        generator, training = context.stream("validation samples", number), synthetic.own_training
        path = at_random(student, theta, data, training, rate, num_steps, generator, splits.augment)
        theta = yield from paced(f"validate with student {number + 1} of {count}", path, num_steps)
        networks.append(student.fixed(theta, data))
    return validated(networks, splits)
