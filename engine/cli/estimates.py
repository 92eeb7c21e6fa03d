"""The command that estimates the time, memory and disk space of a request."""

import dataclasses

from engine.cli.lists import print_json
from engine.cli.requests import request_options, requested, store_of
from engine.core.config import RunRequest
from engine.core.context import data_root
from engine.core.errors import RunError
from engine.data import sources
from engine.data.source import task_of
from engine.figures import formats
from engine.run import resolve
from engine.runs.advice import origin, time_parts, verdict
from engine.runs.estimate import Estimate
from engine.runs.trial import Refusal, Trials, serve


def register(add) -> None:
    """Add `estimate` to the command line, and `trial`, which `Trials` starts for itself."""
    text = "Try an outer step: time, memory and disk that a request takes here. Exit status 1 if it cannot fit."
    request_options(add("estimate", _estimate, text, machine_readable=True))
    add("trial", _trial, "")


def _estimate(options) -> int:
    request = requested(options)
    _, config = resolve(request)
    trials = Trials(store_of(options))
    try:
        found = trials.wait(request)
    finally:
        trials.close()
    if isinstance(found, Refusal):
        raise RunError(found.sentence)
    refused = verdict(found, request)
    if options.json:
        print_json(dataclasses.asdict(found) | {"seconds": found.seconds, "refused": refused})
    else:
        _print(found, request)
        if caution := config.caution(task_of(sources(data_root())[request.source], request.data)):
            print(caution)
        if refused:
            print(refused)
    return 1 if refused else 0


def _print(found: Estimate, request: RunRequest) -> None:
    bound = "at least " if found.lower_bound else "about "
    parts = time_parts(found, request)
    print(f"time    {bound}{formats.duration(found.seconds)}{f': {parts}' if parts else ''}")
    memory, free = formats.num_bytes(found.memory_bytes), formats.num_bytes(found.available_memory)
    print(f"memory  {bound}{memory} of {free} free on the {found.device.upper()}")
    print(f"disk    {bound}{formats.num_bytes(found.disk_bytes)} of {formats.num_bytes(found.available_disk)} free")
    if found.num_experts:
        others = f", the others take {formats.num_bytes(found.expert_bytes)}" if found.expert_bytes else ""
        print(f"experts {found.num_recorded} of {found.num_experts} are recorded{others}")
    print(origin(found))


def _trial(options) -> int:
    return serve()
