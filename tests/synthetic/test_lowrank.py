"""A low-rank set: sums of few bases, networks in place of stored shifts, and a file as large as it says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draining import drained
from hypothesis import given, settings
from hypothesis import strategies as st
from patterns import toy_splits
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from engine.core.errors import ConfigError, DataError
from engine.core.events import Progress
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.optimal import optimal
from engine.data.transforms.pca import pca
from engine.data.transforms.predefined import NAMES, optimal_ones, predefined
from engine.methods.selfsup.config import SelfsupConfig
from engine.synthetic import LowRankSet, approximation, load
from engine.synthetic.base import Training
from engine.synthetic.bases import basis_shape, enlarged

SPLITS = toy_splits()
OPTIONS = {"jitter": (0.4,), "crop_scale": (0.6,), "blur_kernel": (3,), "blur_sigma": (1.0,), "hue": (0.1,), "seed": 0}
ROTATIONS = predefined(("rotate_90", "rotate_180", "rotate_270"), **OPTIONS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real_representations(data: LabelledSet, num_dims: int = 6) -> torch.Tensor:
    inputs = data.batch(torch.arange(len(data)))[0].flatten(1)
    return (inputs @ torch.randn(inputs.shape[1], num_dims, generator=generator(5)).to(inputs)).tanh() + 2


def as_images(digits) -> LabelledSet:
    """Digits of 8 x 8 pixels."""
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    return LabelledSet(images, torch.tensor(digits.target), lambda inputs: inputs)


def low_rank(**changes) -> LowRankSet:
    options = {
        "spec": SPLITS.spec,
        "training": Training("momentum", 5, batch_size=4),
        "num_dims": 6,
        "num_images": 10,
        "rate": 0.1,
        "image_bases": 7,
        "representation_bases": 4,
        "basis_size": 4,
        "augmentations": ROTATIONS,
        "hidden_dims": 3,
    } | changes
    return LowRankSet(**options)


def started(train: LabelledSet = SPLITS.train, **changes) -> LowRankSet:
    synthetic = low_rank(**changes)
    drained(synthetic.start_from_real(train, real_representations(train), generator(), "start"))
    return synthetic


def with_shifts(**changes) -> LowRankSet:
    synthetic = started(**changes)
    shifts = torch.randn(len(synthetic.augmentations), 10, 4, generator=generator(1))
    synthetic.fit_approximations(shifts, 20, 0.01, generator())
    return synthetic


def filled(synthetic: LowRankSet) -> LowRankSet:
    """The same with random values everywhere."""
    for number, tensor in enumerate((*synthetic.parameters(), *synthetic.buffers())):
        tensor.data = torch.randn(tensor.shape, generator=generator(number), dtype=tensor.dtype)
    return synthetic


def test_samples_are_what_the_equations_say():
    synthetic = filled(low_rank())
    small = torch.zeros(10, 16)
    for image in range(10):
        small[image] = synthetic.image_mean
        for basis in range(7):
            small[image] += synthetic.image_coefficients[image, basis].item() * synthetic.image_bases[basis].detach()
    expected = F.interpolate(small.view(10, 1, 4, 4), (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(synthetic.images(), expected)
    C, B, mean = (getattr(synthetic, f"representation_{name}") for name in ("coefficients", "bases", "mean"))
    torch.testing.assert_close(synthetic.representations(), torch.einsum("mv,vd->md", C, B) + mean)
    for a in range(3):
        hidden = (C @ synthetic.hidden_weights[a] + synthetic.hidden_biases[a]).clamp_min(0)
        shifted = C + hidden @ synthetic.shift_weights[a] + synthetic.shift_biases[a]
        torch.testing.assert_close(synthetic.augmented_representations(a), shifted @ B + mean)


def test_every_basis_and_coefficient_learns_and_nothing_else_does():
    synthetic = filled(low_rank())
    loss = synthetic.images().square().sum() + synthetic.representations().square().sum()
    loss.backward()
    learned = {"image_bases", "image_coefficients", "representation_bases", "representation_coefficients"}
    assert {name for name, _ in synthetic.named_parameters()} == learned
    assert all(bool((value.grad != 0).any()) and bool(value.grad.isfinite().all()) for value in synthetic.parameters())


@pytest.mark.parametrize(
    "made", [LowRankSet.images, LowRankSet.representations, lambda s: s.augmented_representations(1)]
)
def test_gradients_agree_with_finite_differences(made):
    synthetic = filled(low_rank(num_images=3, image_bases=2, basis_size=3).double())
    values = tuple(synthetic.parameters())

    def function(*given):
        names = [name for name, _ in synthetic.named_parameters()]
        return torch.func.functional_call(
            _Calls(synthetic, made), {f"inner.{n}": v for n, v in zip(names, given, strict=True)}
        )

    used = [g for g in torch.autograd.grad(function(*values).sum(), values, allow_unused=True) if g is not None]
    assert len(used) == 2 and torch.autograd.gradcheck(function, values)


class _Calls(torch.nn.Module):
    """Another method of a module as its forward."""

    def __init__(self, inner, made):
        super().__init__()
        self.inner, self.made = inner, made

    def forward(self):
        return self.made(self.inner)


def test_at_full_rank_and_size_the_start_is_the_real_images_and_their_representations():
    synthetic = started(image_bases=60, representation_bases=6, basis_size=8)
    taken = _places(synthetic)
    assert len(set(taken)) == 10
    torch.testing.assert_close(synthetic.images(), synthetic.real_images, atol=1e-4, rtol=1e-4)
    wanted = real_representations(SPLITS.train)[taken]
    torch.testing.assert_close(synthetic.representations(), wanted, atol=1e-4, rtol=1e-4)


def _places(synthetic: LowRankSet) -> list[int]:
    """Where the real images stand among the training images."""
    inputs = SPLITS.train.batch(torch.arange(60))[0]
    return [int((inputs == image).flatten(1).all(1).nonzero()) for image in synthetic.real_images]


def test_the_start_is_nearer_to_the_real_images_the_more_bases_there_are():
    errors = []
    for number in (1, 4, 16):
        synthetic = started(image_bases=number, basis_size=4)
        errors.append((synthetic.images() - synthetic.real_images).norm().item())
    assert errors[0] > errors[1] > errors[2]


def test_the_start_is_in_small_pictures_what_pca_is_in_small_rows(monkeypatch):
    monkeypatch.setattr("engine.synthetic.bases.PIECE_VALUES", 64 * 7)  # nine pieces, the last a smaller one
    piecewise = started()
    monkeypatch.undo()
    assert torch.equal(piecewise.image_coefficients, started().image_coefficients)


def off(synthetic: LowRankSet) -> float:
    """The squared distance of all images from the real ones."""
    return (synthetic.images() - synthetic.real_images).double().square().sum().item()


@pytest.mark.parametrize(("basis_size", "number"), [(4, 5), (3, 2), (7, 20), (8, 11)])
def test_the_start_comes_as_near_to_real_images_as_enlarged_bases_can(basis_size, number):
    synthetic = started(num_images=60, image_bases=number, basis_size=basis_size)
    eye = torch.eye(basis_size**2, dtype=torch.float64).view(-1, 1, basis_size, basis_size)
    enlarging = F.interpolate(eye, (8, 8), mode="bilinear", align_corners=False).flatten(1).T
    directions = torch.linalg.qr(enlarging)[0]
    real = synthetic.real_images.double().flatten(1)
    near = real @ directions
    lost = torch.linalg.svdvals(near - near.mean(0))[number:].square().sum()
    best = (real - near @ directions.T).square().sum() + lost
    assert off(synthetic) == pytest.approx(best.item(), rel=1e-4, abs=1e-5)


def test_the_start_is_nearer_to_digits_than_components_of_digits_made_small():
    """What sets started from before: small pictures with antialiasing, decomposed and then enlarged."""
    train = as_images(load_digits())
    images, number, side = train.batch(torch.arange(len(train)))[0], 20, 5
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True).flatten(1)
    found = pca(small, number)
    again = enlarged(found.mean + found.scores(small) @ found.bases, (1, side, side), (1, 8, 8))
    synthetic = started(train, num_images=len(train), image_bases=number, basis_size=side)
    assert off(synthetic) < 0.8 * (again - images).square().sum().item()


def test_the_spectrum_counts_what_small_bases_cannot_hold():
    synthetic = started(num_images=60, image_bases=5, basis_size=4)
    real = synthetic.real_images.flatten(1)
    lost = (synthetic.images().flatten(1) - real).var(0).sum() / real.var(0).sum()
    assert 1 - sum(synthetic.spectrum["images"][:5]) == pytest.approx(lost.item(), rel=1e-3)
    assert sum(started(basis_size=8).spectrum["images"]) == pytest.approx(1)


def test_the_start_tells_its_progress_and_its_spectrum():
    synthetic = low_rank()
    events, _ = drained(
        synthetic.start_from_real(SPLITS.train, real_representations(SPLITS.train), generator(), "begin")
    )
    assert all(isinstance(event, Progress) and event.phase.startswith("begin") for event in events)
    assert {event.phase for event in events} == {"begin", "begin: images", "begin: representations"}
    assert len(synthetic.spectrum["images"]) == 16 and len(synthetic.spectrum["representations"]) == 6
    assert sum(synthetic.spectrum["representations"]) == pytest.approx(1) and json.dumps(synthetic.spectrum)


def test_the_start_is_the_generators_own():
    assert torch.equal(started().image_coefficients, started().image_coefficients)
    other = low_rank()
    drained(other.start_from_real(SPLITS.train, real_representations(SPLITS.train), generator(1), "start"))
    assert torch.equal(other.image_bases, started().image_bases)
    assert not torch.equal(other.image_coefficients, started().image_coefficients)


def test_before_any_fit_augmentations_shift_nothing():
    synthetic = started()
    assert torch.equal(synthetic.augmented_representations(2), synthetic.representations())


def test_pairs_are_images_and_their_augmented_ones_in_order():
    synthetic = with_shifts()
    inputs, targets = synthetic.pairs()
    assert inputs.shape == (40, 1, 8, 8) and targets.shape == (40, 6) and not inputs.requires_grad
    assert torch.equal(inputs[:10], synthetic.images()) and torch.equal(targets[:10], synthetic.representations())
    for number, change in enumerate(ROTATIONS):
        part = slice(10 * (number + 1), 10 * (number + 2))
        assert torch.equal(inputs[part], change(synthetic.images()))
        assert torch.equal(targets[part], synthetic.augmented_representations(number))
        assert not torch.allclose(targets[part], targets[:10])


def test_a_set_can_do_without_augmentations(tmp_path):
    synthetic = started(augmentations=())
    assert synthetic.pairs()[0].shape == (10, 1, 8, 8)
    synthetic.save(tmp_path / "set.safetensors")
    assert torch.equal(load(tmp_path / "set.safetensors").images(), synthetic.images())


def test_random_batches_are_drawn_from_the_set_and_can_be_differentiated():
    synthetic = started()
    found = list(synthetic.batches())
    assert len(found) == 5 and all(batch.inputs.shape == (4, 1, 8, 8) for batch in found)
    batch = next(synthetic.drawn(generator(3)))
    taken = torch.randperm(10, generator=generator(3))[:4]
    torch.testing.assert_close(batch.inputs, synthetic.images()[taken])
    torch.testing.assert_close(batch.targets, synthetic.representations()[taken])
    assert batch.lr.item() == pytest.approx(0.1) and batch.inputs.requires_grad
    whole = list(low_rank(training=Training("momentum", 2)).batches())
    assert len(whole) == 2 and whole[0].inputs.shape == (10, 1, 8, 8)


def test_networks_fitted_to_shifts_bring_augmented_representations_near_them():
    synthetic = started(hidden_dims=16)
    coefficients = synthetic.representation_coefficients.detach()
    shifts = torch.stack([coefficients.tanh() + 1, -coefficients, coefficients.abs()])
    targets = synthetic.representation_mean + (coefficients + shifts) @ synthetic.representation_bases.detach()
    synthetic.fit_approximations(shifts, 400, 0.01, generator())
    errors = synthetic.approximation_errors(targets)
    assert errors["augmentations"] == ["rotate_90", "rotate_180", "rotate_270"]
    assert all(near < off / 3 for near, off in zip(errors["with_networks"], errors["without"], strict=True))


def test_coefficients_of_representations_undo_the_bases_though_they_have_moved():
    synthetic = filled(low_rank())
    found = synthetic.coefficients_of(synthetic.representations())
    torch.testing.assert_close(found, synthetic.representation_coefficients.detach(), atol=1e-4, rtol=1e-4)
    others = torch.randn(2, 3, 6, generator=generator(9))
    best = synthetic.coefficients_of(others)
    residual = others - synthetic.representation_mean - best @ synthetic.representation_bases
    assert best.shape == (2, 3, 4) and (residual @ synthetic.representation_bases.T).abs().max() < 1e-4


@pytest.mark.parametrize("number_augmented", [0, 3, 7])
def test_storage_is_what_the_config_says_and_what_the_file_takes(tmp_path, number_augmented):
    spec = TaskSpec("classification", (3, 32, 32), 10, tuple("abcdefghij"))
    names = NAMES[:number_augmented]
    config = SelfsupConfig(augmentations=names, hidden_dims=5)
    synthetic = LowRankSet(
        spec=spec,
        training=config.training(),
        num_dims=config.num_dims,
        num_images=config.num_images,
        rate=config.probing.pretrain_lr,
        image_bases=config.image_bases,
        representation_bases=config.representation_bases,
        basis_size=config.basis_size,
        augmentations=predefined(config.augmentations, **OPTIONS),
        hidden_dims=config.hidden_dims,
    )
    assert synthetic.num_bytes() == 4 * synthetic.num_stored_values() == 2 * config.size(spec).num_bytes
    synthetic.save(tmp_path / "set.safetensors")
    assert (tmp_path / "set.safetensors").stat().st_size == pytest.approx(synthetic.num_bytes(), rel=0.01)


def test_the_published_size_is_met_but_for_the_means_which_it_drops():
    """The published system has 301,412 numbers at m = 100, U = V = 200, d = 512, hidden biases included."""
    spec = TaskSpec("classification", (3, 32, 32), 10, tuple("abcdefghij"))
    bases = {"image_bases": 200, "representation_bases": 200, "basis_size": 16, "hidden_dims": 4}
    synthetic = low_rank(spec=spec, num_dims=512, num_images=100, **bases)
    assert synthetic.num_stored_values() - 3 * 16 * 16 - 512 == 301_412


def test_a_set_survives_its_file_to_the_bit(tmp_path):
    changes = predefined(NAMES[:-1], **OPTIONS)  # the toy images are grey
    synthetic = with_shifts(augmentations=changes)
    synthetic.save(tmp_path / "set.safetensors")
    again = load(tmp_path / "set.safetensors")
    assert again.augmentations == changes and again.describe() == synthetic.describe()
    assert all(torch.equal(a, b) for a, b in zip(synthetic.pairs(), again.pairs(), strict=True))
    assert again.num_bytes() == synthetic.num_bytes() and not again.has_labels
    assert again.real_images is None and again.spectrum == {}
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "set.safetensors").read_bytes()


def test_optimal_augmentations_are_made_of_the_set_itself_and_add_nothing_but_networks(tmp_path):
    way = {"kernel": "rbf", "gamma": 0.01, "ridge": 1.0, "preimage_ridge": 1.0}
    synthetic = with_shifts(augmentations=(*predefined(("flip",), **OPTIONS), *optimal_ones(2, **way)))
    inputs, targets = synthetic.pairs()
    assert inputs.shape == (40, 1, 8, 8) and targets.shape == (40, 6)
    torch.testing.assert_close(inputs[30:], optimal(inputs[:10], targets[:10], **way))
    torch.testing.assert_close(inputs[20:30], (inputs[:10] + inputs[30:]) / 2)
    assert torch.equal(targets[30:], synthetic.augmented_representations(2).detach())
    synthetic.save(tmp_path / "set.safetensors")
    again = load(tmp_path / "set.safetensors")
    assert again.augmentations == synthetic.augmentations
    assert all(torch.equal(a, b) for a, b in zip(synthetic.pairs(), again.pairs(), strict=True))
    assert synthetic.num_bytes() == with_shifts(augmentations=ROTATIONS).num_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"image_bases": 8},
        {"basis_size": 9},
        {"hidden_dims": 2},
        {"rate": 0},
        {"num_images": 10**9},
        {"augmentations": [{"name": "blur", "numbers": [4, 1]}] * 3},
        {"augmentations": [{"name": "flip"}]},
        {"augmentations": "flip"},
    ],
)
def test_a_header_that_lies_is_refused_in_a_sentence(tmp_path, change):
    path = tmp_path / "set.safetensors"
    with_shifts().save(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["distillery"])
    header["description"] |= change
    save_file(load_file(path), path, {"distillery": json.dumps(header)})
    with pytest.raises(DataError, match="does not hold what its header says"):
        load(path)


def test_previews_show_images_bases_and_at_the_start_the_real_ones():
    synthetic = started()
    first, later = synthetic.preview(0, SPLITS), synthetic.preview(3, SPLITS)
    assert first.images.shape == (10, 8, 8, 1) and first.labels == ("",) * 10
    assert first.views.keys() == {"bases", "real"} and later.views.keys() == {"bases"}
    assert np.array_equal(first.views["real"], SPLITS.to_display(synthetic.real_images))
    bases = first.views["bases"]
    assert bases.shape == (7, 4, 4, 1) and bases.dtype == np.uint8
    # each reaches white or black, and zero is grey
    assert all(int(np.abs(picture.astype(int) - 127.5).max() + 0.5) == 128 for picture in bases)


def test_a_preview_shows_so_many_bases_and_no_more_whatever_their_values(monkeypatch):
    monkeypatch.setattr("engine.synthetic.bases.MOST_PICTURES", 5)
    synthetic = started()
    with torch.no_grad():
        synthetic.image_bases[0] = 0
        synthetic.image_bases[1] = float("nan")
    bases = synthetic.views()["bases"]
    assert bases.shape == (5, 4, 4, 1) and (bases[0] == 128).all() and (bases[1] == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60), st.sampled_from([1, 3]), st.integers(2, 60))
def test_bases_have_the_images_proportions_and_are_no_larger(height, width, channels, size):
    if size > min(height, width):
        with pytest.raises(ConfigError, match="larger than the images"):
            basis_shape((channels, height, width), size)
    else:
        shape = basis_shape((channels, height, width), size)
        assert shape[0] == channels and min(shape[1:]) == size
        assert shape[1] / shape[2] == pytest.approx(height / width, rel=0.5 / size + 1e-9)
        assert shape[1] <= height and shape[2] <= width


def test_images_that_are_not_square_are_enlarged_to_their_own_size():
    spec = dataclasses.replace(SPLITS.spec, sample_shape=(1, 4, 8))
    train = dataclasses.replace(SPLITS.train, inputs=SPLITS.train.inputs[:, :, ::2])
    synthetic = started(train, spec=spec, basis_size=2, augmentations=predefined(("rotate_180", "flip"), **OPTIONS))
    assert synthetic.basis_shape == (1, 2, 4) and synthetic.pairs()[0].shape == (30, 1, 4, 8)
    with pytest.raises(ConfigError, match="square images, these are 4 x 8"):
        low_rank(spec=spec, basis_size=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_images": 61}, "60 training images, fewer than the 61"),
        ({"image_bases": 17}, "at most 16 image bases"),
        ({"representation_bases": 7}, "at most 6 representation bases"),
        ({"basis_size": 9}, "A basis of 9 pixels a side is larger than the images of 8 x 8. Choose 8 or less"),
    ],
)
def test_sets_that_the_data_cannot_start_are_refused_with_what_to_do(changes, message):
    with pytest.raises(ConfigError, match=message):
        started(**changes)


class TestApproximation:
    """The networks by themselves."""

    COEFFICIENTS = torch.randn(400, 5, generator=generator(2), dtype=torch.float64) * torch.tensor([5, 3, 1, 1, 0.5])
    MIXING = torch.randn(2, 5, 5, generator=generator(3), dtype=torch.float64)

    def shifts(self, coefficients):
        """Two smooth functions of the coefficients, (2, m, 5)."""
        return 4 * (coefficients / 4 @ self.MIXING[0]).tanh()[None] * torch.tensor([1.0, -0.5])[:, None, None] + 1

    def fitted(self, coefficients, shifts, hidden_dims=16, steps=500):
        return approximation.fit(coefficients, shifts, hidden_dims, steps, 0.01, generator())

    def errors(self, networks, coefficients, shifts):
        found = torch.stack([coefficients + approximation.apply(networks, a, coefficients) for a in range(len(shifts))])
        wanted = coefficients + shifts
        return approximation.relative_errors(found, wanted), approximation.relative_errors(
            coefficients.expand_as(wanted), wanted
        )

    def test_errors_fall_on_coefficients_they_have_not_seen(self):
        shifts = self.shifts(self.COEFFICIENTS)
        networks = self.fitted(self.COEFFICIENTS[:300], shifts[:, :300])
        near, off = self.errors(networks, self.COEFFICIENTS[300:], shifts[:, 300:])
        assert (near < off / 3).all() and (near < 0.2).all()

    def test_a_constant_shift_is_found_at_once(self):
        shifts = torch.arange(5.0).double().expand(2, 400, 5)
        networks = self.fitted(self.COEFFICIENTS, shifts, steps=1)
        torch.testing.assert_close(approximation.apply(networks, 1, self.COEFFICIENTS), shifts[1])

    def test_the_order_of_samples_changes_nothing(self):
        shifts, order = self.shifts(self.COEFFICIENTS), torch.randperm(400, generator=generator())
        one = self.fitted(self.COEFFICIENTS, shifts, steps=50)
        other = self.fitted(self.COEFFICIENTS[order], shifts[:, order], steps=50)
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)

    def test_networks_do_not_feel_each_other(self):
        shifts = self.shifts(self.COEFFICIENTS)
        both = self.fitted(self.COEFFICIENTS, shifts, steps=50)
        beside = self.fitted(self.COEFFICIENTS, torch.stack([shifts[0], shifts[1] * 100]), steps=50)
        first = [approximation.apply(networks, 0, self.COEFFICIENTS) for networks in (both, beside)]
        torch.testing.assert_close(*first)

    def test_fitting_again_follows_shifts_that_changed(self):
        before = self.shifts(self.COEFFICIENTS)
        after = before.flip(0)
        stale = self.fitted(self.COEFFICIENTS, before)
        fresh = self.fitted(self.COEFFICIENTS, after)
        new, old = (self.errors(networks, self.COEFFICIENTS, after)[0] for networks in (fresh, stale))
        assert (new < old / 3).all()

    def test_scales_of_either_side_are_folded_into_the_weights(self):
        shifts = self.shifts(self.COEFFICIENTS)
        plain = self.fitted(self.COEFFICIENTS, shifts, steps=50)
        scaled = self.fitted(1000 * self.COEFFICIENTS + 7, 0.01 * shifts, steps=50)
        expected = 0.01 * approximation.apply(plain, 0, self.COEFFICIENTS)
        found = approximation.apply(scaled, 0, 1000 * self.COEFFICIENTS + 7)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)

    def test_one_sample_and_equal_samples_are_fitted_too(self):
        for coefficients in (self.COEFFICIENTS[:1], self.COEFFICIENTS[:1].expand(5, -1)):
            shifts = self.shifts(coefficients)
            networks = self.fitted(coefficients, shifts, steps=5)
            torch.testing.assert_close(approximation.apply(networks, 0, coefficients), shifts[0])
