"""Distilled sequences of price bars for other programs: tables, arrays, and the program that trains on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from engine.core.config import StudentConfig, WindowConfig
from engine.data.prices.bars import COLUMNS, Bars
from engine.data.prices.scaling import FIELDS
from engine.data.prices.writing import to_csv
from engine.figures import formats
from engine.runs import tables
from engine.runs.forecast_template import forecast_script
from engine.synthetic.candles import OUTPUTS, CandleSet

FIRST_BAR = 946_684_800
"""1 January 2000, 0:00 UTC: the date that a sequence's first bar is given."""
DAY = 86_400


def sequence_files(synthetic: CandleSet) -> Iterator[tuple[str, bytes]]:
    """(name, content) of one CSV file a sequence, `date,open,high,low,close,volume`, in the columns that price files are read from.

    Names are plain letters, digits and hyphens, numbered within each token: "sequences/BTC_0.csv". Dates are made up.
    """
    count: Counter[str] = Counter()
    for token, bars in zip(synthetic.sample_names(), synthetic.bars(), strict=True):
        plain = _plain(token)
        number = count[plain.casefold()]
        count[plain.casefold()] += 1
        yield f"sequences/{plain}_{number}.csv", to_csv(_history(token, bars)).encode()


def candles(synthetic: CandleSet) -> bytes:
    """All bars in one table, a line each: token, sequence, bar and date before the prices; the latter two begin anew in each sequence."""
    lines = []
    for sequence, (token, table) in enumerate(zip(synthetic.sample_names(), synthetic.bars(), strict=True)):
        times = _history(token, table).times.astype("datetime64[s]").astype("datetime64[D]")
        lines += [
            (token, sequence, bar, str(date), *map(float, values))
            for bar, (date, values) in enumerate(zip(times, table, strict=True))
        ]
    return tables.to_csv(("token", "sequence", "bar", "date", *COLUMNS), lines)


def targets(synthetic: CandleSet) -> bytes:
    """What a student is told of each sequence: token and sequence, the targets as they are trained on, and the forecast return."""
    _, told = synthetic.materialise()
    outputs = OUTPUTS[synthetic.spec.task]
    lines = [(token, number, *row) for number, (token, row) in enumerate(zip(synthetic.sample_names(), told.tolist(), strict=True))]  # fmt: skip
    head = ["token", "sequence", *outputs]
    if outputs[0] in ("close", "volatility"):
        values = synthetic.preparation.values(told[:, 0], synthetic.tokens).tolist()
        head.append("log_return" if outputs[0] == "close" else "absolute_log_return")
        lines = [(*line, value) for line, value in zip(lines, values, strict=True)]
    return tables.to_csv(head, lines)


def arrays(synthetic: CandleSet) -> dict[str, np.ndarray]:
    """The set and its training for numpy.

    bars (M, T, 5). inputs (M, T, F) and targets (M, D) as a student sees them: inputs = (features - feature_shift) /
    feature_scale of the token, and the same of a close or volatility. tokens (M,): places in token_names.
    """
    inputs, told = synthetic.materialise()
    training, scaling = synthetic.training, synthetic.preparation
    found = {
        "bars": synthetic.bars(),
        "inputs": inputs.float().numpy(),
        "targets": told.float().numpy(),
        "tokens": synthetic.tokens.numpy(),
        "token_names": np.array(synthetic.spec.class_names, dtype=np.str_),
        "outputs": np.array(OUTPUTS[synthetic.spec.task], dtype=np.str_),
        "features": np.array(scaling.kind),
        "rule": np.array(training.rule),
        "learned_rates": synthetic.rates.detach().float().numpy(),
        "num_steps": np.array(training.num_steps),
        "batch_size": np.array(training.batch_size),
        **{name: getattr(scaling, name).numpy() for name in FIELDS},
    }
    if training.start_seed is not None:
        found["start_seed"] = np.array(training.start_seed)
    return found


def program(
    synthetic: CandleSet, student: StudentConfig, windows: WindowConfig, num_steps: int | None, recorded: str
) -> bytes:
    """train.py. num_steps: the length that was chosen for it; as the set was made for if None. recorded: the skill measured then."""
    training = synthetic.training
    if num_steps is not None:
        training = replace(training, num_steps=num_steps)
    text = forecast_script(student, synthetic.spec, synthetic.num_samples, training, windows, recorded=recorded)
    return text.encode()


def readme(synthetic: CandleSet, title: str, note: str) -> bytes:
    """What each file is. title: run, data set, status and step. note: what PNG files carry, as a clause."""
    sequences = formats.counted(synthetic.num_samples, "sequence")
    return f"""\
{title}

train.py            trains a network on the sequences with torch alone and forecasts a file of prices: python train.py TOKEN PRICES.csv
candles.csv         every bar of the {sequences} in one table: token, sequence, bar, date, open, high, low, close, volume
targets.csv         what a network is told of each sequence: as it is trained on, and as a log return
sequences/          each sequence as a file of its own, date,open,high,low,close,volume, which programs for prices read
distilled.npz       arrays for numpy: bars, inputs (as a network sees them), targets, tokens, learned_rates, and how all was scaled
result.safetensors  the same set as this program keeps it; it can be loaded back in, evaluated again and begun from
images/, grid.png   small pictures of the sequences{note}
scores.csv          every network that was trained and tested, and the naive forecasts, a line each; empty but for its first line if there were none
report.html         curves, candles, forecasts, comparison, recipe and versions in one page that needs no network
request.json        what was asked for: python -m engine distill request.json repeats the run

The sequences are no history of any market: they were learned so that networks trained on them forecast well. Their dates are made
up, a day a bar from 2000-01-01 on, and where bars were seen as returns, the close before the first bar is 100.
""".encode()


def _history(token: str, bars: np.ndarray) -> Bars:
    """Bars (T, 5) with made-up dates."""
    return Bars(token, FIRST_BAR + DAY * np.arange(len(bars)), bars[:, :4], bars[:, 4])


def _plain(token: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", token).strip("-")[:40].strip("-") or "token"
