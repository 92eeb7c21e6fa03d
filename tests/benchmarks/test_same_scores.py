"""The same request and seed give the same scores as before: quick presets against recorded runs, about a minute each.

`tests/reference` holds every score of each run and a digest of its result, recorded on one thread of an
AMD EPYC with AVX-512. Scores are equal to six decimals there; processors with other instructions round convolutions in
other ways.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import engine
from engine.core.context import data_root
from engine.data import images

REFERENCES = sorted((Path(__file__).parents[1] / "reference").glob("*.json"))

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def import_toy_folder(folder: Path) -> None:
    """The data set `folder:toy`: 60 noisy images of each of three patterns, 16 x 16 pixels in colour."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (3, 16, 16, 3))
    for label, pattern in enumerate(patterns):
        (folder / f"kind{label}").mkdir(parents=True)
        for number in range(60):
            noisy = np.clip(pattern + random.normal(0, 120, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"kind{label}" / f"{number:03}.png")
    for _ in images.import_path(folder, images.ImportOptions(name="toy", image_size=16), data_root()):
        pass


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_scores_are_those_recorded(path, tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DISTILLERY_FOLDERS", str(tmp_path))
    expected = json.loads(path.read_text())
    if expected["source"].startswith("folder:"):
        import_toy_folder(tmp_path / "toy")
    found: dict[tuple, float] = {}

    def note(event: engine.Event) -> None:
        if event.kind == "scored":
            key = (event.arm, event.protocol, event.student, event.seed, event.split, event.metric)
            found[key] = event.value

    request = engine.request_from_preset(expected["source"], expected["method"], expected["preset"])
    synthetic, _ = engine.distill(request, on_event=note)
    digest = hashlib.sha256()
    for name, value in sorted(synthetic.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    is_same = digest.hexdigest() == expected["sha256"]
    print(f"\n{path.stem}: result {'bit for bit the same' if is_same else 'differs in bits'}")
    wanted = {tuple(score[:-1]): score[-1] for score in expected["scores"]}
    assert {key: round(found[key], 6) for key in wanted} == {key: round(value, 6) for key, value in wanted.items()}
