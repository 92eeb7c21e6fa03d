"""What a set loses in fewer bits per value: test scores of the same distilled set at each width.

    python -m tests.benchmarks.widths --source digits --methods bilevel trajectory --seeds 0 1 2
    python -m tests.benchmarks.widths --source digits --methods bilevel --fine-tune 3 2
    python -m tests.benchmarks.widths --show tests/benchmarks/widths.jsonl

A set is distilled once per seed in float32 and rounded to each width, and its own students are trained on it by its own
recipe; at 8 bits also on random real data of equal bytes, by that recipe or standard training, whichever is better on
validation data. With --fine-tune a set is distilled once more per width, and the last 60 % of its steps see rounded
values. Each line has data set, method, preset, seed, bits, bytes, whether it was fine-tuned, and the mean, standard
deviation and number of students of the test and of the validation score, and of the real data's under "random_real".
Lines that the file has already are not measured again.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.core import machine
from engine.core.config import RunRequest
from engine.core.context import Context
from engine.core.events import Scored
from engine.core.progress import drained
from engine.evaluation.comparison import Comparison, run
from engine.evaluation.scores import HEADLINE
from engine.run import load_others, load_splits, request_from_preset, resolve
from engine.synthetic.storage import WIDTHS

ARMS = "distilled", "random_real"
AGAINST = (8,)
"""Widths at whose bytes random real data are scored too: those of most results."""
METRICS = {HEADLINE: "", "skill": " skill"}
NAMED = ("source", "method", "preset", "seed", "bits", "is_fine_tuned")
Line = dict[str, Any]
RECORDED = Path(__file__).with_name("widths.jsonl")


def measured(request: RunRequest, bits: Sequence[int], device: str) -> Iterator[Line]:
    """Distil once, and a line for each width. A request that asks for few bits is fine-tuned for them."""
    method, config = resolve(request)
    context = Context(request.seed, machine.pick_device(device))
    splits = drained(load_splits(request, context))
    others = drained(load_others(config, request.data.windows, context))
    began = time.perf_counter()
    synthetic = drained(method.distill(splits, config, context))
    seconds = round(time.perf_counter() - began, 1)
    named = {"source": request.source, "method": request.method, "preset": request.preset, "seed": request.seed}
    for width in bits:
        stored = synthetic.as_stored(width)
        comparison = method.comparison(splits, config, request.evaluation, context, stored, others)
        line = named | {"bits": width, "is_fine_tuned": bool(config.rounded_bits()), "num_bytes": stored.num_bytes()}
        yield line | {"seconds": seconds} | _scores(comparison, ARMS[: 1 + (width in AGAINST)])


def _scores(comparison: Comparison[Any], arms: Sequence[str]) -> Line:
    """The scores of the set's own students by its own recipe, and those of random real data by their best one."""
    wanted = [each for each in comparison.plan() if each.arm in arms and comparison.is_own(each.student)]
    own = next(each.protocol for each in wanted if each.arm == arms[0] and each.purpose == "score")
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for event in run(comparison, [each for each in wanted if each.arm != arms[0] or each.protocol == own]):
        if isinstance(event, Scored) and event.metric in METRICS:
            scores = found.setdefault(event.arm, {}).setdefault(event.protocol, {})
            scores.setdefault(event.split + METRICS[event.metric], []).append(event.value)
    best = {arm: max(found[arm].values(), key=_validation) for arm in arms if arm in found}
    lines = {arm: {name: _summary(values) for name, values in scores.items()} for arm, scores in best.items()}
    return lines[arms[0]] | {arm: lines[arm] for arm in arms[1:] if arm in lines}


def _validation(scores: dict[str, list[float]]) -> float:
    return next(statistics.fmean(values) for name, values in scores.items() if name.startswith("validation"))


def _summary(values: Sequence[float]) -> list[float | None]:
    """Mean, standard deviation and number."""
    spread = round(statistics.stdev(values), 5) if len(values) > 1 else None
    return [round(statistics.fmean(values), 5), spread, len(values)]


def card(method: str, path: Path = RECORDED) -> str:
    """The recorded table of one method in Markdown, for its card."""
    return "\n".join(shown([line for line in recorded(path) if line["method"] == method]))


def recorded(path: Path = RECORDED) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def shown(lines: Sequence[Line]) -> Iterator[str]:
    """A Markdown table, seeds together: mean and standard deviation of all students' means over seeds."""
    yield "| data | method | preset | bits | bytes | fine-tuned | test | loss | random real, equal bytes |"
    yield "|---|---|---|---|---|---|---|---|---|"
    groups: dict[tuple[Any, ...], dict[int, Line]] = {}
    for line in lines:
        key = tuple(line[name] for name in NAMED if name != "seed")
        groups.setdefault(key, {})[line["seed"]] = line
    for key, seeds in sorted(groups.items(), key=lambda item: (*item[0][:3], -item[0][3], item[0][4])):
        source, method, preset, bits, is_fine_tuned = key
        exact = groups.get((source, method, preset, 32, False), {})
        name = next(name for name in ("test", "test skill") if name in next(iter(seeds.values())))
        score = _over_seeds([line[name][0] for line in seeds.values()])
        real = _of_real([tuple(line["random_real"][name]) for line in seeds.values() if "random_real" in line])
        lost = [100 * (exact[seed][name][0] - line[name][0]) for seed, line in seeds.items() if seed in exact]
        loss = f"{statistics.fmean(lost):+.1f}" if lost and bits != 32 else ""
        size = next(iter(seeds.values()))["num_bytes"]
        tuned = "yes" if is_fine_tuned else ""
        yield f"| {source} | {method} | {preset} | {bits} | {size:,} | {tuned} | {score} | {loss} | {real} |"


def _over_seeds(means: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(means):.1f}" if len(means) > 1 else ""
    return f"{100 * statistics.fmean(means):.1f}{spread} (n = {len(means)})" if means else ""


def _of_real(found: Sequence[tuple[Any, ...]]) -> str:
    """Real data under standard training do not depend on a run's seed: measured once, their students are counted."""
    if len(found) > 1 and len(set(found)) == 1 and found[0][1] is not None:
        mean, spread, num = found[0]
        return f"{100 * mean:.1f} ± {100 * spread:.1f} ({num} students)"
    return _over_seeds([mean for mean, *_ in found])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each width of storage costs.")
    parser.add_argument("--source", default="digits")
    parser.add_argument("--methods", nargs="+", default=["bilevel"])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--bits", nargs="*", type=int, default=list(WIDTHS), help="widths to round to afterwards")
    parser.add_argument("--fine-tune", nargs="*", type=int, default=[], help="widths to fine-tune for")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--to", type=Path, default=RECORDED)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    path = options.show or options.to
    lines = recorded(path)
    for method in () if options.show else options.methods:
        for seed in options.seeds:
            for few, asked in [(0, options.bits), *((bits, [bits]) for bits in options.fine_tune)]:
                named = (options.source, method, options.preset, seed)
                known = [line["bits"] for line in lines if _key(line) == (*named, line["bits"], few > 0)]
                missing = [bits for bits in asked if bits not in known]
                if not missing:
                    continue
                request = request_from_preset(options.source, method, options.preset, seed=seed)
                config = request.config | {"store_bits": str(few) if few else "float32"}
                for line in measured(request.model_copy(update={"config": config}), missing, options.device):
                    lines.append(line)
                    path.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines))
                    print(json.dumps(line), flush=True)
    print("\n".join(shown(lines)))


def _key(line: Line) -> tuple[Any, ...]:
    return tuple(line[name] for name in NAMED)


if __name__ == "__main__":
    main()
