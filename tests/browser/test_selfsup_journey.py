"""Self-supervised distillation by clicking: a teacher, images without labels, what is known of them, a transfer
table.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browser_steps import START_MILLISECONDS, compare_one_student, look_on_a_phone, open_form, set_number, settle, start
from PIL import Image
from playwright.sync_api import Page, expect

import engine

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

DONE_MILLISECONDS = 300_000
OUTER_STEPS = 20


def other_source(data_root: Path, folder: Path) -> None:
    """Pictures of two kinds, imported as "bars": what the networks have never seen."""
    rng = np.random.default_rng(0)
    for kind, name in enumerate(("lying", "standing")):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 90, (12, 12), dtype=np.uint8)
            place = int(rng.integers(1, 9))
            (pixels if kind == 0 else pixels.T)[place : place + 2] += 150
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    options = engine.images.ImportOptions(name="bars", image_size=12)
    for _ in engine.images.import_path(folder, options, data_root):
        pass


def test_teacher_is_trained_followed_and_its_pupils_compared(
    page: Page, console_errors, tmp_path, root: Path, url: str
):
    other_source(root / "data", tmp_path / "bars")
    open_form(page, url, "Self-supervised")
    expect(page.get_by_text(re.compile("to record: .* and about")).first).to_be_visible(
        timeout=START_MILLISECONDS
    )  # redrawn
    page.get_by_role("combobox", name="Start from").click()
    page.get_by_role("option", name=re.compile("twelve bases")).click()
    expect(page.get_by_text(re.compile("to record: .* and about")).first).to_be_visible()
    first = start(page, "Train teacher only")

    expect(page.get_by_role("heading", name="Teacher", exact=True)).to_be_visible()
    distil = page.get_by_role("button", name="Distil with this teacher")
    expect(distil).to_be_visible(timeout=DONE_MILLISECONDS)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    look_on_a_phone(page, page.get_by_text("linear classifier", exact=True))
    distil.click()

    expect(page.get_by_text(f"Filled in from run {first}.")).to_be_visible()
    expect(page.get_by_text(re.compile("recorded already"))).to_be_visible(timeout=START_MILLISECONDS)
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS} outer steps for")).to_be_visible()
    page.get_by_role("tab", name="Inner networks").click()
    set_number(page, "Network lifetime", OUTER_STEPS)
    page.get_by_role("tab", name="Probing").click()
    set_number(page, "Pretrain steps", 40)
    expect(page.get_by_text(re.compile("Changed: .*pretrain steps"))).to_be_visible()
    settle(page)
    page.get_by_role("combobox", name="Transfer to").fill("bars")  # a long list shows its first names only
    page.get_by_role("option", name=re.compile("^bars")).click()
    page.keyboard.press("Escape")
    expect(page.get_by_text(re.compile("Changed: .*transfer to"))).to_be_visible()
    compare_one_student(page)
    start(page)

    bases = page.get_by_role("radio", name="Bases")
    expect(bases).to_be_visible(timeout=DONE_MILLISECONDS)
    compare = page.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_be_visible(timeout=DONE_MILLISECONDS)
    expect(bases).to_have_count(1, timeout=START_MILLISECONDS)  # for a moment the old page stands beside the new one
    bases.click()
    expect(page.get_by_text("Every distilled image is a weighted sum of these pictures")).to_be_visible()
    page.get_by_role("radio", name="Reconstruction").click()
    expect(page.get_by_text("Real images that the set was initialised with")).to_be_visible()
    page.get_by_role("tab", name="Representations").click()
    for title in (
        "Map of the representations",
        "Spectrum of the principal components",
        "Representations of augmented images",
    ):
        expect(page.get_by_text(title)).to_be_visible()
    page.get_by_role("radio", name="t-SNE").click()
    look_on_a_phone(page, page.get_by_text("Map of the representations"))
    compare.click()

    expect(page.get_by_text(re.compile("after pre-training on"))).to_be_visible()
    expect(page.get_by_role("heading", name="Transfer")).to_be_visible()
    expect(page.get_by_role("columnheader", name="bars")).to_be_visible()
    expect(page.get_by_role("heading", name="Similarity to the teacher")).to_be_visible()
    assert page.get_by_text("Benchmark scores").count() == 0
    look_on_a_phone(page, page.get_by_role("heading", name="Similarity to the teacher"))

    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_text(re.compile("on validation images with a linear probe"))).to_be_visible()
    page.get_by_role("link", name="Gallery", exact=True).click()
    look_on_a_phone(page, page.get_by_role("heading", name="Gallery", exact=True))
    assert console_errors == []
