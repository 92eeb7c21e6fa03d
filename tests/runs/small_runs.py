"""Real runs of seconds, and what other states of them look like."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from engine.core.config import DataConfig, RunRequest
from engine.core.events import Failed, Measured, Started, Stopped
from engine.data import SOURCES
from engine.runs.store import Store
from engine.runs.worker import execute

SMALL = {
    "source": "digits",
    "config": {
        "student": {"name": "mlp"},
        "passes": 5,
        "images_from": "real",
        "outer_steps": 40,
        "real_batch": 64,
        "student_lr": 0.1,
        "outer_lr": 0.03,
        "rates_lr": 0.03,
        "num_validations": 2,
        "previews": 4,
    },
    "evaluation": {"num_students": 2, "ordinary_steps": 50, "full_epochs": 2, "batch_size": 64},
}


def distilled(store: Store, **changes) -> str:
    """A run that was carried out to its end."""
    run_id = store.submit(RunRequest(**(SMALL | changes)), status="running")
    execute(store, run_id)
    row = store.run(run_id)
    assert row.status == "done", row.error
    return run_id


def stopped(store: Store, done: str) -> str:
    """A run that was stopped before its evaluation, with the result of another."""
    return _ended(store, done, [Stopped(7)])


def failed(store: Store, done: str) -> str:
    """A run that failed, with the result of another."""
    return _ended(store, done, [Failed("The loss became NaN. Lower the rate.", "Traceback", 8)])


def _ended(store: Store, done: str, events: list) -> str:
    run_id = store.submit(store.run(done).request, status="running")
    store.append(
        run_id, [Started(40, {"device": "cpu"}), *(Measured(step, {"outer_loss": 1.0}) for step in range(1, 8))]
    )
    shutil.copyfile(store.result(done), store.folder(run_id) / "result.safetensors")
    store.append(run_id, events)
    return run_id


def write_test_images(folder: Path) -> int:
    """The test images of the digits as PNG files in class folders; how many."""
    splits = _last(SOURCES["digits"].load(DataConfig(), folder))
    pictures, labels = splits.test.inputs.numpy(), splits.test.targets.tolist()
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(picture[0])).save(folder / str(label) / f"{number}.png")
    return len(labels)


def _last(events):
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
