"""Importing a result: an exported file becomes a finished run."""

import streamlit as st

import engine
from pages.ui import frame, services


def ask() -> None:
    """A button that asks for the file and opens the run it becomes."""
    with st.popover("Load a result", icon=":material/upload_file:", key="load a result"):
        st.write(
            "A result.safetensors exported here becomes a finished run: look at it, evaluate it again, or start from "
            "it."
        )
        file = st.file_uploader("Result file", type=["safetensors"], key="result file")
        if st.button("Load it", type="primary", disabled=file is None, key="load it") and file is not None:
            with services.said_plainly():
                run_id = engine.adopt(services.store(), file.getvalue(), file.name)
                frame.go_to("runs", {"run": run_id})
