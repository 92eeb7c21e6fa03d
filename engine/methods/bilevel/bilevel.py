"""Dataset distillation by bilevel optimisation: images on which a few steps of gradient descent train a network.

The inner loop trains a student from theta_0 on the synthetic batches, T steps; the outer loss is the cross-entropy of
real data at theta_T; its exact gradient, through all T steps, moves images, labels and learning rates:

    theta_{t+1} = theta_t - eta_t grad L(theta_t; x_{t mod S}, y_{t mod S}),   t = 0..T-1,   T = S * E
    minimise over x, y, eta:   E_{theta_0} [ L(theta_T; real batch) ]

Sources:
    Wang et al. 2018, arXiv:1811.10959, Algorithms 1 and 2.
    Soft labels: Sucholutsky & Schonlau 2019, arXiv:1910.02551.
What differs from the paper is listed in README.md.
"""

from collections.abc import Generator, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.events import Begun, Checkpoint, Event, Measured
from engine.core.progress import paced
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import deciding, validated
from engine.evaluation.train import as_distilled
from engine.meta import update_rules
from engine.meta.clip import clip_gradient, gradient_norm
from engine.meta.inner import Batch, inner_loop
from engine.meta.outer import Adam
from engine.meta.windows import Window
from engine.methods.bilevel.config import BilevelConfig
from engine.methods.bilevel.starts import Starts
from engine.methods.diagnosis import diagnose
from engine.methods.forms import Asked, initial_set
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.state import Best, restore, snapshot
from engine.nets import make_student
from engine.synthetic.base import Training
from engine.synthetic.labelled import LabelledImages


def distill(splits: ImageSplits, config: BilevelConfig, context: Context) -> Generator[Event, None, LabelledImages]:
    """Learn a set that trains a student in S * E steps.

    Yields Measured(outer_loss, gradient_norm, student_lr, student_lr_min, student_lr_max, and validation_accuracy now
    and then) each outer step, a Preview now and then, a Checkpoint each step, and Progress within steps that take long.
    Raises Diverged before anything is updated with a value that is not finite, and ConfigError if images and student do
    not fit.
    """
    student = make_student(config.student, splits.spec, context.device)
    start_seed = context.stream("fixed start").initial_seed() if config.initialisation == "fixed" else None
    training = Training(config.inner_optimiser, config.inner_steps, start_seed)
    num_rates = 1 if config.shared_rate else config.inner_steps
    asked = Asked(training, config.student_lr, config.learn_rates, config.stored_batches, num_rates)
    synthetic = yield from initial_set(config, splits, asked, context)
    starts = Starts(student, config, context)
    yield from starts.prepare(splits.train)
    learned = [p for p in synthetic.parameters() if p.requires_grad]
    groups = synthetic.groups(config.outer_lr, config.outer_lr, config.rates_lr)
    groups = [group | {"first_lr": group["lr"]} for group in groups]
    outer = Adam(groups, betas=(config.adam_beta1, 0.999))
    best = Best()
    first_step = synthetic.step = restore(context.resume_from, synthetic, outer, best)
    rule, memory = update_rules.BY_NAME[config.inner_optimiser](), config.memory

    def walk(step: int, number: int, detached: bool = False) -> Iterator[Tensor]:
        start, batches = starts.draw(step, number), _batches(synthetic, splits, config, context, step, number)
        return inner_loop(student, start, batches, rule, F.cross_entropy, memory=memory, detached=detached)

    if first_step == 0:
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
    for step in range(first_step, config.outer_steps):
        decay = config.decay_factor ** (step * (config.num_decays + 1) // config.outer_steps)
        for group in outer.param_groups:
            group["lr"] = group["first_lr"] * decay
        outer.zero_grad()
        real = splits.random_batch(config.real_batch, context.stream("real", step))
        outer_loss = 0.0
        with synthetic.rounded(config.rounded_bits(step)):
            for number in range(config.num_inits):
                theta = yield from paced("train the student", walk(step, number), synthetic.own_training.num_steps)
                loss = F.cross_entropy(student(theta, real[0]), real[1]) / config.num_inits
                loss.backward()  # through all T steps; one start's graph at a time
                outer_loss += loss.item()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm) or not outer_loss < float("inf"):
            paths = (walk(step, number, detached=True) for number in range(config.num_inits))
            whole = Window(0, synthetic.own_training.num_steps)
            raise diagnose(synthetic, paths, whole, step, outer_loss, "fewer passes or a gradient clip of 1")
        if config.clip:
            clip_gradient(learned, norm, config.clip)
        outer.step()
        synthetic.project()

        done = synthetic.step = step + 1
        rates = synthetic.rates.detach()
        values = {"outer_loss": outer_loss, "gradient_norm": norm.item(), "student_lr": rates.mean().item()}
        values |= {"student_lr_min": rates.min().item(), "student_lr_max": rates.max().item()}
        if config.wants_validation(done):
            with synthetic.rounded(config.rounded_bits()):
                unseen = [as_distilled(student, theta, synthetic) for theta in starts.unseen(3)]
                tried = validated([student.fixed(theta, synthetic.data()) for theta in unseen], splits)
            values |= tried
            best.offer(deciding(tried), done, synthetic)
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        yield Checkpoint(done, partial(snapshot, done, synthetic, outer, best), synthetic)

    if config.keep == "best" and best.put_back(synthetic):
        yield synthetic.preview(best.step, splits)
    return synthetic


def _batches(
    synthetic: LabelledImages, splits: ImageSplits, config: BilevelConfig, context: Context, step: int, number: int
) -> Iterator[Batch]:
    """The batches of one inner loop: those of outer step `step`, start `number`."""
    if not config.augment_synthetic:
        return synthetic.batches()
    generator = context.stream("synthetic augmentation", step, number)
    return (batch._replace(inputs=splits.augment(batch.inputs, generator)) for batch in synthetic.batches())


METHOD = Method(
    key="bilevel",
    title="Bilevel (Dataset Distillation)",
    summary="Learns images and learning rates on which a few gradient steps train a network, by differentiating "
    "through the training itself.",
    papers=(Paper("1811.10959", "Wang et al. 2018"), Paper("1910.02551", "Sucholutsky & Schonlau 2019")),
    config=BilevelConfig,
    presets=read_presets(__file__),
    distill=distill,
)
