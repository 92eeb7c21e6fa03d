"""Every form of a set can start from a result of every other form."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from draining import drained

from engine.core.errors import ConfigError
from engine.data.source import LabelledSet, TaskSpec
from engine.synthetic import BasisSet, CanvasSet, PairSet, PixelSet, PosterSet, Training
from engine.synthetic.labelled import samples_of
from engine.synthetic.poster_grid import planned_grid

SPEC = TaskSpec("classification", (1, 6, 6), 3, ("a", "b", "c"))
TRAINING = Training("sgd", 4, batch_size=9)


def train_set(num_images=60):
    """Images of class k are noise around a level of k."""
    targets = torch.arange(num_images) % 3
    noise = torch.randn(num_images, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return LabelledSet(0.3 * noise + targets[:, None, None, None], targets, lambda inputs: inputs)


SPLITS = SimpleNamespace(train=train_set(), reprepared=lambda inputs, made_by: inputs)
COMMON = {"spec": SPEC, "training": TRAINING}
FORMS = {
    "pixels": lambda: PixelSet(ipc=2, **COMMON),
    "soft pixels": lambda: PixelSet(ipc=2, soft_labels=True, **COMMON),
    "canvas": lambda: CanvasSet(ipc=1, canvas_size=2, **COMMON),
    "poster": lambda: PosterSet(grid=planned_grid(2.0, 3, (6, 6)), order=[2, 0, 1, -1], labels="fixed", **COMMON),
    "learned poster": lambda: PosterSet(
        grid=planned_grid(2.0, 3, (6, 6)), order=[0, 1, 2, -1], labels="learned", label_cells=(2, 6), **COMMON
    ),
    "low rank": lambda: BasisSet(ipc=4, num_bases=5, basis_size=6, **COMMON),
}


def started(form, start="real", result=None, seed=1):
    synthetic = FORMS[form]()
    drained(synthetic.start_from(start, SPLITS, result, 0.05, torch.Generator().manual_seed(seed)))
    return synthetic


def class_means(synthetic):
    """Mean pixel of the samples of each class, by the likeliest class."""
    inputs, targets = synthetic.materialise()
    hard = targets if targets.ndim == 1 else targets.argmax(1)
    return torch.stack([inputs[hard == label].mean() for label in range(3)])


@pytest.mark.parametrize(("theirs", "ours"), [*product(FORMS, FORMS)])
def test_every_form_starts_from_every_form_with_its_classes_and_rate(theirs, ours):
    result = started(theirs)
    with torch.no_grad():
        result.raw_rates.add_(1.0)
    if ours in ("canvas", "low rank") and result.num_samples < 12:
        with pytest.raises(ConfigError, match="has 2 samples of class 'a', fewer than the 4 needed. Lower the images"):
            started(ours, "result", result)
        return
    synthetic = started(ours, "result", result)
    assert class_means(synthetic).argsort().tolist() == [0, 1, 2]
    assert synthetic.rates.item() == pytest.approx(result.rates.item())


@pytest.mark.parametrize("form", FORMS)
def test_a_set_that_starts_from_one_of_its_own_form_is_the_same_set(form):
    result = started(form)
    with torch.no_grad():
        if result.label_parameter is not None:
            result.label_parameter.mul_(0.7)
    synthetic = started(form, "result", result, seed=2)
    for ours, theirs in zip(synthetic.materialise(), result.materialise(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    if form != "low rank":
        assert torch.equal(synthetic.materialise()[0], result.materialise()[0])


def test_a_low_rank_set_takes_the_nearest_coefficients_in_the_best_bases():
    result = started("canvas")  # 12 samples, more than there are bases
    synthetic = started("low rank", "result", result)
    inputs = result.materialise()[0].flatten(1)
    order = result.materialise()[1].argsort(stable=True)
    centred = inputs - inputs.mean(0)
    u, s, v = torch.linalg.svd(centred, full_matrices=False)
    nearest = inputs.mean(0) + u[:, :5] * s[:5] @ v[:5]
    torch.testing.assert_close(synthetic.materialise()[0].flatten(1), nearest[order], rtol=1e-3, atol=1e-3)


def test_samples_are_chosen_by_class_the_surest_first():
    assert samples_of(torch.tensor([2, 0, 2, 2]), 2, 2).tolist() == [0, 2]
    shares = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.45, 0.5, 0.05], [0.0, 0.1, 0.9]])
    assert samples_of(shares, 1, 2).tolist() == [1, 2]
    assert samples_of(shares, 1, 3).tolist() == [0, 1, 2], "at least half as likely as its likeliest class"
    assert samples_of(shares, 0, 3).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "holds no labelled images"),
        (PairSet(spec=SPEC, training=TRAINING, num_dims=2, num_images=3, rate=0.1), "holds no labelled images"),
        (
            PixelSet(spec=TaskSpec("classification", (1, 4, 4), 3, ("a", "b", "c")), training=TRAINING, ipc=1),
            "holds 3 classes of 1x4x4 values, this data set 3 of 1x6x6. Choose the data set it was made from",
        ),
        (
            PixelSet(spec=TaskSpec("classification", (1, 6, 6), 2, ("a", "b")), training=TRAINING, ipc=1),
            "holds 2 classes of 1x6x6 values, this data set 3",
        ),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_results_that_no_set_can_start_from_are_refused_in_one_sentence(form, result, message):
    with pytest.raises(ConfigError, match=message):
        started(form, "result", result)


def test_only_a_poster_starts_from_tiles():
    with pytest.raises(ConfigError, match="Only a poster can start from tiles"):
        started("pixels", "tiles")
