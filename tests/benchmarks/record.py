"""Recorded results: one file of JSON lines per table in assets/results, one line per run.

    python -m tests.benchmarks.record run bilevel --source digits --preset quick --seeds 0 1 2
    python -m tests.benchmarks.record add bilevel 0012 other-machine.json
    python -m tests.benchmarks.record show bilevel

`run` carries out a preset once per seed and adds a line for each; runs that the table has already are skipped. Options
of `distillery distill` (--method, --set, --name, a request file) work too. `add` takes finished runs by number, or
files written by `distillery show RUN --json`. `show` prints a Markdown table of all seeds together. Give a --name to
runs whose settings differ from their preset: it stands beside the preset.

A line names data set, method, preset, seed, bits per value and bytes, has every test score as [mean, standard
deviation, number of students], and the time, machine, versions and whole request. Lists of more than MOST numbers, such
as curves, are left out, and so are scores of single tokens.
"""

import argparse
import copy
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from engine.cli.main import run_json
from engine.cli.progress import Printer
from engine.cli.requests import request_options, requested, store_of
from engine.core.errors import RunError, UserError
from engine.core.program import version
from engine.evaluation.scores import NAIVE, ORDINARY
from engine.figures import ARM_NAMES, NAIVE_ARMS, arm_name, formats, protocol_name
from engine.results import titles
from engine.runs.store import Store
from engine.runs.worker import execute

RESULTS = Path(__file__).parents[2] / "assets" / "results"
MOST = 20
"""Numbers in a list that is kept."""
DIGITS = 5
"""Significant digits of numbers that are no whole ones."""
NAMED = ("name", "source", "method", "preset", "seed")
LEFT_OUT = ("machine", "num_bytes", "bits")  # of the summary: they stand in the line itself
DRAWN = ("facts", "forecasts", "map", "map_tsne", "spectrum")  # of the analyses: they are there to be drawn
FLOAT32 = 32  # bits per value of results before there were others

Line = dict[str, Any]


def compact(shown: Mapping[str, Any]) -> Line:
    """The line of a finished run. shown: what `distillery show RUN --json` prints of it."""
    summary = shown["summary"]
    line = {name: shown[name] for name in NAMED}
    size = next(row["num_bytes"] for row in shown["scores"] if row["arm"] == "distilled")
    line |= {"bits": summary.get("bits", FLOAT32), "num_bytes": size, "seconds": shown["seconds"]}
    line |= {"date": f"{datetime.fromtimestamp(shown['created'], UTC):%Y-%m-%d}"}
    line |= {"version": shown.get("version", ""), "machine": summary.get("machine", {})}
    line |= {"scores": _scores(shown["scores"]), "verdict": shown.get("verdict", [])}
    line["analyses"] = {name: found for name, found in shown.get("analyses", {}).items() if name not in DRAWN}
    line |= {name: shown[name] for name in ("ranking", "teacher", "warnings") if shown.get(name)}
    line["summary"] = {name: value for name, value in summary.items() if name not in LEFT_OUT}
    return _thin(line) | {"request": shown["request"]}


def _scores(rows: Iterable[Mapping[str, Any]]) -> list[Line]:
    """A record per training set, protocol and student with its metrics, without those of single tokens."""
    found: dict[tuple[str, str, str], Line] = {}
    for row in rows:
        metric, _, part = row["metric"].partition("@")
        if part and metric != "accuracy":
            continue
        key = row["arm"], row["protocol"], row["student"]
        cost = {name: row[name] for name in ("num_samples", "num_bytes", "seconds")}
        record = found.setdefault(key, dict(zip(("arm", "protocol", "student"), key, strict=True)) | cost)
        record[row["metric"]] = [row["mean"], row["std"], row["n"]]
    return list(found.values())


def _thin(value: Any) -> Any:
    """A value with short numbers and without long lists."""
    if isinstance(value, Mapping):
        return {key: _thin(each) for key, each in value.items() if not _is_long(each)}
    if isinstance(value, list | tuple):
        return [_thin(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > MOST and not isinstance(value[0], Mapping)


# ---- files ----


def read(table: str, folder: Path = RESULTS) -> list[Line]:
    """The lines of a table; none if there is no such file."""
    path = folder / f"{table}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add(table: str, lines: Iterable[Line], folder: Path = RESULTS) -> None:
    """Add lines to a table; one of the same name and request is replaced."""
    known = {_key(line): line for line in read(table, folder)}
    known |= {_key(line): line for line in lines}
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in known.values())
    (folder / f"{table}.jsonl").write_text(text)


def _key(line: Mapping[str, Any]) -> tuple[str, str]:
    return line["name"], json.dumps(line["request"], sort_keys=True)


# ---- tables ----


def table(lines: Sequence[Line]) -> list[str]:
    """A Markdown table: a row per data set, preset, width, student and protocol, with all seeds together.

    A score is the mean and standard deviation over all students of all seeds.
    """
    groups: dict[tuple[Any, ...], list[tuple[Line, dict[str, list[float]]]]] = {}
    for line in lines:
        for (student, protocol), arms in _by_protocol(line["scores"]).items():
            preset = line["preset"] + (f" ({line['name']})" if line["name"] else "")
            asked = line["request"] | {"seed": 0}
            same = json.dumps(asked | {"evaluation": asked["evaluation"] | {"students": []}}, sort_keys=True)
            key = same, titles.source(line["source"]), line["method"], preset, line["bits"], student, protocol
            groups.setdefault(key, []).append((line, arms))
    shown = [arm for arm in ARM_NAMES if any(arm in arms for of in groups.values() for _, arms in of)]
    head = ["data", "method", "preset", "bits", "student", "protocol", "stored", "seeds"]
    rows = [[*head, *map(arm_name, shown), "minutes"]]
    rows.append(["---"] * len(rows[0]))
    for (_, *named, student, protocol), of in groups.items():
        size = formats.num_bytes(of[0][0]["num_bytes"])
        cells = [_over_seeds([arms[arm] for _, arms in of if arm in arms]) for arm in shown]
        minutes = sorted(round(line["seconds"] / 60, 1) for line, _ in of)
        time = " to ".join(f"{each:g}" for each in dict.fromkeys((minutes[0], minutes[-1])))
        who = titles.architecture(student), protocol_name(protocol)
        rows.append([*map(str, named), *who, size, str(len(of)), *cells, time])
    return ["| " + " | ".join(row) + " |" for row in rows]


def _by_protocol(scores: Iterable[Line]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """{(student, protocol): {arm: [mean, deviation, n]}} of the metric that runs are compared by.

    The full set of labelled data has standard training only, which stands beside every protocol, as naive forecasts do.
    """
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    beside: dict[str, dict[str, list[float]]] = {}
    for record in scores:
        value = record.get("accuracy", record.get("skill"))
        if value is None:
            continue
        arm, student, protocol = record["arm"], record["student"], record["protocol"]
        if arm in NAIVE_ARMS or (arm, protocol) == ("full", ORDINARY):
            beside.setdefault(student, {})[arm] = value
        if protocol != NAIVE and (arm, protocol) != ("full", ORDINARY):
            found.setdefault((student, protocol), {})[arm] = value
    return {key: arms | beside.get(key[0], {}) for key, arms in found.items() if "distilled" in arms}


def _over_seeds(values: Sequence[Any]) -> str:
    """ "95.7 ± 0.5": of [mean, deviation or None, n] of each seed, in per cent."""
    if not values:
        return formats.NOTHING
    total = sum(n for _, _, n in values)
    mean = sum(n * each for each, _, n in values) / total
    squares = sum((n - 1) * (std or 0.0) ** 2 + n * (each - mean) ** 2 for each, std, n in values)
    spread = f" ± {100 * math.sqrt(squares / (total - 1)):.1f}" if total > 1 else ""
    return f"{round(100 * mean, 1) + 0.0:.1f}{spread}".replace("-", "−")


# ---- commands ----


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Record results in assets/results, and print them as tables.")
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", _run), ("add", _add), ("show", _show)):
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        sub.add_argument("table", help="name of a file in assets/results, without .jsonl")
        sub.add_argument("--to", type=Path, default=RESULTS, help="folder of the tables")
        if name != "show":
            sub.add_argument("--runs", type=Path, default=None, help="folder of the runs")
        if name == "run":
            request_options(sub)
            sub.add_argument("--seeds", type=int, nargs="+", default=[0])
        if name == "add":
            sub.add_argument("what", nargs="+", metavar="RUN", help="number of a run, or a file of `show RUN --json`")
    options = parser.parse_args(arguments)
    options.command(options)


def _run(options: argparse.Namespace) -> None:
    store = store_of(options)
    for seed in options.seeds:
        asked = copy.copy(options)
        asked.seed = seed
        request = requested(asked)
        known = {_key(line) for line in read(options.table, options.to)}
        if (request.name, json.dumps(request.model_dump(mode="json"), sort_keys=True)) in known:
            print(f"{request.source} {request.method} {request.preset}, seed {seed}: recorded already", file=sys.stderr)
            continue
        run_id = store.submit(request, status="running")
        printer = Printer(request)
        execute(store, run_id, on_event=printer)
        printer.close()
        add(options.table, [_line(store, run_id)], options.to)


def _add(options: argparse.Namespace) -> None:
    store = store_of(options)
    for each in options.what:
        path = Path(each)
        line = compact(json.loads(path.read_text())) if path.is_file() else _line(store, each)
        add(options.table, [line], options.to)


def _line(store: Store, run_id: str) -> Line:
    """Raises RunError if the run is not done."""
    row = store.run(run_id)
    if row.status != "done":
        raise RunError(f"Run {run_id} is {row.status}. Only finished runs are recorded.")
    shown = run_json(store, row) | {"version": f"{version()}, {_commit()}"}
    return compact(to_jsonable_python(shown, inf_nan_mode="null", fallback=lambda scalar: scalar.item()))


def _commit() -> str:
    """The checked out commit, "+" if files differ from it."""
    command = ["git", "-C", str(RESULTS), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _show(options: argparse.Namespace) -> None:
    print("\n".join(table(read(options.table, options.to))))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
