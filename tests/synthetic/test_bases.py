"""Labelled images of shared bases: what they are made of, where they start, what they store, and their gradients."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from draining import drained
from torch.func import functional_call

from engine.core.errors import ConfigError
from engine.data.source import LabelledSet, TaskSpec
from engine.meta.inner import inner_loop
from engine.meta.update_rules import sgd
from engine.synthetic import BasisSet, CanvasSet, PosterSet, Training
from engine.synthetic.bases import basis_shape, check_bases, enlarged, stored_whole, unwhitened, whitened
from engine.synthetic.poster_grid import planned_grid

SPEC = TaskSpec("classification", (1, 6, 6), 2, ("a", "b"))
COMMON = {"spec": SPEC, "training": Training("sgd", 2, batch_size=4)}
MADE = {
    "low rank": lambda: BasisSet(ipc=2, num_bases=3, basis_size=3, soft_labels=True, **COMMON),
    "canvas": lambda: CanvasSet(ipc=1, canvas_size=2, soft_labels=True, **COMMON),
    "poster": lambda: PosterSet(
        grid=planned_grid(2.0, 2, (6, 6)), order=[0, 1], labels="learned", label_cells=(1, 4), **COMMON
    ),
}


def train_set(num_images=40):
    images = torch.randn(num_images, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return LabelledSet(images, torch.arange(num_images) % 2, lambda inputs: inputs)


def basis_set(start="real", train=None, **changes):
    synthetic = BasisSet(**COMMON | {"ipc": 3, "num_bases": 5, "basis_size": 6} | changes)
    splits = SimpleNamespace(train=train or train_set())
    drained(synthetic.start_from(start, splits, None, 0.1, torch.Generator().manual_seed(1)))
    return synthetic


class TinyStudent:
    """A smooth linear student with two outputs, in float64."""

    graph_bytes: dict = {}

    def __call__(self, theta, inputs):
        return torch.tanh(inputs.flatten(1)) @ theta.view(36, 2)


@pytest.mark.parametrize("form", MADE)
def test_gradients_through_two_inner_steps_are_those_of_finite_differences(form):
    synthetic = MADE[form]().double()
    generator = torch.Generator().manual_seed(3)
    names, parameters = zip(*synthetic.named_parameters(), strict=True)
    values = [torch.rand(p.shape, generator=generator, dtype=torch.float64).requires_grad_() for p in parameters]
    theta = torch.randn(72, generator=generator, dtype=torch.float64)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.set = synthetic

        def forward(self):
            path = inner_loop(
                TinyStudent(),
                theta,
                self.set.batches(torch.Generator().manual_seed(0)),
                sgd(),
                F.cross_entropy,
                memory="store",
            )
            *_, last = path
            return last.square().sum()

    def loss(*given):
        return functional_call(Loss(), {f"set.{name}": value for name, value in zip(names, given, strict=True)}, ())

    assert torch.autograd.gradcheck(loss, values)


def test_samples_are_enlarged_sums_of_the_bases_around_the_mean():
    synthetic = basis_set(basis_size=3)
    images, labels = synthetic.materialise()
    small = synthetic.coefficients @ synthetic.bases + synthetic.mean
    expected = F.interpolate(small.view(6, 1, 3, 3), (6, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(images, expected)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1] and torch.equal(synthetic.at(torch.tensor([4]))[0], images[4:5])


def test_a_real_start_is_the_nearest_that_so_many_principal_components_come_to_real_images():
    train = train_set()
    whole = basis_set(train=train, num_bases=36)
    real = {tuple(image.flatten().round(decimals=3).tolist()) for image in train.inputs}
    for image in whole.materialise()[0]:
        assert min((torch.tensor(other) - image.flatten()).abs().max() for other in real) < 1e-2
    scores = (train.inputs.flatten(1) - whole.mean) @ torch.linalg.pinv(whole.bases.detach())
    torch.testing.assert_close(scores.std(0), torch.ones(36), rtol=1e-2, atol=1e-2)


def test_noise_has_the_variance_of_prepared_pixels():
    images = basis_set("noise", ipc=200).materialise()[0]
    assert 0.5 < images.std() < 1.5


def test_whitened_coordinates_are_those_of_the_nearest_enlargement_and_keep_its_distances():
    shape, sample_shape = basis_shape((2, 9, 6), 4), (2, 9, 6)
    assert shape == (2, 6, 4)
    rows = torch.randn(5, 2 * 6 * 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    large = enlarged(rows, shape, sample_shape)
    coordinates = whitened(large, shape)
    torch.testing.assert_close(unwhitened(coordinates, shape, sample_shape), rows)
    shrunk = (6 * 4 / (9 * 6)) ** 0.5
    torch.testing.assert_close(coordinates.norm(dim=1), shrunk * large.flatten(1).norm(dim=1))
    images = torch.randn(5, *sample_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = enlarged(torch.eye(48, dtype=torch.float64), shape, sample_shape).flatten(1).T
    nearest = torch.linalg.lstsq(matrix, images.flatten(1).T).solution.T
    torch.testing.assert_close(unwhitened(whitened(images, shape), shape, sample_shape), nearest)


def test_enlarged_samples_are_the_nearest_to_real_ones_among_sums_of_the_bases():
    train = train_set()
    synthetic = basis_set(train=train, basis_size=3, num_bases=4)
    bases = synthetic._enlarged(synthetic.bases.detach()).flatten(1)
    mean = synthetic._enlarged(synthetic.mean[None]).flatten(1)
    for image, label in zip(*synthetic.materialise(), strict=True):
        real = train.inputs[train.targets == label].flatten(1)
        solutions = torch.linalg.lstsq(bases.T, (real - mean).T).solution.T @ bases + mean
        assert (solutions - image.flatten()).abs().amax(1).min() < 1e-4
    # principal components: the best four directions there are for all training images
    centred = train.inputs.flatten(1) - mean
    matrix = enlarged(torch.eye(9), (1, 3, 3), (1, 6, 6)).flatten(1)
    near = centred @ torch.linalg.qr(matrix.T)[0]
    kept = centred @ torch.linalg.qr(bases.T)[0]
    best = torch.linalg.svdvals(near - near.mean(0))[:4].square().sum()
    torch.testing.assert_close(kept.square().sum(), best, rtol=1e-4, atol=1e-4)


def test_storage_is_counted_to_the_last_value():
    hard, soft = basis_set(), basis_set(soft_labels=True)
    values = 5 * 36 + 36 + 6 * 5
    assert hard.num_stored_values() == values + 1 + 6 and hard.num_bytes() == 4 * (values + 1) + 6
    assert soft.num_stored_values() == values + 1 + 12 and soft.num_bytes() == 4 * (values + 1 + 12)


def test_the_preview_shows_the_bases_too():
    preview = basis_set().preview(0, SimpleNamespace(to_display=lambda inputs: inputs.numpy()))
    assert preview.views["bases"].shape == (5, 6, 6, 1) and len(preview.images) == 6


def test_more_bases_than_components_are_refused():
    with pytest.raises(ConfigError, match="at most 3 bases"):
        basis_set(train=train_set(3), ipc=1)
    with pytest.raises(ConfigError, match="larger than the images of 6 x 6. Choose 6 or less"):
        basis_set(basis_size=7)


def test_bases_that_take_more_than_small_images_stored_whole_are_cautioned_with_both_numbers():
    """100 small images of 16 x 16 pixels: 200 bases hold 100 * 200 + 201 * 768 numbers, whole ones 100 * 768."""
    both = "The bases and coefficients of 100 small images take 174,368 numbers; stored whole, the small images would "
    assert stored_whole("small images", 100, 200, 768) == f"{both}take 76,800. Use fewer bases or more images."
    assert stored_whole("small images", 200, 64, 768) == ""
    check_bases(100, 200, 16, (3, 32, 32))


def test_bases_that_take_more_than_images_of_full_size_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="take 164,368 numbers, more than the 153,600 of the images at full size"):
        check_bases(50, 200, 16, (3, 32, 32))
