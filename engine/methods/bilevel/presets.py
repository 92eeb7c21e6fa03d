"""Named configs of the bilevel method: what runs in minutes here, and the published rows with what they cost.

Published settings: Wang et al. 2018 (arXiv:1811.10959), section 4 and the options of their code; rates there start at
0.02 (0.001 for CIFAR-10), Adam 0.01 halved every 40 of 400 epochs of 1,024 images.
"""

from engine.methods.method import Preset

LENET = {"name": "lenet"}
PUBLISHED = {"real_batch": 1024, "outer_lr": 0.01, "rates_lr": 0.01, "num_decays": 9, "keep": "last"}
# One start a step makes a noisy meta-gradient: more momentum outside, and rates that move slowly.
STEADY = {"outer_lr": 0.05, "rates_lr": 0.005, "adam_beta1": 0.9, "clip": 1.0}
MNIST_EPOCHS = {"outer_steps": 400 * 53}  # 54,000 training images, 1,024 at a time
CIFAR_EPOCHS = {"outer_steps": 400 * 44}


def _quick_grey(source: str, title: str) -> Preset:
    """Random starts, 10 images: what a user can wait for."""
    return Preset(
        "quick", title, source, "about 3 minutes on two cores",
        config={"student": LENET, "ipc": 1, "passes": 10, "images_from": "real", "outer_steps": 600, "real_batch": 256, "student_lr": 0.1, "outer_lr": 0.03, "rates_lr": 0.03, "clip": 1.0},
        evaluation={"num_students": 3, "ordinary_steps": 200, "full_epochs": 1},
    )  # fmt: skip


def _quick_colour(source: str, title: str, **config) -> Preset:
    return Preset(
        "quick", title, source, "about 5 minutes on two cores",
        config={"student": {"name": "convnet", "depth": 3, "width": 32}, "ipc": 1, "passes": 10, "images_from": "real", "outer_steps": 250, "real_batch": 256, "student_lr": 0.006, "inner_optimiser": "adam"} | STEADY | config,
        data={"augmentation": "none"},
        evaluation={"num_students": 3, "ordinary_steps": 100, "full_epochs": 1},
    )  # fmt: skip


PRESETS = (
    Preset(
        "quick", "Quick: 10 digits", "digits", "under a minute on two cores",
        config={"student": {"name": "mlp"}, "ipc": 1, "passes": 10, "images_from": "real", "outer_steps": 800, "real_batch": 256, "student_lr": 0.1, "outer_lr": 0.03, "rates_lr": 0.03, "clip": 1.0},
        evaluation={"num_students": 5, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128},
    ),
    _quick_grey("mnist", "Quick: 10 images, any start"),
    _quick_grey("fashion_mnist", "Quick: 10 images, any start"),
    _quick_colour("cifar10", "Quick: 10 images, any start"),
    _quick_colour("cifar100", "Quick: 100 images, any start", passes=5),
    _quick_colour("svhn", "Quick: 10 images, any start"),
    Preset(
        "ten_minutes_fixed_10", "Ten minutes: 10 images, fixed start", "mnist", "under 10 minutes on two cores",
        config={"student": LENET, "initialisation": "fixed", "ipc": 1, "passes": 5, "outer_steps": 4000, "real_batch": 512, "student_lr": 0.1, "outer_lr": 0.03, "rates_lr": 0.03, "clip": 1.0},
        evaluation={"num_students": 5, "ordinary_steps": 200, "full_epochs": 1},
    ),
    Preset(
        "ten_minutes_random_100", "Ten minutes: 100 images, any start", "mnist", "under 10 minutes on two cores",
        config={"student": LENET, "ipc": 10, "num_batches": 2, "passes": 8, "images_from": "real", "labels": "soft", "inner_optimiser": "adam", "student_lr": 0.004, "outer_steps": 800, "real_batch": 256} | STEADY,
        evaluation={"num_students": 8, "ordinary_steps": 100, "full_epochs": 1},
    ),
    Preset(
        "ten_minutes_random_100", "Ten minutes: 100 images, any start", "cifar10", "under 10 minutes on two cores",
        config={"student": {"name": "convnet", "depth": 3, "width": 32}, "ipc": 10, "num_batches": 5, "passes": 3, "images_from": "real", "labels": "soft", "inner_optimiser": "adam", "student_lr": 0.006, "outer_steps": 250, "real_batch": 256, "num_validations": 10} | STEADY,
        data={"augmentation": "flip"},
        evaluation={"num_students": 3, "ordinary_steps": 100, "full_epochs": 1},
    ),
    Preset(
        "quick", "Quick: one image a class, any start", "folder", "about 2 minutes on two cores for 360 images of 12 classes",
        config={"student": {"name": "convnet", "depth": 3, "width": 32, "norm": "batch"}, "ipc": 1, "passes": 10, "images_from": "real", "outer_steps": 300, "real_batch": 128, "student_lr": 0.03, "outer_lr": 0.1, "rates_lr": 0.05, "adam_beta1": 0.9, "clip": 1.0, "num_validations": 10, "keep": "last"},
        data={"augmentation": "flip"},
        evaluation={"num_students": 3, "ordinary_steps": 200, "full_epochs": 60, "batch_size": 32},
    ),
    Preset(
        "published_folder", "Published: 12 classes, one image each (no score given)", "folder", "about 2 hours on two cores, judged by its pace: 1,000 outer steps of 4 starts, 30 inner steps each",
        config={"student": {"name": "convnetrgb"}, "ipc": 1, "passes": 30, "shared_rate": True, "num_inits": 4, "clamp": True, "student_lr": 0.01, "outer_steps": 1000, "real_batch": 256, "outer_lr": 0.001, "rates_lr": 0.001, "adam_beta1": 0.9, "num_decays": 0, "keep": "last"},
        data={"augmentation": "flip"},
        evaluation={"num_students": 10, "ordinary_steps": 100},
    ),
    Preset(
        "published_fixed_10", "Published: 10 images, fixed start (93.8 %)", "mnist", "about 40 minutes on two cores, judged by its pace: 21,200 outer steps",
        config={"student": LENET, "initialisation": "fixed", "ipc": 1, "passes": 3, "student_lr": 0.02} | PUBLISHED | MNIST_EPOCHS,
    ),
    Preset(
        "published_random_100", "Published: 100 images, random start (79.5 ± 8.1 %)", "mnist", "about 8 hours on two cores, judged by its pace: 21,200 outer steps of 4 starts",
        config={"student": LENET, "ipc": 10, "num_batches": 10, "passes": 3, "num_inits": 4, "student_lr": 0.02} | PUBLISHED | MNIST_EPOCHS,
        evaluation={"num_students": 8},
    ),
    Preset(
        "published_mlp_adam", "Published: MLP, one Adam step, 100 images (37.5 %)", "mnist", "9 min 6 s on the author's CPU: 235 outer steps of 256 starts",
        config={"student": {"name": "mlp"}, "ipc": 10, "passes": 1, "num_inits": 256, "inner_optimiser": "adam", "student_lr": 0.01, "outer_steps": 235, "real_batch": 256, "outer_lr": 0.001, "rates_lr": 0.001, "adam_beta1": 0.9, "num_decays": 0, "keep": "last"},
        data={"normalisation": "unit"},
    ),
    Preset(
        "published_fixed_100", "Published: 100 images, fixed start (54.0 %)", "cifar10", "about 2 days on two cores, judged by its pace: 17,600 outer steps of 10 s",
        config={"student": {"name": "alexcifarnet"}, "initialisation": "fixed", "ipc": 10, "num_batches": 10, "passes": 3, "student_lr": 0.001} | PUBLISHED | CIFAR_EPOCHS,
        data={"augmentation": "flip_crop"},
    ),
    Preset(
        "published_random_100", "Published: 100 images, random start (36.8 ± 1.2 %)", "cifar10", "about a week on two cores, judged by its pace: 17,600 outer steps of 4 starts",
        config={"student": {"name": "alexcifarnet"}, "ipc": 10, "num_batches": 10, "passes": 3, "num_inits": 4, "student_lr": 0.001} | PUBLISHED | CIFAR_EPOCHS,
        data={"augmentation": "flip_crop"},
        evaluation={"num_students": 8},
    ),
)  # fmt: skip
