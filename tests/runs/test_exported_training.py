"""train.py stands alone: torch, numpy and Pillow train the student on the distilled images and test it on a folder."""

from __future__ import annotations

import io
import math
import re
import runpy
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SMALL, distilled, write_test_images

from engine.core.config import StudentConfig
from engine.core.data_config import DSA_OPERATIONS
from engine.data.images import ImportOptions
from engine.data.images.decode import decode
from engine.data.imported.limits import limits
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.augment import OPERATIONS
from engine.data.transforms.preparation import Preparation
from engine.evaluation.scores import summarise
from engine.evaluation.train import Recipe
from engine.nets import STUDENTS, make_student
from engine.runs import export
from engine.runs.programs import RULES, sources, train_script
from engine.runs.store import Store
from engine.synthetic.base import Training

PRINTED = re.compile(r"accuracy (\d+\.\d) % on (\d+) images\n")
COLOUR = TaskSpec("classification", (3, 32, 32), 3, ("T-shirt/top", "b", "c"))
PLAIN = Preparation("unit", torch.zeros(3), torch.ones(3))


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory) -> tuple[Path, Path, int, float]:
    """Folder of an exported run, folder of test images, how many these are, and the recorded ordinary accuracy."""
    root = tmp_path_factory.mktemp("trained")
    store, run_id = finished
    export.export(store, run_id, root / "out")
    count = write_test_images(root / "test")
    rows = summarise(store.scores(run_id))
    (recorded,) = (row.mean for row in rows if (row.arm, row.protocol) == ("distilled", "ordinary"))
    return root / "out", root / "test", count, recorded


def run_here(script: Path, *arguments: str) -> dict:
    before = sys.argv
    sys.argv = [str(script), *arguments]
    try:
        return runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


@pytest.mark.slow
def test_script_alone_reaches_the_recorded_accuracy(shared, tmp_path):
    out, test, count, recorded = shared
    # -I: neither this folder nor PYTHONPATH is looked into, so that only installed packages can be imported
    done = subprocess.run(
        [sys.executable, "-I", str(out / "train.py"), str(test)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    printed = PRINTED.fullmatch(done.stdout)
    accuracy = float(printed[1]) / 100
    assert int(printed[2]) == count
    assert accuracy > 0.5 and abs(accuracy - recorded) < 0.08, f"{accuracy} here, {recorded} recorded"
    assert f"from scratch (recorded: {100 * recorded:.1f} ±" in (out / "train.py").read_text()


@pytest.mark.slow
def test_the_network_of_the_run_is_taken_home_and_scores_as_it_did(finished, shared, capsys):
    (store, run_id), (out, test, count, _) = finished, shared
    run_here(out / "train.py", str(test), "student")
    scores = [score for score in store.scores(run_id) if (score.arm, score.protocol) == ("distilled", "as_distilled")]
    first = next(score.value for score in scores if (score.seed, score.split, score.metric) == (0, "test", "accuracy"))
    printed = PRINTED.fullmatch(capsys.readouterr().out)
    assert int(printed[2]) == count and float(printed[1]) == pytest.approx(100 * first, abs=0.06)
    assert "the first network that the run trained" in (out / "README.txt").read_text()


@pytest.mark.slow
def test_script_imports_nothing_of_this_project(shared):
    found = set(re.findall(r"^(?:from|import) (\w+)", (shared[0] / "train.py").read_text(), re.MULTILINE))
    assert found == {"math", "sys", "pathlib", "numpy", "torch", "PIL", "unicodedata"}


@pytest.mark.slow
def test_script_is_short(shared):
    text = (shared[0] / "train.py").read_text()
    code = text.partition('"""\n\n')[2].partition("net = nn.Sequential(")
    lines = [line for part in (code[0], code[2].partition("\n)\n")[2]) for line in part.splitlines() if line.strip()]
    assert len(lines) < 75 and max(map(len, text.splitlines())) <= 120


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name a folder of test images with one sub-folder per class: python train.py TEST_FOLDER"),
        (("{empty}", "as_ordered"), "Name a folder of test images"),
        (("nowhere",), "Name a folder of test images"),
        (
            ("{unknown}",),
            "The folder 'eleven' is not named after a class. The classes are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        ),
        (("{empty}",), "There are no images in the sub-folders"),
        (("{broken}",), "broken.png cannot be read as an image. Remove it from the folder, or save it again."),
    ],
)
def test_what_is_wrong_with_the_test_folder_is_said_in_a_sentence(shared, tmp_path, arguments, sentence):
    (tmp_path / "unknown" / "eleven").mkdir(parents=True)
    (tmp_path / "unknown" / "eleven" / "11.png").write_bytes(b"")
    (tmp_path / "empty" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "broken.png").write_bytes(b"no picture")
    places = {name: tmp_path / name for name in ("unknown", "empty", "broken")}
    with pytest.raises(SystemExit) as ended:
        run_here(shared[0] / "train.py", *(argument.format(**places) for argument in arguments))
    assert sentence in str(ended.value)


@pytest.mark.slow
def test_whitened_run_is_trained_and_tested_whitened(shared, tmp_path, capsys):
    store = Store(tmp_path / "runs")
    evaluation = SMALL["evaluation"] | {"num_students": 1, "compare_full": False}
    run_id = distilled(store, data={"zca": True, "augmentation": "flip"}, evaluation=evaluation)
    export.export(store, run_id, tmp_path / "out")
    assert "zca_forward" in (tmp_path / "out" / "train.py").read_text()
    run_here(tmp_path / "out" / "train.py", str(shared[1]))
    rows = summarise(store.scores(run_id))
    (recorded,) = (row.mean for row in rows if (row.arm, row.protocol) == ("distilled", "ordinary"))
    accuracy = float(PRINTED.fullmatch(capsys.readouterr().out)[1]) / 100
    assert accuracy > 0.4 and abs(accuracy - recorded) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_as_distilled_the_script_follows_the_stored_order_from_the_stored_start(shared, tmp_path, capsys, rule):
    """From its one start the script gives the recorded accuracy, rounding apart; PyTorch's Adam is not quite ours."""
    store = Store(tmp_path / "runs")
    rate = 0.01 if rule == "adam" else 0.1
    config = SMALL["config"] | {
        "initialisation": "fixed",
        "inner_optimiser": rule,
        "student_lr": rate,
        "outer_steps": 20,
        "num_validations": 1,
    }
    run_id = distilled(
        store, config=config, seed=5, evaluation={"num_students": 1, "ordinary_steps": 2, "compare_full": False}
    )
    export.export(store, run_id, tmp_path / "out")
    run_here(tmp_path / "out" / "train.py", str(shared[1]), "as_distilled")
    rows = summarise(store.scores(run_id))
    (recorded,) = (row.mean for row in rows if (row.arm, row.protocol) == ("distilled", "as_distilled"))
    accuracy = float(PRINTED.fullmatch(capsys.readouterr().out)[1]) / 100
    assert recorded > 0.6 and abs(accuracy - recorded) < (0.04 if rule == "adam" else 0.005), (
        f"{accuracy} here, {recorded} recorded"
    )


@pytest.mark.parametrize("name", [name for name, card in STUDENTS.items() if "images" in card.takes])
def test_script_of_every_student_of_images_trains_and_answers(name, tmp_path, capsys):
    recipe = Recipe(num_steps=3, batch_size=2, lr=0.001)
    script = train_script(
        StudentConfig(name=name, width=8), COLOUR, 3, recipe, PLAIN, Training("sgd", 3), augmentation="flip"
    )
    (tmp_path / "train.py").write_text(script)
    inputs = np.random.default_rng(0).random((3, 3, 32, 32), dtype=np.float32)
    np.savez(
        tmp_path / "distilled.npz",
        inputs=inputs,
        targets=np.eye(3, dtype=np.float32),
        class_names=np.array(COLOUR.class_names),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
    )
    folder = tmp_path / "test" / "T-shirt-top"  # a folder's name cannot hold the class's slash
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 32), (number, 9, 9)).save(folder / f"{number}.png")
    run_here(tmp_path / "train.py", str(tmp_path / "test"))
    assert PRINTED.fullmatch(capsys.readouterr().out)[2] == "3"


def dsa_script(operations: tuple[str, ...]) -> str:
    return train_script(
        StudentConfig(name="mlp"),
        COLOUR,
        3,
        Recipe(2, 3, 0.1),
        PLAIN,
        Training("sgd", 3),
        augmentation="dsa",
        dsa_operations=operations,
    )


@pytest.mark.parametrize("name", DSA_OPERATIONS)
@pytest.mark.parametrize("shape", [(5, 3, 32, 32), (4, 1, 9, 14)])
def test_script_changes_images_as_each_operation_of_dsa_does(name, shape):
    generator = torch.Generator().manual_seed(0)
    operation = OPERATIONS["crop_zeros" if name == "crop" else name]
    batch, numbers = (
        torch.randn(shape, generator=generator),
        torch.rand(shape[0], operation.num_numbers, generator=generator),
    )
    program: dict = {"torch": torch, "F": torch.nn.functional, "math": math}
    exec("from __future__ import annotations\n" + sources(operation.apply), program)
    assert torch.equal(program[operation.apply.__name__](batch, numbers), operation.apply(batch, numbers))


def test_script_has_the_operations_of_dsa_that_were_chosen_and_trains_with_them(tmp_path, capsys):
    script = dsa_script(("flip", "scale"))
    assert "operations = [(flip, 1), (scale, 2)]" in script and "def color" not in script and "def rotate" not in script
    assert "net(inputs[chosen] if is_stored else changed(inputs[chosen]))" in script
    (tmp_path / "train.py").write_text(dsa_script(DSA_OPERATIONS))
    np.savez(
        tmp_path / "distilled.npz",
        inputs=np.zeros((3, 3, 32, 32), np.float32),
        targets=np.arange(3),
        class_names=np.array(COLOUR.class_names),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
    )
    (tmp_path / "test" / "b").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "test" / "b" / "a.png")
    run_here(tmp_path / "train.py", str(tmp_path / "test"))
    assert PRINTED.fullmatch(capsys.readouterr().out)[2] == "1"


@pytest.mark.parametrize("of_folder", ["NFC", "NFD"])
@pytest.mark.parametrize("of_class", ["NFC", "NFD"])
def test_accents_are_the_same_however_a_system_writes_them(tmp_path, capsys, of_class, of_folder):
    names = [unicodedata.normalize(of_class, name) for name in ("Blüte", "b", "c")]
    script = train_script(StudentConfig(name="mlp"), COLOUR, 3, Recipe(1, 1, 0.1), PLAIN, Training("sgd", 1))
    (tmp_path / "train.py").write_text(script)
    np.savez(
        tmp_path / "distilled.npz",
        inputs=np.zeros((3, 3, 32, 32), np.float32),
        targets=np.arange(3),
        class_names=np.array(names),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
    )
    folder = tmp_path / "test" / unicodedata.normalize(of_folder, "Blüte")
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    run_here(tmp_path / "train.py", str(tmp_path / "test"))
    assert PRINTED.fullmatch(capsys.readouterr().out)[2] == "1"


def test_script_reads_16_bits_as_the_import_does(tmp_path):
    Image.fromarray(np.full((32, 32), 30_000, np.uint16)).save(tmp_path / "deep.png")
    expected = np.empty((3, 32, 32), np.uint8)
    decode((tmp_path / "deep.png").read_bytes(), expected, ImportOptions(name="x", image_size=32), limits())
    np.savez(
        tmp_path / "distilled.npz",
        inputs=np.zeros((1, 3, 32, 32), np.float32),
        targets=np.zeros(1, np.int64),
        class_names=np.array(COLOUR.class_names),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
    )
    script = train_script(StudentConfig(name="mlp"), COLOUR, 1, Recipe(1, 1, 0.1), PLAIN, Training("sgd", 1))
    program: dict = {"__file__": str(tmp_path / "train.py")}
    exec(script.partition("is_stored = ")[0], program)
    assert np.array_equal((255 * program["read"](tmp_path / "deep.png")).round().numpy(), expected)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(50, 37), (37, 50), (20, 90), (32, 32)])
def test_script_brings_images_to_size_as_the_import_did(tmp_path, fit, size):
    """Smooth pictures, half transparent, turned by EXIF; 3 of 255 levels are left to rounding."""
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    channels = [across, down, 255 - across, 100 + 0.5 * down]
    picture = Image.fromarray(np.stack(channels, 2).astype(np.uint8), "RGBA")
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=turned)
    expected = np.empty((3, 32, 32), np.uint8)
    decode(buffer.getvalue(), expected, ImportOptions(name="x", image_size=32, fit=fit), limits())

    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    np.savez(
        tmp_path / "distilled.npz",
        inputs=np.zeros((1, 3, 32, 32), np.float32),
        targets=np.zeros(1, np.int64),
        class_names=np.array(COLOUR.class_names),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
    )
    script = train_script(StudentConfig(name="mlp"), COLOUR, 1, Recipe(1, 1, 0.1), PLAIN, Training("sgd", 1), fit=fit)
    program: dict = {"__file__": str(tmp_path / "train.py")}
    exec(script.partition("is_stored = ")[0], program)
    read = (255 * program["read"](tmp_path / "a.png")).round().numpy()
    assert np.abs(read - expected).max() <= 3


def test_script_fixes_batch_norms_on_the_images_it_trained_on(tmp_path, capsys):
    """An image then has one answer, whatever stands beside it, and it is that of `Student.fixed`."""
    student = StudentConfig(depth=2, width=8, norm="batch", init="default")
    script = train_script(student, COLOUR, 300, Recipe(3, 50, 0.01), PLAIN, Training("sgd", 3))
    assert "momentum=None" in script and "statistics" not in train_script(
        StudentConfig(), COLOUR, 300, Recipe(3, 50, 0.01), PLAIN, Training("sgd", 3)
    )
    (tmp_path / "train.py").write_text(script)
    inputs = torch.randn(300, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(300) % 3
    names = np.array(COLOUR.class_names)
    plain = {"mean": np.zeros(3, np.float32), "std": np.ones(3, np.float32)}
    np.savez(tmp_path / "distilled.npz", inputs=inputs, targets=targets, class_names=names, **plain)
    folder = tmp_path / "test" / "b"
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 32), (200, 9, 9)).save(folder / "0.png")
    net = run_here(tmp_path / "train.py", str(tmp_path / "test"))["net"]
    assert PRINTED.fullmatch(capsys.readouterr().out)
    network = make_student(student, COLOUR)
    theta = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    ours = network.fixed(theta, LabelledSet.as_is(inputs, targets))
    with torch.no_grad():
        alone = torch.cat([net(image[None]) for image in inputs[:20]])
        torch.testing.assert_close(alone, net(inputs)[:20], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone, ours(inputs[:20]), rtol=0.05, atol=0.05)  # the pieces are other draws
