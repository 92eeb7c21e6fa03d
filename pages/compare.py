"""Compare: a network trained on the distilled set against real data of the same size and all the data.

One run (?run=0007), several (?run=0007&run=0009), or the runs of a sweep (?sweep=ab12cd34).
"""

from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import (
    candles,
    cards,
    differences,
    downloads,
    forecasts,
    frame,
    live,
    pictures,
    representations,
    services,
    sweep,
    words,
)

frame.ensure()

COUNTED = "Synthetic and random real samples are counted alike, 4 bytes a value; the full set at the 1 byte a value of its files."
COUNTED_WINDOWS = (
    "Every arm is counted alike, 4 bytes a value; of the full set each bar counts as often as it is in a window."
)


RECORDED = {
    "experts": "recorded experts, so it has no scores",
    "teacher": "trained a teacher, so it has no scores",
}
"""Why a recording is not compared."""
MAX_OVERLAID = 12
"""Runs whose curves and images are shown together; more could not be told apart."""


def choose(rows: Sequence[engine.RunRow]) -> list[engine.RunRow]:
    """The runs to compare: those picked, at first the ones in the address, the ticked ones, or the newest with scores."""
    by_id = {row.id: row for row in rows}
    # asked of the store, which says so if there is no such run
    asked = {row.id: row for row in map(services.store().run, st.query_params.get_all("run"))}
    named = list(asked)
    for run_id, row in asked.items():
        if run_id not in by_id:
            why = RECORDED[engine.titles.recorded(row.method)] if row.action == "record" else "has not begun yet"
            st.info(f"Run {words.escaped(run_id)} {why}.", icon=":material/schedule:")
    wanted = [run_id for run_id in named if run_id in by_id]
    if not named:
        wanted = [row.id for row in cards.ticked(rows)]
    newest = next((row.id for row in rows if row.status == "done"), rows[0].id)
    picked = st.multiselect(
        "Runs",
        list(by_id),
        default=wanted or [newest],
        format_func=lambda run_id: f"{run_id} · {words.run_title(by_id[run_id])}",
        key=f"compared runs {named or wanted}",
        placeholder="Choose one or several runs",
    )
    return [by_id[run_id] for run_id in picked]


def show_run(row: engine.RunRow) -> None:
    """Everything about one run: the verdict in words, ratios, a chart and a table an architecture."""
    scores = services.store().scores(row.id)
    everything = engine.summarise(scores)
    found = engine.headlines(everything)
    mine = live.row_student(row)
    own = [score for score in found if score.student == mine]
    st.header(words.escaped(words.run_title(row)), anchor=False)
    if not found and row.status != "done":
        ended = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}.get(row.status)
        st.info(
            f"Run {row.id} {ended} before it was measured."
            if ended
            else f"Run {row.id} has no scores yet. They are measured after its last outer step.",
            icon=":material/schedule:",
        )
        return
    if words.is_forecast(row):
        show_forecasts(row, scores, found, own)
        return
    has_labels = words.has_labels(row)
    st.markdown(verdict(row, scores) if has_labels else representations.verdict(scores, mine))
    show_ratios(row)
    chart, images = st.columns([3, 2], gap="medium")
    with chart, st.container(border=True, height="stretch"):
        st.subheader(f"Test accuracy of {words.escaped(words.student_name(row))}", anchor=False)
        st.plotly_chart(
            figures.scores(own),
            key=f"scores {row.id}",
            config=live.QUIET,
            alt="Test accuracy of each arm under each protocol, with 95 % intervals",
        )
        chosen = "the protocol that did best on validation images" if has_labels else "linear probes"
        st.caption(
            f"Whiskers: 95 % interval of the mean. The sentence on top takes {chosen}. {figures.protocol_notes(own)}"
        )
    with images, st.container(border=True, height="stretch"):
        st.subheader("What it was trained on", anchor=False)
        if steps := services.store().previews(row.id):
            step = pictures.result_step(row, steps)
            st.image(
                pictures.preview_png(row.id, row.created, step, services.theme(), 640, overlay=True),
                caption=pictures.caption(row, step), width="stretch", alt=pictures.alt(row, step),
            )  # fmt: skip
    show_table(own, "Accuracy")
    if has_labels:
        show_over_steps(row, everything)
    else:
        whole = [score for score in everything if score.student == mine]
        representations.show_transfer(row, whole)
        representations.show_likeness(whole)
    show_architectures(row, scores, found)
    if has_labels:
        show_numbers(row, scores)
    elif services.store().analyses(row.id):
        st.subheader("Bases and representations", anchor=False)
        representations.show_analyses(row, "compared ")
    downloads.show(row)
    show_recipes(found)


def show_forecasts(
    row: engine.RunRow, scores: Sequence[engine.Scored], found: Sequence[engine.Row], own: Sequence[engine.Row]
) -> None:
    """The same of a run that forecasts prices: whether anything beats a naive forecast, errors, forecasts by date, privacy."""
    forecasts.show_verdict(row)
    st.markdown(forecasts.outcome(row, scores))
    show_ratios(row)
    with st.container(border=True):
        st.subheader(f"Test skill of {words.escaped(words.student_name(row))}", anchor=False)
        st.plotly_chart(
            figures.scores(own), key=f"scores {row.id}", config=live.QUIET,
            alt="Test skill of each arm under each protocol, with 95 % intervals over students",
        )  # fmt: skip
        st.caption(
            f"Whiskers: 95 % interval of the mean over students. The sentence on top takes the protocol that did best on validation windows. "
            f"{figures.protocol_notes(own)}"
        )
    if steps := services.store().previews(row.id):
        with st.container(border=True):
            st.subheader("What it was trained on", anchor=False)
            candles.show_few(row, pictures.result_step(row, steps))
    st.subheader("Errors", anchor=False)
    forecasts.show_metrics(row, scores, live.row_student(row))
    forecasts.show_tokens(row, scores, live.row_student(row))
    with st.expander("Every protocol", icon=":material/table_rows:"):
        show_table(own, "Skill")
    forecasts.show_forecasts(row, "compared ")
    show_architectures(row, scores, found)
    st.header("Privacy and fidelity", anchor=False)
    forecasts.show_findings(row, "compared ")
    downloads.show(row)
    show_recipes(found)


def show_recipes(found: Sequence[engine.Row]) -> None:
    """How each arm was trained, in words."""
    with st.expander("Recipes", icon=":material/receipt_long:"):
        for recipe, users in recipes(found).items():
            st.markdown(f"**{words.escaped(', '.join(users))}**: {words.escaped(recipe)}")


def verdict(row: engine.RunRow, scores: Sequence) -> str:
    """The outcome in one sentence: distilled against random real against all, each under its better protocol."""
    best = engine.best_by_arm(scores, live.row_student(row))
    parts = []
    if "distilled" in best:
        num = best["distilled"].num_samples
        what = (
            f"one poster of {formats.counted(num, 'patch', 'patches')}"
            if pictures.is_poster(row)
            else formats.counted(num, "synthetic image")
        )
        parts.append(f"Trained on {what}: **{formats.percent(best['distilled'].mean)}**")
    if "random_real" in best:
        parts.append(
            f"on {formats.counted(best['random_real'].num_samples, 'random real image')}: **{formats.percent(best['random_real'].mean)}**"
        )
    if "kmeans_real" in best:
        parts.append(f"on as many chosen by k-means: **{formats.percent(best['kmeans_real'].mean)}**")
    if "full" in best:
        parts.append(f"on all {formats.count(best['full'].num_samples)}: **{formats.percent(best['full'].mean)}**")
    return "; ".join(parts) + " of test images right." if parts else "No score has been measured yet."


def show_ratios(row: engine.RunRow) -> None:
    """Retention, of forecasts the error, and speed-up under each protocol, and compression.

    Without labels all protocols share one pre-training.
    """
    figures_shown = [
        ("Retention", formats.percent(value), protocol, "Accuracy of the distilled set over that of the full set.")
        for protocol, value in row.summary.get("retention", {}).items()
    ]
    figures_shown += [
        (
            "Error, of full",
            formats.percent(value),
            protocol,
            "Error of the distilled set over that of the full set; 100 % is as good.",
        )
        for protocol, value in row.summary.get("error_ratio", {}).items()
    ]
    figures_shown += [
        ("Speed-up", formats.times(value), protocol, "Training time on the full set over that on the distilled set.")
        for protocol, value in row.summary.get("speed_up", {}).items()
        if words.has_labels(row) or words.is_forecast(row) or protocol == "linear_probe"
    ]
    with st.grid(5, min_column_width=165):
        for label, value, protocol, meaning in figures_shown:
            st.metric(
                label,
                value,
                figures.protocol_name(protocol).lower(),
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
                help=meaning,
            )
        if row.summary.get("compression"):
            stored = formats.num_bytes(row.summary.get("num_bytes"))
            st.metric(
                "Compression",
                formats.ratio(row.summary["compression"]),
                f"{stored} stored",
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
                help=COUNTED_WINDOWS if words.is_forecast(row) else COUNTED,
            )


def show_table(scores: Sequence, judged: str) -> None:
    """A line an arm and protocol: mean, deviation, interval, seconds, samples, bytes. judged: "Accuracy" or "Skill"."""
    lines = sorted(scores, key=figures.shown_order)
    st.table(
        {
            "Trained on": [figures.arm_name(score.arm) for score in lines],
            "Protocol": [figures.protocol_name(score.protocol) for score in lines],
            judged: [formats.percent_spread(score.mean, score.std, score.n) for score in lines],
            "n": [str(score.n) for score in lines],
            "95 % interval": [interval(score) for score in lines],
            "Training": [formats.duration(score.seconds) + (" (cached)" if score.cached else "") for score in lines],
            "Samples": [formats.count(score.num_samples) for score in lines],
            "Stored": [formats.num_bytes(score.num_bytes) for score in lines],
        },
        border="horizontal", hide_index=True, alt="Scores of each arm and protocol",
    )  # fmt: skip
    cached = (
        " Cached scores come from an earlier run with the same recipe." if any(score.cached for score in scores) else ""
    )
    counted = COUNTED_WINDOWS if judged == "Skill" else COUNTED
    st.caption(f"Mean ± standard deviation over n students, each with a seed of its own. {counted}{cached}")


def show_over_steps(row: engine.RunRow, found: Sequence[engine.Row]) -> None:
    """How accuracy grew with the inner steps, for sets that are trained on at random for as long as one likes."""
    steps = engine.by_length(found, live.row_student(row))
    if len(steps) < 2:
        return
    with st.container(border=True):
        st.subheader("Accuracy after so many inner steps", anchor=False)
        st.plotly_chart(
            figures.accuracy_over_steps(steps), key=f"over steps {row.id}", config=live.QUIET,
            alt="Test accuracy of each arm over the inner steps, with 95 % intervals",
        )  # fmt: skip
        last = max(steps)
        columns = {"Trained on": [figures.arm_name(arm) for arm in figures.ARM_NAMES if arm in steps[last]]}
        for num_steps, at in steps.items():
            title = f"{formats.count(num_steps)}{' (last)' if num_steps == last else ''}"
            columns[title] = [accuracy(at.get(arm)) for arm in figures.ARM_NAMES if arm in steps[last]]
        chosen = {score.arm: score for score in engine.headlines(found) if is_as_distilled(score, row)}
        columns["Chosen"] = [
            f"{accuracy(chosen[arm])} after {formats.count(chosen[arm].training['num_steps'])}"
            if arm in chosen
            else formats.NOTHING
            for arm in figures.ARM_NAMES
            if arm in steps[last]
        ]
        st.table(columns, border="horizontal", hide_index=True, alt="Accuracy of each arm after so many inner steps")
        st.caption(
            "As distilled, test images. How long to train was chosen on validation images; that length is the one above."
        )


def is_as_distilled(score: engine.Row, row: engine.RunRow) -> bool:
    """Whether a score is of the run's own student, trained as distilled for a number of steps that was chosen."""
    return (score.protocol, score.student) == ("as_distilled", live.row_student(row)) and "num_steps" in score.training


def accuracy(score: engine.Row | None) -> str:
    """A mean with its deviation; a dash where there is none."""
    return formats.NOTHING if score is None else formats.percent_spread(score.mean, score.std, score.n)


def show_architectures(row: engine.RunRow, scores: Sequence[engine.Scored], found: Sequence[engine.Row]) -> None:
    """Every arm with every architecture, where there is more than one: a map, a table, a file, and all scores of the others."""
    cells = {student: arms for student, arms in engine.across(scores).items() if "distilled" in arms}
    if len(cells) < 2:
        return
    mine, judged = live.row_student(row), words.judged_by(row)
    titles = [words.student_name(row) if name == mine else engine.titles.architecture(name) for name in cells]
    arms = figures.matrix_arms(cells)
    st.subheader("Across architectures", anchor=False)
    with st.container(border=True):
        st.plotly_chart(
            figures.matrix(cells, titles), key=f"matrix {row.id}", config=live.QUIET,
            alt=f"Test {judged} by architecture and arm: mean, standard deviation and number of students in each cell",
        )  # fmt: skip
        what = "windows" if words.is_forecast(row) else "images"
        st.caption(
            f"Mean ± standard deviation over n students on test {what}, each cell under the protocol that did best on validation {what}."
            + (" Skill, in %." if words.is_forecast(row) else "")
        )
    columns = {"Architecture": [words.escaped(title) for title in titles]}
    columns |= {figures.arm_name(arm): [in_cell(of.get(arm)) for of in cells.values()] for arm in arms}
    st.table(columns, border="horizontal", hide_index=True, alt=f"Test {judged} by architecture and arm")
    st.download_button(
        "Download table (.csv)", figures.matrix_csv(cells), f"run-{row.id}-architectures.csv", "text/csv",
        icon=":material/table:", on_click="ignore", key=f"matrix csv {row.id}",
    )  # fmt: skip
    for name, title in zip(cells, titles, strict=True):
        if name != mine:
            with st.expander(f"All scores of {words.escaped(title)}", icon=":material/table_rows:"):
                show_table([score for score in found if score.student == name], judged.capitalize())


def in_cell(score: engine.Row | None) -> str:
    """A mean with its deviation and number of students, below it its protocol."""
    if score is None:
        return formats.NOTHING
    number, students = (text.replace(" ", "\u00a0") for text in (accuracy(score), f"(n = {score.n})"))
    return f"{number} {students}  \n:small[:gray[{figures.protocol_name(score.protocol)}]]"


def show_numbers(row: engine.RunRow, scores: Sequence[engine.Scored]) -> None:
    """What papers tell beside accuracy, each with a sentence; of a finished run."""
    if row.status != "done":
        return
    labels = row.summary.get("labels", "")
    st.subheader("Numbers of the field", anchor=False)
    with st.grid(4, min_column_width=210):
        for number in engine.ranking(scores, live.row_student(row), labels):
            with st.container(border=True, height="stretch"):
                st.metric(number.title, formats.field_number(number.value, number.is_score))
                st.caption(f"{number.meaning} {words.escaped(number.lack)}".strip())
    st.caption(
        "As DD-Ranking defines them (Li et al. 2025), from the accuracies above, improvement and recovery weighed alike."
        + engine.about_labels(labels)
    )


def interval(score: object) -> str:
    """The 95 % interval of a mean; none for a single student."""
    return formats.NOTHING if score.n < 2 else f"{100 * score.low:.1f} to {100 * score.high:.1f} %".replace("-", "−")


def recipes(scores: Sequence) -> dict[str, list[str]]:
    """recipe -> the arms trained by it."""
    users: dict[str, list[str]] = {}
    for score in scores:
        if score.recipe:
            who = f"{figures.arm_name(score.arm)} ({figures.protocol_name(score.protocol).lower()}, {engine.titles.architecture(score.student)})"
            users.setdefault(score.recipe, []).append(who)
    return users


def show_together(rows: Sequence[engine.RunRow]) -> None:
    """Several runs side by side: scores, what they cost in bytes, curves, settings, images.

    Runs of images and of forecasts have scores that cannot be held against each other, and each a part of their own.
    """
    for judged in dict.fromkeys(map(words.judged_by, rows)):
        alike = [row for row in rows if words.judged_by(row) == judged]
        protocol = show_scores(alike, judged)
        if judged == "skill":
            show_skill_matrix(alike, protocol)
        for source, target in dict.fromkeys(map(task, alike)):
            show_budgets(source, [row for row in alike if task(row) == (source, target)], protocol, target)
    show_many_over_steps(rows)
    if len(rows) > MAX_OVERLAID:
        st.caption(f"Curves and images of the first {MAX_OVERLAID} of these {len(rows)} runs.")
    shown = rows[:MAX_OVERLAID]
    show_curves(shown)
    with st.container(border=True):
        differences.show(shown)
    show_sets(shown)


ALWAYS = ("as_distilled", "ordinary")
"""Protocols of labelled sets that are offered before they were measured."""


def task(row: engine.RunRow) -> tuple[str, str]:
    """What runs must share for their scores to stand on one axis: the data set, and what is forecast, "" where nothing is."""
    return row.source, words.TARGETS[forecasts.target(row)] if words.is_forecast(row) else ""


def show_scores(rows: Sequence[engine.RunRow], judged: str) -> str:
    """Every arm of each run under one protocol, in a chart and a table; the protocol. judged: "accuracy" or "skill"."""
    is_forecast = judged == "skill"
    with st.container(border=True):
        st.subheader(f"Test {judged}", anchor=False)
        protocols = [
            key
            for key in figures.PROTOCOL_NOTES
            if key in ALWAYS or any(by_arm(row, key).keys() - {"full", *figures.NAIVE_ARMS} for row in rows)
        ]
        if not is_forecast and not all(map(words.has_labels, rows)):
            protocols = [key for key in protocols if any(by_arm(row, key) for row in rows)] or protocols
        protocol = st.segmented_control(
            "Protocol of the synthetic and the small real sets",
            protocols,
            default=protocols[0],
            required=True,
            format_func=figures.protocol_name,
            key="compared protocol of forecasts" if is_forecast else "compared protocol",
        )
        scored = [(row, by_arm(row, protocol)) for row in rows]
        named = [(short_name(row), arm) for row, arms in scored for arm in arms.values()]
        if not named:
            st.caption("None of these runs has scores yet. They are measured after the last outer step.")
            return protocol
        st.plotly_chart(
            figures.runs(named), key=f"runs together {judged} {protocol}", config=live.QUIET,
            alt=f"Test {judged} of the compared runs on each arm, with 95 % intervals",
        )  # fmt: skip
    columns: dict[str, list[str]] = {
        "Run": [f"{row.id} · {words.escaped(words.run_title(row))}" for row in rows],
        "Student": [words.escaped(words.student_name(row)) for row in rows],
    }
    if is_forecast:
        columns["Forecasts"] = [words.TARGETS[forecasts.target(row)] for row in rows]
    for arm in figures.ARM_NAMES:
        if any(arm in arms for _, arms in scored):
            columns[figures.arm_name(arm)] = [sweep.accuracy(arms.get(arm)) for _, arms in scored]
    distilled = [arms.get("distilled") for _, arms in scored]
    columns["n"] = [str(score.n) if score else formats.NOTHING for score in distilled]
    columns["Stored"] = [formats.num_bytes(score.num_bytes if score else None) for score in distilled]
    columns["Distilling"] = [formats.duration(row.summary.get("seconds_distilling")) for row in rows]
    st.table(
        columns, border="horizontal", hide_index=True, alt="Scores of the compared runs, below each its 95 % interval"
    )
    note = (
        f"Skill counts from another forecast for each target, so only runs of one target can be held against each other. {COUNTED_WINDOWS}"
        if is_forecast
        else COUNTED
    )
    st.caption(f"Mean over n students, below it the 95 % interval over the students alone. {note}")
    return protocol


def show_skill_matrix(rows: Sequence[engine.RunRow], protocol: str) -> None:
    """Runs and arms in one map."""
    cells = {row.id: by_arm(row, protocol) for row in rows}
    scored = [row for row in rows if "distilled" in cells[row.id]]
    if len(scored) < 2:
        return
    with st.container(border=True):
        st.subheader("Runs and arms", anchor=False)
        titles = [f"{row.id} {words.TARGETS[forecasts.target(row)]}" for row in scored]
        st.plotly_chart(
            figures.matrix({row.id: cells[row.id] for row in scored}, titles), key=f"skill matrix {protocol}", config=live.QUIET,
            alt="Test skill by run and arm: mean, standard deviation and number of students in each cell",
        )  # fmt: skip
        st.caption("Test skill in %, a line a run.")


def show_budgets(source: str, rows: Sequence[engine.RunRow], protocol: str, target: str) -> None:
    """Accuracy, or skill, against stored bytes of runs on one data set, where their sizes differ; published results beside.

    target: what is forecast, "" where nothing is.
    """
    judged = words.judged_by(rows[0])
    scored = [(row, by_arm(row, protocol)) for row in rows]
    scored = [(row, arms) for row, arms in scored if "distilled" in arms]
    if len({arms["distilled"].num_bytes for _, arms in scored}) < 2:
        return
    where = f"{engine.titles.source(source)}, {target}" if target else engine.titles.source(source)
    with st.container(border=True):
        st.subheader(f"{judged.capitalize()} against bytes: {words.escaped(where)}", anchor=False)
        published = figures.published(source)
        if published and not st.toggle("Published results at full cost", value=True, key=f"published {source}"):
            published = []
        budgeted = [figures.Budgeted(row.id, short_name(row), pictures.is_poster(row), arms) for row, arms in scored]
        st.plotly_chart(
            figures.accuracy_against_bytes(budgeted, published), key=f"bytes {source} {target} {protocol}", config=live.QUIET,
            alt=f"Test {judged} of the compared runs against the bytes they store, with 95 % intervals",
        )  # fmt: skip
        st.caption(
            "Numbers are those of the runs. Whiskers: 95 % interval of the mean. Each run is measured with its own student."
            + (f" {published_note(published)}" if published else "")
        )


def published_note(published: Sequence[figures.Published]) -> str:
    """Where the hollow marks come from, what they cost, and how far to trust them."""
    costs = "; ".join(dict.fromkeys(one.cost for one in published))
    note = f"Hollow marks were published, not measured here: {', '.join(dict.fromkeys(one.method for one in published))}, {costs}; the bytes are those of the pixels."
    if any(one.is_second_hand for one in published):
        note += " Second-hand ones were read in somebody else's account, not in the authors' own."
    return note


def show_many_over_steps(rows: Sequence[engine.RunRow]) -> None:
    """The distilled arm of each run after so many inner steps, in one table; only what was measured so."""
    found = [
        (row, engine.by_length(engine.summarise(services.store().scores(row.id)), live.row_student(row)))
        for row in rows
    ]
    measured = [(row, steps) for row, steps in found if len(steps) > 1]
    if not measured:
        return
    st.subheader("Accuracy after so many inner steps", anchor=False)
    columns = {"Run": [f"{row.id} · {words.escaped(words.run_title(row))}" for row, _ in measured]}
    for num_steps in sorted({num_steps for _, steps in measured for num_steps in steps}):
        columns[formats.count(num_steps)] = [
            sweep.accuracy(steps.get(num_steps, {}).get("distilled")) for _, steps in measured
        ]
    st.table(columns, border="horizontal", hide_index=True, alt="Accuracy of the distilled sets by inner steps")
    st.caption("As distilled, test images. How long to train was chosen on validation images.")


def by_arm(row: engine.RunRow, protocol: str) -> dict[str, engine.Row]:
    """A run's scores of its own student by arm under one protocol.

    The full set of labelled data is only trained as ordinary data, and forecasts of no network are trained in no way.
    """
    found = engine.headlines(engine.summarise(services.store().scores(row.id)))
    return {
        score.arm: score
        for score in found
        if score.student == live.row_student(row)
        and (score.protocol in (protocol, "naive") or (score.arm, score.protocol) == ("full", "ordinary"))
    }


def short_name(row: engine.RunRow) -> str:
    """A run in a legend: number and the beginning of its name, or the end, where that tells the runs of a sweep apart.

    Of a forecast without a name, what it forecasts and how large it is.
    """
    title = words.run_title(row)
    if words.is_forecast(row) and not row.name:
        title = title.rpartition(" · ")[2]
    if len(title) > 24:
        title = f"…{title[-23:]}" if row.sweep else f"{title[:23]}…"
    return f"{row.id} · {title}"


def show_curves(rows: Sequence[engine.RunRow]) -> None:
    """One measured quantity of all runs in one chart."""
    series = {row.id: services.store().series(row.id) for row in rows}
    names = figures.chart_names(list(dict.fromkeys(name for found in series.values() for name in found)))
    if not names:
        return
    with st.container(border=True):
        st.subheader("Curves", anchor=False)
        with st.grid(4, min_column_width=180, vertical_alignment="bottom"):
            name = st.selectbox(
                "Quantity", names, format_func=lambda key: figures.chart_of(key).title, key="compared quantity"
            )
            against = st.segmented_control(
                "Over", ["step", "seconds"], default="step", required=True, key="compared axis",
                format_func={"step": "Outer steps", "seconds": "Time"}.get,
            )  # fmt: skip
            span = st.slider("Smoothing (steps)", 1, 200, 25, key="compared smoothing")
            log = st.toggle("Log scale", key="compared log")
        drawn = [(short_name(row), series[row.id]) for row in rows]
        st.plotly_chart(
            figures.overlay(name, drawn, against=against, span=span, log=log), key="overlay", config=live.QUIET,
            alt=f"{figures.chart_of(name).title} of the compared runs, a line each",
        )  # fmt: skip
        missing = [row.id for row in rows if name not in series[row.id]]
        if missing:
            st.caption(f"Not measured by {', '.join(missing)}.")


def show_sets(rows: Sequence[engine.RunRow]) -> None:
    """What each run distilled: images, classes in the same order, or where all runs forecast prices the first sequences."""
    kept = [(row, services.store().previews(row.id)) for row in rows]
    shown = [(row, pictures.result_step(row, steps)) for row, steps in kept if steps]
    if not shown:
        return
    if all(words.is_forecast(row) for row, _ in shown):
        st.subheader("Distilled sequences", anchor=False)
        for row, step in shown:
            with st.container(border=True):
                link(row, f"{row.id} · {words.run_title(row)}")
                candles.show_few(row, step)
        return
    st.subheader("Distilled images", anchor=False)
    classes = tuple(dict.fromkeys(services.store().preview(shown[0][0].id, shown[0][1]).labels))
    with st.grid(min(3, len(shown)), min_column_width=250):
        for row, step in shown:
            with st.container(border=True):
                link(row, short_name(row))
                st.image(
                    pictures.preview_png(row.id, row.created, step, services.theme(), 640, classes, overlay=True),
                    caption=pictures.caption(row, step), width="stretch", alt=pictures.alt(row, step),
                )  # fmt: skip


def link(row: engine.RunRow, label: str) -> None:
    """The way to the page of a run."""
    st.page_link("pages/runs.py", label=words.escaped(label), query_params={"run": row.id})


with services.said_plainly():
    st.title("Compare", anchor=False)
    begun = [row for row in services.store().runs() if row.status != "queued" and row.action != "record"]
    if sweep_id := st.query_params.get("sweep"):
        sweep.show(sweep_id)
    elif not begun:
        st.write(
            "Runs are compared here: a network trained on the distilled images against one trained on random real images of the same size and one trained on all the data. Tick several runs to see their curves, settings and images side by side."
        )
        for wanted in st.query_params.get_all("run"):
            services.store().run(wanted)
        if st.button("Start a run", type="primary", icon=":material/science:"):
            frame.go_to("distill")
    else:
        compared = choose(begun)
        if len(compared) == 1:
            show_run(compared[0])
        elif compared:
            show_together(compared)
        else:
            st.caption("Choose at least one run.")
