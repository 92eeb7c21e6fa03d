"""The way of somebody's own images through the browser, in steps that tests share."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from browser_steps import open_home, start
from playwright.sync_api import Page, expect

NUM_CLASSES = 12


def zipped(folder: Path, path: Path) -> Path:
    """The folder as a zip file, itself around everything as usual."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def open_panel(page: Page) -> None:
    page.get_by_role("button", name="Add your own").click()
    expect(page.get_by_role("heading", name="How to sort the images")).to_be_visible()


def import_as(page: Page, name: str) -> None:
    """Give what is chosen a name and import it."""
    box = page.get_by_role("textbox", name="Name")
    box.fill(name)
    box.press("Tab")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text(re.compile(rf"{name} is imported: [\d,]+ images in {NUM_CLASSES} classes"))).to_be_visible(
        timeout=120_000
    )


def bring_in(page: Page, url: str, folders: Path, archive: Path) -> None:
    """Import `folders` (train/1 ... val/12) as a folder, and zipped to `archive` a second time; leaves the page of
    the second.
    """
    open_home(page, url)
    page.get_by_role("link", name="Data", exact=True).click()
    open_panel(page)
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()  # before that it takes no folder
    page.locator('input[type="file"]').set_input_files(folders)
    num_files = sum(file.is_file() for file in folders.rglob("*"))
    expect(page.get_by_text(f"{num_files} files, ")).to_be_visible(timeout=120_000)
    import_as(page, "by folder")

    open_panel(page)
    page.get_by_role("radio", name="A zip file").click()
    expect(page.get_by_role("button", name="Choose a zip file")).to_be_visible()
    expect(page.locator('input[type="file"]')).to_have_count(1)
    page.locator('input[type="file"]').set_input_files(zipped(folders, archive))
    expect(page.get_by_role("textbox", name="Name")).to_have_value(archive.stem, timeout=60_000)
    import_as(page, "by zip")
    expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()


def start_and_compare(page: Page, timeout: float) -> str:
    """Press Start, wait `timeout` milliseconds at most for the run to end, and look at its comparison; its id."""
    run_id = start(page)
    compare = page.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_be_visible(timeout=timeout)
    compare.click()
    expect(page.get_by_text(re.compile(rf"{NUM_CLASSES} synthetic images")).first).to_be_visible()
    return run_id


def taken_home(page: Page, gallery: str, home: Path) -> Path:
    """Download everything of the run at this address and unpack it; its train.py."""
    page.goto(gallery)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download everything").click()
    waiting.value.save_as(home.with_suffix(".zip"))
    with zipfile.ZipFile(home.with_suffix(".zip")) as archive:
        archive.extractall(home)
    (program,) = home.rglob("train.py")
    return program


def accuracy_at_home(program: Path, folder: Path) -> float:
    """Per cent that the program prints for a folder of test images."""
    said = subprocess.run(
        [sys.executable, program.name, str(folder)], cwd=program.parent, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 0, said.stderr
    return float(re.search(r"accuracy ([\d.]+) %", said.stdout).group(1))
