"""Compare: a network trained on the distilled set against random real data of the same size and all the data."""

from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import frame, live, pictures, services, words

frame.ensure()

COUNTED = "Synthetic and random real samples are counted alike, 4 bytes a value; the full set at the 1 byte a value of its files."


def choose(rows: Sequence[engine.RunRow]) -> list[engine.RunRow]:
    """The runs to compare: those picked, at first the one in the address or the newest."""
    by_id = {row.id: row for row in rows}
    wanted = st.query_params.get("run")
    if wanted and wanted not in by_id:
        services.store().run(wanted)  # says so if there is no such run
        st.info(
            f"Run {words.escaped(wanted)} has no scores yet. They are measured after its last outer step.",
            icon=":material/schedule:",
        )
    default = [wanted if wanted in by_id else rows[0].id]
    picked = st.multiselect(
        "Runs",
        list(by_id),
        default=default,
        format_func=lambda run_id: f"{run_id} · {words.run_title(by_id[run_id])}",
        key=f"compared runs {wanted}",
        placeholder="Choose one or several runs",
    )
    return [by_id[run_id] for run_id in picked]


def show_run(row: engine.RunRow) -> None:
    """Everything about one run: the verdict in words, ratios, a chart and a table an architecture."""
    found = engine.summarise(services.store().scores(row.id))
    mine = live.row_student(row)
    own = [score for score in found if score.student == mine]
    st.header(words.escaped(words.run_title(row)), anchor=False)
    st.markdown(verdict(row, own))
    show_ratios(row)
    chart, images = st.columns([3, 2], gap="medium")
    with chart, st.container(border=True, height="stretch"):
        st.subheader(f"Test accuracy of {words.escaped(words.student_name(row))}", anchor=False)
        st.plotly_chart(
            figures.scores(own),
            key=f"scores {row.id}",
            config=live.QUIET,
            alt="Test accuracy of each arm under both protocols, with 95 % intervals",
        )
        st.caption(
            "Whiskers: 95 % interval of the mean. The sentence on top takes the better protocol of each. "
            + " ".join(f"{figures.protocol_name(key)}: {note}." for key, note in figures.PROTOCOL_NOTES.items())
        )
    with images, st.container(border=True, height="stretch"):
        st.subheader("What it was trained on", anchor=False)
        if steps := services.store().previews(row.id):
            step = pictures.result_step(row, steps)
            st.image(
                pictures.preview_png(row.id, row.created, step, services.theme(), 640),
                caption=pictures.caption(row, step), width="stretch", alt="Grid of the synthetic images, class names beside them",
            )  # fmt: skip
    show_table(own)
    others = [student for student in dict.fromkeys(score.student for score in found) if student != mine]
    for student in others:
        st.subheader(f"On another architecture: {words.escaped(words.architecture(student))}", anchor=False)
        show_table([score for score in found if score.student == student])
    with st.expander("Recipes", icon=":material/receipt_long:"):
        for recipe, users in recipes(found).items():
            st.markdown(f"**{words.escaped(', '.join(users))}**: {words.escaped(recipe)}")


def verdict(row: engine.RunRow, scores: Sequence) -> str:
    """The outcome in one sentence: distilled against random real against all, each as good as it gets."""
    best = engine.best_by_arm(scores, live.row_student(row))
    parts = []
    if "distilled" in best:
        parts.append(
            f"Trained on {formats.counted(best['distilled'].num_samples, 'synthetic image')}: **{formats.percent(best['distilled'].mean)}**"
        )
    if "random_real" in best:
        parts.append(
            f"on {formats.counted(best['random_real'].num_samples, 'random real image')}: **{formats.percent(best['random_real'].mean)}**"
        )
    if "full" in best:
        parts.append(f"on all {formats.count(best['full'].num_samples)}: **{formats.percent(best['full'].mean)}**")
    return "; ".join(parts) + " of test images right." if parts else "No score has been measured yet."


def show_ratios(row: engine.RunRow) -> None:
    """Retention and speed-up under each protocol, and compression."""
    figures_shown = [
        ("Retention", formats.percent(value), protocol, "Accuracy of the distilled set over that of the full set.")
        for protocol, value in row.summary.get("retention", {}).items()
    ]
    figures_shown += [
        ("Speed-up", formats.times(value), protocol, "Training time on the full set over that on the distilled set.")
        for protocol, value in row.summary.get("speed_up", {}).items()
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
                help=COUNTED,
            )


def show_table(scores: Sequence) -> None:
    """A line an arm and protocol: mean, deviation, interval, seconds, samples, bytes."""
    order = list(figures.ARM_NAMES)
    lines = sorted(scores, key=lambda score: (score.protocol, order.index(score.arm) if score.arm in order else 9))
    st.table(
        {
            "Trained on": [figures.arm_name(score.arm) for score in lines],
            "Protocol": [figures.protocol_name(score.protocol) for score in lines],
            "Accuracy": [formats.percent_spread(score.mean, score.std, score.n) for score in lines],
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
    st.caption(f"Mean ± standard deviation over n students, each with a seed of its own. {COUNTED}{cached}")


def interval(score: object) -> str:
    """The 95 % interval of a mean; none for a single student."""
    return formats.NOTHING if score.n < 2 else f"{100 * score.low:.1f} to {100 * score.high:.1f} %"


def recipes(scores: Sequence) -> dict[str, list[str]]:
    """recipe -> the arms trained by it."""
    users: dict[str, list[str]] = {}
    for score in scores:
        if score.recipe:
            who = f"{figures.arm_name(score.arm)} ({figures.protocol_name(score.protocol).lower()}, {words.architecture(score.student)})"
            users.setdefault(score.recipe, []).append(who)
    return users


def show_together(rows: Sequence[engine.RunRow]) -> None:
    """The distilled arm of several runs in one chart and one table."""
    protocols = list(figures.PROTOCOL_NOTES)
    protocol = st.segmented_control(
        "Protocol",
        protocols,
        default=protocols[0],
        required=True,
        format_func=figures.protocol_name,
        key="compared protocol",
    )
    lines = []
    for row in rows:
        for score in engine.summarise(services.store().scores(row.id)):
            if (
                score.protocol == protocol
                and score.student == live.row_student(row)
                and score.arm in ("distilled", "random_real")
            ):
                lines.append((row, score))
    named = [(f"{row.id} · {words.run_title(row)}", score) for row, score in lines]
    with st.container(border=True):
        st.plotly_chart(
            figures.runs(named),
            key=f"runs together {protocol}",
            config=live.QUIET,
            alt="Test accuracy of the compared runs, distilled and random real",
        )
    distilled = [(row, score) for row, score in lines if score.arm == "distilled"]
    st.table(
        {
            "Run": [f"{row.id} · {words.escaped(words.run_title(row))}" for row, _ in distilled],
            "Student": [words.escaped(words.student_name(row)) for row, _ in distilled],
            "Accuracy": [formats.percent_spread(score.mean, score.std, score.n) for _, score in distilled],
            "n": [str(score.n) for _, score in distilled],
            "95 % interval": [interval(score) for _, score in distilled],
            "Stored": [formats.num_bytes(score.num_bytes) for _, score in distilled],
            "Distilling": [formats.duration(row.summary.get("seconds_distilling")) for row, _ in distilled],
        },
        border="horizontal", hide_index=True, alt="Distilled scores of the compared runs",
    )  # fmt: skip


with services.said_plainly():
    st.title("Compare", anchor=False)
    scored = [row for row in services.store().runs() if row.status == "done"]
    if not scored:
        st.write(
            "Finished runs are compared here: a network trained on the distilled images against one trained on random real images of the same size and one trained on all the data."
        )
        if wanted := st.query_params.get("run"):
            services.store().run(wanted)
        if st.button("Start a run", type="primary", icon=":material/science:"):
            st.switch_page("pages/distill.py")
    else:
        compared = choose(scored)
        if len(compared) == 1:
            show_run(compared[0])
        elif compared:
            show_together(compared)
        else:
            st.caption("Choose at least one run.")
