"""Home: what this program does, a first run in one click, and the latest runs."""

from pathlib import Path

import numpy as np
import streamlit as st

import engine
from engine import figures
from pages.ui import cards, frame, services

frame.ensure()

EXAMPLE = Path(__file__).parents[1] / "assets" / "example" / "digits.npz"  # images of a recorded quick run


@st.cache_data(show_spinner=False, max_entries=2)
def picture(theme: str) -> str:
    """The drawing of what distilling is, with real digits and the images of the recorded run."""
    digits = services.drained(engine.SOURCES["digits"].load(engine.DataConfig(), engine.data_root()))
    real = digits.train.inputs[:160].permute(0, 2, 3, 1).numpy()
    with np.load(EXAMPLE, allow_pickle=False) as example:
        synthetic = example["images"]
    return figures.hero_svg(
        real,
        synthetic,
        num_real=len(digits.train),
        real_bytes=digits.train.raw_bytes,
        synthetic_bytes=4 * synthetic.size,
        theme=theme,
    )


with services.said_plainly():
    st.title("Dataset Distillery", anchor=False)
    st.markdown(
        "Dataset distillation compresses a data set into a few synthetic images, or histories of prices into a few sequences, "
        "that still train a network well. "
        "Choose a data set and a method, start a run, and watch them form. "
        "Then see how a network trained on them alone compares with one trained on all the data, and with one trained on as many random real samples."
    )
    st.image(
        picture(services.theme()), width="stretch",
        alt="Over a thousand real images of digits become ten synthetic ones, on which a network is trained",
    )  # fmt: skip

    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Distil the digits", type="primary", icon=":material/play_arrow:", key="distil the digits"):
            run_id = services.submit(engine.request_from_preset("digits", "bilevel", "quick"))
            frame.go_to("runs", {"run": run_id})
        if st.button("Choose another data set", icon=":material/grid_on:", key="choose data"):
            frame.go_to("data")
    st.caption(
        "A real run on 1,797 handwritten digits that come with the program. It needs no internet and takes under a minute on two cores."
    )

    st.header("Recent runs", anchor=False)
    if services.store().runs():
        cards.live_list(limit=5)
    else:
        st.caption(
            "Nothing has been run yet. Your runs appear here with their progress and scores; “Distil the digits” makes the first one."
        )
