"""Commands that list, record, verify and delete pretrained networks, and the lines about those of a run."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from engine.cli.lists import print_json
from engine.cli.progress import shown
from engine.cli.requests import request_options
from engine.core.context import runs_root
from engine.core.events import ExpertEpoch, TeacherEpoch
from engine.figures import formats
from engine.pretrained import Recording, delete, find, recordings, verify
from engine.pretrained.store import Kind
from engine.results import titles
from engine.runs.store import Store

BEFORE = {"experts": "trajectory", "teachers": "selfsup"}  # old names of `pretrained record`, and their methods


def register(add, start: Callable[[argparse.Namespace], int]) -> None:
    """Add `pretrained` to the command line. start: runs a request."""
    parser = add("pretrained", None, "Experts and teachers, which runs share: list, record, verify or delete them.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, description=text, help=text)
        sub.set_defaults(command=command)
        sub.add_argument("--runs", type=Path, default=argparse.SUPPRESS, metavar="DIR", help="folder of the runs")
        return sub

    listing = action("list", _list, "List the pretrained networks on disk.")
    listing.add_argument("--kind", choices=get_args(Kind), default=None, help="only those of one kind")
    listing.add_argument("--json", action="store_true", help="print JSON")
    recording = action("record", start, "Train the networks that a request needs, and nothing else.")
    request_options(recording, method="trajectory", action="record")
    checking = action("verify", _verify, "Check files against their recorded hashes.")
    checking.add_argument("recording", nargs="?", help="one of the list (default: all)")
    action("delete", _delete, "Delete pretrained networks.").add_argument("recording", help="one of the list")


def translated(arguments: Sequence[str]) -> list[str]:
    """Arguments with the old commands `experts` and `teachers` replaced by actions of `pretrained`."""
    name, rest = next(iter(arguments), ""), list(arguments[1:])
    if name not in BEFORE:
        return list(arguments)
    for flag, action in (("--delete", ["delete"]), ("--list", ["list", "--kind", name])):
        if flag in rest:
            return ["pretrained", *action, *(part for part in rest if part != flag)]
    return ["pretrained", "record", *([] if "--method" in rest else ["--method", BEFORE[name]]), *rest]


def _cache_root(options: argparse.Namespace) -> Path:
    return (options.runs or runs_root()) / "cache"


def _list(options: argparse.Namespace) -> int:
    found = [one for one in recordings(_cache_root(options)) if options.kind in (None, one.manifest.kind)]
    if options.json:
        return print_json([one.describe() for one in found])
    none = "no pretrained networks yet; runs that need some record them, or: pretrained record --source digits"
    print("\n".join(map(_line, found)) or none)
    return 0


def _line(found: Recording) -> str:
    title = titles.architecture(found.manifest.title)
    return f"{found.digest}  {found.manifest.source:14} {title}, {', '.join(titles.pretrained(found))}"


def _verify(options: argparse.Namespace) -> int:
    root, status = _cache_root(options), 0
    for one in [find(root, options.recording)] if options.recording else recordings(root):
        problems = shown(verify(one))
        print(f"{'FAILED' if problems else 'ok    '} {_line(one)}")
        for number, problem in problems.items():
            print(f"       {one.manifest.networks[number].file} {problem}; the next run that needs it trains it again")
            status = 1
    return status


def _delete(options: argparse.Namespace) -> int:
    delete(_cache_root(options), options.recording)
    print(f"{options.recording} deleted")
    return 0


def experts_of(store: Store, run_id: str) -> list[ExpertEpoch]:
    """The last epoch that each expert of a run has reached."""
    return list({event.expert: event for event in store.expert_epochs(run_id)}.values())


def teacher_of(store: Store, run_id: str) -> TeacherEpoch | None:
    """The last epoch that the teacher of a run has reached; None if it has none."""
    return next(reversed(store.teacher_epochs(run_id)), None)


def print_ends(store: Store, run_id: str) -> None:
    """A line for each expert of a run, or for its teacher."""
    for expert in experts_of(store, run_id):
        _print_end(f"expert {expert.expert + 1:<3}", expert, expert.validation_accuracy, "validation")
    if teacher := teacher_of(store, run_id):
        _print_end("teacher   ", teacher, teacher.knn_accuracy, "nearest neighbours, validation")


def _print_end(name: str, end: ExpertEpoch | TeacherEpoch, accuracy: float | None, measured: str) -> None:
    text = name.strip() if accuracy is None else f"{name} {formats.percent(accuracy)} {measured}"
    where = "" if end.epoch == end.num_epochs else f" after epoch {end.epoch} of {end.num_epochs}"
    print(f"{text}{where}{', trained earlier' if end.cached else ''}")
