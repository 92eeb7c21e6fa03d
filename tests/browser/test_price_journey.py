"""Price histories by clicking: two CSV files in, a column changed, distilled, compared, taken home; and candles seen
forming.
"""

from __future__ import annotations

import csv
import io
import re
import time
import zipfile
from pathlib import Path

import canned_forecasts as forecasts
import pytest
from browser_steps import compare_one_student, look_on_a_phone, open_home, set_number, start
from playwright.sync_api import Page, expect

from engine import Store
from engine.core.events import Finished
from engine.data.prices import Bars
from engine.data.prices.simulate import simulate

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

DONE_MILLISECONDS = 300_000
NUM_BARS = 600
WINDOW = 20
OUTER_STEPS = 6
CANDLES = ".js-plotly-plot path.box"
ADVERTISEMENT = "https://www.example.com/prices"


def as_sellers_write(bars: Bars) -> str:
    """A line of advertisement, semicolons, decimal commas, the newest first, and the volume twice."""
    lines = [ADVERTISEMENT, "Datum;Open;High;Low;Close;Volume ALPHA;Volume USD"]
    dates = bars.times.astype("datetime64[s]").astype("datetime64[D]")
    for date, row in list(zip(dates, bars.table, strict=True))[::-1]:
        cells = [f"{value:.6f}".replace(".", ",") for value in (*row, row[3] * row[4])]
        lines.append(";".join([f"{date.item():%d.%m.%Y}", *cells]))
    return "\n".join(lines)


def plain(bars: Bars) -> str:
    """The shape that the page asks for."""
    dates = bars.times.astype("datetime64[s]").astype("datetime64[D]")
    lines = [",".join([str(date), *map(str, row)]) for date, row in zip(dates, bars.table, strict=True)]
    return "\n".join(["date,open,high,low,close,volume", *lines])


def price_files(folder: Path) -> list[Path]:
    """ALPHA.csv as sellers write, BETA.csv plainly."""
    folder.mkdir()
    alpha, beta = simulate(("ALPHA", "BETA"), NUM_BARS, seed=3)
    files = [folder / "ALPHA.csv", folder / "BETA.csv"]
    for path, text in zip(files, (as_sellers_write(alpha), plain(beta)), strict=True):
        path.write_text(text, encoding="utf-8")
    return files


def bring_in(page: Page, files: list[Path]) -> None:
    """Upload, say that the volume is the one in USD, and import; leaves the page of the data set."""
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("button", name="Add your own").click()
    expect(page.get_by_role("heading", name="Add your own data")).to_be_visible()
    page.get_by_role("radio", name="Prices").click()
    expect(page.get_by_role("heading", name="What a file looks like")).to_be_visible()
    upload = page.locator('input[type="file"]:not([webkitdirectory])')  # the one of image folders may still be there
    expect(upload).to_have_count(1)
    upload.set_input_files(files)
    expect(page.locator("summary").filter(has_text=f"BETA.csv BETA, {NUM_BARS} bars")).to_be_visible()
    messy = page.locator("summary").filter(has_text=re.compile(rf"ALPHA\.csv ALPHA, {NUM_BARS} bars, \d repairs?"))
    messy.click()
    expect(page.get_by_text("The newest bar came first; the order was reversed.")).to_be_visible()
    choose_volume(page, "Volume USD")
    page.get_by_role("textbox", name="Name").fill("two coins")
    page.get_by_role("textbox", name="Name").press("Tab")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text(f"two coins is imported: 2 tokens, {2 * NUM_BARS:,} bars.")).to_be_visible()


def choose_volume(page: Page, column: str) -> None:
    """Pick the first file's column of volumes; a list that is opened while the page still unfolds is shut again at
    once.
    """
    box, wanted = page.get_by_role("combobox", name="Volume").first, page.get_by_role("option", name=column)
    deadline = time.monotonic() + 60
    while not wanted.is_visible():
        assert time.monotonic() < deadline, f"{column} was not offered"
        box.click()
        page.wait_for_timeout(500)
    wanted.click()
    expect(page.get_by_role("option")).to_have_count(0)


def look_at_the_history(page: Page) -> None:
    """The split lies over the prices, the changed column is told, and what a file says is no link."""
    shown = page.locator(".js-plotly-plot").filter(has_text="embargo")
    expect(shown).to_have_count(1)
    for part in ("train", "validation", "test"):
        expect(shown.get_by_text(part, exact=True)).to_be_visible()
    expect(page.get_by_text("volume from Volume USD")).to_be_visible()
    assert page.get_by_test_id("stMain").get_by_role("link").count() == 0
    expect(page.locator(CANDLES).first).to_be_visible()


def distil(page: Page) -> str:
    """The quick preset with very few outer steps, until it is done; the run's id."""
    page.get_by_role("button", name="Distil", exact=True).click()
    expect(page.get_by_role("combobox", name="Start from")).to_be_visible()
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS} outer steps for LSTM")).to_be_visible()
    page.get_by_role("tab", name="Data", exact=True).click()
    set_number(page, "Window (bars)", WINDOW)
    expect(page.get_by_text(f"2 tokens, {WINDOW} bars each")).to_be_visible()
    compare_one_student(page)
    run_id = start(page)
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_visible(timeout=DONE_MILLISECONDS)
    return run_id


def candles_at_home(page: Page, path: Path) -> list[dict[str, str]]:
    """The rows of candles.csv in the file that holds everything."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download everything").click()
    waiting.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("candles.csv"))
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))


def test_price_files_become_candles_that_are_compared_and_taken_home(page: Page, console_errors, tmp_path, url: str):
    open_home(page, url)
    bring_in(page, price_files(tmp_path / "prices"))
    look_at_the_history(page)
    run_id = distil(page)

    for header in ("Skill (%)", "RMSE (%)", "95 % interval (%)"):
        expect(page.get_by_role("columnheader", name=header)).to_be_visible()
    for arm in ("Distilled", "Random real, equal bytes", "Full data", "Training mean, no network"):
        expect(page.get_by_role("cell", name=arm, exact=True).first).to_be_visible()
    expect(page.get_by_test_id("stAlert").filter(has_text="training mean")).to_be_visible()
    expect(page.get_by_role("heading", name="Forecast and truth")).to_be_visible()
    expect(page.locator(".js-plotly-plot").filter(has_text="Truth")).to_have_count(1)
    look_on_a_phone(page, page.locator(".js-plotly-plot").first)

    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="Privacy and fidelity")).to_be_visible()
    expect(page.locator(".js-plotly-plot").filter(has_text="distilled to the nearest real")).to_have_count(1)
    expect(page.get_by_role("heading", name="Test skill of LSTM")).to_be_visible()
    look_on_a_phone(page, page.locator(".js-plotly-plot").first)

    page.goto(f"{url}/gallery?run={run_id}")
    for token in ("ALPHA", "BETA"):
        expect(page.get_by_text(f"{token}, distilled")).to_be_visible()
    expect(page.locator(CANDLES).nth(WINDOW)).to_be_visible()
    look_on_a_phone(page, page.locator(".js-plotly-plot").first)
    bars = candles_at_home(page, tmp_path / "all.zip")
    assert len(bars) == 2 * WINDOW
    assert all(float(bar["low"]) <= float(bar["open"]) <= float(bar["high"]) for bar in bars)
    # Streamlit looking for its own base path is no defect
    assert [line for line in console_errors if "/_stcore/" not in line] == []


def test_candles_form_while_they_are_watched(page: Page, runs: Path, url: str):
    store = Store(runs)
    run_id = forecasts.running(store)
    page.goto(f"{url}/runs?run={run_id}")
    expect(page.locator(CANDLES).first).to_be_visible()
    first = page.locator(CANDLES).first.get_attribute("d")
    store.append(run_id, [forecasts.preview(130)])
    expect(page.locator(CANDLES).first).not_to_have_attribute("d", first)
    store.append(run_id, [Finished({})])
