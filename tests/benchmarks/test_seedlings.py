"""Photographs of seedlings in class folders 1..12 through the browser with the quick preset as it is.

make bench        with DISTILLERY_DATA naming the folder that holds seedlings12/; minutes a seed
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_server import served
from own_images import accuracy_at_home, bring_in, start_and_compare, taken_home
from playwright.sync_api import Page

import engine

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data("seedlings12"), pytest.mark.timeout(1800)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twelve_images_beat_random_real_ones(page: Page, real_data: Path, tmp_path, monkeypatch, seed):
    folders = shutil.copytree(real_data / "seedlings12", tmp_path / "seedlings")
    monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
    with served(tmp_path / "runs") as (url, _):
        bring_in(page, url, folders, tmp_path / "seedlings.zip")
        page.get_by_role("button", name="Distil", exact=True).click()
        page.get_by_role("tab", name="Run", exact=True).click()
        box = page.get_by_role("spinbutton", name="Seed")
        box.fill(str(seed))
        box.press("Tab")
        start_and_compare(page, 1_200_000)
        program = taken_home(page, url, tmp_path / "home")
    store = engine.Store(tmp_path / "runs")
    row = store.run("0001")
    assert (row.preset, row.seed) == ("quick", seed)
    best = engine.best_by_arm(store.scores(row.id), "convnet")
    at_home = accuracy_at_home(program, folders / "val")
    print(
        f"\nseed {seed}, {row.seconds:.0f} s: "
        + ", ".join(
            f"{arm} {100 * found.mean:.1f} +- {100 * found.std:.1f} % ({found.protocol})" for arm, found in best.items()
        )
        + f"; train.py {at_home:.1f} %"
    )
    assert best["distilled"].mean > max(best["random_real"].high, best["kmeans_real"].high)
    assert at_home > 100 * best["random_real"].mean
