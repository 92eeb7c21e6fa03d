"""The top of a run's page: its name and facts, what state it is in, and what can be done with it."""

import streamlit as st

import engine
from engine.figures import formats
from engine.results import names
from pages.ui import actions, services, words

_FAILED = {"evaluate": "The evaluation failed", "record": "The recording failed"}
_STOPPED = {
    "evaluate": "You stopped this evaluation. Start it again to score all students.",
    "record": "You stopped this recording. The epochs recorded so far are kept; resume to record the rest.",
}


def badge(status: str, stop_requested: bool = False) -> None:
    """The state of a run as a coloured word with an icon."""
    name, colour, icon = words.STATES[status]
    st.badge("Stopping" if stop_requested and status == "running" else name, color=colour, icon=icon)


def show(row: engine.RunRow) -> None:
    """Name, one line of facts, and what can be done in this state."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link("pages/runs.py", label="All runs", icon=":material/arrow_back:")
        badge(row.status, row.stop_requested)
    st.title(words.escaped(names.run_title(row)), anchor=False)
    facts = [
        f"run {row.id}",
        f"started {words.clock(row.started)}" if row.started else f"submitted {words.clock(row.created)}",
        words.student_name(row),
        engine.titles.settings(row.request),
        f"seed {row.seed}",
        str(row.facts.get("device", "")).upper(),
    ]
    st.caption(" · ".join(words.escaped(fact) for fact in facts if fact))
    if row.start:
        _origin(row)
    if row.tags or row.sweep:
        tags_and_sweep(row)
    if row.note:
        st.markdown("  \n".join(words.escaped(line.strip()) for line in row.note.splitlines()))
    with st.container(horizontal=True, gap="small"):
        actions.show(row)


def tags_and_sweep(row: engine.RunRow) -> None:
    """A run's tags as badges, and a link to its sweep."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        for tag in row.tags:
            text = words.escaped(tag).replace(r"\[", "[").replace(r"\]", "]")  # a badge escapes brackets by itself
            st.badge(text, icon=":material/sell:", color="gray")
        if row.sweep:
            icon, query = ":material/linear_scale:", {"sweep": row.sweep}
            st.page_link("pages/compare.py", label="Part of a sweep", icon=icon, query_params=query)


def _origin(row: engine.RunRow) -> None:
    verb = "Evaluates" if row.action == "evaluate" else "Starts from"
    label = words.escaped(f"{verb} the result of run {row.start}")
    try:
        services.store().run(row.start)
    except engine.UserError:
        st.caption(f"{label}, which was deleted.")
    else:
        st.page_link("pages/runs.py", label=label, icon=":material/link:", query_params={"run": row.start})


def state(row: engine.RunRow) -> None:
    """What the user should know of a run that is queued, ended early or was loaded."""
    match row.status:
        case "failed":
            where = _FAILED.get(row.action, f"The run failed at step {row.error_step:,}")
            st.error(words.escaped(row.error), title=where, icon=":material/error:")
            if row.details:
                with st.expander("Show details", icon=":material/code:"):
                    st.code(row.details, language=None, wrap_lines=True)
        case "interrupted":
            text = f"The program ended while this run was working. {_kept(row)}"
            st.warning(text, title="Interrupted", icon=":material/power_off:")
        case "stopped":
            steps = formats.counted(row.step, "outer step")
            after = f"You stopped this run after {steps}. Resume it to get the same result."
            st.info(_STOPPED.get(row.action, after), icon=":material/stop_circle:")
        case "queued":
            st.info(_waiting(row), icon=":material/schedule:")
        case _ if row.loaded_from:
            file = words.escaped(row.loaded_from)
            st.info(f"Loaded from {file}. Evaluate it again to score it.", icon=":material/upload_file:")


def _kept(row: engine.RunRow) -> str:
    if row.action == "record":
        return "The epochs recorded so far are kept; resume to continue."
    if row.checkpoint_step:
        return "Its last checkpoint is kept; resume to continue from there."
    return "It has no checkpoint yet; start it again."


def _waiting(row: engine.RunRow) -> str:
    ahead = sum(
        other.status == "running" or (other.status == "queued" and other.created < row.created)
        for other in services.store().runs()
    )
    if not ahead:
        return "This run starts in a moment."
    return f"This run starts when {formats.counted(ahead, 'earlier run')} {'is' if ahead == 1 else 'are'} done."
