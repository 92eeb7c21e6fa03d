"""What a run will do, in numbers that are known before anything runs."""

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import glossary, words


def show(source: engine.Source, method: engine.Method, request: engine.RunRequest, config: engine.MethodConfig) -> None:
    """The size of the synthetic set, the work, and the comparison."""
    kind, evaluation, spec = engine.kind_of(method.key), request.evaluation, engine.data.task_of(source, request.data)
    num_train = words.planned_train(source, request.data)
    synthetic, full = words.planned_storage(source, config.size(spec), num_train, request.data)
    reals = formats.counted(num_train, f"training {kind.real}")
    st.markdown(
        f"**{words.escaped(config.describe_size(spec))}**: {formats.num_bytes(synthetic)} of {kind.stored} in place of "
        f"about {reals} ({formats.num_bytes(full)}), a compression of **{formats.ratio(full / synthetic)}**.",
        help=kind.counted,
    )
    steps = formats.counted(config.outer_steps, "outer step")
    students = formats.counted(evaluation.num_students, "student")
    st.markdown(
        f"{steps} for {engine.titles.student(config.student)}. Then {students} per training set "
        f"{kind.comparison(evaluation)}.",
        help=glossary.explained("outer step", "inner step", "student", "training set"),
    )
