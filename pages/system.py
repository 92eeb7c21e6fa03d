"""System: this machine, the queue, pretrained networks, folders, data sets, versions, and a health check."""

import shutil
from typing import Literal

import plotly
import streamlit as st

import engine
from engine.figures import formats
from engine.results.sections import Metric
from pages.ui import cards, frame, glossary, pretrained, sections, services, words

frame.ensure()

BADGES: dict[str, tuple[str, Literal["green", "blue", "orange"], str]] = {
    "present": ("Ready", "green", "check"),
    "downloadable": ("Download on first use", "blue", "download"),
    "missing": ("Missing", "orange", "folder_off"),
}


def memory() -> None:
    """Memory and disk as they are now."""
    facts = engine.machine.describe()
    used = engine.machine.used_memory(engine.machine.pick_device("cpu"))
    root = engine.runs_root()
    disk = shutil.disk_usage(root if root.exists() else root.parent)
    sections.show_metrics(
        [
            Metric("Device", "GPU" if facts["gpu"] else "CPU", facts["gpu"] or facts["processor"]),
            Metric("Processor cores", str(facts["cores"]), facts["system"]),
            Metric("Memory used", formats.num_bytes(used), f"of {formats.num_bytes(facts['memory_bytes'])}"),
            Metric("Disk free", formats.num_bytes(disk.free), f"of {formats.num_bytes(disk.total)}"),
        ]
    )


def health_check() -> None:
    """Check gradients, folders, data sets and one step of every method; say what to do about failures."""
    if not st.button("Check this installation", icon=":material/health_and_safety:", key="check"):
        st.caption("Checks gradients, folders and one step of every method; takes up to a minute.")
        return
    with st.spinner("Checking …"):
        checks = list(engine.diagnose())
    failed = [check for check in checks if not check.ok]
    if failed:
        st.error(f"{formats.counted(len(failed), 'check')} of {len(checks)} failed.", icon=":material/error:")
    else:
        st.success(f"All {len(checks)} checks passed.", icon=":material/check_circle:")
    table = {"Check": [check.name for check in checks]}
    table["Result"] = ["ok" if check.ok else "failed" for check in checks]
    table["Finding"] = [words.escaped(check.finding) for check in checks]
    table["What to do"] = [words.escaped(check.remedy) for check in checks]
    st.table(table, alt="The checks of this installation")


with services.said_plainly():
    st.title("System", anchor=False)
    st.fragment(memory, run_every=5.0)()

    st.header("Queue", anchor=False)
    waiting = [row for row in services.store().runs() if row.is_active]
    if waiting:
        st.caption("One run at a time, in the order they were started.")
        cards.live_list(choice=cards.Choice(states=("queued", "running")))
    else:
        st.caption("Nothing is running or queued.")

    st.header("Pretrained networks", anchor=False, help=glossary.explained("expert", "teacher"))
    pretrained.on_disk()

    left, right = st.columns(2, gap="large")
    with left:
        st.header("Folders", anchor=False)
        roots = {"Data sets (DISTILLERY_DATA)": engine.data_root(), "Runs (DISTILLERY_RUNS)": engine.runs_root()}
        folders = {"Folder": {name: str(root) for name, root in roots.items()}}
        st.table(folders, alt="Folders of this installation")
        st.header("Data sets", anchor=False)
        for source in engine.sources().values():
            found = source.availability(engine.data_root())
            with st.container(horizontal=True, vertical_alignment="center"):
                label, colour, icon = BADGES[found.state]
                st.badge(label, color=colour, icon=f":material/{icon}:")
                st.markdown(f"**{words.escaped(source.title)}**", width="content")
    with right:
        st.header("Versions", anchor=False)
        facts = engine.machine.describe()
        versions = {"Python": facts["python"], "PyTorch": facts["torch"], "Streamlit": st.__version__}
        versions |= {"Plotly": plotly.__version__, "Processor": facts["processor"]}
        st.table({"Version": versions}, alt="Versions of the programs in use")

    st.header("Health check", anchor=False)
    health_check()
