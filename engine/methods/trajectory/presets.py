"""Named configs of trajectory matching."""

from __future__ import annotations

from engine.methods.method import Preset

PRESETS = (
    Preset(
        "quick", "Quick: one image per class", "digits", "under a minute on two cores",
        config={"student": {"name": "mlp"}, "ipc": 1, "experts": {"num_experts": 5, "epochs": 10, "lr": 0.1, "batch_size": 64}, "outer_steps": 300, "student_steps": 20, "student_lr": 0.05, "max_start_epoch": 5, "outer_lr": 10.0},
        evaluation={"num_students": 5, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128},
    ),
)  # fmt: skip
