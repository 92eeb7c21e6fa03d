"""The process that works on a run, identified by number and birth time, because numbers are reused."""

import os
import socket
import time
from typing import Any

import psutil

BIRTH_TOLERANCE_SECONDS = 2.0  # birth times shift a little when the clock is set
SILENCE_SECONDS = 60.0  # of the log, after which a process of another machine counts as dead


def this_process() -> dict[str, Any]:
    """The owner record of the calling process."""
    return {"pid": os.getpid(), "born": psutil.Process().create_time(), "host": socket.gethostname()}


def is_alive(owner: dict[str, Any], heard: float) -> bool:
    """Whether the process is alive. heard: unix time of its last record, used for other machines."""
    if owner["host"] != socket.gethostname():
        return time.time() - heard < SILENCE_SECONDS
    try:
        process = psutil.Process(owner["pid"])
        same = abs(process.create_time() - owner["born"]) < BIRTH_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
