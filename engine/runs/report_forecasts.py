"""The sections of a report that runs on prices have: how well networks forecast, and what the sequences keep and reveal of real prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import torch

from engine import figures
from engine.core.errors import DataError
from engine.core.events import CandleView, Scored
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.scores import SKILL, Row, by_measure
from engine.figures import formats
from engine.runs.report_pieces import Charts, table
from engine.runs.store import RunRow, Store
from engine.synthetic import load

SHOWN = 12
"""Sequences that are drawn."""
NO_NETWORK = "naive forecast"
ARMS = {
    "distilled": "distilled sequence",
    "random_real": "random real window",
    "kmeans_real": "real window chosen by k-means",
    "full": "real window",
}


def verdict(store: Store, row: RunRow, best: Mapping[str, Row]) -> str:
    """The test skill of each arm in one sentence, and whether anything beats a naive forecast; empty where nothing was measured.

    best: of the run's own student, a row an arm.
    """
    parts = [f"<strong>{formats.percent(best[arm].mean)}</strong> on {_amount(arm, best[arm])}" for arm in ARMS if arm in best]  # fmt: skip
    if not parts:
        return ""
    naive = reference_in_words(row.request.data.windows.target)
    sentence = f"Skill of networks against {naive}: trained {'; '.join(parts)}."
    found = store.analyses(row.id).get("verdict")
    return f"{sentence} {escape(found['sentence'])}" if found else sentence


def _amount(arm: str, row: Row) -> str:
    amount = formats.counted(row.num_samples, ARMS[arm], ARMS[arm].replace("window", "windows", 1).replace("sequence", "sequences"))  # fmt: skip
    return f"all {amount}" if arm == "full" else amount


def measures(store: Store, row: RunRow, scores: Sequence[Scored], student: str) -> list[str]:
    """Every measure of each arm and of the naive forecasts, all tokens together and one by one, and what it costs."""
    found = by_measure(scores, student)
    return [*_table(store, row, found, student), *_tokens(found), *_ratios(row)]


def _arms(found: Mapping[tuple[str, str], Row]) -> list[str]:
    """Those that were measured, in the order they are shown."""
    return [arm for arm in figures.ARM_NAMES if any(arm == measured for measured, _ in found)]


def _table(store: Store, row: RunRow, found: Mapping[tuple[str, str], Row], student: str) -> list[str]:
    arms, measured = _arms(found), {metric for _, metric in found} - {SKILL}
    metrics = [metric for metric in figures.MEASURES if metric in measured]
    if not arms:
        return []
    intervals = store.analyses(row.id).get("intervals", {}).get(student, {})
    lines = [
        (
            _name(arm),
            figures.measured(found.get((arm, SKILL)), SKILL),
            _interval(intervals.get(arm, {}).get(SKILL)),
            *(figures.measured(found.get((arm, metric)), metric) for metric in metrics),
            str(max(each.n for (known, _), each in found.items() if known == arm)),
        )
        for arm in arms
    ]
    head = (
        "Trained on",
        figures.MEASURES[SKILL],
        "95 % interval",
        *(figures.MEASURES[metric] for metric in metrics),
        "n",
    )
    error = "log loss" if row.request.data.windows.target == "direction" else "squared error"
    return [
        "<section><h2>Forecasts</h2>",
        f'<div class="wide">{table(lines, head, "scores")}</div>',
        f'<p class="faint">Test windows of all tokens together, mean ± standard deviation over n networks. Skill: the share of the {error} of {escape(reference_in_words(row.request.data.windows.target))} that a forecast takes away; 0 % is no better, below is worse. The interval is that of the skill when blocks of dates, and the networks, are drawn again, by bootstrap.</p></section>',
    ]


def _tokens(found: Mapping[tuple[str, str], Row]) -> list[str]:
    """A table a measure that was taken token by token: RMSE, or the skill where there is none."""
    each = {(arm, *metric.split("@", 1)): row for (arm, metric), row in found.items() if "@" in metric}
    metric = next((name for name in ("rmse", SKILL) if any(name == known for _, known, _ in each)), None)
    if metric is None:
        return []
    tokens = dict.fromkeys(token for _, known, token in each if known == metric)
    lines = [
        (_name(arm), *(figures.measured(each.get((arm, metric, token)), metric) for token in tokens))
        for arm in _arms(found)
        if any((arm, metric, token) in each for token in tokens)
    ]
    return [
        f"<section><h3>{figures.MEASURES[metric]}, token by token</h3>",
        f'<div class="wide">{table(lines, ("Trained on", *tokens), "scores")}</div></section>',
    ]


def _ratios(row: RunRow) -> list[str]:
    """Error, time and bytes against the full data."""
    found = row.summary
    errors, speed_ups = found.get("error_ratio", {}), found.get("speed_up", {})
    lines = [
        *(
            (f"Error, {figures.protocol_name(protocol).lower()}", formats.percent(value), "Loss on test windows after training on the sequences, of that after training on all windows.")
            for protocol, value in errors.items()
        ),
        *(
            (f"Speed-up, {figures.protocol_name(protocol).lower()}", formats.times(value), "Seconds of training on all windows, as a multiple of those on the sequences.")
            for protocol, value in speed_ups.items()
        ),
        ("Compression", formats.ratio(found["compression"]) if found.get("compression") else "", "Bytes of the sequences to those of the training windows, targets among both."),
    ]  # fmt: skip
    lines = [line for line in lines if line[1]]
    return ["<section><h2>Against the full data</h2>", table(lines, (), "numbers"), "</section>"] if lines else []


def _name(arm: str) -> str:
    return f"{figures.arm_name(arm)}, {NO_NETWORK}" if arm in figures.NAIVE_ARMS else figures.arm_name(arm)


def _interval(ends: Sequence[float] | None) -> str:
    if ends is None:
        return formats.NOTHING
    low, high = (formats.percent(end).removesuffix(" %") for end in ends)
    return f"{low} to {high} %"


def sequences(store: Store, row: RunRow, view: CandleView, charts: Charts, caption: str) -> list[str]:
    """The distilled sequences as candles, each with what a network is told of it. caption: what they are, as plain text."""
    told = figures.target_words(view, _values(store, row, view))
    views = [(f"{token}: {words}", bars) for token, words, bars in zip(view.tokens, told, view.bars, strict=True)]
    meaning = "Candlesticks and volume of the distilled sequences, with what a network is told of each"
    chart = charts.add(figures.candle_grid(views[:SHOWN], columns=2), meaning)
    if len(views) > SHOWN:
        caption += f", the first {SHOWN} of them"
    return [
        "<section><h2>The distilled sequences</h2>",
        f'<div class="chart-alone">{chart}</div>',
        f'<p class="faint">{escape(caption)}. Hollow candles rise, filled ones fall. The sequences were learned and are no history of a market.</p></section>',
    ]


def _values(store: Store, row: RunRow, view: CandleView) -> np.ndarray | None:
    """(M,) log returns that the sequences are told of, or their absolute values; None without a result that tells their scale."""
    path = store.result(row.id)
    if path is None or view.outputs[0] not in ("close", "volatility"):
        return None
    try:
        synthetic = load(path)
    except DataError:
        return None
    names = synthetic.spec.class_names
    if synthetic.preparation is None or not set(view.tokens) <= set(names):
        return None
    tokens = torch.tensor([names.index(token) for token in view.tokens])
    return synthetic.preparation.values(torch.from_numpy(view.targets[:, 0]), tokens)


def analyses(store: Store, row: RunRow, charts: Charts) -> list[str]:
    """Forecasts beside the truth, privacy, stylised facts and adaptation, as far as they are known."""
    found = store.analyses(row.id)
    return [
        *_forecasts(found.get("forecasts"), charts),
        *_privacy(found.get("privacy"), charts),
        *_facts(found.get("facts"), charts),
        *_adaptation([values for name, values in found.items() if name.partition(":")[0] == "adaptation"], charts),
    ]


def _forecasts(values: Mapping[str, Any] | None, charts: Charts) -> list[str]:
    if not values or not values.get("tokens"):
        return []
    places = []
    for token in values["tokens"]:
        meaning = f"What happened to {token['token']} in the test part, and what was forecast, by date"
        drawn = charts.add(figures.forecast(token, values["target"]), meaning)
        places.append(f'<h3>{escape(token["token"])}</h3><div class="chart-alone">{drawn}</div>')
    ahead = formats.counted(values.get("horizon", 1), "bar")
    return [
        "<section><h2>Forecast and truth</h2>",
        *places,
        f'<p class="faint">Test windows by the date of their last bar, forecasts {ahead} ahead, the mean over networks. A forecast that moves less than the truth is no fault: what cannot be known is best left out.</p></section>',
    ]


def _privacy(values: Mapping[str, Any] | None, charts: Charts) -> list[str]:
    if not values:
        return []
    attack = values["membership"]
    chance = f", {attack['chance']:.2f} is due to the times alone" if "chance" in attack else ""
    lines = [
        ("Distance to the nearest real window", formats.times(values["ratio"]), "Of distilled sequences, as a multiple of that between real windows that share no bar."),
        ("Membership inference, AUC", f"{attack['auc']:.2f}", f"95 %: {attack['low']:.2f} to {attack['high']:.2f}. How well the distance to the set tells training windows from later ones; 0.5 reveals nothing{chance}."),
    ]  # fmt: skip
    chart = charts.add(figures.nearest_distances(values), "Distances of distilled and of real windows to the nearest real window")  # fmt: skip
    return [
        "<section><h2>Does it reveal real prices?</h2>",
        f"<p>{escape(values['sentence'])}</p>",
        table(lines, (), "numbers"),
        f'<div class="chart-alone">{chart}</div></section>',
    ]


def _facts(values: Mapping[str, Any] | None, charts: Charts) -> list[str]:
    if not values:
        return []
    drawn = [
        ("Tails of returns", figures.tails(values), "How returns are spread in distilled and in real bars"),
        ("Autocorrelation of returns", figures.autocorrelation(values, "acf_returns"), "Autocorrelation of returns, distilled and real, by lag"),
        ("Autocorrelation of squared returns", figures.autocorrelation(values, "acf_squared"), "Autocorrelation of squared returns, distilled and real, by lag"),
    ]  # fmt: skip
    places = [f"<div><h3>{title}</h3>{charts.add(figure, meaning)}</div>" for title, figure, meaning in drawn]
    return [
        "<section><h2>Does it look like real prices?</h2>",
        '<div class="charts">',
        *places,
        '</div><p class="faint">Stylised facts of markets: returns have fatter tails than a normal distribution, hardly depend on earlier ones, but their size does. A distilled sequence need not look so: it is made to teach. With few sequences these figures are rough.</p></section>',
    ]


def _adaptation(found: Sequence[Mapping[str, Any]], charts: Charts) -> list[str]:
    """A chart for each new token."""
    parts = []
    for values in found:
        token = values["token"]
        chart = charts.add(figures.adaptation(values), f"Error on {token} over steps of fine-tuning, after the distilled set and from scratch")  # fmt: skip
        parts += [f"<h3>{escape(token)}</h3>", f'<div class="chart-alone">{chart}</div>']
    if not parts:
        return []
    return [
        "<section><h2>A head start on a new token?</h2>",
        *parts,
        '<p class="faint">Prices that the set was not made from: networks trained on the distilled set first, and others from scratch, are fine-tuned on few windows of them. Shades: one standard deviation over networks.</p></section>',
    ]
