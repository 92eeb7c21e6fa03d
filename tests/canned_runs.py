"""Runs in every state, written through the real store; no worker takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from posters import poster_preview, poster_view
from streamlit.testing.v1 import AppTest

import engine
from engine.core.events import (
    ExpertEpoch,
    Failed,
    Finished,
    Measured,
    Preview,
    Progress,
    Scored,
    Started,
    Stopped,
    Warned,
)

TOTAL = 200


def words(app: AppTest) -> str:
    """All text of a page in one string."""
    parts = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption]
    alerts = [*app.error, *app.warning, *app.info]
    found = [part.value for part in parts] + [alert.value for alert in alerts]
    found += [alert.proto.title for alert in alerts]
    found += [text for metric in app.metric for text in (metric.label, metric.value, metric.delta)]
    found += [bar.text for bar in app.progress] + [badge.value for badge in app.get("badge")]
    return " ".join(str(text) for text in found).replace("\\", "")


def request(**changes: object) -> engine.RunRequest:
    """The quick run on the digits."""
    return engine.request_from_preset("digits", "bilevel", "quick", **changes)


def queued(store: engine.Store, **changes: object) -> str:
    """A run that waits."""
    return store.submit(request(**changes))


def running(store: engine.Store, num_steps: int = 120, total: int = TOTAL, **changes: object) -> str:
    """A run of this process in the middle of its outer steps."""
    run_id = store.submit(request(**changes), status="running")
    rng = np.random.default_rng(0)
    store.append(
        run_id,
        [Started(total, {"device": "cpu", "train": 1294}), score("random_real", "ordinary", 0.55, split="validation")],
    )
    for first in range(0, num_steps, 500):
        steps = range(first + 1, min(first + 500, num_steps) + 1)
        store.append(run_id, [measured(step, total, rng) for step in steps])
    for step in (0, num_steps // 2, num_steps):
        store.append(run_id, [Preview(step, rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8), tuple("0123456789"))])
    return run_id


def measured(step: int, total: int, rng: np.random.Generator) -> Measured:
    """What one outer step says."""
    values = {
        "outer_loss": 2.3 * np.exp(-3 * step / total) + 0.05 * rng.random(),
        "gradient_norm": 0.1 + 0.02 * rng.random(),
    }
    values |= {"student_lr": 0.02, "student_lr_min": 0.01, "student_lr_max": 0.03}
    if step % max(1, total // 20) == 0:
        values["validation_accuracy"] = 0.9 - 0.6 * float(np.exp(-4 * step / total))
    return Measured(step, values)


def score(arm: str, protocol: str, value: float, seed: int = 0, split: str = "test", student: str = "mlp") -> Scored:
    """One student's accuracy."""
    size, weight = (1294, 84110) if arm == "full" else (10, 2610)
    numbers = (
        {"samples_seen": 2500} if protocol == "as_distilled" else {"num_steps": 500, "batch_size": 64, "lr": 0.001}
    )
    return Scored(
        arm,
        protocol,
        student,
        seed,
        "accuracy",
        value,
        0.4,
        split,
        size,
        weight,
        f"recipe of {arm}",
        numbers,
        cached=arm == "full",
    )


def stopped(store: engine.Store) -> str:
    """A run its user stopped."""
    run_id = running(store)
    store.append(run_id, [Stopped(120)])
    return run_id


def failed(
    store: engine.Store,
    message: str = "The student's weights became NaN at inner step 3. Lower the student learning rate.",
) -> str:
    """A run that diverged."""
    run_id = running(store)
    store.append(run_id, [Failed(message, "Traceback: the last line", 121)])
    return run_id


MEANS = {
    ("distilled", "as_distilled"): 0.851,
    ("distilled", "ordinary"): 0.823,
    ("random_real", "as_distilled"): 0.523,
    ("random_real", "ordinary"): 0.551,
    ("full", "ordinary"): 0.97,
}
KMEANS = {("kmeans_real", "as_distilled"): 0.602, ("kmeans_real", "ordinary"): 0.634}


def scored(
    store: engine.Store, run_id: str, means: dict[tuple[str, str], float], better: float = 0.0, student: str = "mlp"
) -> None:
    """Three students an arm and protocol, 5 points worse on validation images; `better` is added to the distilled
    arm.
    """
    for (arm, protocol), mean in means.items():
        value = mean + better if arm == "distilled" else mean
        store.append(
            run_id,
            [
                score(arm, protocol, value + shift - worse, seed, split, student)
                for seed, shift in enumerate((-0.01, 0.0, 0.01))
                for split, worse in (("validation", 0.05), ("test", 0.0))
            ],
        )


def finished(store: engine.Store, better: float = 0.0, has_kmeans: bool = False, **changes: object) -> str:
    """A run with scores of three students an arm and protocol."""
    run_id = running(store, TOTAL, **changes)
    scored(store, run_id, MEANS | KMEANS if has_kmeans else MEANS, better)
    store.append(run_id, [Warned("The test set is small.")])
    summary = {
        "num_samples": 10,
        "num_bytes": 2610,
        "full_bytes": 84110,
        "compression": 32.2,
        "seconds_distilling": 31.0,
    }
    store.append(run_id, [Finished(summary)])
    return run_id


ACROSS = {
    ("distilled_ema", "as_distilled"): 0.862,
    ("distilled_ema", "ordinary"): 0.811,
    ("distilled", "unaugmented"): 0.805,
    ("random_real", "unaugmented"): 0.49,
    ("kmeans_real", "unaugmented"): 0.57,
}


def across_architectures(store: engine.Store, **changes: object) -> str:
    """A finished run of images with a moving average, tried with two more architectures and without augmentation
    too.
    """
    run_id = running(store, TOTAL, **changes)
    own = MEANS | KMEANS | ACROSS
    scored(store, run_id, own)
    for steps, worse in ((300, 0.06), (600, 0.0), (2000, 0.02)):
        for arm in ("distilled", "distilled_ema", "random_real", "kmeans_real"):
            after = {"metric": f"accuracy@{steps}", "training": {"num_steps": steps}}
            mean = own[arm, "as_distilled"] - worse
            found = [score(arm, "as_distilled", mean + shift, seed) for seed, shift in enumerate((-0.01, 0.0, 0.01))]
            store.append(run_id, [replace(one, **after) for one in found])
            if not worse:  # the length that was chosen
                store.append(run_id, [replace(one, training=after["training"]) for one in found])
    for student, worse in (("convnet", 0.12), ("lenet", 0.31)):
        others = {key: mean - worse for key, mean in own.items() if key[1] != "unaugmented" and key[0] != "full"}
        scored(store, run_id, others, student=student)
    summary = {"num_samples": 10, "num_bytes": 2610, "compression": 32.2, "labels": "hard", "step": TOTAL}
    store.append(run_id, [Finished(summary)])
    return run_id


def poster_running(
    store: engine.Store, num_steps: int = 120, view: engine.events.PosterView | None = None, **changes: object
) -> str:
    """A run that makes a poster, in the middle of its outer steps."""
    asked = {"method": "podd", "preset": "", "config": {"outer_steps": TOTAL, "student": {"name": "mlp"}}} | changes
    run_id = store.submit(request().model_copy(update=asked), status="running")
    rng = np.random.default_rng(0)
    store.append(run_id, [Started(TOTAL, {"device": "cpu", "train": 1294})])
    store.append(run_id, [measured(step, TOTAL, rng) for step in range(1, num_steps + 1)])
    for step in (0, num_steps // 2, num_steps):
        shown = poster_view(seed=step) if view is None else view
        store.append(run_id, [poster_preview(step, shown)])
    return run_id


def poster_finished(store: engine.Store, num_bytes: int = 6100, better: float = 0.0, **changes: object) -> str:
    """A poster with scores, of its distilled arm after fewer and more inner steps too."""
    run_id = poster_running(store, TOTAL, **changes)
    for (arm, protocol), mean in MEANS.items():
        value = mean + better if arm == "distilled" else mean
        small = arm != "full"
        common = {"num_samples": 72, "num_bytes": num_bytes, "training": {"num_steps": 1000}} if small else {}
        found = [
            replace(score(arm, protocol, value + shift, seed), **common)
            for seed, shift in enumerate((-0.01, 0.0, 0.01))
        ]
        store.append(run_id, found)
        if protocol == "as_distilled":
            for steps, worse in ((300, 0.06), (600, 0.02), (1000, 0.0), (2000, 0.01)):
                after = {"metric": f"accuracy@{steps}", "training": {"num_steps": steps}}
                store.append(run_id, [replace(one, value=one.value - worse, **after) for one in found])
    store.append(
        run_id,
        [
            Finished(
                {
                    "num_samples": 72,
                    "num_bytes": num_bytes,
                    "compression": 84110 / num_bytes,
                    "seconds_distilling": 31.0,
                }
            )
        ],
    )
    return run_id


def training_students(store: engine.Store) -> str:
    """A run in its evaluation."""
    run_id = running(store, TOTAL)
    store.append(run_id, [Progress("train ConvNet on random real images", 3, 10, "compare", 95.0)])
    return run_id


def evaluated(store: engine.Store, start: str, is_done: bool = True) -> str:
    """A run that evaluates the result of `start` again, on a second architecture too."""
    path = store.folder(start) / "result.safetensors"
    if not path.exists():
        path.write_bytes(b"set")
    old = store.run(start)
    evaluation = old.request.evaluation.model_copy(update={"students": ("convnet",)})
    asked = {"action": "evaluate", "start": start, "name": "Evaluated again", "evaluation": evaluation}
    run_id = store.submit(old.request.model_copy(update=asked), status="running")
    picture = store.preview(start, store.previews(start)[-1])
    store.append(run_id, [Started(0, {"device": "cpu", "train": 1294}), picture])
    scored(store, run_id, MEANS)
    if is_done:
        scored(store, run_id, MEANS, better=-0.2, student="convnet")
        store.append(run_id, [Finished({"num_bytes": 2610, "compression": 32.2, "step": TOTAL})])
    return run_id


TRAJECTORY = {
    "method": "trajectory",
    "preset": "",
    "config": {"student": {"name": "mlp"}, "student_steps": 20, "outer_steps": TOTAL},
}


def expert_epoch(expert: int, epoch: int, num_experts: int = 4, num_epochs: int = 10, **changes: object) -> ExpertEpoch:
    """What one epoch of an expert says."""
    accuracy = 0.92 - 0.8 * float(np.exp(-epoch / 2)) - 0.01 * expert
    loss = None if epoch == 0 else 2.3 * float(np.exp(-epoch / 3))
    return ExpertEpoch(expert, epoch, num_experts, num_epochs, loss, accuracy, 0.4 if epoch else 0.0, **changes)


def recording(store: engine.Store, num_complete: int = 2, num_experts: int = 4, **changes: object) -> str:
    """A run that only records, in the middle of an expert."""
    asked = TRAJECTORY | {"action": "record"} | changes
    run_id = store.submit(request().model_copy(update=asked), status="running")
    store.append(run_id, [Started(0, {"device": "cpu", "train": 1294})])
    for expert in range(num_complete):
        store.append(run_id, [expert_epoch(expert, epoch, num_experts, cached=expert == 0) for epoch in range(11)])
    if num_complete < num_experts:
        store.append(run_id, [expert_epoch(num_complete, epoch, num_experts) for epoch in range(5)])
        store.append(run_id, [Progress(f"record expert {num_complete + 1} of {num_experts}, epoch 5 of 10", 3, 11)])
    return run_id


def recorded(store: engine.Store, **changes: object) -> str:
    """A recording that is done, of an expert that did not learn too."""
    run_id = recording(store, num_complete=4, **changes)
    store.append(
        run_id, [Warned("Expert 4 of 4 did not learn: 11.0% on validation images is no better than guessing.")]
    )
    summary = {"num_experts": 4, "num_epochs": 10, "num_params": 4810, "num_bytes": 846_560, "accuracy": 0.9}
    store.append(run_id, [Finished(summary)])
    return run_id


def following(store: engine.Store, num_steps: int = 120, **changes: object) -> str:
    """A run of trajectory matching in the middle of its outer steps."""
    run_id = store.submit(request().model_copy(update=TRAJECTORY | changes), status="running")
    rng = np.random.default_rng(0)
    store.append(run_id, [Started(TOTAL, {"device": "cpu", "train": 1294})])
    store.append(run_id, [expert_epoch(expert, epoch) for expert in range(4) for epoch in range(11)])
    store.append(run_id, [followed(step, rng) for step in range(1, num_steps + 1)])
    for step in (0, num_steps // 2, num_steps):
        store.append(run_id, [Preview(step, rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8), tuple("0123456789"))])
    return run_id


def followed(step: int, rng: np.random.Generator) -> Measured:
    """What one outer step of trajectory matching says."""
    values = {
        "outer_loss": 0.9 - 0.3 * step / TOTAL + 0.05 * rng.random(),
        "gradient_norm": 0.1 + 0.02 * rng.random(),
        "matched_step": float(min(20, rng.integers(6, 12) + 10 * step // TOTAL)),
        "start_epoch": float(rng.integers(0, 5)),
        "expert": float(step % 4),
        "student_lr": 0.02,
    }
    if step % 10 == 0:
        reached = 0.8 - 0.5 * float(np.exp(-step / 40))
        values |= {"validation_accuracy": reached, "ema_validation_accuracy": reached + 0.04}
    return Measured(step, values)
