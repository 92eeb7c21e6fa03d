"""Commands that list data sets and methods, and check the installation."""

import json
from typing import Any

from pydantic_core import to_jsonable_python

from engine.cli.reference import option_rows
from engine.cli.sections import print_sections
from engine.core.context import data_root
from engine.data import sources
from engine.methods import METHODS, find_method
from engine.methods.method import Method
from engine.results import published
from engine.runs.doctor import diagnose


def register(add) -> None:
    """Add `sources`, `methods` and `doctor` to the command line."""
    add("sources", _sources, "List the data sets and whether they are here.", machine_readable=True)
    methods = add("methods", _methods, "List the methods, or the options of one.", machine_readable=True)
    methods.add_argument("method", nargs="?", help="show this method's options and presets")
    text = "Check this installation: versions, device, gradients, disk, and a one-step run of each method."
    add("doctor", _doctor, text, machine_readable=True)


def _sources(options) -> int:
    rows = []
    for key, source in sources(data_root()).items():
        available = source.availability(data_root())
        counts = {"classes": len(source.class_names), "train": source.num_train, "test": source.num_test}
        found = {"state": available.state, "message": available.message}
        rows.append({"key": key, "title": source.title, "shape": list(source.sample_shape), **counts, **found})
        if not options.json:
            shape, sizes = "x".join(map(str, source.sample_shape)), f"{source.num_train:>7,} + {source.num_test:>6,}"
            print(f"{key:15} {available.state:13} {sizes}  {shape:9} {available.message}")
    if options.json:
        print_json(rows)
    return 0


def _methods(options) -> int:
    chosen = [find_method(options.method)] if options.method else list(METHODS.values())
    if options.json:
        return print_json([_as_json(method) for method in chosen])
    for method in chosen:
        print(f"{method.key}: {method.title}. {method.summary}")
        if options.method:
            print("\noptions (--set config.NAME=VALUE):")
            for row in option_rows(method.config):
                print(f"  {row.name:24} {row.values:28} {row.default!s:10} {row.text}".replace("`", ""))
            print()
        print("presets:")
        for preset in method.presets:
            print(f"  {preset.source or 'similar data':14} {preset.key:20} {preset.title} ({preset.cost})")
        if options.method:
            print_sections(published.of_method(method.key))
    return 0


def _as_json(method: Method) -> dict[str, Any]:
    said = {name: getattr(method, name) for name in ("key", "title", "summary")}
    papers = [paper.arxiv for paper in method.papers]
    presets = [{name: getattr(each, name) for name in ("key", "source", "title", "cost")} for each in method.presets]
    return said | {"papers": papers, "presets": presets, "options": method.config.model_json_schema()}


def _doctor(options) -> int:
    checks = []
    for check in diagnose():
        checks.append(check)
        if not options.json:
            remedy = f"  -> {check.remedy}" if check.remedy else ""
            print(f"{'ok    ' if check.ok else 'FAILED'} {check.name}: {check.finding}{remedy}", flush=True)
    if options.json:
        print_json(checks)
    return 0 if all(check.ok for check in checks) else 1


def print_json(value: Any) -> int:
    """Print a value as JSON, NaN as null; returns the exit status."""
    plain = to_jsonable_python(value, inf_nan_mode="null", fallback=lambda scalar: scalar.item())
    print(json.dumps(plain, indent=2))
    return 0
