"""Where classes lie on a poster: the greedy rule, its improvement, and every way to say how unlike two classes are."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.context import Context
from engine.core.errors import ConfigError, DataError
from engine.core.events import Progress, Warned
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.methods.forms import clip
from engine.methods.forms import order as placing
from engine.methods.forms.distances import MOST_FILE_BYTES, TRAINING, distances_from_csv, given_distances
from engine.methods.forms.order import ClassOrder, adjacency_of, greedy_order, placed


def splits_of(names, inputs=None, targets=None) -> Splits:
    """Splits with these class names; all three parts are the given samples."""
    inputs = torch.zeros(0, 1, 8, 8) if inputs is None else inputs
    targets = torch.zeros(len(inputs), dtype=torch.int64) if targets is None else targets
    data = LabelledSet(inputs, targets, lambda part: part)
    spec = TaskSpec("classification", tuple(inputs.shape[1:]), len(names), tuple(names))
    return Splits(data, data, data, spec, lambda part: part.numpy(), lambda part, _: part, "toy")


def names_of(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def random_distances(num_classes: int, seed: int) -> torch.Tensor:
    values = torch.rand(num_classes, num_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values + values.T).fill_diagonal_(0)


def drained(events) -> tuple[ClassOrder, list]:
    """What a generator returns, and what it yields."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


def ordered(distances: torch.Tensor, class_grid: tuple[int, int], seed: int = 0) -> ClassOrder:
    splits = splits_of(names_of(len(distances)))
    return drained(placed("given", splits, class_grid, Context(seed=seed), distances=distances))[0]


def neighbours(class_grid: tuple[int, int]) -> list[tuple[int, int]]:
    """Every pair of cells that share a side, once."""
    rows, columns = class_grid
    cells = list(itertools.product(range(rows), range(columns)))
    return [
        (row * columns + column, other[0] * columns + other[1])
        for row, column in cells
        for other in ((row + 1, column), (row, column + 1))
        if other in cells
    ]


def naive_cost(order, distances: torch.Tensor, class_grid: tuple[int, int]) -> float:
    return sum(
        distances[order[one], order[other]].item()
        for one, other in neighbours(class_grid)
        if order[one] >= 0 and order[other] >= 0
    )


def naive_greedy(distances: torch.Tensor, class_grid: tuple[int, int]) -> list[int]:
    """The published rule, cell by cell, for a grid with a class for every cell."""
    rows, columns = class_grid
    grid = {(0, 0): 0}
    for diagonal in range(1, rows + columns - 1):
        for row in range(rows):
            column = diagonal - row
            if not 0 <= column < columns:
                continue
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            unused = [label for label in range(rows * columns) if label not in grid.values()]
            sums = [sum(distances[label, grid[cell]].item() for cell in around if cell in grid) for label in unused]
            grid[row, column] = unused[sums.index(min(sums))]
    return [grid[row, column] for row in range(rows) for column in range(columns)]


class_grids = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=30, deadline=None)
@given(class_grids, st.data())
def test_order_is_a_permutation_with_the_last_cells_empty(class_grid, data):
    num_cells = class_grid[0] * class_grid[1]
    num_classes = data.draw(st.integers(1, num_cells))
    found = ordered(random_distances(num_classes, data.draw(st.integers(0, 99))), class_grid)
    assert sorted(found.order[:num_classes]) == list(range(num_classes))
    assert found.order[num_classes:] == (-1,) * (num_cells - num_classes)


@settings(max_examples=30, deadline=None)
@given(class_grids, st.data())
def test_costs_are_sums_over_neighbours_and_improved_is_never_above_greedy(class_grid, data):
    num_classes = data.draw(st.integers(1, class_grid[0] * class_grid[1]))
    distances = random_distances(num_classes, data.draw(st.integers(0, 99)))
    found = ordered(distances, class_grid)
    assert found.costs["improved"] <= found.costs["greedy"]
    empty = [-1] * (class_grid[0] * class_grid[1] - num_classes)
    for order, cost in (
        (found.order, found.costs["improved"]),
        ([*range(num_classes), *empty], found.costs["listed"]),
        ([*greedy_order(distances.numpy(), class_grid), *empty], found.costs["greedy"]),
    ):
        assert cost == pytest.approx(naive_cost(order, distances, class_grid))


@settings(max_examples=30, deadline=None)
@given(class_grids, st.integers(0, 99))
def test_greedy_equals_the_published_rule_written_naively(class_grid, seed):
    distances = random_distances(class_grid[0] * class_grid[1], seed)
    assert greedy_order(distances.numpy(), class_grid).tolist() == naive_greedy(distances, class_grid)


def test_random_cost_is_the_mean_over_all_orders():
    distances = random_distances(6, 3)
    mean = np.mean([naive_cost(order, distances, (2, 3)) for order in itertools.permutations(range(6))])
    assert ordered(distances, (2, 3)).costs["random"] == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_optimum_of_two_by_three_is_found(seed):
    distances = random_distances(6, seed)
    least = min(naive_cost(order, distances, (2, 3)) for order in itertools.permutations(range(6)))
    assert ordered(distances, (2, 3)).costs["improved"] == pytest.approx(least)


def test_no_swap_of_two_classes_lowers_the_cost_further():
    distances = random_distances(20, 1)
    found = ordered(distances, (4, 5))
    for one, other in itertools.combinations(range(20), 2):
        swapped = list(found.order)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        assert naive_cost(swapped, distances, (4, 5)) >= found.costs["improved"] - 1e-6


def test_search_finds_a_hidden_grid_of_a_hundred_classes_better_than_greedy():
    places = torch.cartesian_prod(torch.arange(10.0), torch.arange(10.0)).double()
    shuffled = places[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    found = ordered(torch.cdist(shuffled, shuffled), (10, 10))
    hidden = len(neighbours((10, 10)))  # every neighbour at distance 1
    assert found.costs["improved"] < 1.15 * hidden < found.costs["greedy"] < found.costs["random"]


def test_more_classes_than_are_searched_are_improved_by_swaps_from_the_greedy_order(monkeypatch):
    monkeypatch.setattr(placing, "LARGEST_SEARCH", 29)
    distances = random_distances(30, 0)
    costs = ordered(distances, (5, 6)).costs
    assert costs["improved"] < costs["greedy"]


def test_adjacency_is_that_of_the_first_cells():
    adjacency = adjacency_of((3, 4), 10)
    expected = np.zeros((12, 12))
    for one, other in neighbours((3, 4)):
        expected[one, other] = expected[other, one] = 1
    assert np.array_equal(adjacency, expected[:10, :10])


def test_same_seed_same_order():
    distances = random_distances(30, 0)
    assert ordered(distances, (5, 6), seed=4) == ordered(distances, (5, 6), seed=4)


def test_search_says_how_far_it_is():
    splits = splits_of(names_of(12))
    _, events = drained(placed("given", splits, (3, 4), Context(), distances=random_distances(12, 0)))
    assert events and all(isinstance(event, Progress) and 0 <= event.done <= event.total for event in events)


def test_order_says_its_cost_beside_the_others():
    sentence = str(ordered(random_distances(6, 0), (2, 3)))
    assert all(word in sentence for word in ("greedy", "random", "listed"))


def test_listed_keeps_the_order_of_the_data_set_at_once():
    found, events = drained(placed("listed", splits_of(names_of(5)), (2, 3), Context()))
    assert (found.order, found.costs, events) == ((0, 1, 2, 3, 4, -1), {}, [])
    assert str(found) == "Classes in the order of the data set"


def test_too_few_cells_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"2 x 3 has no cell for each of 7 classes"):
        drained(placed("listed", splits_of(names_of(7)), (2, 3), Context()))


# by name


def test_names_that_share_words_become_neighbours():
    names = ("maple_tree", "pickup_truck", "oak_tree", "garbage_truck", "pine_tree", "fire_truck")
    found, _ = drained(placed("names", splits_of(names), (2, 3), Context()))
    rows = [{names[label].split("_")[1] for label in row} for row in (found.order[:3], found.order[3:])]
    assert rows in ([{"tree"}, {"truck"}], [{"truck"}, {"tree"}])


@pytest.mark.parametrize("names", [tuple("0123"), (" ", "a", "_", "b"), ("same", "same ", "Same", "sAme")])
def test_short_and_blank_names_still_give_an_order(names):
    found, _ = drained(placed("names", splits_of(names), (2, 2), Context()))
    assert sorted(found.order) == [0, 1, 2, 3] and np.isfinite(found.costs["improved"])


# by features


def twins(sample_shape: tuple[int, ...], per_class: int = 40) -> Splits:
    """Six classes, of which 0 and 3, 1 and 4, 2 and 5 show nearly the same."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(3, *sample_shape, generator=generator).repeat(2, *[1] * len(sample_shape))
    patterns = patterns + 0.1 * torch.randn(patterns.shape, generator=generator)
    targets = torch.arange(6).repeat(per_class)
    noise = 0.5 * torch.randn(len(targets), *sample_shape, generator=generator)
    return splits_of(names_of(6), patterns[targets] + noise, targets)


@pytest.mark.parametrize("sample_shape", [(1, 8, 8), (3, 24, 20), (5, 4)])
def test_features_put_classes_that_look_alike_together(sample_shape):
    found, events = drained(placed("features", twins(sample_shape), (2, 3), Context()))
    pairs = {frozenset((found.order[one], found.order[other])) for one, other in neighbours((2, 3))}
    assert {frozenset((0, 3)), frozenset((1, 4)), frozenset((2, 5))} <= pairs
    assert {event.phase for event in events} == {
        "train a student to compare the classes",
        "compare the classes",
        "place the classes",
    }


@pytest.fixture
def short_training(monkeypatch):
    """The student that compares the classes is trained for a few steps."""
    monkeypatch.setattr("engine.methods.forms.distances.TRAINING", dataclasses.replace(TRAINING, num_steps=10))


def test_features_order_repeats_with_its_seed(short_training):
    one, other = (drained(placed("features", twins((1, 8, 8)), (2, 3), Context(seed=2)))[0] for _ in range(2))
    assert one == other


def test_class_without_training_images_gets_a_cell_too(short_training):
    splits = twins((1, 8, 8))
    data = splits.train.subset((splits.train.targets != 4).nonzero().flatten())
    splits = Splits(data, data, data, splits.spec, splits.to_display, splits.augment, "toy")
    found, _ = drained(placed("features", splits, (2, 3), Context()))
    assert sorted(found.order) == list(range(6)) and np.isfinite(found.costs["improved"])


# as given

NAMES = ("cat", "dog", "12")
MATRIX = torch.tensor([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]], dtype=torch.float64)


@pytest.mark.parametrize(
    "text",
    [
        "0,1,2\n1,0,3\n2,3,0\n",
        "\ufeffcat;dog;12\n0;1;2\n1;0;3\n2;3;0\n",
        "cat\t0\t1\t2\ndog\t1\t0\t3\n12\t2\t3\t0\n",
        ",cat,dog,12\ncat,0,1,2\n\ndog,1,0,3\n12,2,3,0\n",
        "cat,dog,12\ncat,0,1,2\ndog,1,0,3\n12,2,3,0\n",
        "name,12,cat,dog\ndog,3,1,0\n12,0,2,3\n cat , 2,0,1\n",
        "0,0;1,0;2,0\n1,0;0,0;3,0\n2,0;3,0;0,0\n",
        ";cat;dog;12\ncat;0;1,000;2\ndog;1,0;0;3,00\n12;2;3;0\n",
        "0,0\t1,0\t2,0\n1,0\t0,0\t3,0\n2,0\t3,0\t0,0\n",
    ],
    ids=[
        "bare",
        "named above",
        "named before",
        "named both",
        "no corner",
        "another order",
        "decimal commas",
        "decimal commas and names",
        "decimal commas and tabs",
    ],
)
def test_distances_are_read_with_and_without_names(tmp_path, text):
    (tmp_path / "distances.csv").write_text(text, encoding="utf-8")
    assert torch.equal(distances_from_csv(tmp_path / "distances.csv", NAMES), MATRIX)


def test_numeric_names_are_told_from_distances_by_the_shape_and_rows_follow_the_columns(tmp_path):
    (tmp_path / "digits.csv").write_text("2,0,1\n0,5,6\n5,0,7\n6,7,0\n")
    expected = torch.tensor([[0.0, 7, 5], [7, 0, 6], [5, 6, 0]], dtype=torch.float64)
    assert torch.equal(distances_from_csv(tmp_path / "digits.csv", ("0", "1", "2")), expected)


def test_blanks_around_class_names_do_not_matter(tmp_path):
    (tmp_path / "distances.csv").write_text("0,1\n1,0\n")
    assert distances_from_csv(tmp_path / "distances.csv", ("cat ", " dog")).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "0 rows of 0 fields"),
        ("0,1\n1,0\n", "2 rows of 2 fields, but 3 classes need 3 rows of 3 distances"),
        ("0,1,2\n1,0,3\n2,3\n", "'' as the distance from '12' to '12'"),
        ("0,1,2\n1,0,far\n2,3,0\n", "'far' as the distance from 'dog' to '12'. Put a finite number"),
        ("0,1,2\n1,0,\n2,3,0\n", "'' as the distance from 'dog' to '12'"),
        ("0,1,2\n1,0,nan\n2,3,0\n", "'nan' as the distance from 'dog' to '12'"),
        ("0,1,2\n1,0,inf\n2,3,0\n", "'inf' as the distance from 'dog' to '12'"),
        ("0,1,-2\n1,0,3\n2,3,0\n", "'-2' as the distance from 'cat' to '12'"),
        ("cat,dog,cow\n0,1,2\n1,0,3\n2,3,0\n", "does not name the class '12'; it names 'cat', 'dog', 'cow'"),
        ("cat,dog,dog\n0,1,2\n1,0,3\n2,3,0\n", "does not name the class '12'"),
        ("0;1;2\n1;0;1.234,5\n2;3;0\n", "'1.234.5' as the distance from 'dog' to '12'"),
        ("0,1,2\n1,0," + "far" * 10 + "\n2,3,0\n", "'farfarfarfarfarfarf…' as"),
        ("a" * 30 + ",dog,12\n0,1,2\n1,0,3\n2,3,0\n", "it names 'aaaaaaaaaaaaaaaaaaa…', 'dog'"),
        ('"' + "x" * 200_000, "cannot be read as class distances .*EOF inside string"),
        ("0," * MOST_FILE_BYTES, "is larger than 1,000,000 bytes"),
    ],
)
def test_bad_file_is_refused_in_one_sentence(tmp_path, text, sentence):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        distances_from_csv(tmp_path / "bad.csv", NAMES)


def test_missing_and_unreadable_files_are_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        distances_from_csv(tmp_path, NAMES)
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        distances_from_csv(tmp_path / "picture.csv", NAMES)


def test_only_files_in_folders_that_imports_may_read_are_read(tmp_path, monkeypatch):
    monkeypatch.delenv("DISTILLERY_FOLDERS", raising=False)
    inside, outside = tmp_path / "data" / "folders" / "mine.csv", tmp_path / "secret.csv"
    inside.parent.mkdir(parents=True)
    for path in (inside, outside):
        path.write_text("0,1,2\n1,0,3\n2,3,0\n")
    (inside.parent / "link.csv").symlink_to(outside)
    assert torch.equal(given_distances("mine.csv", NAMES, tmp_path / "data"), MATRIX)
    for text in (str(outside), "../../secret.csv", "link.csv", "/etc/passwd"):
        with pytest.raises(DataError, match="is outside the folders that may be read"):
            given_distances(text, NAMES, tmp_path / "data")
    with pytest.raises(DataError, match="There is no CSV file .*absent.csv"):
        given_distances("absent.csv", NAMES, tmp_path / "data")
    with pytest.raises(ConfigError, match="needs a file of class distances"):
        given_distances("  ", NAMES, tmp_path / "data")
    monkeypatch.setenv("DISTILLERY_FOLDERS", str(tmp_path))
    assert torch.equal(given_distances(str(outside), NAMES, tmp_path / "data"), MATRIX)


def given_events(distances: torch.Tensor | None) -> tuple[ClassOrder, list]:
    return drained(placed("given", splits_of(NAMES), (1, 3), Context(), distances=distances))


def test_given_distances_decide_the_order():
    found, events = given_events(MATRIX)
    assert found.order in ((1, 0, 2), (2, 0, 1))  # the two farthest apart are no neighbours
    assert found.costs["improved"] == 3 and not any(isinstance(event, Warned) for event in events)


def test_distances_that_differ_by_direction_are_averaged_with_a_warning():
    lopsided = MATRIX.clone()
    lopsided[0, 2], lopsided[2, 0] = 4, 0
    found, events = given_events(lopsided)
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert found == given_events(MATRIX)[0]
    assert len(warnings) == 1 and "from 'cat' to '12' (4 there, 0 back)" in warnings[0]


def test_likeness_given_as_distance_is_suspected():
    found, events = given_events(MATRIX + torch.eye(3, dtype=torch.float64))
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert found == given_events(MATRIX)[0]
    assert len(warnings) == 1 and "distance to themselves" in warnings[0]


# by CLIP


class StandInTokenizer:
    """Letters to numbers, with the arguments CLIP's tokenizer takes."""

    local: list[bool] = []
    is_cached = True

    @classmethod
    def from_pretrained(cls, weights, local_files_only):
        cls.local.append(local_files_only)
        if local_files_only and not cls.is_cached:
            raise OSError(f"{weights} is not cached")
        return cls()

    def __call__(self, texts, padding, truncation, max_length, return_tensors):
        assert (padding, truncation, return_tensors) == ("max_length", True, "pt")
        codes = [[ord(letter) for letter in text[:max_length].ljust(max_length)] for text in texts]
        return {"input_ids": torch.tensor(codes)}


class StandInEncoder(torch.nn.Module):
    """One learned vector a letter."""

    config = types.SimpleNamespace(max_position_embeddings=9)

    def __init__(self):
        super().__init__()
        self.letters = torch.nn.Embedding(128, 4)
        torch.nn.init.normal_(self.letters.weight, generator=torch.Generator().manual_seed(0))

    @classmethod
    def from_pretrained(cls, weights, local_files_only):
        return cls()

    def forward(self, input_ids):
        return types.SimpleNamespace(last_hidden_state=self.letters(input_ids))


@pytest.fixture
def stand_in(monkeypatch):
    """A module in the place of `transformers`, the weights on this machine."""
    module = types.ModuleType("transformers")
    module.CLIPTokenizer, module.CLIPTextModel = StandInTokenizer, StandInEncoder
    module.__spec__ = ModuleSpec("transformers", None)
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.setattr(StandInTokenizer, "local", [])
    return StandInTokenizer


def test_clip_distances_are_cosines_of_the_whole_last_state(stand_in):
    names = [*(f"name {number}" for number in range(20)), "oak_tree", "a name cut where the encoder ends"]
    distances, events = drained(clip.text_distances(names, download=False))
    letters = StandInEncoder().letters
    states = torch.stack(
        [letters(torch.tensor([ord(c) for c in name.replace("_", " ")[:9].ljust(9)])).flatten() for name in names]
    )
    expected = 1 - torch.nn.functional.cosine_similarity(states[:, None], states[None], dim=2)
    assert np.allclose(distances, expected.detach().fill_diagonal_(0).numpy(), atol=1e-6)
    assert {event.phase for event in events} == {"load CLIP's text encoder", "read the class names with CLIP"}


def test_clip_on_this_machine_is_used_without_the_network_even_where_a_download_is_allowed(stand_in):
    names = ("oak tree", "lorry", "oak_tree", "lorries")
    found, _ = drained(placed("clip", splits_of(names), (1, 4), Context(), clip_download=True))
    assert found.order.index(0) - found.order.index(2) in (-1, 1)
    assert stand_in.local == [True]


def test_clip_is_fetched_only_with_consent(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in, "is_cached", False)
    with pytest.raises(ConfigError, match="not on this machine. Allow the download"):
        drained(placed("clip", splits_of(NAMES), (1, 3), Context()))
    assert stand_in.local == [True]
    drained(placed("clip", splits_of(NAMES), (1, 3), Context(), clip_download=True))
    assert stand_in.local == [True, True, False]


def test_clip_that_cannot_be_fetched_says_what_to_do(stand_in, monkeypatch):
    def refuse(weights, local_files_only):
        raise OSError("no connection")

    monkeypatch.setattr(StandInEncoder, "from_pretrained", refuse)
    with pytest.raises(ConfigError, match="could not be fetched. Check the connection"):
        drained(placed("clip", splits_of(NAMES), (1, 3), Context(), clip_download=True))


def test_clip_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="pip install transformers"):
        drained(placed("clip", splits_of(NAMES), (1, 3), Context()))
    with pytest.raises(ConfigError, match="needs the package transformers, which is not here"):
        clip.check(download=True)


@pytest.mark.parametrize("is_at_hand", [True, False])
def test_clip_is_refused_early_only_without_weights_and_consent(stand_in, monkeypatch, is_at_hand):
    monkeypatch.setattr(clip, "is_at_hand", lambda: is_at_hand)
    clip.check(download=True)
    if is_at_hand:
        clip.check(download=False)
    else:
        with pytest.raises(ConfigError, match="not on this machine. Allow the download"):
            clip.check(download=False)
    assert stand_in.local == [], "nothing is loaded"


@pytest.mark.parametrize(
    ("files", "is_at_hand"),
    [
        (("config.json", "tokenizer.json", "model.safetensors"), True),
        (("config.json", "vocab.json", "pytorch_model.bin"), True),
        (("config.json", "vocab.json"), False),
        (("config.json", "model.safetensors"), False),
        ((), False),
    ],
)
def test_weights_are_at_hand_where_all_their_files_are(monkeypatch, files, is_at_hand):
    """What is not cached is None; what is known not to exist is some other object."""
    module = types.ModuleType("huggingface_hub")
    module.__spec__ = ModuleSpec("huggingface_hub", None)
    absent = {"pytorch_model.bin": object()}
    module.try_to_load_from_cache = lambda weights, name: f"/cache/{name}" if name in files else absent.get(name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    assert clip.is_at_hand() == is_at_hand


def save_tiny_clip(folder: Path) -> None:
    """An untrained text encoder of 16 numbers per letter and a tokenizer of single letters, laid out as CLIP's
    files.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    end = {name: "<|endoftext|>" for name in ("eos_token", "unk_token", "pad_token")}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>", **end})
    )
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=20,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    torch.manual_seed(0)
    CLIPTextModel(config).save_pretrained(folder)


def test_made_clip_of_the_real_package_is_loaded_from_its_folder(tmp_path):
    import engine.data.torchvision_compat  # noqa: F401  the package imports torchvision

    pytest.importorskip("transformers", reason="needs the optional package transformers")
    save_tiny_clip(tmp_path)
    names = ("oak_tree", "lorry", "oak tree")
    distances, _ = drained(clip.text_distances(names, download=False, weights=str(tmp_path)))
    assert distances[0, 2] == pytest.approx(0, abs=1e-6) and distances[0, 1] > 1e-3
