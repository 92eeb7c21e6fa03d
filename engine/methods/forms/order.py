"""PoCO: where each class lies on a poster. Classes that are alike should be neighbours, so that they can share pixels.

    cost(order) = sum over pairs of neighbouring cells (4-neighbours) of d(class of one, class of the other)

The published rule fills the grid once, greedily. Finding the order of least cost is a quadratic assignment problem,
min over permutations P of trace(A^T P D P^T) / 2 with A the grid's adjacency and D the distances; we go on from the
greedy order by scipy's FAQ and by swaps of two classes, and say what either cost.

Sources:
    PoCO: Shul et al. 2024, arXiv:2403.12040, section 3.2.
    FAQ: Vogelstein et al. 2015, PLOS ONE 10(4).
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import ConfigError
from engine.core.events import Event, Progress, Warned
from engine.data.source import Splits
from engine.methods.forms import clip
from engine.methods.forms.distances import feature_distances, name_distances, symmetric

OrderKind = Literal["listed", "features", "names", "clip", "given"]
Grid = tuple[int, int]  # rows and columns

RANDOM_ORDERS = 100  # whose mean cost is reported
MOST_STARTS = 24  # of the search: about 4 s on one core for 200 classes
LARGEST_SEARCH = 250  # classes; beyond them only the greedy order is improved, and by swaps alone
LEAST_GAIN = 1e-9  # relative; what is smaller is rounding
SECONDS_OF_SILENCE = 0.5


@dataclass(frozen=True)
class ClassOrder:
    """order[cell] is the class of a cell, row-major; -1 where a cell is empty.

    costs: of this order ("improved") and of others: "listed", "random" (the mean of RANDOM_ORDERS) and "greedy" (as
    published); empty for the data set's own order.
    """

    order: tuple[int, ...]
    costs: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.costs:
            return "Classes in the order of the data set"
        costs = {name: f"{cost:.4g}" for name, cost in self.costs.items()}
        return (
            f"Distances between neighbouring classes add up to {costs['improved']}; placed by the greedy rule "
            f"{costs['greedy']}, at random {costs['random']}, as listed {costs['listed']}"
        )


def placed(
    kind: OrderKind,
    splits: Splits,
    class_grid: Grid,
    context: Context,
    *,
    distances: Tensor | None = None,
    clip_download: bool = False,
) -> Generator[Event, None, ClassOrder]:
    """Give every class a cell of a grid of (rows, columns).

    Where there are more cells than classes, the last ones in row-major order stay empty: a hole in the middle would
    lower the cost without bringing any two classes together.

    kind: what distances are made of. "listed": of nothing, the data set's own order is kept. "features": of what a
    briefly trained student sees. "names": of the letters in the class names. "clip": of CLIP's text features. "given":
    `distances`, (K, K) finite numbers of 0 or more; the mean of both directions is used.
    clip_download: whether CLIP's weights may be fetched where they are not on this machine.

    Yields Progress at least each second, and Warned where given distances are odd.
    Raises ConfigError for fewer cells than classes, or CLIP not at hand.
    """
    names = splits.spec.class_names
    if class_grid[0] * class_grid[1] < len(names):
        problem = f"A class grid of {class_grid[0]} x {class_grid[1]} has no cell for each of {len(names)} classes."
        raise ConfigError(f"{problem} Give it more rows or columns, or leave both at 0 to have them chosen.")
    empty = (-1,) * (class_grid[0] * class_grid[1] - len(names))
    if kind == "listed":
        return ClassOrder((*range(len(names)), *empty))
    if distances is not None:
        between, oddities = symmetric(distances, names)
        yield from (Warned(message) for message in oddities)
    elif kind == "features":
        between = yield from feature_distances(splits, context)
    elif kind == "names":
        between = name_distances(names)
    else:
        between = yield from clip.text_distances(names, download=clip_download)
    adjacency = adjacency_of(class_grid, len(names))
    rng = np.random.default_rng(context.stream("class order").initial_seed())

    def cost(order: np.ndarray) -> float:
        return float((adjacency * between[np.ix_(order, order)]).sum() / 2)

    greedy = greedy_order(between, class_grid)
    best = yield from _improved(greedy, between, adjacency, class_grid, rng)
    random = float(np.mean([cost(rng.permutation(len(names))) for _ in range(RANDOM_ORDERS)]))
    costs = {"listed": cost(np.arange(len(names))), "random": random, "greedy": cost(greedy), "improved": cost(best)}
    return ClassOrder((*best.tolist(), *empty), costs)


def adjacency_of(class_grid: tuple[int, int], num_cells: int) -> np.ndarray:
    """(K, K) float: 1 where two of the first K cells, row-major, share a side."""
    rows, columns = np.divmod(np.arange(num_cells), class_grid[1])
    return (np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns) == 1).astype(float)


def greedy_order(distances: np.ndarray, class_grid: tuple[int, int], first: int = 0) -> np.ndarray:
    """The published rule: class of each of K cells (K,) int64, row-major.

    Cells are filled along anti-diagonals from the top left one, which gets class `first`, each from its top right end;
    every other cell gets the unused class with the smallest sum of distances to the neighbours already placed, the
    first such class of the list.
    """
    num_classes, num_columns = len(distances), class_grid[1]
    order = np.full(num_classes, -1)
    rows, columns = np.divmod(np.arange(num_classes), num_columns)
    unused = np.ones(num_classes, dtype=bool)
    for cell in np.lexsort((rows, rows + columns)).tolist():
        before = [cell - 1] * bool(columns[cell]) + [cell - num_columns] * bool(rows[cell])
        sums = distances[order[before]].sum(0)
        chosen = int(np.where(unused, sums, np.inf).argmin()) if before else first
        order[cell], unused[chosen] = chosen, False
    return order


def _improved(
    greedy: np.ndarray, distances: np.ndarray, adjacency: np.ndarray, class_grid: Grid, rng: np.random.Generator
) -> Generator[Event, None, np.ndarray]:
    """The best local optimum of several starts: the greedy order, greedy orders from other first classes, random ones.

    Swaps lower the cost of each start and of what FAQ makes of it. The swaps are our own: scipy's 2-opt weighs one
    pair after another in Python, 9 s for 100 classes where all pairs at once take 4 ms.
    """
    num_classes, starts = len(distances), [greedy]
    is_searched = num_classes <= LARGEST_SEARCH
    if is_searched:
        firsts = rng.permutation(num_classes)[: MOST_STARTS // 2]
        starts += [greedy_order(distances, class_grid, int(first)) for first in firsts]
        starts += [rng.permutation(num_classes) for _ in range(MOST_STARTS - len(starts))]
    best, least, said = greedy, np.inf, time.monotonic()
    for number, start in enumerate(starts):
        yield Progress("place the classes", number, len(starts))
        for begin in (start, _faq(start, distances, adjacency, rng)) if is_searched else (start,):
            for order, cost in _swaps(begin, distances, adjacency):
                if cost < least * (1 - LEAST_GAIN):
                    best, least = order, cost
                if time.monotonic() - said > SECONDS_OF_SILENCE:
                    said = time.monotonic()
                    yield Progress("place the classes", number, len(starts))
    return best


def _faq(start: np.ndarray, distances: np.ndarray, adjacency: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where the Frank-Wolfe search for a quadratic assignment leads from an order."""
    from scipy.optimize import quadratic_assignment  # slow to import

    options = {"P0": np.eye(len(start))[start], "rng": rng}
    return quadratic_assignment(adjacency, distances, method="faq", options=options).col_ind


def _swaps(order: np.ndarray, distances: np.ndarray, adjacency: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """The order and its cost, before and after each best swap of two classes, until no swap lowers the cost.

    moved[i, j] is what the class of cell j would cost in cell i. Swapping two neighbours leaves the distance
    between them as it is, though both sums count it as gone.
    """
    order, scale = order.copy(), float(distances.max())
    while True:
        between = distances[np.ix_(order, order)]
        moved = adjacency @ between
        now = moved.diagonal()
        yield order.copy(), float(now.sum() / 2)
        change = moved + moved.T - now[:, None] - now + 2 * adjacency * between
        cells = divmod(int(change.argmin()), len(order))
        if change[cells] >= -LEAST_GAIN * scale:
            return
        order[list(cells)] = order[list(cells[::-1])]
