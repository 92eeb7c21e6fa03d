"""Imports point one way: pages -> the engine's door; run -> methods -> {synthetic, meta, nets, data}; no method
imports another.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Who may import whom inside the engine, by part. The door, `engine.run`, `engine.runs` and `engine.cli` may import
# anything below.
ALLOWED = {
    "core": {"core"},
    "data": {"core", "data"},
    "nets": {"core", "data.source", "nets"},
    "meta": {"core", "nets.student", "meta"},
    "synthetic": {
        "core",
        "data.prices",
        "data.source",
        "data.transforms.pca",
        "data.transforms.predefined",
        "data.transforms.preparation",
        "data.transforms.prepare",
        "meta",
        "synthetic",
    },
    "evaluation": {
        "core",
        "data.prices",
        "data.source",
        "data.transforms.augment",
        "data.transforms.predefined",
        "data.transforms.preparation",
        "data.transforms.prepare",
        "nets",
        "meta",
        "synthetic",
        "evaluation",
    },
    "pretrained": {"core", "data", "nets", "evaluation.probing", "evaluation.scores", "evaluation.train", "pretrained"},
    "methods": {
        "core",
        "data",
        "nets",
        "meta",
        "synthetic",
        "evaluation.balance",
        "evaluation.bench",
        "evaluation.comparison",
        "evaluation.forecasting",
        "evaluation.labelled",
        "evaluation.probing",
        "evaluation.scores",
        "evaluation.train",
        "pretrained",
        "methods",
    },
    "figures": {"core.events", "core.spacing", "data", "evaluation.scores", "figures"},
    "results": {"core", "data", "nets", "synthetic", "methods", "pretrained", "evaluation", "figures", "results"},
    "run": {"core", "data", "nets", "synthetic", "methods", "evaluation"},
}
SHARED = (
    "diagnosis",
    "forms",
    "method",
    "options",
    "presets",
    "state",
    "validation",
    "windowed",
    "windowed_config",
)  # of engine/methods, for every method
BANNED = {"engine": {"streamlit", "pages"}, "pages": {"torch", "torchvision", "safetensors", "sqlite3"}}


@cache
def imports(path: Path) -> set[str]:
    """Every dotted module name that a file imports, at the top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found |= {
                f"{node.module}.{alias.name}" for alias in node.names if (ROOT / node.module.replace(".", "/")).is_dir()
            }
    return found


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no Python files under {folder}"
    return found


def test_no_file_of_code_or_data_is_longer_than_400_lines():
    every = [path for folder in ("engine", "pages") for path in (ROOT / folder).rglob("*.*")]
    paths = [path for path in every if path.suffix in (".py", ".toml")]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert lengths and not {name: length for name, length in lengths.items() if length > 400}


@pytest.mark.parametrize("part", BANNED)
def test_no_banned_import(part):
    for path in files(part):
        used = {name.split(".")[0] for name in imports(path)}
        assert not used & BANNED[part], f"{path} imports {used & BANNED[part]}"


def test_pages_come_in_through_the_door():
    nodes = ast.parse((ROOT / "engine" / "__init__.py").read_text(encoding="utf-8")).body
    offered = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    door = {f"engine.{alias.asname or alias.name}" for alias in offered} | {"engine.core.errors", "engine.core.events"}
    for path in [*files("pages"), ROOT / "app.py"]:
        inside = {name for name in imports(path) if name.startswith("engine.")}
        past = {name for name in inside if not any(name == open_ or name.startswith(open_ + ".") for open_ in door)}
        assert not past, f"{path} reaches past the door: {sorted(past)}"


@pytest.mark.parametrize("part", ALLOWED)
def test_engine_parts_import_downwards(part):
    paths = files(f"engine/{part}") if (ROOT / "engine" / part).is_dir() else [ROOT / "engine" / f"{part}.py"]
    for path in paths:
        for name in imports(path):
            if name.startswith("engine."):
                inner = name.removeprefix("engine.")
                allowed = any(inner == other or inner.startswith(other + ".") for other in ALLOWED[part])
                parent_of_allowed = any(other.startswith(inner + ".") for other in ALLOWED[part])
                assert allowed or parent_of_allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_methods_do_not_import_each_other():
    folders = [folder for folder in (ROOT / "engine" / "methods").iterdir() if (folder / "__init__.py").exists()]
    assert folders
    for folder in folders:
        for path in folder.rglob("*.py"):
            for name in imports(path):
                if name.startswith("engine.methods."):
                    target = name.split(".")[2]
                    assert target in (folder.name, *SHARED), f"{path.relative_to(ROOT)} imports {name}"
