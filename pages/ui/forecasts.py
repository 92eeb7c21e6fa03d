"""Runs that forecast prices: how far they get, how well networks forecast, and what the set keeps and reveals of real prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import services, words
from pages.ui.pictures import QUIET

NAIVE_NAMES = {arm: f"{figures.arm_name(arm)}, no network" for arm in figures.NAIVE_ARMS}


def target(row: engine.RunRow) -> str:
    """What a run forecasts."""
    return row.request.data.windows.target


def about_skill(row: engine.RunRow) -> str:
    """What skill is, in a sentence."""
    error = "log loss" if target(row) == "direction" else "squared error"
    return (
        f"Skill: the share of the {error} of {engine.reference_in_words(target(row))} that a forecast takes away; 100 % is perfect, 0 % is no better, "
        "below is worse."
    )


# ---------------------------------------------------------------------------------------------- a run on its way


def cards(row: engine.RunRow, series: Mapping[str, Any], scores: Sequence[engine.Scored]) -> list[tuple[str, str, str]]:
    """Label, value and note of what a run has reached, and of what it is held against, before storage and time."""
    if row.status == "done" or row.action == "evaluate":
        best = engine.best_by_arm(scores, words.student_config(row).name)
        shown = [
            _score_card("Distilled, test skill", best.get("distilled")),
            _score_card("Random real, same size", best.get("random_real")),
        ]
        if "kmeans_real" in best:
            shown.append(_score_card("k-means real, same size", best["kmeans_real"]))
        return [*shown, _naive_card(row, best), _score_card("Full data", best.get("full"))]
    return [_validation_card(series, scores), _baseline_card(scores), _naive_card(row, {})]


def _score_card(label: str, found: engine.Row | None) -> tuple[str, str, str]:
    if found is None:
        return label, formats.NOTHING, "not measured"
    students = formats.counted(found.n, "student")
    return label, formats.percent(found.mean), f"± {100 * found.std:.1f}, {students}" if found.n > 1 else students


def _validation_card(series: Mapping[str, Any], scores: Sequence[engine.Scored]) -> tuple[str, str, str]:
    label, found, real = "Skill, validation", series.get("validation_skill"), engine.baseline(scores)
    if found is None or not len(found.values):
        return label, formats.NOTHING, "not measured yet"
    now = float(found.values[-1])
    note = f"at step {int(found.steps[-1]):,}"
    if real is not None:
        note = f"{abs(100 * (now - real.mean)):.1f} points {'over' if now >= real.mean else 'under'} random"
    return label, formats.percent(now), note


def _baseline_card(scores: Sequence[engine.Scored]) -> tuple[str, str, str]:
    label, found = "Random real, same size", engine.baseline(scores)
    if found is None:
        return label, formats.NOTHING, "not measured yet"
    return label, formats.percent(found.mean), f"validation, {formats.counted(found.n, 'student')}"


def _naive_card(row: engine.RunRow, best: Mapping[str, engine.Row]) -> tuple[str, str, str]:
    """The better forecast of no network; what skill counts from where none was measured."""
    found = [best[arm] for arm in figures.NAIVE_ARMS if arm in best]
    if not found:
        return "Naive forecast", formats.percent(0.0), engine.reference_in_words(target(row)).removeprefix("the ")
    better = max(found, key=lambda score: score.mean)
    is_mean = better.arm == "train_mean" and target(row) == "direction"
    name = "training frequencies" if is_mean else figures.arm_name(better.arm).lower()
    return "Naive forecast", formats.percent(better.mean), name


def show_validation(row: engine.RunRow, series: Mapping[str, Any], scores: Sequence[engine.Scored]) -> None:
    """The skill on validation windows over the outer steps, beside that of random real ones."""
    st.subheader("Skill, validation", anchor=False)
    if "validation_skill" not in series:
        st.caption("Students are tried on validation windows every now and then; the first skill appears here.")
        return
    real = engine.baseline(scores)
    st.plotly_chart(
        figures.curve(
            "validation_skill", series, height=300, reference=("random real, same size", real.mean) if real is not None else None
        ),
        key=f"validation {row.id}", config=QUIET,
        alt="Skill on validation windows over the outer steps, with that of random real windows of the same number",
    )  # fmt: skip
    st.caption(about_skill(row))


# ---------------------------------------------------------------------------------------------- how it came out


def show_verdict(row: engine.RunRow) -> None:
    """Whether anything beats a naive forecast, said plainly; nothing before it is known."""
    found = services.store().analyses(row.id).get("verdict")
    if found:
        st.info(words.escaped(found["sentence"]), icon=":material/balance:")


def outcome(row: engine.RunRow, scores: Sequence[engine.Scored]) -> str:
    """The skill of each arm in one sentence, each under its better protocol."""
    best = engine.best_by_arm(scores, words.student_config(row).name)
    parts = []
    for arm, said in (
        ("distilled", "Trained on {n}"),
        ("random_real", "on {n}"),
        ("kmeans_real", "on as many chosen by k-means"),
        ("full", "on all {n}"),
    ):
        if arm in best:
            noun = {"distilled": "distilled sequence", "random_real": "random real window"}.get(arm, "real window")
            what = said.format(n=formats.counted(best[arm].num_samples, noun))
            parts.append(f"{what}: **{formats.percent(best[arm].mean)}**")
    if not parts:
        return "No score has been measured yet."
    return f"{'; '.join(parts)} of the error of {engine.reference_in_words(target(row))} taken away on test windows."


def show_metrics(row: engine.RunRow, scores: Sequence[engine.Scored], student: str) -> None:
    """A line an arm: every metric of its better protocol, and the interval of its skill over time."""
    found = engine.by_measure(scores, student)
    arms = [arm for arm in figures.ARM_NAMES if any(arm == known for known, _ in found)]
    if not arms:
        return
    intervals = services.store().analyses(row.id).get("intervals", {}).get(student, {})
    columns: dict[str, list[str]] = {"Trained on": [_arm(arm) for arm in arms]}
    for metric in figures.MEASURES:
        of_arm = [found.get((arm, metric)) for arm in arms]
        if any(of_arm) and not (metric == "skill_last_value" and target(row) in ("close", "both")):  # the same as skill
            columns[_titled(metric)] = [_shown(score, metric) for score in of_arm]
        if metric == "skill":
            columns["95 % interval (%)"] = [
                _interval(intervals.get(arm, {}).get("skill")) if (arm, "skill") in found else formats.NOTHING
                for arm in arms
            ]
    columns["n"] = [str(max(score.n for (known, _), score in found.items() if known == arm)) for arm in arms]
    st.table(columns, border="horizontal", hide_index=True, alt="Metrics of each arm and of the naive forecasts")
    st.caption(
        "Mean ± standard deviation over n students, test windows of all tokens together. The interval is that of the skill when blocks of "
        f"dates, and the students, are drawn again, by bootstrap. {about_skill(row)}"
    )


def show_tokens(row: engine.RunRow, scores: Sequence[engine.Scored], student: str) -> None:
    """One metric of every arm, a column a token."""
    found = {
        (arm, *metric.split("@", 1)): score
        for (arm, metric), score in engine.by_measure(scores, student).items()
        if "@" in metric
    }
    metrics = [metric for metric in figures.MEASURES if any(metric == known for _, known, _ in found)]
    tokens = list(dict.fromkeys(token for _, _, token in found))
    if not metrics or not tokens:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Token by token", anchor=False, width="content")
        metric = st.selectbox(
            "Metric", metrics, format_func=_titled, key=f"token metric {row.id}", width=220, label_visibility="collapsed"
        )  # fmt: skip
    arms = [arm for arm in figures.ARM_NAMES if any((arm, metric, token) in found for token in tokens)]
    columns = {"Trained on": [_arm(arm) for arm in arms]}
    for token in tokens:
        columns[words.escaped(token)] = [_shown(found.get((arm, metric, token)), metric) for arm in arms]
    st.table(
        columns, border="horizontal", hide_index=True, alt=f"{figures.MEASURES[metric]} of each arm, a column a token"
    )


def show_results(row: engine.RunRow, scores: Sequence[engine.Scored]) -> None:
    """The metrics of the run's own student, token by token too, and its forecasts by date."""
    student = words.student_config(row).name
    show_metrics(row, scores, student)
    show_tokens(row, scores, student)
    show_forecasts(row)


def _shown(score: engine.Row | None, metric: str) -> str:
    """A metric on one line, shares in per cent without the sign."""
    return figures.measured(score, metric, unit="").replace(" ", "\u00a0")


def _titled(metric: str) -> str:
    return figures.MEASURES[metric] if metric in figures.PLAIN_MEASURES else f"{figures.MEASURES[metric]} (%)"


def _arm(arm: str) -> str:
    return NAIVE_NAMES.get(arm) or figures.arm_name(arm)


def _interval(ends: Sequence[float] | None) -> str:
    if ends is None:
        return formats.NOTHING
    low, high = (formats.percent(end).removesuffix(" %") for end in ends)
    return f"{low}\u00a0to\u00a0{high}"


# ---------------------------------------------------------------------------------------------- charts of the result


def show_forecasts(row: engine.RunRow, key: str = "") -> None:
    """Forecast against truth by date, a token at a time. key: one a place of the page."""
    found = services.store().analyses(row.id).get("forecasts")
    if not found or not found.get("tokens"):
        return
    tokens = {each["token"]: each for each in found["tokens"]}
    is_return = found["target"] in ("close", "both")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            st.subheader("Forecast and truth", anchor=False, width="content")
            with st.container(horizontal=True, vertical_alignment="bottom", width="content", gap="small"):
                token = st.selectbox("Token", list(tokens), key=f"{key}forecast token {row.id}", width=180)
                as_prices = False
                if is_return:
                    way = st.segmented_control(
                        "Shown as",
                        ["Returns", "Prices"],
                        default="Returns",
                        required=True,
                        key=f"{key}forecast way {row.id}",
                    )
                    as_prices = way == "Prices"
        st.plotly_chart(
            figures.forecast(tokens[token], found["target"], as_prices=as_prices), key=f"{key}forecast {row.id}", config=QUIET,
            alt=f"What happened to {token} in the test part, and what was forecast, by date",
        )  # fmt: skip
        ahead = formats.counted(found.get("horizon", 1), "bar")
        st.caption(
            f"The latest test windows by the date of their last bar, forecasts {ahead} ahead, the mean over students; press a name to show or hide its line. "
            + (
                "As prices every forecast lies on the truth, the last value too: what counts is the difference to it, the return."
                if as_prices
                else "A forecast that moves less than the truth is no fault: what cannot be known is best left out."
            )
        )


def show_findings(row: engine.RunRow, key: str = "") -> None:
    """What the set reveals and what it keeps of real prices, and how it serves a new token. key: one a place of the page."""
    found = _findings(row)
    if not found:
        st.caption("Measured when the outer steps are done.")
    for name, values in found.items():
        with st.container(border=True):
            FINDINGS[_kind(name)](row, values, f"{key}{name} ")


def has_findings(row: engine.RunRow) -> bool:
    """Whether privacy, stylised facts or adaptation were measured."""
    return bool(_findings(row))


def _findings(row: engine.RunRow) -> dict[str, dict[str, Any]]:
    """{name: values} of the analyses that are no scores, in the order they are shown."""
    found = services.store().analyses(row.id)
    names = [name for name in found if _kind(name) in FINDINGS]
    return {name: found[name] for name in sorted(names, key=lambda name: list(FINDINGS).index(_kind(name)))}


def _kind(name: str) -> str:
    """What an analysis is: "adaptation" of "adaptation:prices:gold"."""
    return name.partition(":")[0]


def _privacy(row: engine.RunRow, values: Mapping[str, Any], key: str) -> None:
    st.markdown("**Does it reveal real prices?**")
    st.markdown(words.escaped(values["sentence"]))
    auc = values["membership"]
    with st.grid(3, min_column_width=230):
        for label, value, note in (
            ("Distance to the nearest", formats.times(values["ratio"]), "of that between real windows"),
            (
                "Membership, AUC",
                f"{auc['auc']:.2f}",
                f"95 %: {auc['low']:.2f} to {auc['high']:.2f}; 0.5 reveals nothing",
            ),
        ):
            st.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")
    st.plotly_chart(
        figures.nearest_distances(values), key=f"{key}distances {row.id}", config=QUIET,
        alt="Distances of distilled sequences to their nearest real training window, over those between real windows",
    )  # fmt: skip


def _facts(row: engine.RunRow, values: Mapping[str, Any], key: str) -> None:
    st.markdown("**Does it look like prices?**")
    with st.grid(3, min_column_width=280):
        for title, figure, alt in (
            ("Fat tails", figures.tails(values), "How returns are spread in distilled and real bars, and in a normal distribution"),
            ("Returns hardly repeat", figures.autocorrelation(values, "acf_returns"), "Autocorrelation of returns by lag, distilled and real"),
            ("Wild times cluster", figures.autocorrelation(values, "acf_squared"), "Autocorrelation of squared returns by lag, distilled and real"),
        ):  # fmt: skip
            with st.container():
                st.caption(title)
                st.plotly_chart(figure, key=f"{key}{title} {row.id}", config=QUIET, alt=alt)
    st.caption(
        "Stylised facts of markets: returns have fatter tails than a normal distribution, hardly depend on earlier ones, but their size does. "
        "A distilled sequence need not look so: it is made to teach. Whiskers: where 95 % of as many real windows lie, drawn at random."
    )


def _adaptation(row: engine.RunRow, values: Mapping[str, Any], key: str) -> None:
    st.markdown(f"**A head start on {words.escaped(values['token'])}?**")
    st.plotly_chart(
        figures.adaptation(values), key=f"{key}curve {row.id}", config=QUIET,
        alt=f"Error on {values['token']} over steps of fine-tuning, after the distilled set and from scratch",
    )  # fmt: skip
    st.caption(
        "A token that the set was not made from: networks trained on the distilled set first, and others from scratch, are fine-tuned on few windows "
        "of it. Shades: one standard deviation over students."
    )


FINDINGS = {"privacy": _privacy, "facts": _facts, "adaptation": _adaptation}
"""Analyses that are no scores, and what draws each."""
