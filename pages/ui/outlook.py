"""What a run will do, in numbers that are known before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import glossary, words


@dataclass(frozen=True)
class Outlook:
    """What is said of a kind of result before a run. stored: what it consists of. comparison: how it is evaluated."""

    stored: str
    comparison: Callable[[engine.EvaluationConfig], str]


def _labelled(evaluation: engine.EvaluationConfig) -> str:
    full = ", and with training on the full data set" if evaluation.compare_full else ""
    return f"compare it with random and k-means real images of equal storage{full}"


def _representations(evaluation: engine.EvaluationConfig) -> str:
    full = ", the full data set" if evaluation.compare_full else ""
    return (
        f"are pre-trained on it, on random real images with the teacher's representations at equal storage{full} and "
        "on nothing, then frozen and probed with labels"
    )


def _forecasts(evaluation: engine.EvaluationConfig) -> str:
    full = ", with training on all windows" if evaluation.compare_full else ""
    return (
        f"compare it with as many random and k-means real windows{full}, and with baselines that need no training: the "
        "last value and the training mean"
    )


OUTLOOKS = {
    "labelled": Outlook("pixels and labels", _labelled),
    "representations": Outlook("images and representations", _representations),
    "forecasts": Outlook("bars and targets", _forecasts),
}
STORAGE = {
    "images": "Learned values take 4 bytes, hard labels 1. Real images take 1 byte per value, as their files hold "
    "them.",
    "prices": "All values take 4 bytes. Neighbouring training windows share most of their bars.",
}
"""How the sizes are counted, by kind of data set."""


def show(source: engine.Source, method: engine.Method, request: engine.RunRequest, config: engine.MethodConfig) -> None:
    """The size of the synthetic set, the work, and the comparison."""
    outlook, evaluation, spec = OUTLOOKS[method.result], request.evaluation, engine.data.task_of(source, request.data)
    num_train = words.planned_train(source, request.data)
    synthetic, full = words.planned_storage(source, config.size(spec), num_train, request.data)
    reals = formats.counted(num_train, f"training {engine.kind_of(method.key).real}")
    st.markdown(
        f"**{words.escaped(config.describe_size(spec))}**: {formats.num_bytes(synthetic)} of {outlook.stored} in "
        f"place of about {reals} ({formats.num_bytes(full)}), a compression of **{formats.ratio(full / synthetic)}**.",
        help=STORAGE[source.kind],
    )
    steps = formats.counted(config.outer_steps, "outer step")
    students = formats.counted(evaluation.num_students, "student")
    st.markdown(
        f"{steps} for {engine.titles.student(config.student)}. Then {students} per training set "
        f"{outlook.comparison(evaluation)}.",
        help=glossary.explained("outer step", "inner step", "student", "training set"),
    )
