"""How sets are stored in few bits: codes, packing, files and straight-through rounding."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.core.errors import DataError
from engine.data.source import TaskSpec
from engine.synthetic import CanvasSet, PixelSet, PosterSet, Training, load, storage
from engine.synthetic.bases import BasisSet
from engine.synthetic.storage import Part, encode, packed, unpacked

SPEC = TaskSpec("classification", (3, 8, 8), 3, ("a", "b", "c"))
SLOW = settings(deadline=None)
BITS = st.sampled_from((8, 4, 3, 2))
NUMBERS = st.floats(-1e6, 1e6, width=32)


def filled(kind=PixelSet, seed=0, **options):
    training = Training("sgd", 2, start_seed=options.pop("start_seed", None))
    synthetic = kind(spec=SPEC, training=training, **({"ipc": 2} | options))
    generator = torch.Generator().manual_seed(seed)
    for value in synthetic.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
    return synthetic


POSTER = {"grid": {"height": 12, "width": 12, "patch_height": 8, "patch_width": 8, "patch_rows": 3, "patch_columns": 3}}
POSTER["grid"] |= {"class_rows": 2, "class_columns": 2}
POSTER |= {"order": [0, 1, 2, -1], "labels": "learned", "label_cells": (2, 2)}
SETS = {
    "pixels": lambda: filled(),
    "soft labels": lambda: filled(soft_labels=True, companion="distilled_ema", start_seed=7),
    "canvas": lambda: filled(CanvasSet, canvas_size=2),
    "bases": lambda: filled(BasisSet, num_bases=4, basis_size=4),
}


@SLOW
@given(st.lists(NUMBERS, min_size=1, max_size=40), BITS)
def test_codes_are_off_by_half_a_step_at_most_within_their_range(values, bits):
    value = torch.tensor(values)
    stored = encode(value[None], Part(), bits, "x")
    low, scale = float(stored.offset), float(stored.scale)
    inside = (value >= low) & (value <= low + scale * (2**bits - 1))
    off = (stored.decoded()[0].double() - value.double()).abs()
    assert bool((off[inside] <= scale / 2 + 1e-6 * value.abs().max() + 1e-30).all())
    plain = (value.double().max() - value.double().min()) / (2**bits - 1)
    grid = value.double().min() + plain * ((value.double() - value.double().min()) / (plain or 1)).round()
    assert off.square().sum() <= (grid - value).square().sum() * (1 + 1e-5) + 1e-9 * value.double().square().sum()


@SLOW
@given(st.lists(st.integers(0, 255), max_size=40), BITS)
def test_codes_are_packed_without_gaps_and_come_back(codes, bits):
    codes = torch.tensor([code % 2**bits for code in codes], dtype=torch.uint8)
    dense = packed(codes, bits)
    assert len(dense) == -(-len(codes) * bits // 8)
    assert torch.equal(unpacked(dense, bits, len(codes)), codes)


def test_three_bits_are_written_one_after_the_other():
    assert packed(torch.tensor([1, 2, 7], dtype=torch.uint8), 3).tolist() == [0b00101011, 0b10000000]


@SLOW
@given(NUMBERS, BITS)
def test_constants_are_exact(number, bits):
    assert torch.equal(
        encode(torch.full((2, 3), number), Part(), bits, "x").decoded(), torch.full((2, 3), number).float()
    )


def test_each_channel_has_a_code_of_its_own():
    value = torch.randn(4, 3, 5, 5) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    stored = encode(value, Part(axis=1), 8, "x")
    assert stored.num_bytes() == 300 + 3 * storage.CHANNEL_BYTES
    off = (stored.decoded() - value).abs().amax((0, 2, 3))
    assert bool((off < 0.02 * torch.tensor([1.0, 100.0, 0.01])).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("bits", [16, 8, 2])
def test_values_that_are_no_numbers_are_refused(bad, bits):
    with pytest.raises(DataError, match=f"'images' .* cannot be stored in {bits} bits"):
        encode(torch.tensor([[1.0, bad]]), Part(), bits, "images")


def test_values_beyond_float16_stay_float32():
    stored = encode(torch.tensor([1.0, 1e5]), Part("fine"), 8, "x")
    assert stored.values.dtype == torch.float32 and stored.decoded()[1] == 1e5
    assert encode(torch.tensor([1.0, 65504.0]), Part("fine"), 8, "x").values.dtype == torch.float16


@pytest.mark.parametrize("bits", storage.WIDTHS)
@pytest.mark.parametrize("make", SETS.values(), ids=SETS.keys())
def test_a_stored_set_is_what_its_file_holds(make, bits, tmp_path):
    synthetic = make()
    before = {name: value.clone() for name, value in synthetic.state_dict().items()}
    stored = synthetic.as_stored(bits)
    assert stored.bits == bits and stored.as_stored(bits) is stored
    stored.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    for name, value in stored.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert torch.equal(synthetic.state_dict()[name], before[name])
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    beside = ["other_", "classes"] if synthetic.labels_kind() == "soft" else ["other_"]
    tensors = load_file(tmp_path / "a.safetensors").items()
    inside = sum(value.nbytes for name, value in tensors if not name.startswith(tuple(beside)))
    assert stored.num_bytes() == again.num_bytes() == inside + 8 * (synthetic.own_training.start_seed is not None)


def test_bytes_of_images_in_each_width():
    sizes = {bits: filled().as_stored(bits).num_bytes() for bits in storage.WIDTHS}
    values, rest = 6 * 192, 6 + 4  # classes of a byte each, one rate
    assert sizes[32] == 4 * values + rest and sizes[16] == 2 * values + rest
    assert all(sizes[bits] == values * bits // 8 + 24 + rest for bits in (8, 4, 3, 2))


def test_posters_store_their_class_order_and_labels():
    synthetic = PosterSet(spec=SPEC, training=Training("sgd", 2, batch_size=4), **POSTER)
    assert synthetic.as_stored(8).num_bytes() == 3 * 144 + 3 * 8 + 2 * 12 + 4 + 4


def test_companions_are_rounded_alike_and_not_counted():
    synthetic = SETS["soft labels"]()
    stored = synthetic.as_stored(4)
    (other,) = stored.companions().values()
    (exact,) = synthetic.companions().values()
    assert torch.equal(other.images, exact.as_stored(4).images) and not torch.equal(other.images, exact.images)
    assert other.bits == 4 and other.num_bytes() == stored.num_bytes()


def test_rounding_shows_stored_values_and_passes_gradients_straight_through():
    synthetic, weights = filled(), torch.randn(6, 3, 8, 8)
    own = synthetic.images.detach().clone()
    with synthetic.rounded(2):
        seen = synthetic.images.detach().clone()
        (weights * synthetic.images**2).sum().backward()
    assert torch.equal(seen, synthetic.as_stored(2).images) and len(seen[:, 0].unique()) == 4
    assert torch.equal(synthetic.images, own)
    assert torch.equal(synthetic.images.grad, 2 * weights * seen)


def test_files_of_the_first_version_open_as_float32(tmp_path):
    path, synthetic = tmp_path / "result.safetensors", filled()
    synthetic.save(path)
    header = header_of(path)
    header["schema_version"] = 1
    del header["bits"], header["coded"]
    tensors = load_file(path)
    save_file(tensors | {"classes": tensors["classes"].long()}, path, {"distillery": json.dumps(header)})
    again = load(path)
    assert again.bits == 32 and torch.equal(again.images, synthetic.images)
    assert again.num_bytes() == synthetic.num_bytes()


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["distillery"])


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 5},
        {"coded": {"images": {"bits": 4, "shape": [10**9, 10**9], "axis": 1}}},
        {"coded": {"images": {"bits": 4, "shape": [6, 3, 8, 8], "axis": 4}}},
        {"coded": {"images": {"bits": 4, "shape": [6, 3, 8, 8], "axis": 0}}},
        {"coded": {"images": {"bits": 9, "shape": [6, 3, 8, 8], "axis": 1}}},
        {"coded": {"images": {"bits": 3, "shape": [6, 3, 8, 8], "axis": 1}}},
        {"coded": {"images": {"bits": 4, "shape": [3, 6, 8, 8], "axis": 0}}},
        {"coded": {"images": 4}},
        {"coded": {"pictures": {"bits": 4, "shape": [6, 3, 8, 8], "axis": 1}}},
        {"coded": [1]},
        {"coded": {}},
    ],
)
def test_files_that_claim_other_codes_are_refused(change, tmp_path):
    path = tmp_path / "result.safetensors"
    filled().as_stored(4).save(path)
    save_file(load_file(path), path, {"distillery": json.dumps(header_of(path) | change)})
    with pytest.raises(DataError, match=r"result\.safetensors does not hold what its header says"):
        load(path)


@pytest.mark.parametrize("bad", [torch.tensor([1.0, torch.nan, 1.0]), torch.ones(2), torch.ones(3).half()])
def test_files_with_damaged_scales_are_refused(bad, tmp_path):
    path = tmp_path / "result.safetensors"
    filled().as_stored(4).save(path)
    save_file(load_file(path) | {"images.scale": bad}, path, {"distillery": json.dumps(header_of(path))})
    with pytest.raises(DataError, match=r"result\.safetensors does not hold what its header says"):
        load(path)
