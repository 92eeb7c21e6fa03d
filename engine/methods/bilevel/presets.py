"""Named configs of the bilevel method: what runs in minutes here, and the published rows with what they cost."""

from engine.methods.method import Preset

LENET = {"name": "lenet"}

PRESETS = (
    Preset("quick", "Quick: 10 digits", "digits", "under a minute on two cores",
           config={"student": {"name": "mlp"}, "ipc": 1, "passes": 10, "outer_steps": 800, "real_batch": 256, "student_lr": 0.1, "outer_lr": 0.05},
           evaluation={"num_students": 5, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128}),
)  # fmt: skip
