"""The losses of teachers are the published equations, and do not see what they should not see."""

from __future__ import annotations

import math

import pytest
import torch

from engine.pretrained.teachers.train import barlow_twins, simclr


def two_views(count=6, dims=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(count, dims, generator=generator, dtype=torch.float64)
    return tuple(shared + 0.5 * torch.randn(count, dims, generator=generator, dtype=torch.float64) for _ in range(2))


def naive_barlow_twins(z1, z2, redundancy):
    """Equations 1 and 2, one correlation after another."""
    loss = 0.0
    for i in range(z1.shape[1]):
        for j in range(z2.shape[1]):
            a, b = z1[:, i] - z1[:, i].mean(), z2[:, j] - z2[:, j].mean()
            c = (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())
            loss += (1 - c) ** 2 if i == j else redundancy * c**2
    return loss


def naive_simclr(z1, z2, temperature):
    """Equation 1, one pair after another."""
    z, count = [*z1, *z2], len(z1)

    def closeness(i, k):
        return math.exp(z[i] @ z[k] / (z[i].norm() * z[k].norm()) / temperature)

    losses = []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        losses.append(-math.log(closeness(i, partner) / sum(closeness(i, k) for k in range(2 * count) if k != i)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("redundancy", [0.0, 0.005, 1.0])
def test_barlow_twins_is_a_naive_loop(redundancy):
    z1, z2 = two_views()
    torch.testing.assert_close(
        barlow_twins(z1, z2, redundancy), naive_barlow_twins(z1, z2, redundancy), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_simclr_is_a_naive_loop(temperature):
    z1, z2 = two_views()
    assert simclr(z1, z2, temperature).item() == pytest.approx(naive_simclr(z1, z2, temperature))


LOSSES = {"barlow_twins": lambda z1, z2: barlow_twins(z1, z2, 0.005), "simclr": lambda z1, z2: simclr(z1, z2, 0.5)}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_views_may_change_places_and_images_their_order(loss):
    z1, z2 = two_views()
    order = torch.randperm(len(z1), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss(z2, z1), loss(z1, z2))
    torch.testing.assert_close(loss(z1[order], z2[order]), loss(z1, z2))
    assert not torch.isclose(loss(z1[order], z2), loss(z1, z2)), "partners matter"


def test_barlow_twins_sees_neither_scale_nor_shift_of_a_dimension():
    z1, z2 = two_views()
    scale, shift = torch.tensor([0.1, 1.0, 3.0, 50.0]), torch.tensor([5.0, -1.0, 0.0, 100.0])
    torch.testing.assert_close(
        barlow_twins(scale * z1 + shift, z2, 0.005), barlow_twins(z1, z2, 0.005), rtol=1e-5, atol=1e-5
    )


def test_simclr_sees_no_lengths():
    z1, z2 = two_views()
    lengths = torch.tensor([0.1, 1.0, 3.0, 50.0, 2.0, 7.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(simclr(lengths * z1, z2, 0.5), simclr(z1, z2, 0.5))


def test_barlow_twins_is_least_where_views_agree_and_dimensions_have_nothing_in_common():
    z = torch.linalg.qr(torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    z = torch.linalg.qr(z - z.mean(0))[0]
    assert barlow_twins(z, z, 0.005).item() == pytest.approx(0.0, abs=1e-9)
    assert barlow_twins(z, -z, 0.005).item() == pytest.approx(20.0, abs=1e-4)


def test_a_dimension_that_is_the_same_everywhere_costs_one_and_has_a_finite_gradient():
    z1, z2 = two_views()
    z1 = torch.cat([z1, torch.ones(len(z1), 1)], 1).requires_grad_()
    z2 = torch.cat([z2, torch.ones(len(z2), 1)], 1)
    loss = barlow_twins(z1, z2, 0.005)
    assert (loss - barlow_twins(z1[:, :-1], z2[:, :-1], 0.005)).item() == pytest.approx(1.0)
    assert torch.autograd.grad(loss, z1)[0].isfinite().all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_finite_differences(loss):
    z1, z2 = (z.requires_grad_() for z in two_views())
    assert torch.autograd.gradcheck(loss, (z1, z2))
