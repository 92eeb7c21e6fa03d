"""Every pair of algorithm and form on the digits at equal storage, against random real images: a minute a seed.

make bench        prints the table; the cards of bilevel, rat_bptt and trajectory hold a recorded one

All sets take the bytes of about four images per class, labels included. The student is an MLP; scores are test
accuracy, mean and standard deviation over five students that the set has not seen. Each form multiplies the outer
learning rate by the factor of its default.
"""

from __future__ import annotations

import time

import pytest
import torch

import engine
from engine.core.events import Scored
from engine.core.options import option_of
from engine.evaluation.scores import Row, summarise

BILEVEL = {"passes": 10, "outer_steps": 700, "real_batch": 256, "student_lr": 0.1}
BILEVEL |= {"outer_lr": 0.03, "rates_lr": 0.03, "clip": 1.0}
RAT_BPTT = {"unroll_length": 40, "window": 15, "batch_size": 40, "outer_steps": 400, "real_batch": 256}
RAT_BPTT |= {"student_lr": 0.003, "outer_lr": 0.03, "outer_decay": "cosine", "validation_steps": 100}
EXPERTS = {"num_experts": 5, "epochs": 10, "lr": 0.1, "batch_size": 64}
TRAJECTORY = {"experts": EXPERTS, "outer_steps": 300, "student_steps": 20, "student_lr": 0.05, "outer_lr": 10.0}
ALGORITHMS = {"bilevel": BILEVEL, "rat_bptt": RAT_BPTT, "trajectory": TRAJECTORY}
FORMS = {
    "pixels": {"ipc": 4, "images_from": "real"},
    "canvas": {"ipc": 1, "images_from": "real", "canvas": {"size": 2, "samples": 4}},
    "poster": {"poster": {"ipc": 4.0, "poster_from": "real", "order": "listed"}},
    "low_rank": {"low_rank": {"ipc": 9, "num_bases": 16, "basis_size": 8}},
}
PAIRS = [(method, form) for method in ALGORITHMS for form in FORMS if (method, form) != ("bilevel", "canvas")]
SEEDS = (0, 1, 2)
EVALUATION = {"num_students": 5, "inner_steps": 300, "ordinary_steps": 200, "compare_full": False, "batch_size": 128}
LEAST_GAIN = 0.0
"""Accuracy by which every pair beats random real images, on average over the seeds."""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]


def request_of(method: str, form: str, seed: int) -> engine.RunRequest:
    config = ALGORITHMS[method] | FORMS[form] | {"stored_as": form, "student": {"name": "mlp"}}
    option = option_of(engine.METHODS[method].config.model_fields["outer_lr"])
    config["outer_lr"] *= option.factor(config)
    return engine.RunRequest(source="digits", method=method, config=config, evaluation=EVALUATION, seed=seed)


def test_every_pair_beats_random_real_images_of_equal_storage():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"\n{'method':<12} {'form':<9} {'seed':>4} {'bytes':>6} {'distilled':>14} {'random real':>14} {'seconds':>8}")
    behind = []
    for method, form in PAIRS:
        gains = [gain(method, form, seed) for seed in SEEDS]
        if sum(gains) / len(gains) < LEAST_GAIN:
            behind.append((method, form))
    torch.set_num_threads(before)
    assert not behind, f"behind random real images: {behind}"


def gain(method: str, form: str, seed: int) -> float:
    """What a pair is ahead of random real images, printed with the rest."""
    began = time.monotonic()
    events: list[engine.Event] = []
    synthetic, _ = engine.distill(request_of(method, form, seed), on_event=events.append)
    scores = [event for event in events if isinstance(event, Scored)]
    seconds = time.monotonic() - began
    ours, theirs = (best(scores, arm) for arm in ("distilled", "random_real"))
    shown = [f"{100 * row.mean:6.1f} ± {100 * row.std:.1f} %" for row in (ours, theirs)]
    size = f"{synthetic.num_bytes():>6} {shown[0]:>14} {shown[1]:>14} {seconds:>8.0f}"
    print(f"{method:<12} {form:<9} {seed:>4} {size}", flush=True)
    return ours.mean - theirs.mean


def best(scores: list[Scored], arm: str) -> Row:
    """The arm's test row by the protocol that did best on validation images."""
    validation, test = ([row for row in summarise(scores, split) if row.arm == arm] for split in ("validation", "test"))
    protocol = max(validation, key=lambda row: row.mean).protocol
    return next(row for row in test if row.protocol == protocol)
