"""Who works on a run: told apart by process number and birth time, so that a reused number deceives nobody."""

import os
import socket
import time
from typing import Any

import psutil

# Birth times come from the boot time plus ticks; the boot time wanders a little when the clock is set.
BIRTH_TOLERANCE_SECONDS = 2.0
# A process of another machine cannot be looked up; its run counts as alive while its log was written this recently.
SILENCE_SECONDS = 60.0


def this_process() -> dict[str, Any]:
    """The owner record of the calling process."""
    return {"pid": os.getpid(), "born": psutil.Process().create_time(), "host": socket.gethostname()}


def is_alive(owner: dict[str, Any], heard: float) -> bool:
    """Whether the process still lives. heard: unix time of its last word, used for other machines alone."""
    if owner["host"] != socket.gethostname():
        return time.time() - heard < SILENCE_SECONDS
    try:
        process = psutil.Process(owner["pid"])
        same = abs(process.create_time() - owner["born"]) < BIRTH_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
