"""Sequences of price bars: every value of the parameters is a valid candle, and gradients reach all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draining import drained
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.func import functional_call

from engine.core.config import StudentConfig
from engine.core.data_config import WindowConfig
from engine.core.errors import ConfigError, DataError
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import prepare_windows
from engine.evaluation.train import loss_of
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.nets import make_student
from engine.synthetic import CandleSet, Training, load

FEATURES = ("returns", "prices")
BARS = simulate(("AAA", "BBB"), 420, seed=7)


def splits_of(**options):
    return drained(prepare_windows(BARS, "Toy", "toy", WindowConfig(**{"window_length": 6} | options)))[1]


def candle_set(splits, images_from="real", count=2, **options):
    synthetic = CandleSet(
        spec=splits.spec,
        training=Training("sgd", 3, batch_size=50),
        sequences_per_token=count,
        features=splits.config.features,
        **options,
    )
    synthetic.start_from(images_from, splits, None, 0.05, torch.Generator().manual_seed(0))
    return synthetic.provided(splits.scaling, {})


def is_valid(bars):
    open_, high, low, close, volume = np.moveaxis(bars, -1, 0)
    return bool(
        np.isfinite(bars).all()
        and (low > 0).all()
        and (low <= np.minimum(open_, close)).all()
        and (np.maximum(open_, close) <= high).all()
        and (volume >= 0).all()
    )


@pytest.mark.parametrize("features", FEATURES)
@given(raw=arrays.arrays(np.float32, (4, 6, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
@settings(max_examples=150, deadline=None)
def test_candles_are_valid_for_any_parameter_value(features, raw):
    synthetic = KNOWN[features]
    with torch.no_grad():
        synthetic.raw_bars.copy_(torch.from_numpy(raw))
    assert is_valid(synthetic.bars())


KNOWN = {features: candle_set(splits_of(features=features)) for features in FEATURES}


@pytest.mark.parametrize("features", FEATURES)
def test_a_start_from_real_windows_is_those_windows(features):
    splits = splits_of(features=features)
    synthetic = candle_set(splits)
    inputs, targets = synthetic.materialise()
    distance = torch.cdist(inputs.flatten(1), splits.train.inputs.flatten(1))
    nearest = distance.argmin(1)
    assert distance.amin(1).max() < 0.05
    assert torch.equal(splits.train.tokens[nearest], synthetic.tokens)
    assert targets == pytest.approx(splits.train.targets[nearest], abs=1e-5)
    assert is_valid(synthetic.bars())


@pytest.mark.parametrize("features", FEATURES)
def test_gradients_of_the_parameterisation_are_exact(features):
    synthetic = candle_set(splits_of(features=features), "noise", count=1).double()

    def bars(raw):
        return functional_call(synthetic, {"raw_bars": raw}, (), {"now": True})

    synthetic.forward = lambda now: synthetic.inputs()
    raw = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(bars, (raw,))
    assert torch.autograd.gradgradcheck(bars, (raw,))


@pytest.mark.parametrize("student_name", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("target", ["close", "direction", "both"])
def test_the_meta_gradient_through_candles_and_steps_of_a_student_equals_finite_differences(student_name, target):
    splits = splits_of(target=target)
    synthetic = candle_set(splits, count=1).double()
    student = make_student(StudentConfig(name=student_name, width=4, depth=1, heads=2), splits.spec)
    student.module.double()
    theta = student.init(torch.Generator().manual_seed(0)).double()
    loss, real = loss_of(splits.spec), (splits.train.inputs[:9].double(), splits.train.targets[:9].double())

    def outer():
        batches = [Batch(synthetic.inputs(), synthetic.targets(), synthetic.rates[0])] * 2
        *_, end = inner_loop(student, theta, batches, update_rules.sgd(), loss, memory="recompute")
        return loss(student(end, real[0]), real[1])

    learned = [parameter for parameter in synthetic.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(outer(), learned)
    generator = torch.Generator().manual_seed(5)
    for parameter, gradient in zip(learned, found, strict=True):
        direction = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 1e-5 * direction
            values.append(outer().item())
            with torch.no_grad():
                parameter -= sign * 1e-5 * direction
        assert (gradient * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-8)


def test_targets_are_probabilities_where_a_direction_is_forecast():
    synthetic = candle_set(splits_of(target="both"))
    targets = synthetic.targets()
    assert targets.shape == (4, 3)
    assert targets[:, 1:].sum(1).detach() == pytest.approx(torch.ones(4)) and (targets[:, 1:] > 0).all()


def test_targets_that_are_not_learned_take_no_gradient():
    synthetic = candle_set(splits_of(target="both"), learn_targets=False)
    assert {name for name, p in synthetic.named_parameters() if p.requires_grad} == {"raw_bars", "raw_rates"}


def test_storage_is_bars_targets_and_a_rate():
    synthetic = candle_set(splits_of(target="both"), count=3)
    assert synthetic.num_stored_values() == 6 * 6 * 5 + 6 * 3 + 1
    assert synthetic.num_bytes() == 4 * synthetic.num_stored_values()


def test_the_token_is_said_in_columns_that_nothing_moves():
    synthetic = candle_set(splits_of(token_identity=True))
    inputs = synthetic.inputs()
    assert inputs.shape == (4, 6, 7)
    assert inputs[:, :, 5:].argmax(2).tolist() == [[token] * 6 for token in (0, 0, 1, 1)]


def test_a_preview_holds_the_bars_and_their_targets():
    splits = splits_of(target="direction")
    synthetic = candle_set(splits)
    preview = synthetic.preview(3, splits)
    assert preview.candles.tokens == preview.labels == ("AAA", "AAA", "BBB", "BBB")
    assert preview.candles.bars == pytest.approx(synthetic.bars(), rel=1e-6)
    assert preview.candles.outputs == ("down", "up") and preview.candles.targets.shape == (4, 2)
    assert (preview.images == splits.to_display(synthetic.materialise()[0])).all()


def test_a_saved_set_comes_back_and_one_of_other_tokens_is_refused(tmp_path):
    splits = splits_of()
    synthetic = candle_set(splits)
    synthetic.save(tmp_path / "result.safetensors")
    again = load(tmp_path / "result.safetensors")
    assert np.array_equal(again.bars(), synthetic.bars())
    synthetic.preparation = splits_of_one().scaling
    synthetic.save(tmp_path / "spoilt.safetensors")
    with pytest.raises(DataError, match="scaling of 1 tokens"):
        load(tmp_path / "spoilt.safetensors")


def splits_of_one():
    return drained(prepare_windows(BARS[:1], "One", "one", WindowConfig(window_length=6)))[1]


def test_a_result_is_begun_from_where_it_fits_and_refused_where_not():
    splits = splits_of()
    result, synthetic = candle_set(splits), candle_set(splits, "noise")
    assert not torch.equal(result.raw_bars, synthetic.raw_bars)
    synthetic.start_from("result", splits, result, 0.05, torch.Generator())
    assert torch.equal(result.raw_bars, synthetic.raw_bars) and torch.equal(result.values, synthetic.values)
    other = splits_of(window_length=7)
    with pytest.raises(ConfigError, match="holds other tokens, windows"):
        candle_set(other).start_from("result", other, result, 0.05, torch.Generator())
    with pytest.raises(ConfigError, match="on another scale"):
        shifted = drained(
            prepare_windows(simulate(("AAA", "BBB"), 420, 8), "Toy", "toy", WindowConfig(window_length=6))
        )
        candle_set(splits).start_from("result", shifted[1], result, 0.05, torch.Generator())


def test_more_sequences_than_training_windows_are_refused():
    splits = splits_of(stride=25)
    with pytest.raises(ConfigError, match="AAA has .* training windows, fewer than the 50 sequences"):
        candle_set(splits, count=50)
