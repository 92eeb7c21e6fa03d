"""Experts and teachers, which some methods train beforehand: what a run still needs, and those on disk."""

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import glossary, parts, services, words


def need(method: engine.Method, config: engine.MethodConfig, spec: engine.data.TaskSpec, answer: object) -> None:
    """One line on the networks a run needs: how many are on disk, and what the others take."""
    planned = method.plan_recording(config, spec) if method.plan_recording else None
    if planned is None:
        return
    noun = method.recorded.removesuffix("s")
    if isinstance(answer, engine.Estimate) and answer.num_experts:
        text = _still_needed(answer, noun)
    else:
        total = formats.counted(planned.num_networks, noun)
        text = f"Needs **{total}**, {formats.num_bytes(planned.num_bytes)} on disk; those recorded earlier are reused."
    st.markdown(text, help=f"{glossary.explained(noun)} Runs with the same data and {noun} settings share them.")


def _still_needed(found: engine.Estimate, noun: str) -> str:
    missing = found.num_experts - found.num_recorded
    total = formats.counted(found.num_experts, noun)
    if not missing:
        all_of_them = f"All **{total}** are" if found.num_experts > 1 else f"The **{noun}** is"
        return f"{all_of_them} recorded already."
    time = f" and about {formats.duration(found.seconds_recording)}" if found.seconds_recording else ""
    done = f"{found.num_recorded} of {total} recorded already; " if found.num_recorded else ""
    return f"{done}**{formats.counted(missing, noun)}** to record: {formats.num_bytes(found.expert_bytes)}{time}."


def on_disk() -> None:
    """The pretrained networks on disk, each with a button that deletes it."""
    found = engine.pretrained.recordings(services.store().root / "cache")
    if not found:
        st.caption("No experts or teachers yet. Runs train the ones they need; later runs reuse them.")
        return
    total = sum(one.num_bytes for one in found)
    st.caption(f"{formats.num_bytes(total)} in all. Runs with the same data and settings reuse them.")
    for one in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            network = engine.titles.architecture(one.manifest.title)
            title = f"**{words.escaped(one.manifest.source)}** · {words.escaped(network)}"
            facts = words.escaped(" · ".join([*engine.titles.pretrained(one), one.digest]))
            st.markdown(f"{title}  \n:small[{facts}]", width="content")
            if st.button("Delete", icon=":material/delete:", key=f"delete pretrained {one.digest}"):
                delete(one)


@st.dialog("Delete pretrained networks?", icon=":material/delete:")
def delete(found: engine.pretrained.Recording) -> None:
    """Ask once, then delete; not while a queued or running run may use these networks."""
    facts = ", ".join(engine.titles.pretrained(found))
    about = words.escaped(f"{found.manifest.source}: {facts}")
    st.write(f"{about}. Results are kept; a later run that needs these networks trains them again.")
    recorded = "experts" if found.manifest.kind == "experts" else "teacher"
    users = {key for key, method in engine.METHODS.items() if method.recorded == recorded}
    active = [row.id for row in services.store().runs() if row.is_active and row.method in users]
    if active:
        st.info(f"Runs in progress may use them: {', '.join(active)}. Stop them first.", icon=":material/play_circle:")
    if parts.confirmed("delete pretrained", disabled=bool(active)):
        with services.said_plainly():
            engine.pretrained.delete(services.store().root / "cache", found.digest)
            st.rerun()
