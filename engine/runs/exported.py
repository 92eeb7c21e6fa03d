"""The exported files of each kind of result: README, arrays, program and pictures."""

import io
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import safe_open
from torch import Tensor

from engine import figures
from engine.core.config import checked
from engine.core.context import data_root
from engine.core.events import Preview, Scored
from engine.core.program import COMMAND, version
from engine.data import sources
from engine.data.images import FolderSource
from engine.data.prices.scaling import WindowScaling
from engine.data.transforms.preparation import Preparation
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.scores import LINEAR_PROBE, Row, headlines, summarise
from engine.evaluation.train import Recipe
from engine.figures import formats, spread
from engine.figures.grids import grid_image
from engine.pretrained.teachers import TeacherConfig
from engine.pretrained.teachers.networks import FIRST, RESNET, Stem
from engine.results.run import student_of
from engine.runs import programs
from engine.runs.store import RunRow, Store
from engine.synthetic.base import SyntheticSet
from engine.synthetic.labelled import LabelledImages
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.poster import PosterSet
from engine.synthetic.representations import RepresentationSet

METADATA = "distillery"
"""The key of the text in each PNG that holds its origin as JSON."""
UNTRIED_LR = 3e-3
"""Learning rate for a set that was never evaluated: the middle of those that an evaluation tries."""
Arrays = dict[str, np.ndarray]
Files = dict[str, Callable[[], bytes]]
Set = TypeVar("Set", bound=SyntheticSet)
Labelled = TypeVar("Labelled", bound=LabelledImages)
Prepared = TypeVar("Prepared", Preparation, WindowScaling)


@dataclass(frozen=True)
class Exported(Generic[Set, Prepared]):
    """A run's result, read once for all files. content: the bytes of its file. shown: the set as pictures."""

    store: Store
    row: RunRow
    content: bytes
    scores: list[Scored]
    synthetic: Set
    preparation: Prepared
    shown: Preview

    # for the README: the set, the name of a sample, what a stored result is good for, and a last remark
    WHAT: ClassVar[str] = "{samples} distilled from '{source}'"
    SAMPLE: ClassVar[tuple[str, ...]] = ("image",)
    AGAIN: ClassVar[str] = "load it to evaluate it again, or to start another run from it"
    NOTE: ClassVar[str] = ""

    @abstractmethod
    def contents(self) -> dict[str, str]:
        """Descriptions of the files for the README, without those that every result has."""

    @abstractmethod
    def arrays(self, targets: Tensor) -> Arrays:
        """The arrays of distilled.npz that only this kind of set has. targets: of all samples."""

    @abstractmethod
    def program(self) -> str:
        """The text of train.py."""

    def pictures(self) -> Files:
        """More files that can be downloaded alone; of every kind, the networks that are taken home with the set."""
        return {path.name: path.read_bytes for path in self.store.networks(self.row.id).values()}

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of one more file per sample."""
        yield from ()

    def all_arrays(self) -> bytes:
        """distilled.npz: `images` (N, H, W, C) uint8, `inputs` as a network sees them, the training, and `arrays`."""
        inputs, targets = self.synthetic.materialise()
        training = {name: value for name, value in asdict(self.synthetic.own_training).items() if value is not None}
        found: dict[str, Any] = training | {"step": self.synthetic.step} | self.arrays(targets)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=self.shown.images, inputs=inputs.float().numpy(), **found)
        return buffer.getvalue()

    def readme(self) -> str:
        """README.txt: the origin of the set, and what each file is."""
        row, samples = self.row, formats.counted(len(self.shown.images), *self.SAMPLE)
        what = f"{self.WHAT.format(samples=samples, source=row.source)}, {row.status}"
        title = f"Run {row.id} of Dataset Distillery {version()}: {what}, outer step {self.synthetic.step:,}."
        common = {
            "result.safetensors": f"the set as this program stores it; {self.AGAIN}",
            "scores.csv": "one line per network that was trained and tested",
            "report.html": "curves, pictures, comparison, recipe and versions in one page that needs no network",
            "request.json": f"the settings: {COMMAND} distill request.json repeats the run",
        }
        lines = "".join(f"{name:19} {text}\n" for name, text in (self.contents() | common).items())
        return f"{title}\n\n{lines}{self.NOTE}\nEach PNG carries the settings in its text '{METADATA}'.\n"

    def grid(self, images: np.ndarray, labels: tuple[str, ...] = ()) -> bytes:
        """Images (n, H, W, C) uint8 in one PNG."""
        return self.png(grid_image(images, labels, theme="page"))

    def png(self, image: Image.Image, **more: str) -> bytes:
        """A PNG whose text holds the set's origin."""
        return png(image, self.row, self.synthetic.step, **more)

    def measured(self) -> dict[str, Row]:
        """Scores of the run's own student on the set, by protocol."""
        student = student_of(self.row).name
        rows = headlines(summarise(self.scores))
        return {row.protocol: row for row in rows if (row.arm, row.student) == ("distilled", student)}

    def shown_in_grid(self) -> str:
        """A clause for a set that does not fit into the grid."""
        return "" if len(self.shown.images) <= figures.MAX_IMAGES else f", the first {figures.MAX_IMAGES}"


class ExportedImages(Exported[Labelled, Preparation]):
    """Labelled images."""

    SAMPLES: ClassVar[str] = "distilled images"

    def contents(self) -> dict[str, str]:
        student = "the first network that the run trained by the set's own recipe: python train.py TEST_FOLDER student"
        return {
            **({"student.safetensors": student} if self.store.networks(self.row.id) else {}),
            "train.py": "trains a network on the set with plain PyTorch and tests it: "
            "python train.py TEST_FOLDER [as_distilled]",
            "distilled.npz": "NumPy arrays: images, inputs (as a network sees them), targets, class_names, "
            "learned_rates, batch_size, batch_order (if batches have an order), normalisation",
            "images/": "each image at its own size",
            "grid.png": f"the images{self.shown_in_grid()} with their classes in one picture",
        }

    def arrays(self, targets: Tensor) -> Arrays:
        """batch_order (T, B): places in `inputs` of the samples of each step. learned_rates: (T,), or (1,) for all."""
        synthetic, training = self.synthetic, self.synthetic.own_training
        names = np.array(synthetic.spec.class_names, dtype=np.str_)
        labels = targets if targets.ndim == 1 else targets.float()
        rates, order = synthetic.rates.detach().float(), {}
        if not training.batch_size:
            rates = rates.expand(training.num_steps)
            batches = torch.arange(len(targets)).chunk(synthetic.num_batches)
            order = {"batch_order": np.array([batches[step % len(batches)] for step in range(training.num_steps)])}
        found = {"class_names": names, "targets": labels.numpy(), "learned_rates": rates.numpy()}
        return found | order | normalisation(self.preparation)

    def program(self) -> str:
        data, evaluation = self.row.request.data, self.row.request.evaluation
        mine, training = self.measured(), self.synthetic.own_training
        recipe = Recipe(evaluation.ordinary_steps, evaluation.batch_size, UNTRIED_LR)
        if "ordinary" in mine and mine["ordinary"].training:
            recipe = Recipe(**mine["ordinary"].training)
        if training.batch_size:
            chosen = mine["as_distilled"].training if "as_distilled" in mine else {}
            training = replace(training, num_steps=chosen.get("num_steps", evaluation.inner_steps))
        student, spec, count = student_of(self.row), self.synthetic.spec, len(self.shown.images)
        recorded = {protocol: spread(row) for protocol, row in mine.items()}
        said: dict[str, Any] = {"fit": fit_of(self.row.source), "recorded": recorded, "samples": self.SAMPLES}
        said |= {"augmentation": data.augmentation, "dsa_operations": data.dsa_operations}
        said |= {"networks": tuple(self.store.networks(self.row.id))}
        return programs.train_script(student, spec, count, recipe, self.preparation, training, **said)


class ExportedPoster(ExportedImages[PosterSet]):
    """Overlapping patches of one poster."""

    WHAT = "a poster of {samples} distilled from '{source}'"
    SAMPLE = ("patch", "patches")
    SAMPLES = "patches of the distilled poster"

    def contents(self) -> dict[str, str]:
        poster = {
            "poster.png": "the poster at its own size; distilled.npz holds its parts: poster, grid, order, label_map",
            "images/": "each patch at its own size",
            "grid.png": f"the patches{self.shown_in_grid()} with their classes in one picture",
        }
        return super().contents() | poster

    def arrays(self, targets: Tensor) -> Arrays:
        """Also poster (C, H, W) as a network sees it, grid (its sizes), order (class of each cell by rows, -1 for none)
        and, if labels are learned, label_map (K, h, w).
        """
        poster, sizes = self.synthetic, asdict(self.synthetic.grid)
        grid = np.array(tuple(sizes.values()), dtype=[(name, np.int64) for name in sizes])
        found = {"poster": poster.poster.detach().numpy(), "grid": grid, "order": np.array(poster.order)}
        labels = {} if poster.label_map is None else {"label_map": poster.label_map.detach().numpy()}
        return super().arrays(targets) | found | labels

    def pictures(self) -> Files:
        whole = self.synthetic.preview(self.synthetic.step, self.preparation).poster
        found: Files = {"poster.png": lambda: self.png(picture(whole.pixels))} if whole else {}
        return found | super().pictures()


class ExportedPairs(Exported[RepresentationSet, Preparation]):
    """Images with representations, without labels."""

    WHAT = "{samples} with representations, distilled from '{source}' without labels"
    AGAIN = "load it to evaluate it again"

    def contents(self) -> dict[str, str]:
        further = {
            "bases.png": "the bases of the images, whose parts are in distilled.npz",
            "student.safetensors": "the first network that the run pre-trained on the pairs: "
            "python train.py LABELLED_FOLDER TEST_FOLDER student",
            "teacher.safetensors": "the teacher's encoder: python train.py LABELLED_FOLDER TEST_FOLDER teacher",
        }
        return {
            "train.py": "pre-trains a network on the pairs with plain PyTorch, and probes it: "
            "python train.py LABELLED_FOLDER TEST_FOLDER",
            "distilled.npz": "NumPy arrays: images, inputs (as a network sees them), representations, normalisation",
            **{name: further[name] for name in self.pictures()},
            "images/": "each image at its own size",
            "grid.png": f"the images{self.shown_in_grid()} in one picture",
        }

    def arrays(self, targets: Tensor) -> Arrays:
        """representations (N, d), and the bases and small networks, if any. augmentation_numbers: as JSON lists."""
        synthetic = self.synthetic
        names = np.array(synthetic.spec.class_names, dtype=np.str_)
        found = {"representations": targets.float().numpy(), "class_names": names, "rate": synthetic.rates[0].numpy()}
        found |= normalisation(self.preparation)
        if not isinstance(synthetic, LowRankSet):
            return found
        parts = {name: value.detach().float().numpy() for name, value in synthetic.state_dict().items()}
        augmentations = np.array([each.name for each in synthetic.augmentations], dtype=np.str_)
        numbers = np.array([json.dumps(each.numbers) for each in synthetic.augmentations], dtype=np.str_)
        told = {"augmentations": augmentations, "augmentation_numbers": numbers}
        return found | parts | told | {"basis_shape": np.array(synthetic.basis_shape)}

    def program(self) -> str:
        mine, student, fit = self.measured(), student_of(self.row), fit_of(self.row.source)
        probing = checked(ProbingConfig, self.row.request.config.get("probing", {}), "probing")
        recorded = spread(mine[LINEAR_PROBE]) if LINEAR_PROBE in mine else ""
        networks, teacher = self.store.networks(self.row.id), None
        if "teacher" in networks:
            config = checked(TeacherConfig, self.row.request.config.get("teacher", {}), "teacher")
            with safe_open(networks["teacher"], "pt") as file:
                stem = Stem.of(file.get_tensor(RESNET + FIRST)) if config.is_resnet else Stem()
                teacher = programs.Teacher(config, stem, float(file.metadata()["scale"]))
        told: dict[str, Any] = {"fit": fit, "recorded": recorded, "networks": tuple(networks), "teacher": teacher}
        return programs.pretrain_script(student, self.synthetic, probing, self.preparation, **told)

    def pictures(self) -> Files:
        bases = self.shown.views.get("bases")
        found: Files = {} if bases is None else {"bases.png": lambda: self.grid(bases)}
        return found | super().pictures()


def picture(image: np.ndarray) -> Image.Image:
    """One (H, W, C) uint8 image, grey or in colour."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def png(image: Image.Image, row: RunRow, step: int, **more: str) -> bytes:
    """A PNG of a run's set after outer step `step`, with its origin and `more` as JSON in its text."""
    # an evaluation, or a loaded result, took no steps of its own
    steps = {"steps_run": row.step or step, "total_steps": row.total_steps or step, "result_step": step}
    request = row.request.model_dump(mode="json")
    origin = {"run": row.id, "request": request, "status": row.status, **steps, "version": version(), **more}
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text(METADATA, json.dumps(origin))
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def fit_of(source: str) -> str:
    """How the images of a data set were resized, which only an imported one says."""
    found = sources(data_root()).get(source)
    return found.options.fit if isinstance(found, FolderSource) else "stretch"


def normalisation(preparation: Preparation) -> Arrays:
    """inputs = (pixels - mean) / std per channel, or (flat pixels - zca_mean) @ zca_forward; pixels in [0, 1].

    PoDD's whitening has no zca_mean: flat pixels less their mean, scaled to length 1, replace the bracket.
    """
    found = {"normalisation": np.array(preparation.normalisation)}
    if preparation.whitening is not None:
        parts = fields(preparation.whitening)
        return found | {f"zca_{part.name}": getattr(preparation.whitening, part.name).numpy() for part in parts}
    is_unit = preparation.normalisation == "unit"
    mean, std = preparation.mean, preparation.std
    return found | {
        "mean": (torch.zeros_like(mean) if is_unit else mean).numpy(),
        "std": (torch.ones_like(std) if is_unit else torch.where(std > 0, std, 1.0)).numpy(),
    }
