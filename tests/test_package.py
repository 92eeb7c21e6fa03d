"""What pip installs: the engine and the dashboard, complete, with the command `distillery`."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.core import program

ROOT = Path(__file__).parents[1]
SOURCES = (
    "app.py",
    "engine",
    "pages",
    "assets",
    ".streamlit",
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "LICENSE",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, built from a copy of this checkout."""
    copy = tmp_path_factory.mktemp("copy")
    unwanted = shutil.ignore_patterns("__pycache__", "*.json")
    for name in SOURCES:
        place = ROOT / name
        shutil.copytree(place, copy / name, ignore=unwanted) if place.is_dir() else shutil.copy(place, copy / name)
    build = "import setuptools.build_meta as backend; backend.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (wheel,) = copy.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(copy / "site")
    return copy / "site"


def test_the_wheel_holds_every_file_of_the_engine_and_of_the_dashboard(site):
    def wanted(folder: str, *endings: str) -> set[str]:
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in endings)
        return {path.relative_to(ROOT).as_posix() for path in files}

    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    engine = {name for name in found if name.startswith("engine/")}
    assert engine == wanted("engine", ".py", ".toml", ".md", ".html")
    dashboard = {"app.py", ".streamlit/config.toml", "assets/favicon.png", "assets/logo.svg"}
    dashboard |= wanted("pages", ".py", ".css", ".js") | wanted("assets/example", ".npz")
    assert {name for name in found if name.startswith("distillery/")} == {f"distillery/{name}" for name in dashboard}
    assert all(name.startswith(("engine/", "distillery/", "dataset_distillery-")) for name in found)


def test_the_wheel_installs_the_command_and_requires_what_the_checkout_requires(site):
    (info,) = site.glob("*.dist-info")
    commands = configparser.ConfigParser()
    commands.read(info / "entry_points.txt")
    assert dict(commands["console_scripts"]) == {"distillery": "engine.cli.main:main"}
    metadata = (info / "METADATA").read_text().splitlines()
    required = {line.removeprefix("Requires-Dist: ") for line in metadata if line.startswith("Requires-Dist: ")}
    assert required == set((ROOT / "requirements.txt").read_text().split())


@pytest.mark.slow
def test_an_installed_program_keeps_data_and_runs_in_the_current_folder(site, tmp_path):
    ask = (
        "import json; from engine.core import program; from engine.core.context import data_root, runs_root; "
        "print(json.dumps([program.version(), program.COMMAND, str(program.APP), str(data_root()), str(runs_root())]))"
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DISTILLERY_")}
    answer = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
    )
    places = [str(site / "distillery" / "app.py"), str(tmp_path / "data"), str(tmp_path / "runs")]
    assert json.loads(answer.stdout) == [program.version(), "distillery", *places]


def test_a_checkout_has_the_version_of_its_project_file(capsys):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (program.version(), program.home(), program.APP) == (declared, ROOT, ROOT / "app.py")
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"Dataset Distillery {declared}\n"


def test_app_serves_the_dashboard_with_streamlit(monkeypatch, tmp_path):
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: started.append(arguments))
    main(["app", "--port", "8600", "--runs", str(tmp_path)])
    assert started == [
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(ROOT / "app.py"),
            "--server.port",
            "8600",
            "--server.address",
            "127.0.0.1",
        ]
    ]
    assert os.environ["DISTILLERY_RUNS"] == str(tmp_path)
