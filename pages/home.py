"""Home: what the program does, a first run in one click, and the latest runs."""

from pathlib import Path

import numpy as np
import streamlit as st

import engine
from engine import figures
from pages.ui import cards, frame, glossary, services

frame.ensure()

EXAMPLE = Path(__file__).parents[1] / "assets" / "example" / "digits.npz"  # the result of a recorded quick run


def first_run() -> engine.RunRequest:
    """The quick run on the digits, which the example was made by."""
    return engine.request_from_preset("digits", "bilevel", "quick")


@st.cache_data(show_spinner=False, max_entries=2)
def picture(theme: services.Theme) -> str:
    """A drawing of dataset distillation, with real digits and the images of the recorded run."""
    source, request = engine.SOURCES["digits"], first_run()
    train = engine.drained(source.load(request.data, engine.data_root())).train
    real = train.inputs[:160].permute(0, 2, 3, 1).numpy()
    with np.load(EXAMPLE, allow_pickle=False) as example:
        synthetic = example["images"]
    config = engine.checked(engine.METHODS[request.method].config, request.config, "Settings")
    planned = config.size(engine.data.task_of(source, request.data))
    num_bytes = {"real_bytes": train.raw_bytes, "synthetic_bytes": planned.num_bytes}
    return figures.hero_svg(real, synthetic, num_real=len(train), theme=theme, **num_bytes)


with services.said_plainly():
    st.title("Dataset Distillery", anchor=False)
    st.markdown(
        "Dataset distillation compresses a data set into a few synthetic images, or a few price sequences, that still "
        "train a network well. Choose a data set and a method, start a run and watch the samples take shape. Then "
        "compare networks trained on them with networks trained on all the data and on real ones of equal bytes.",
        help=glossary.explained("student", "baseline", "images per class"),
    )
    alt = "More than a thousand images of real digits become ten synthetic ones, on which a network is trained"
    st.image(picture(services.theme()), width="stretch", alt=alt)

    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Distil the digits", type="primary", icon=":material/play_arrow:", key="distil the digits"):
            run_id = services.worker().submit(first_run())
            frame.go_to("runs", {"run": run_id})
        if st.button("Choose another data set", icon=":material/grid_on:", key="choose data"):
            frame.go_to("data")
    st.caption("A real run on the 1,797 handwritten digits included here. Offline, under a minute on two cores.")

    st.header("Recent runs", anchor=False)
    if services.store().runs():
        cards.live_list(limit=5)
    else:
        st.caption("No runs yet. “Distil the digits” starts the first.")
