"""Training a teacher: AdamW as PyTorch's, batches and views as they are meant, and representations that tell
classes apart.
"""

from __future__ import annotations

import pytest
import torch
from draining import drained
from patterns import SPEC, toy_splits
from teaching import config, teaching

from engine import Context
from engine.core.errors import Diverged
from engine.core.events import TeacherEpoch
from engine.data.source import LabelledSet
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.pretrained.teachers import train
from engine.pretrained.teachers.train import AdamWState, barlow_twins, simclr


def stream(*names):
    return Context(seed=0).stream("teacher", *names)


def test_adamw_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(30, generator=generator)
    ours, theirs = AdamWState.of(theta), torch.nn.Parameter(theta.clone())
    optimiser = torch.optim.AdamW([theirs], weight_decay=0.3)
    for step in range(5):
        optimiser.param_groups[0]["lr"] = lr = 0.1 / (step + 1)
        theirs.grad = torch.randn(30, generator=generator)
        ours = train.adamw(ours, theirs.grad, lr, 0.3)
        optimiser.step()
        torch.testing.assert_close(ours.theta, theirs.data)


@pytest.mark.parametrize("kind", ["barlow_twins", "simclr"])
def test_an_epoch_is_torchs_modules_and_optimiser_on_the_same_views(kind):
    settings, splits = config(kind=kind, lr=0.01, weight_decay=0.1), toy_splits()
    networks = train.make_networks(settings, SPEC, "cpu")
    theta = networks.init(stream("start"))
    *_, ours = train.epoch(networks, AdamWState.of(theta), splits, settings, 0, stream("epoch", 0))

    encoder, projector = networks.module
    parameters = [*encoder.parameters(), *projector.parameters()]
    torch.nn.utils.vector_to_parameters(theta, parameters)
    optimiser = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=9)
    generator, views = stream("epoch", 0), train.views_of(splits, settings)
    losses = []
    for indices in torch.randperm(60, generator=generator).split(20):
        inputs = splits.train.batch(indices)[0]
        z1, z2 = (projector(encoder(views(inputs, generator))) for _ in range(2))
        loss = barlow_twins(z1, z2, 0.005) if kind == "barlow_twins" else simclr(z1, z2, 0.5)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        assert encoder[-1].bias.grad.abs().max() < 1e-3 * encoder[-1].weight.grad.abs().max()
        encoder[-1].bias.grad.zero_()  # rounding alone
        optimiser.step()
        schedule.step()
    expected = torch.cat([p.detach().flatten() for p in parameters])
    torch.testing.assert_close(ours.theta, expected, rtol=1e-4, atol=1e-5)
    assert ours.step == 3 and ours.loss == pytest.approx(sum(losses), rel=1e-4)


def test_batches_are_full_and_a_pass_repeats_no_image():
    seen: list[torch.Tensor] = []

    def noting(inputs):
        seen.append(inputs)
        return inputs

    splits = toy_splits(50)
    numbered = torch.arange(50.0).view(-1, 1, 1, 1).expand(50, *SPEC.sample_shape)
    object.__setattr__(splits, "train", LabelledSet(numbered, splits.train.targets, noting))
    for settings, steps in ((config(), 2), (config(steps_per_epoch=3), 3), (config(batch_size=500), 1)):
        seen.clear()
        networks = train.make_networks(settings, SPEC, "cpu")
        start = AdamWState.of(networks.init(stream("start")))
        assert len(list(train.epoch(networks, start, splits, settings, 0, stream("e")))) == steps
        drawn = [{int(image[0, 0, 0]) for image in batch} for batch in seen]
        assert [len(batch) for batch in drawn] == [min(settings.batch_size, 50)] * steps
        assert len(drawn) < 2 or not drawn[0] & drawn[1]


def test_views_are_of_pixels_and_prepared_again():
    splits = toy_splits()
    preparation = Preparation("standard", torch.tensor([0.3]), torch.tensor([0.2]))
    splits = ImageSplits(**vars(splits), preparation=preparation)
    images = torch.randint(0, 256, (40, *SPEC.sample_shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    settings = config(jitter=1.0, blur_share=0.5)
    views = train.views_of(splits, settings)(preparation.forward(images), stream("views"))
    back = preparation.inverse(views)
    assert back.min() >= -1e-6 and back.max() <= 1 + 1e-6
    assert not torch.allclose(views, preparation.forward(images))


@pytest.mark.parametrize("kind", ["barlow_twins", "simclr"])
def test_the_loss_falls_and_labels_are_only_measured_with(tmp_path, kind):
    splits = toy_splits()
    settings = config(kind=kind, epochs=15, lr=0.02, crop_scale=0.8, mirror=False)
    events, teacher = drained(teaching(tmp_path / "one", settings, splits))
    curve = [event for event in events if isinstance(event, TeacherEpoch)]
    assert curve[-1].train_loss < 0.8 * curve[1].train_loss
    shuffled = toy_splits()
    train_set = shuffled.train
    object.__setattr__(shuffled, "train", LabelledSet(train_set.inputs, train_set.targets.flip(0), train_set.prepare))
    _, other = drained(teaching(tmp_path / "other", settings, shuffled))
    inputs = splits.test.batch(torch.arange(60))[0]
    assert torch.equal(teacher.represent(inputs), other.represent(inputs))


def test_a_teacher_that_diverges_says_when_and_what_to_do(tmp_path):
    with pytest.raises(Diverged, match=r"infinite or NaN in epoch \d.*teacher's learning rate"):
        drained(teaching(tmp_path, config(), toy_splits(scale=float("nan"))))
