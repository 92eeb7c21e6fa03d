"""How unlike two classes are: by what a student sees, by their names, or as a file says. Always (K, K)."""

import io
import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.core.errors import ConfigError
from engine.core.events import Event, Progress
from engine.data.images import checked_path
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.evaluation.train import Recipe, ordinary
from engine.nets import make_student
from engine.nets.student import Student

LARGEST_SIDE = 16  # pixels; larger pictures are averaged down, a few seconds have to do
TRAINING = Recipe(num_steps=100, batch_size=64, lr=2e-3)
MOST_SEEN = 5000  # training images whose features are averaged, evenly over the classes
SEEN_AT_ONCE = 200

MOST_FILE_BYTES = 1_000_000  # of a file of distances: about 400 classes
MOST_SHOWN = 20  # characters of a field that a message shows


def feature_distances(splits: Splits, context: Context) -> Generator[Event, None, np.ndarray]:
    """Distances of classes as a small student sees them after `TRAINING` on the training split.

    1 - cosine of the class means of what enters the student's last layer, less their common mean: behind a ReLU all
    features are positive, and what the classes share would drown what tells them apart. Between 0 and 2.
    """
    train, spec = _reduced(splits.train, splits.spec)
    student = make_student(_small_student(spec), spec, context.device)
    generator = context.stream("class order student")
    theta = student.init(generator)
    path = ordinary(student, theta, train, TRAINING, generator, lambda inputs, _: inputs)
    for step, trained in enumerate(path):
        theta = trained
        yield Progress("train a student to compare the classes", step + 1, TRAINING.num_steps)

    seen = _evenly(train.targets.cpu(), spec.num_outputs, generator)
    features: list[Tensor] = []
    for indices in seen.split(SEEN_AT_ONCE):
        yield Progress("compare the classes", SEEN_AT_ONCE * len(features), len(seen))
        features.append(_features(student, theta, train.batch(indices)[0]).double().cpu())
    belongs = F.one_hot(train.targets.cpu()[seen], spec.num_outputs).double()
    means = belongs.T @ torch.cat(features) / belongs.sum(0)[:, None].clamp(min=1)
    return cosine_distances(means - means.mean(0))


def name_distances(names: Sequence[str]) -> np.ndarray:
    """1 - cosine of TF-IDF weights of the groups of two to four letters within the words of each name."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import

    texts = [f"{name.replace('_', ' ')} ." for name in names]  # the point: a name of blanks has something to count
    weights = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(texts)
    return cosine_distances(torch.from_numpy(weights.toarray()))


def cosine_distances(features: Tensor) -> np.ndarray:
    """1 - cosine of the rows of (K, F): (K, K) float64, 0 to 2; 1 where a row is all zero."""
    rows = F.normalize(features.double(), dim=1)
    return (1 - rows @ rows.T).clamp(min=0).fill_diagonal_(0).numpy()


def given_distances(text: str, class_names: Sequence[str], data_root: Path) -> Tensor:
    """Distances (K, K) float64 of the CSV file that a user names, see `distances_from_csv`.

    Raises ConfigError if none is named, DataError if it is not there, or outside the folders that imports may read.
    """
    if not text.strip():
        raise ConfigError("Class order 'given' needs a file of class distances. Name one, or choose another order.")
    return distances_from_csv(checked_path(text, data_root, "CSV file"), class_names)


def distances_from_csv(path: Path, class_names: Sequence[str]) -> Tensor:
    """Distances (K, K) float64 of a CSV file: a row and a column of numbers for each class.

    Class names may stand above the columns, before the rows or both, in any order. Named on one side only, rows and
    columns have the same order; without names it is that of the data set. Fields are separated by tabs or semicolons
    where there are any, and numbers may then have decimal commas; otherwise by commas.
    Raises ConfigError for a file that cannot be read, another shape, unknown names, or a field that is not a finite
    number of 0 or more.
    """
    import pandas as pd  # slow to import

    listed, table = [name.strip() for name in class_names], _table(path)
    count = len(listed)
    above, before = (int(length == count + 1) for length in table.shape)
    if above and before and not table.iat[0, count]:  # the row of names has no field for the corner
        table.iloc[0] = table.iloc[0].shift(fill_value="")
    body = table.iloc[above:, before:]
    if body.shape != (count, count):
        needed = f"{count} classes need {count} rows of {count} distances, with or without names above and before them"
        raise ConfigError(f"{path} has {len(table)} rows of {table.shape[1]} fields, but {needed}.")
    columns = list(table.iloc[0, before:]) if above else None
    rows = list(table.iloc[above:, 0]) if before else None
    body.columns, body.index = columns or rows or listed, rows or columns or listed
    for names in (body.index, body.columns):
        if missing := [repr(name) for name in listed if name not in names]:
            unnamed = ", ".join(missing[:3]) + " and others" * (len(missing) > 3)
            named = f"it names {', '.join(map(_shown, names[:3]))} and so on"
            remedy = "Use the class names of the data set, or leave all names out and keep their order."
            raise ConfigError(f"{path} does not name the class {unnamed}; {named}. {remedy}")
    body = body.loc[listed, listed].map(lambda field: field.replace(",", "."))
    numbers = body.apply(pd.to_numeric, errors="coerce")
    for row, column in np.argwhere(~((numbers >= 0) & np.isfinite(numbers)).to_numpy())[:1]:
        problem = f"{path} has {_shown(body.iat[row, column])} as the distance"
        pair = f"from '{listed[row]}' to '{listed[column]}'"
        raise ConfigError(f"{problem} {pair}. Put a finite number of 0 or more there.")
    return torch.tensor(numbers.to_numpy(dtype=float))


def _table(path: Path) -> Any:
    """The stripped fields of a file as a data frame, without rows and columns that are empty."""
    import pandas as pd  # slow to import

    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_FILE_BYTES:,} bytes. Give a CSV file of distances alone.")
        text = path.read_text(encoding="utf-8-sig")
        mark = next((mark for mark in "\t;" if mark in text), ",")
        names = range(
            1 + max((line.count(mark) for line in text.splitlines()), default=0)
        )  # a row may be longer than the first
        table = pd.read_csv(io.StringIO(text), sep=mark, names=names, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # what pandas raises is a ValueError
        problem = f"{path} cannot be read as class distances ({error})."
        raise ConfigError(f"{problem} Give the path of a CSV file with a row and a column for each class.") from None
    table = table.map(str.strip)
    return table.loc[(table != "").any(axis=1), (table != "").any()]


def _shown(text: str) -> str:
    """A field in quotation marks, cut: the file may be another one than was meant."""
    return f"'{text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + '…'}'"


def symmetric(distances: Tensor, class_names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Given distances (K, K) as the search wants them, with a zero diagonal, and what was odd about them."""
    oddities = []
    if distances.diagonal().any():
        problem = "Some classes have a distance to themselves; it is ignored."
        oddities.append(f"{problem} If the numbers say how alike classes are, turn them round: large must mean unlike.")
    difference = (distances - distances.T).abs()
    if difference.max() > 1e-6 * distances.max():
        row, column = divmod(int(difference.argmax()), len(class_names))
        pair = f"from '{class_names[row]}' to '{class_names[column]}'"
        values = f"{distances[row, column]:g} there, {distances[column, row]:g} back"
        oddities.append(f"The distances differ by direction, most of all {pair} ({values}); the mean of both is used.")
    return ((distances + distances.T) / 2).fill_diagonal_(0).numpy(), oddities


def _reduced(train: LabelledSet, spec: TaskSpec) -> tuple[LabelledSet, TaskSpec]:
    """The same samples as pictures of at most LARGEST_SIDE pixels a side."""
    if len(spec.sample_shape) != 3 or max(spec.sample_shape[1:]) <= LARGEST_SIDE:
        return train, spec
    channels, *sides = spec.sample_shape
    sides = [max(1, round(side * LARGEST_SIDE / max(sides))) for side in sides]

    def prepare(inputs: Tensor) -> Tensor:
        return F.interpolate(train.prepare(inputs), size=sides, mode="area")

    smaller = TaskSpec(spec.task, (channels, *sides), spec.num_outputs, spec.class_names)
    return LabelledSet(train.inputs, train.targets, prepare), smaller


def _small_student(spec: TaskSpec) -> StudentConfig:
    """A narrow ConvNet as deep as the pictures allow; an MLP for what is no picture."""
    halvings = int(math.log2(min(spec.sample_shape[1:]))) if len(spec.sample_shape) == 3 else 0
    return StudentConfig(name="convnet", width=32, depth=min(3, halvings)) if halvings else StudentConfig(name="mlp")


@torch.no_grad()
def _features(student: Student, theta: Tensor, inputs: Tensor) -> Tensor:
    """(N, F), what enters the last layer."""
    body, weights = nn.Sequential(*list(student.module.children())[:-1]), student.unflatten(theta)
    return functional_call(body, {name: weights[name] for name, _ in body.named_parameters()}, (inputs,))


def _evenly(targets: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """Indices of at most MOST_SEEN samples, as many of each class where there are so many, in the order of the set."""
    share = max(1, MOST_SEEN // num_classes)
    members = [(targets == label).nonzero().flatten() for label in range(num_classes)]
    chosen = [own[torch.randperm(len(own), generator=generator)[:share]] for own in members]
    return torch.cat(chosen).sort()[0]
