"""The loop of RaT-BPTT and PoDD: its gradient is the window's and nothing else's, and it survives being stopped."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import SPEC, toy_splits

from engine import Context
from engine.core.config import checked
from engine.core.errors import ConfigError, Diverged
from engine.core.events import Checkpoint, Measured, Preview, Progress
from engine.core.options import option_of
from engine.data.source import LabelledSet
from engine.meta import update_rules
from engine.meta.inner import Batch, burn_in, inner_loop
from engine.meta.windows import Window, WindowSchedule, window_at
from engine.methods.rat_bptt.rat_bptt import RatBpttConfig
from engine.methods.windowed import distill_images as distill
from engine.nets import make_student

TOY = {
    "student": {"name": "convnet", "depth": 2, "width": 4, "activation": "softplus"},
    "unroll_length": 7,
    "window": 3,
    "window_schedule": "fixed_late",
    "batch_size": 2,
    "outer_steps": 2,
    "real_batch": 12,
    "student_lr": 0.01,
    "num_validations": 0,
    "learn_rates": True,
}


def config(**changes) -> RatBpttConfig:
    return checked(RatBpttConfig, TOY | changes, "test")


def first_gradients(settings, splits=None, context=None):
    """The meta-gradients of the first outer step, by parameter name."""
    events = distill(splits or toy_splits(), settings, context or Context(seed=1))
    next(events)  # the first preview: nothing is learned yet
    events.gi_frame.f_locals["synthetic"].to(torch.get_default_dtype())
    checkpoint = next(e for e in events if isinstance(e, Checkpoint))
    return {name: p.grad.clone() for name, p in checkpoint.synthetic.named_parameters() if p.grad is not None}


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def naive_gradients(settings, window: Window):
    """The same from the equation: lists of tensors, Adam written out, detached before the window."""
    splits, context = toy_splits(), Context(seed=1)
    student = make_student(settings.student, SPEC)
    images = torch.randn(settings.ipc * 3, *SPEC.sample_shape, generator=context.stream("images")).requires_grad_()
    logits = (5.0 * F.one_hot(torch.arange(3).repeat_interleave(settings.ipc), 3)).double().requires_grad_()
    raw = torch.tensor([settings.student_lr]).expm1().log().requires_grad_()
    chosen = context.stream("inner", 0)
    params = list(student.unflatten(student.init(context.stream("start", 0))).values())
    m, v = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    for t in range(sum(window)):
        is_inside = t >= window.burn_in
        if not is_inside or t == window.burn_in:
            params = [p.detach().requires_grad_() for p in params]
            m, v = [x.detach() for x in m], [x.detach() for x in v]
        rows = torch.randperm(len(images), generator=chosen)[: settings.batch_size]
        out = torch.func.functional_call(student.module, dict(zip(student.names, params, strict=True)), (images[rows],))
        soft = (
            logits.softmax(1)[rows]
            if settings.labels == "soft"
            else torch.arange(3).repeat_interleave(settings.ipc)[rows]
        )
        g = torch.autograd.grad(F.cross_entropy(out, soft), params, create_graph=is_inside)
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        roots = [(x / (1 - 0.999 ** (t + 1)) + 1e-8).sqrt() + 1e-8 for x in v]
        eta = F.softplus(raw[0])
        params = [p - eta * (a / (1 - 0.9 ** (t + 1))) / r for p, a, r in zip(params, m, roots, strict=True)]
    indices = torch.randperm(len(splits.train), generator=context.stream("real", 0))[: settings.real_batch]
    inputs, targets = splits.train.batch(indices)
    out = torch.func.functional_call(student.module, dict(zip(student.names, params, strict=True)), (inputs,))
    wanted = {"images": images, "raw_rates": raw} | ({"label_logits": logits} if settings.labels == "soft" else {})
    return dict(zip(wanted, torch.autograd.grad(F.cross_entropy(out, targets), wanted.values()), strict=True))


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("ipc", [1, 2])
def test_gradient_is_the_naive_loops_with_the_burn_in_held_constant(float64, memory, labels, ipc):
    settings = config(memory=memory, labels=labels, ipc=ipc, clip="none")
    ours, expected = first_gradients(settings), naive_gradients(settings, Window(4, 3))
    assert set(ours) == set(expected)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-12)


def test_real_images_in_pieces_give_the_gradient_of_the_whole_batch(float64, monkeypatch):
    settings = config(clip="none")
    monkeypatch.setattr("engine.methods.windowed.REAL_AT_ONCE", 5)
    expected = naive_gradients(settings, Window(4, 3))
    for name, gradient in first_gradients(settings).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12)


def test_window_at_a_random_place_gives_the_naive_gradient_too(float64):
    settings = config(window_schedule="random_each_step", clip="none")
    window = window_at("random_each_step", settings.unroll, 0, Context(seed=1).stream, None)
    assert window.burn_in > 0, "the claim is about a burn-in"
    expected = naive_gradients(settings, window)
    for name, gradient in first_gradients(settings).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12)


def test_window_as_long_as_the_unroll_equals_the_full_unroll(float64):
    full, window = config(window_schedule="full", clip="none"), config(window=7, clip="none")
    expected, ours = naive_gradients(full, Window(0, 7)), first_gradients(window)
    for name, gradient in first_gradients(full).items():
        assert torch.equal(gradient, ours[name])
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12)


def test_images_that_only_the_burn_in_draws_have_no_gradient():
    settings = config(ipc=2, batch_size=1, unroll_length=8, window=2, clip="none")
    draws = Context(seed=1).stream("inner", 0)
    drawn = [torch.randperm(6, generator=draws)[0].item() for _ in range(8)]
    assert set(drawn[:6]) - set(drawn[6:]), "the claim is about images of the burn-in"
    moved = first_gradients(settings)["images"].flatten(1).any(1).nonzero().flatten().tolist()
    assert moved == sorted(set(drawn[6:]))


@pytest.mark.parametrize("steps_before", [0, 1, 5])
def test_adam_is_torchs_step_by_step_from_burn_in_into_the_window(float64, steps_before):
    student = make_student(checked(RatBpttConfig, TOY, "test").student, SPEC)
    generator = torch.Generator().manual_seed(0)
    start = student.init(generator)
    batches = [(torch.randn(4, 1, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0])) for _ in range(9)]
    stream = ((x, y, torch.tensor(0.01)) for x, y in batches)
    rule = update_rules.adam(eps_root=0.0)
    ours = (Batch(*batch) for batch in stream)
    theta, state = start, None
    for reached in burn_in(student, start, islice(ours, steps_before), rule, F.cross_entropy):
        theta, state = reached
        assert torch.is_grad_enabled(), "who takes the weights is not without gradients"
    path = list(inner_loop(student, theta, ours, rule, F.cross_entropy, memory="recompute", state=state))

    reference = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([reference], lr=0.01)
    for number, (inputs, targets) in enumerate(batches):
        optimiser.zero_grad()
        F.cross_entropy(student(reference, inputs), targets).backward()
        optimiser.step()
        if number >= steps_before:
            torch.testing.assert_close(path[number - steps_before].detach(), reference.detach(), rtol=1e-10, atol=1e-12)
    assert len(path) == 9 - steps_before


def test_running_clip_holds_a_sudden_gradient_to_twice_the_average():
    splits = toy_splits()
    jump = iter([1.0, 1.0, 1.0, 1000.0])
    sudden = dataclasses.replace(splits, augment=lambda x, generator: x * next(jump))
    norms = []
    for event in distill(sudden, config(outer_steps=4, augment_synthetic=False), Context(seed=1)):
        if isinstance(event, Measured):
            found = event.values["gradient_norm"]
        if isinstance(event, Checkpoint):
            used = torch.cat([p.grad.flatten() for p in event.synthetic.parameters()]).norm().item()
            norms.append((found, used, event.snapshot()["clip.average"]))
    found, used, average = norms[-1]
    assert found > 2 * average and used == pytest.approx(2 * average, rel=1e-4)
    assert norms[0][1] == pytest.approx(norms[0][0], rel=1e-4), "the first gradient is not cut"


def test_fixed_clip_bounds_the_gradient_that_is_used():
    free, clipped = (
        first_gradients(config(**how)) for how in ({"clip": "none"}, {"clip": "fixed", "clip_length": 1e-4})
    )
    norm = torch.cat([g.flatten() for g in clipped.values()]).norm()
    assert norm <= 1.0001e-4 < torch.cat([g.flatten() for g in free.values()]).norm()


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_a_long_outer_step_tells_of_every_stretch_and_changes_no_bit(monkeypatch, memory):
    settings = config(memory=memory, num_validations=1, validation_students=2, validation_steps=4)
    silent, expected = drained(distill(toy_splits(), settings, Context(seed=1)))
    monkeypatch.setattr("engine.core.progress.QUIET_SECONDS", 0)
    monkeypatch.setattr("engine.methods.windowed.QUIET_SECONDS", 0)
    told, synthetic = drained(distill(toy_splits(), settings, Context(seed=1)))
    for name, value in expected.state_dict().items():
        assert torch.equal(value, synthetic.state_dict()[name]), name
    validating = [Progress(f"validate with student {n} of 2", i, 4) for n in (1, 2) for i in range(1, 5)]
    one_step = [
        *(Progress("train the student", i, 7) for i in range(1, 8)),
        Progress("differentiate inner steps", 0, 3),
    ]
    assert [event for event in told if isinstance(event, Progress)] == [*one_step, *one_step, *validating]
    is_order = [type(event) for event in told if not isinstance(event, Progress)]
    assert is_order == [type(event) for event in silent if not isinstance(event, Progress)]


@pytest.mark.parametrize("schedule", ["growing", "random_each_epoch", "adaptive"])
def test_stop_and_resume_gives_the_same_bits_under_a_schedule_with_a_past(schedule):
    settings = config(
        window_schedule=schedule,
        window_spread=2,
        patience=1,
        epoch_steps=3,
        outer_steps=8,
        unroll_length=12,
        num_validations=4,
        validation_steps=4,
    )
    found, whole = drained(distill(toy_splits(), settings, Context(seed=1)))
    starts = [e.values["window_start"] for e in found if isinstance(e, Measured)]
    assert len(set(starts)) > 1, "the schedule moves"
    events = distill(toy_splits(), settings, Context(seed=1))
    saved = next(e for e in events if isinstance(e, Checkpoint) and e.step == 4).snapshot()
    rest, resumed = drained(distill(toy_splits(), settings, Context(seed=1, resume_from=saved)))
    assert [e.values["window_start"] for e in rest if isinstance(e, Measured)] == starts[4:]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"window_schedule": "random_length"},
        {"window_schedule": "growing", "patience": 1},
        {"window_schedule": "adaptive", "window_spread": 1},
        {"inner_optimiser": "sgd", "student_lr": 0.1},
        {"inner_optimiser": "momentum", "learn_rates": False},
        {"images_from": "real", "labels": "soft", "label_lr_divisor": 10.0},
        {"outer_decay": "cosine", "clip": "none"},
        {"num_validations": 2, "validation_students": 1, "validation_steps": 4},
        {"batch_size": 100},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_option_runs_and_moves_every_image(changes):
    splits, settings = toy_splits(), config(outer_steps=3, **changes)
    events, synthetic = drained(distill(splits, settings, Context(seed=1)))
    measured = [e.values for e in events if isinstance(e, Measured)]
    assert all(np.isfinite(list(values.values())).all() for values in measured)
    first = next(e for e in events if isinstance(e, Preview)).images
    assert (first != splits.to_display(synthetic.images.detach())).any((1, 2, 3)).all()
    if settings.num_validations:
        assert "validation_accuracy" in measured[-1]


def test_synthetic_batches_are_augmented_only_where_the_set_says_so():
    splits = toy_splits()
    shifting = dataclasses.replace(splits, augment=lambda x, generator: x + torch.rand((), generator=generator))
    plain, augmented = (first_gradients(config(augment_synthetic=flag), shifting) for flag in (False, True))
    assert not torch.allclose(plain["images"], augmented["images"])
    assert config(augment_synthetic=True).training.is_augmented


def test_best_set_on_validation_is_the_one_returned():
    settings = config(outer_steps=6, num_validations=6, validation_steps=5, outer_lr=0.3)
    events, synthetic = drained(distill(toy_splits(), settings, Context(seed=1)))
    accuracies = {e.step: e.values["validation_accuracy"] for e in events if isinstance(e, Measured)}
    assert accuracies[synthetic.step] == max(accuracies.values())


def test_cosine_decay_ends_near_zero():
    settings = config(outer_steps=10, outer_decay="cosine", outer_lr=0.5)
    sets = [
        e.synthetic.images.detach().clone()
        for e in distill(toy_splits(), settings, Context(seed=1))
        if isinstance(e, Checkpoint)
    ]
    moves = [(b - a).abs().max().item() for a, b in zip(sets, sets[1:], strict=False)]
    assert moves[-1] < 0.1 * moves[0]


def test_window_that_does_not_fit_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="window of 8 steps after at least 0 others is longer than the training of 7"):
        config(window=8)
    with pytest.raises(ConfigError, match="after at least 5 others"):
        config(window_schedule="growing", min_burn_in=5)
    config(min_burn_in=5)  # a fixed late window does not read it
    config(window=8, window_schedule="full")


def test_a_full_schedule_greys_the_window_out_and_no_other_does():
    (condition,) = option_of(RatBpttConfig.model_fields["window"]).when
    assert condition.path == "window_schedule"
    assert {schedule for schedule in get_args(WindowSchedule) if not condition.holds(schedule)} == {"full"}


def test_exploding_student_is_traced_to_its_inner_step_before_the_set_is_spoilt():
    settings = config(
        student={"name": "convnet", "depth": 2, "width": 4, "norm": "none", "activation": "leaky_relu"},
        inner_optimiser="momentum",
        student_lr=10.0,
        unroll_length=300,
        images_from="real",
    )
    events = distill(toy_splits(scale=100.0), settings, Context())
    with pytest.raises(Diverged, match=r"NaN at inner step \d+ of 300, in outer step 0.*[Ll]ower") as caught:
        drained(events)
    assert caught.value.quantity == "student weights" and caught.value.step == 0


def test_overflowing_outer_loss_says_so():
    splits = toy_splits()
    wild = dataclasses.replace(
        splits, train=LabelledSet(splits.train.inputs, splits.train.targets, lambda x: splits.train.prepare(x) * 1e38)
    )
    with pytest.raises(Diverged, match="outer loss|meta-gradient"):
        drained(distill(wild, config(), Context()))
