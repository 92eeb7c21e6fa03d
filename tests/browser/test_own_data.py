"""The whole way of somebody's own images: in as a folder and as a zip, distilled, compared, taken home, trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser_steps import compare_one_student, set_number
from own_images import NUM_CLASSES, accuracy_at_home, bring_in, start_and_compare, taken_home
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

OUTER_STEPS = 8
LEAST_ACCURACY = 60.0  # per cent; chance gives 8


def class_folders(root: Path) -> Path:
    """train/1 ... train/12 and val/1 ... val/12 of noisy pictures, told apart by where their bright bar lies and
    its colour.
    """
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4)):
        for kind in range(NUM_CLASSES):
            folder = root / part / str(kind + 1)
            folder.mkdir(parents=True)
            for number in range(count):
                size = int(rng.integers(40, 90))
                pixels = rng.integers(0, 120, (size, size, 3))
                top = (kind % 4) * size // 4
                pixels[top : top + size // 4, :, kind // 4] += 130
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def test_own_images_from_upload_to_a_network_trained_at_home(page: Page, console_errors, tmp_path, url: str):
    folders = class_folders(tmp_path / "shapes")
    bring_in(page, url, folders, tmp_path / "bars.zip")
    page.get_by_role("button", name="Distil", exact=True).click()
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS} outer steps")).to_be_visible()
    compare_one_student(page)
    run_id = start_and_compare(page, 300_000)
    program = taken_home(page, f"{url}/gallery?run={run_id}", tmp_path / "home")
    assert page.get_by_test_id("stException").count() == 0
    # Streamlit looking for its own base path is no defect
    assert [line for line in console_errors if "/gallery/_stcore/" not in line] == []
    assert accuracy_at_home(program, folders / "val") > LEAST_ACCURACY


def test_every_file_of_a_large_folder_arrives(page: Page, tmp_path, url: str):
    folder, picture = tmp_path / "large", tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "teal").save(picture)
    for number in range(2_000):  # browsers lose some of so many where each has a request of its own
        path = folder / ("one" if number % 2 else "two") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(picture)
    page.goto(f"{url}/data?add=1")
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
    page.locator('input[type="file"]').set_input_files(folder)
    expect(page.get_by_text("2,000 files, ")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("large is imported: 2,000 images in 2 classes")).to_be_visible(timeout=120_000)
    assert page.get_by_test_id("stException").count() == 0
