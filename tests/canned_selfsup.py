"""Runs of self-supervised distillation in every state, written through the real store like those of `canned_runs`."""

from __future__ import annotations

from dataclasses import replace

import canned_runs as canned
import numpy as np

import engine
from engine.core.events import Analysed, Finished, Measured, Preview, Progress, Scored, Started, TeacherEpoch

ASKED = {
    "method": "selfsup",
    "preset": "",
    "config": {"student": {"name": "mlp"}, "outer_steps": canned.TOTAL, "num_images": 20, "image_bases": 12},
}
PROBES = {"distilled": 0.86, "random_real": 0.74, "untrained": 0.55, "full": 0.93, "teacher": 0.95}
BYTES = {"distilled": 9_000, "random_real": 9_100, "full": 165_000, "teacher": 82_000}
AUGMENTATIONS = ("rotate_90", "rotate_180", "rotate_270")


def request(**changes: object) -> engine.RunRequest:
    """A small low-rank set of the digits."""
    return canned.request().model_copy(update=ASKED | changes)


def teacher_epoch(epoch: int, num_epochs: int = 8, cached: bool = False) -> TeacherEpoch:
    """What one epoch of a teacher says."""
    loss = None if epoch == 0 else 40 * float(np.exp(-epoch / 4)) + 12
    return TeacherEpoch(epoch, num_epochs, loss, 0.94 - 0.3 * float(np.exp(-epoch / 2)), 2.5 if epoch else 0.0, cached)


def training_teacher(store: engine.Store, num_done: int = 5, action: str = "record", **changes: object) -> str:
    """A run in the middle of its teacher's training: one that only trains it, or that distils then."""
    run_id = store.submit(request(action=action, **changes), status="running")
    store.append(run_id, [Started(0 if action == "record" else canned.TOTAL, {"device": "cpu", "train": 1294})])
    store.append(run_id, [teacher_epoch(epoch) for epoch in range(num_done + 1)])
    store.append(run_id, [Progress(f"train the teacher, epoch {num_done + 1} of 8", 3, 11)])
    return run_id


def taught(store: engine.Store, **changes: object) -> str:
    """A run that only trained a teacher, and is done."""
    run_id = training_teacher(store, 8, **changes)
    store.append(run_id, [score("teacher", "linear_probe", 0.95)])
    store.append(run_id, [Finished({"title": "Barlow Twins, ConvNet-D3", "num_epochs": 8})])
    return run_id


def running(store: engine.Store, num_steps: int = 120, has_bases: bool = True, **changes: object) -> str:
    """A run in the middle of its outer steps, with all that is known of it by then."""
    run_id = store.submit(request(**changes), status="running")
    rng = np.random.default_rng(0)
    store.append(run_id, [Started(canned.TOTAL, {"device": "cpu", "train": 1294})])
    store.append(run_id, [teacher_epoch(epoch, cached=True) for epoch in range(9)])
    store.append(run_id, [score("random_real", "short_probe", 0.62, split="validation"), spectrum(), approximation()])
    store.append(run_id, [measured(step, rng) for step in range(1, num_steps + 1)])
    for step in (0, num_steps // 2, num_steps):
        store.append(run_id, [preview(step, has_bases)])
    return run_id


def measured(step: int, rng: np.random.Generator) -> Measured:
    """What one outer step says."""
    values = {
        "outer_loss": 0.4 + 0.6 * float(np.exp(-step / 50)) + 0.02 * rng.random(),
        "gradient_norm": 0.1 + 0.02 * rng.random(),
        "inner_loss": 0.3 + 0.1 * rng.random(),
        "age": float(step % 50),
    }
    if step % 40 == 0:
        values["validation_accuracy"] = 0.8 - 0.3 * float(np.exp(-step / 40))
    return Measured(step, values)


def preview(step: int, has_bases: bool = True) -> Preview:
    """Pictures of the set, of its bases, and at the first step of what it began as."""
    rng = np.random.default_rng(step)
    views = {"bases": rng.integers(0, 256, (12, 6, 6, 1), dtype=np.uint8)} if has_bases else {}
    if step == 0:
        views["real"] = rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    return Preview(step, rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8), ("",) * 20, views=views)


def spectrum() -> Analysed:
    """Shares of variance that fall off, of 64 and 40 bases."""
    shares = {name: np.exp(-np.arange(n) / 6) for name, n in (("images", 64), ("representations", 40))}
    fractions = {name: (found / found.sum()).tolist() for name, found in shares.items()}
    return Analysed("spectrum", fractions | {"used": {"images": 12, "representations": 8}})


def approximation() -> Analysed:
    """Three rotations whose shifts the networks learn in part."""
    return Analysed(
        "approximation",
        {"augmentations": list(AUGMENTATIONS), "with_networks": [0.31, 0.35, 0.33], "without": [0.81, 0.92, 0.79]},
    )


BUDGET = {
    "budget": 9_100,
    "num_images": 20,
    "image_bases": 12,
    "representation_bases": 6,
    "num_augmentations": 1,
    "augmentations": ["blur", "rotate_90"],
    "errors": [0.05, 0.4],
}


def placed(way: str = "PCA", num_classes: int = 10, num_real: int = 200, num_distilled: int = 20) -> Analysed:
    """A map with a cluster a class."""
    rng = np.random.default_rng(num_classes)
    middles = rng.normal(size=(num_classes, 2)) * 5
    labels = rng.integers(0, num_classes, num_real)
    real = middles[labels] + rng.normal(size=(num_real, 2))
    distilled = middles[rng.integers(0, num_classes, num_distilled)] + rng.normal(size=(num_distilled, 2))
    name = "map" if way == "PCA" else "map_tsne"
    classes = [str(label) for label in labels]
    return Analysed(name, {"way": way, "real": real.tolist(), "classes": classes, "distilled": distilled.tolist()})


def score(arm: str, protocol: str, value: float, seed: int = 0, **changes: object) -> Scored:
    """One probed network."""
    count = 20 if arm == "distilled" else 25 if arm == "random_real" else 1294
    seen = {"samples_seen": 1000 * min(256, 4 * count)} if arm in ("distilled", "random_real", "full") else {}
    common = {
        "training": seen,
        "num_samples": count,
        "num_bytes": BYTES.get(arm, 0),
        "recipe": f"recipe of {arm}",
    } | changes
    return Scored(arm, protocol, "mlp", seed, "accuracy", value, 1.5, **common)


def probed(store: engine.Store, run_id: str, better: float = 0.0) -> None:
    """Three networks an arm and protocol, on another data set too, and their likeness to the teacher."""
    for arm, mean in PROBES.items():
        value = mean + (better if arm == "distilled" else 0.0)
        for protocol, worse in (("linear_probe", 0.0), ("knn", 0.04), ("fine_tune", -0.01)):
            if protocol == "fine_tune" and arm == "teacher":
                continue
            found = [score(arm, protocol, value - worse + shift, seed) for seed, shift in enumerate((-0.01, 0.0, 0.01))]
            store.append(run_id, [replace(one, split="validation") for one in found] + found)
        probes = [score(arm, "linear_probe", value, seed) for seed in range(3)]
        store.append(run_id, [replace(one, metric="accuracy@fashion_mnist", value=value - 0.2) for one in probes])
        if arm != "teacher":
            tuned = replace(probes[0], metric="accuracy@fashion_mnist", protocol="fine_tune", value=value - 0.1)
            store.append(run_id, [replace(tuned, seed=seed) for seed in range(3)])
        likeness = {} if arm == "teacher" else {"cosine": value - 0.1, "cka": value - 0.05}
        store.append(
            run_id, [replace(one, metric=name, value=like) for name, like in likeness.items() for one in probes]
        )


def finished(store: engine.Store, better: float = 0.0, **changes: object) -> str:
    """A run with its comparison, its maps, and a summary."""
    run_id = running(store, canned.TOTAL, **changes)
    store.append(run_id, [placed(), placed("t-SNE")])
    probed(store, run_id, better)
    summary = {
        "num_samples": 20,
        "num_bytes": 9_000,
        "labels": "none",
        "compression": 9.2,
        "seconds_distilling": 31.0,
        "step": canned.TOTAL,
    }
    store.append(run_id, [Finished(summary)])
    return run_id
