"""Data sets imported by the first version open unchanged; `old_imports` was written by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from draining import drained

from engine.core.config import DataConfig
from engine.core.data_config import WindowConfig
from engine.data import images, prices

WINDOWS = DataConfig(windows=WindowConfig(window_length=5, validation_fraction=0.25))


@pytest.fixture
def old(tmp_path) -> Path:
    """A data root with a copy of them."""
    return shutil.copytree(Path(__file__).with_name("old_imports"), tmp_path / "data")


def test_old_images_open_with_the_same_fingerprint(old):
    (source,) = images.saved(old).values()
    assert (source.key, source.title, source.num_train, source.num_test) == ("folder:old-animals", "Old animals", 4, 2)
    assert source.availability(old).state == "present" and source.report.layout == "class folders"
    assert drained(source.load(DataConfig(), old))[1].fingerprint == "6ddc6eb70af3dc1af704fe666c54414f"


def test_old_prices_open_with_the_same_fingerprint(old):
    (source,) = prices.saved(old).values()
    assert (source.key, source.title, source.tokens) == ("prices:old-coins", "Old coins", ("BTC", "ETH"))
    assert drained(source.load(WINDOWS, old))[1].fingerprint == "de1806515e28c6c74eb4dcc2d0da0d2e"


def test_old_images_have_the_digest_that_new_ones_have(old):
    options = images.ImportOptions(name="Again", image_size=8)
    again = drained(images.import_again("folder:old-animals", options, old))[1]
    assert again.digest == images.saved(old)["folder:old-animals"].digest


def test_old_data_sets_are_renamed_and_deleted(old):
    images.rename("folder:old-animals", "Pets", old)
    prices.rename("prices:old-coins", "Coins", old)
    assert [source.title for source in (images.saved(old) | prices.saved(old)).values()] == ["Pets", "Coins"]
    images.delete("folder:old-animals", old)
    prices.delete("prices:old-coins", old)
    assert not [path for path in old.rglob("*") if path.is_file()]
