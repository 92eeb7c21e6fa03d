"""Finished runs without labels on the digits, written through the real store: small sets, and scores that were
never measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from draining import drained
from PIL import Image
from torch import Tensor

from engine.core.config import DataConfig, RunRequest
from engine.core.context import Context
from engine.core.events import Analysed, Finished, Measured, Scored, Started, TeacherEpoch, Warned
from engine.data import SOURCES
from engine.data.source import Splits
from engine.data.transforms.predefined import NAMES, augmented
from engine.methods.selfsup.config import SelfsupConfig
from engine.runs.store import Store
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.representations import PairSet, RepresentationSet

NUM_DIMS = 24
CONFIG = {
    "student": {"name": "mlp"},
    "num_images": 60,
    "image_bases": 20,
    "representation_bases": 12,
    "basis_size": 6,
    "augmentations": [name for name in NAMES if name != "hue"],  # the digits are grey
    "num_optimal": 2,
    "hidden_dims": 3,
    "outer_steps": 40,
    "teacher": {"num_dims": NUM_DIMS},
    "probing": {"pretrain_steps": 150, "pretrain_batch": 64, "probe_epochs": 10, "probe_lr": 0.1},
}
MEANS = {"distilled": 0.8, "random_real": 0.7, "untrained": 0.5, "full": 0.9, "teacher": 0.95}
CLASSES = tuple("0123456789")


def digits() -> Splits:
    """The embedded digits."""
    return drained(SOURCES["digits"].load(DataConfig(), Path()))[1]


def represent(inputs: Tensor) -> Tensor:
    """What a stand-in teacher says of prepared images (n, 1, 8, 8): a random layer of NUM_DIMS units."""
    weights = torch.randn(64, NUM_DIMS, generator=torch.Generator().manual_seed(1)) / 8
    return torch.tanh(2 * inputs.flatten(1) @ weights)


def request(**changes) -> RunRequest:
    """Of a run that would make such a set."""
    return RunRequest(**({"source": "digits", "method": "selfsup", "config": CONFIG} | changes))


def made(asked: RunRequest, splits: Splits) -> RepresentationSet:
    """The set of a request as it is at its beginning, with fitted networks, as if it were its result."""
    config = SelfsupConfig(**asked.config)
    common = {
        "spec": splits.spec,
        "training": config.training(),
        "rate": config.probing.pretrain_lr,
        "num_dims": NUM_DIMS,
        "num_images": config.num_images,
    }
    if config.parameterisation == "full":
        synthetic: RepresentationSet = PairSet(**common)
    else:
        synthetic = LowRankSet(
            **common,
            image_bases=config.image_bases,
            representation_bases=config.representation_bases,
            basis_size=config.basis_size,
            augmentations=config.predefined(),
            hidden_dims=config.hidden_dims,
        )
    inputs = splits.train.batch(torch.arange(len(splits.train)))[0]
    drained(synthetic.start_from_real(splits.train, represent(inputs), Context().stream("images"), "begin"))
    if isinstance(synthetic, LowRankSet):
        changed = augmented(synthetic.augmentations, *synthetic.materialise())
        shifts = torch.stack([synthetic.coefficients_of(represent(each)) for each in changed])
        synthetic.fit_approximations(
            shifts - synthetic.representation_coefficients.detach(), 100, 0.01, Context().stream("fit")
        )
    return synthetic


def finished(store: Store, summary: dict | None = None, **changes) -> str:
    """A run that is done, with pictures, scores of every kind, analyses and a result. summary: more of it."""
    asked, splits = request(**changes), digits()
    synthetic = made(asked, splits)
    run_id = store.submit(asked, status="running")
    began = synthetic.preview(0, splits)
    synthetic.step = 40
    synthetic.provided(splits.preparation, asked.model_dump(mode="json"))
    synthetic.save(store.folder(run_id) / "result.safetensors")
    store.append(
        run_id,
        [
            Started(40, {"device": "cpu", "train": len(splits.train), "class_names": list(CLASSES)}),
            *(TeacherEpoch(epoch, 2, None if not epoch else 3.0 - epoch, 0.6 + 0.1 * epoch, 0.1) for epoch in range(3)),
            *analyses(),
            began,
            *(
                Measured(step, {"outer_loss": 1 / step, "validation_accuracy": 0.5 + step / 100})
                for step in (1, 20, 40)
            ),
            synthetic.preview(40, splits),
            *scores(synthetic),
            Warned("Beware."),
            Finished(
                {"step": 40, "labels": "none", "num_samples": synthetic.num_samples, "num_bytes": synthetic.num_bytes()}
                | (summary or {})
            ),
        ],
    )
    return run_id


def analyses() -> list[Analysed]:
    """One of each kind."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(40, 2)).round(3).tolist()
    return [
        Analysed(
            "spectrum",
            {"images": [0.5, 0.3, 0.2], "representations": [0.7, 0.3], "used": {"images": 2, "representations": 1}},
        ),
        Analysed(
            "approximation",
            {"augmentations": ["rotate_90", "flip"], "with_networks": [0.2, 0.1], "without": [0.9, 0.4]},
        ),
        Analysed(
            "map",
            {
                "way": "PCA",
                "real": places[:30],
                "classes": [CLASSES[i % 10] for i in range(30)],
                "distilled": places[30:],
            },
        ),
    ]


def scores(synthetic: RepresentationSet, num_students: int = 2) -> list[Scored]:
    """Every measure of every arm, by two students each, and what the run was held against on its way."""
    found = [Scored("random_real", "short_probe", "mlp", 0, "accuracy", 0.6, 1.0, "validation", 60, 999)]
    for arm, mean in MEANS.items():
        measures = {
            ("linear_probe", "accuracy"): mean,
            ("knn", "accuracy"): mean - 0.05,
            ("linear_probe", "accuracy@mnist"): mean - 0.2,
            ("linear_probe", "cosine"): mean - 0.1,
            ("linear_probe", "cka"): mean - 0.02,
        }
        for (protocol, metric), value in measures.items():
            for seed in range(num_students):
                for split in ("validation", "test"):
                    size, weight = (synthetic.num_samples, synthetic.num_bytes()) if arm == "distilled" else (12, 4000)
                    found.append(
                        Scored(
                            arm,
                            protocol,
                            "mlp",
                            seed,
                            metric,
                            value + 0.01 * seed,
                            1.5,
                            split,
                            size,
                            weight,
                            f"recipe of {arm}",
                        )
                    )
    return found


def write_images(folder: Path, split: str) -> int:
    """The digits of a split as PNG files in class folders; how many."""
    data = getattr(digits(), split)
    for number, (picture, label) in enumerate(zip(data.inputs.numpy(), data.targets.tolist(), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(picture[0])).save(folder / str(label) / f"{number}.png")
    return len(data)
