"""The bilevel method: its gradient, its options, and what it says when a number explodes."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from draining import drained

from engine import SOURCES, Context, DataConfig
from engine.core.config import checked
from engine.core.errors import ConfigError, Diverged
from engine.core.events import Checkpoint, Measured
from engine.data.source import LabelledSet
from engine.evaluation.baselines import random_real
from engine.evaluation.train import Recipe, accuracy, as_distilled, ordinary
from engine.methods.bilevel.bilevel import METHOD, BilevelConfig, distill
from engine.methods.bilevel.starts import Starts
from engine.nets import make_student

TOY = {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 3, "real_batch": 64, "num_validations": 0}


@pytest.fixture(scope="module")
def splits():
    return drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]


def config(**changes):
    return checked(BilevelConfig, TOY | changes, "test")


def first_gradients(splits, settings):
    """The meta-gradients of the first outer step, by parameter name."""
    checkpoint = next(e for e in distill(splits, settings, Context(seed=1)) if isinstance(e, Checkpoint))
    return {name: p.grad.clone() for name, p in checkpoint.synthetic.named_parameters() if p.grad is not None}


def naive_gradients(splits, settings):
    """The same from the equation: a plain unroll over a list of tensors, T = S * E steps, mean over starts."""
    context = Context(seed=1)
    student = make_student(settings.student, splits.spec)
    starts = Starts(student, settings, context)
    drained(starts.prepare(splits.train))
    zero_steps = distill(splits, settings, context)
    next(zero_steps)  # the first preview: nothing is learned yet
    synthetic = zero_steps.gi_frame.f_locals["synthetic"]
    images, raw = synthetic.images, synthetic.raw_rates
    real_x, real_y = splits.train.batch(
        torch.randperm(len(splits.train), generator=context.stream("real", 0))[: settings.real_batch]
    )
    total = 0.0
    for number in range(settings.num_inits):
        params = [v.clone().requires_grad_() for v in student.unflatten(starts.draw(0, number)).values()]
        for t in range(settings.num_batches * settings.passes):
            rows = torch.arange(len(images)).chunk(settings.num_batches)[t % settings.num_batches]
            out = torch.func.functional_call(
                student.module, dict(zip(student.names, params, strict=True)), (images[rows],)
            )
            gradients = torch.autograd.grad(F.cross_entropy(out, synthetic.classes[rows]), params, create_graph=True)
            eta = F.softplus(raw[0 if settings.shared_rate else t])
            params = [p - eta * g for p, g in zip(params, gradients, strict=True)]
        out = torch.func.functional_call(student.module, dict(zip(student.names, params, strict=True)), (real_x,))
        total = total + F.cross_entropy(out, real_y) / settings.num_inits
    found = torch.autograd.grad(total, [images, raw])
    return {"images": found[0], "raw_rates": found[1]}


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("shared_rate", [False, True])
@pytest.mark.parametrize("initialisation", ["random", "fixed"])
def test_first_meta_gradient_is_the_papers(splits, memory, shared_rate, initialisation):
    settings = config(
        ipc=2, num_batches=2, num_inits=2, memory=memory, shared_rate=shared_rate, initialisation=initialisation
    )
    ours, expected = first_gradients(splits, settings), naive_gradients(splits, settings)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7)  # float32; float64 in tests/meta


@pytest.mark.parametrize(
    "changes",
    [
        {"inner_optimiser": "momentum"},
        {"inner_optimiser": "adam", "student_lr": 0.01},
        {"initialisation": "pool", "pool_size": 2, "pool_steps": 3},
        {"images_from": "real", "labels": "soft"},
        {"num_inits": 3, "shared_rate": True, "clip": 0.01},
        {"student": {"name": "convnet", "depth": 2, "width": 8, "init": "orthogonal"}},
        {"clamp": True, "learn_rates": False},
        {"num_validations": 3, "keep": "last"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_option_runs_and_moves_the_images(splits, changes):
    settings = config(**changes)
    generator = distill(splits, settings, Context(seed=1))
    next(generator)
    before = generator.gi_frame.f_locals["synthetic"].images.detach().clone()
    events, synthetic = drained(generator)
    assert all(torch.isfinite(torch.tensor(list(e.values.values()))).all() for e in events if isinstance(e, Measured))
    assert (synthetic.images - before).abs().amax((1, 2, 3)).min() > 0


def test_fixed_rates_stay(splits):
    _, synthetic = drained(distill(splits, config(learn_rates=False, student_lr=0.07), Context()))
    torch.testing.assert_close(synthetic.rates, torch.full((2,), 0.07))


def test_clamped_pixels_stay_in_the_range_of_real_ones(splits):
    _, synthetic = drained(distill(splits, config(clamp=True, outer_lr=1.0), Context()))
    low, high = splits.display_range
    assert (synthetic.images >= low - 1e-6).all() and (synthetic.images <= high + 1e-6).all()


def test_augmented_synthetic_batches_change_the_gradient(splits):
    shifting = dataclasses.replace(splits, augment=lambda x, generator: x + torch.rand((), generator=generator))
    plain, augmented = (first_gradients(shifting, config(augment_synthetic=flag)) for flag in (False, True))
    assert not torch.allclose(plain["images"], augmented["images"])


def test_clip_bounds_the_gradient_that_is_used(splits):
    free, clipped = first_gradients(splits, config()), first_gradients(splits, config(clip=1e-3))
    norm = torch.cat([g.flatten() for g in clipped.values()]).norm()
    assert norm <= 1.0001e-3 < torch.cat([g.flatten() for g in free.values()]).norm()


def test_step_decay_halves_at_even_distances(splits):
    running = distill(splits, config(outer_steps=10, num_decays=4, outer_lr=0.5), Context())
    outers = (running.gi_frame.f_locals["outer"] for event in running if isinstance(event, Checkpoint))
    assert [outer.param_groups[0]["lr"] for outer in outers] == [0.5 * 0.5 ** (step // 2) for step in range(10)]


def test_diverging_run_stops_before_it_spoils_the_set_and_says_which_number_broke(splits):
    broken = dataclasses.replace(
        splits, train=LabelledSet(splits.train.inputs, splits.train.targets, lambda x: splits.train.prepare(x) * 1e30)
    )
    generator = distill(broken, config(outer_steps=50), Context())
    with pytest.raises(Diverged, match="outer loss|meta-gradient") as caught:
        drained(generator)
    assert caught.value.step == 0


def test_exploding_student_is_traced_to_its_inner_step(splits):
    settings = config(
        student_lr=10.0,
        inner_optimiser="momentum",
        passes=200,
        student={"name": "convnet", "depth": 2, "width": 4, "norm": "none", "activation": "leaky_relu"},
        images_from="real",
    )
    wild = dataclasses.replace(
        splits, train=LabelledSet(splits.train.inputs, splits.train.targets, lambda x: splits.train.prepare(x) * 100)
    )
    with pytest.raises(
        Diverged, match=r"became infinite or NaN at inner step \d+ of 200, in outer step 0.*[Ll]ower"
    ) as caught:
        drained(distill(wild, settings, Context()))
    assert caught.value.quantity == "student weights"


def test_batches_that_do_not_divide_are_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="must divide 3"):
        checked(BilevelConfig, {"ipc": 3, "num_batches": 2}, "config")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distilled_digits_beat_random_real_ones_at_equal_storage(splits, seed):
    """Ten learned digits against ten real ones, each given its own protocol, five students; not a close call."""
    preset = METHOD.presets_for("digits")["quick"]
    settings = checked(
        BilevelConfig, preset.config | {"outer_steps": 60, "outer_lr": 0.1, "num_validations": 2}, "test"
    )
    _, synthetic = drained(distill(splits, settings, Context(seed=seed)))
    student = make_student(settings.student, splits.spec)
    distilled, real = [], []
    for number in range(5):
        generator = torch.Generator().manual_seed(1000 + number)
        start = student.init(generator)
        distilled.append(accuracy(partial(student, as_distilled(student, start, synthetic)), splits.test))
        data = random_real(splits.train, 10, 10, generator)
        *_, theta = ordinary(student, start, data, Recipe(100, 256, 3e-3), generator, splits.augment)
        real.append(accuracy(partial(student, theta), splits.test))
    assert min(distilled) > max(real)
    assert sum(distilled) / 5 > 0.8
