"""Distil: choose data set, method, preset and hyperparameters, see what will happen, and start."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import forms, frame, glossary, parts, plan, pretrained, services, sweep, words

frame.ensure()

RECORD = {"experts": "Record experts only", "teacher": "Train teacher only"}
"""The button for networks trained beforehand."""
SHARED = {"data": "Data", "evaluation": "Evaluation"}
"""The tabs of the options that all methods share."""
OWN = "own"  # start from an old run or from the defaults, not from a preset
KEPT: Mapping[str, Any] = {"persist_state": "session"}


def pick(label: str, keys: list[str], wanted: str, name: Callable[[str], str], key: str, about: str = "") -> str:
    """A drop-down list that starts at `wanted`, or at its first choice."""
    index = keys.index(wanted) if wanted in keys else 0
    return st.selectbox(label, keys, index, name, key, help=about or None, **KEPT)


def chosen_source(old: engine.RunRequest | None) -> str:
    """The data set; at first that of the old run, or the one chosen on the Data page."""
    keys = list(engine.sources())
    wanted = old.source if old else st.query_params.get("source", keys[0])
    key = f"distil source {st.query_params.get('from', '')} {st.query_params.get('source', '')}"
    return pick("Data set", keys, wanted, engine.titles.source, key)


def chosen_method(old: engine.RunRequest | None, source: engine.Source) -> engine.Method:
    task = engine.data.task_of(source).task
    keys = [key for key, method in engine.METHODS.items() if task in method.tasks]
    key = f"distil method {st.query_params.get('from', '')} {source.kind}"
    return engine.METHODS[pick("Method", keys, old.method if old else keys[0], engine.titles.method, key)]


def chosen_start(method: engine.Method, source: str, old: engine.RunRequest | None) -> tuple[str, engine.RunRequest]:
    """What the form starts from: a preset's key, or OWN, and a request with its values."""
    presets, old_id = method.presets_for(source), st.query_params.get("from", "")
    usable = old if old and old.source == source and old.method == method.key else None
    own = f"As in run {old_id}" if usable else "Default settings"
    options = [OWN, *presets] if usable else [*presets, OWN]
    key = f"distil preset {source} {method.key} {bool(usable)}"
    chosen = pick("Start from", options, options[0], lambda key: own if key == OWN else presets[key].title, key)
    if chosen != OWN:
        return chosen, engine.request_from_preset(source, method.key, chosen)
    if usable is None:
        return OWN, engine.RunRequest(source=source, method=method.key)
    begun = method.config.begun_from_result(usable.config) if "start" in st.query_params else None
    name = "" if usable.sweep else usable.name  # a sweep names its runs by their values
    return OWN, usable.model_copy(update={"config": begun or usable.config, "name": name})


def ask_run(start: engine.RunRequest, key: str) -> dict[str, Any]:
    about, same = "What this run is about", "The same settings and seed give the same result."
    with st.grid(3, min_column_width=210):
        name = st.text_input("Name (optional)", start.name, 120, f"{key}/name", placeholder=about, **KEPT)
        seed = st.number_input("Seed", 0, 2**31 - 1, start.seed, key=f"{key}/seed", help=same, **KEPT)
        about, devices = "Auto uses the GPU if there is one.", ["auto", "cpu", "cuda"]
        device = pick("Device", devices, start.device, forms.choice_name, f"{key}/device", about)
    return {"name": name.strip(), "seed": seed, "device": device}


def show_outlook(
    source: engine.Source, method: engine.Method, request: engine.RunRequest, config: engine.MethodConfig
) -> None:
    """What the run will do: the size of the set, its outer steps, and the comparison."""
    kind, evaluation, spec = engine.kind_of(method.key), request.evaluation, engine.data.task_of(source, request.data)
    num_train = kind.planned_train(source, request.data)
    synthetic, full = config.size(spec).num_bytes, kind.full_bytes(spec, num_train)
    reals = formats.counted(num_train, f"training {kind.real}")
    st.markdown(
        f"**{words.escaped(config.describe_size(spec))}**: {formats.num_bytes(synthetic)} of {kind.stored} in place of "
        f"about {reals} ({formats.num_bytes(full)}), a compression of **{formats.ratio(full / synthetic)}**.",
        help=kind.counted,
    )
    if caution := config.caution(spec):
        st.warning(words.escaped(caution), icon=":material/warning:")
    steps = formats.counted(config.outer_steps, "outer step")
    students = formats.counted(evaluation.num_students, "student")
    st.markdown(
        f"{steps} for {engine.titles.student(config.student)}. Then {students} per training set "
        f"{kind.comparison(evaluation)}.",
        help=glossary.explained("outer step", "inner step", "student", "training set"),
    )


def show_changes(edited: list[forms.Entry], source: str, form_round: int) -> None:
    """What differs from the start of the form, with a button to undo it."""
    if not edited:
        return
    st.badge("Changed", icon=":material/edit:", color="orange", help="Differs from what you started from.")
    st.caption("Changed: " + ", ".join(words.escaped(field.label.lower()) for field in edited))
    if st.button("Undo changes", icon=":material/undo:", type="tertiary", key="undo"):
        st.session_state["form round"] = form_round + 1
        st.session_state.get("preparation", {}).pop(source, None)
        st.rerun()


with services.said_plainly():
    st.title("Distil", anchor=False)
    old_id = st.query_params.get("from", "")
    old = services.store().run(old_id).request if old_id else None
    began_from = st.query_params.get("start", old.start if old else "")
    filled_in = f"Filled in from run {words.escaped(old_id)}. That run does not change."
    origin = st.empty()
    if old and old.source in engine.sources():
        origin.caption(filled_in)
    elif old:
        gone = words.escaped(f"Run {old_id} is not filled in: its data set '{old.source}' no longer exists.")
        origin.warning(gone, icon=":material/folder_off:")
        old = None
    with st.container(border=True):
        with st.grid(3, min_column_width=240):
            source = engine.sources()[chosen_source(old)]
            method = chosen_method(old, source)
            start_key, start = chosen_start(method, source.key, old)
        preset = method.presets_for(source.key).get(start_key)
        cost = f" This preset takes {preset.cost}." if preset and preset.cost else ""
        st.caption(words.escaped(method.summary + cost))
    available = source.availability(engine.data_root())
    if available.state == "missing":
        parts.missing(source, available.message)
    elif available.state == "downloadable":
        st.info(words.escaped(available.message), icon=":material/download:")

    form_round = st.session_state.get("form round", 0)
    preparation = st.session_state.get("preparation", {}).get(source.key, {})
    key = f"form/{source.key}/{method.key}/{start_key}/{old_id}/{began_from}/{form_round}{preparation or ''}"
    fields = forms.of_request(start, preparation)
    tabbed: dict[str, list[forms.Entry]] = {"Basics": []}
    for field in fields:
        tabbed.setdefault(SHARED.get(field.path[0]) or field.option.group or "Basics", []).append(field)
    answers: dict[forms.Path, Any] = {}

    left, right = st.columns([2, 1], gap="large")
    with left:
        tabs = st.tabs([*tabbed, "Run"])
        for tab, shown in zip(tabs, tabbed.values(), strict=False):
            with tab:
                forms.ask(shown, key, answers, among=fields)
        with tabs[-1]:
            about = ask_run(start, key)

    with right, st.container(border=True):
        st.subheader("What will happen", anchor=False)
        show_changes(forms.changed(fields, answers), source.key, form_round)
        ready, request, requests = False, None, []
        with services.said_plainly():
            values = forms.nested(answers)
            config = engine.checked(method.config, values["config"], "Settings")
            begins = began_from if config.starts_from == "result" else ""
            about |= {"source": source.key, "method": method.key, "preset": start.preset, "start": begins}
            about |= values | {"config": config.chosen()}
            request = engine.checked(engine.RunRequest, about, "Settings")
            if request.start:
                origin.caption(f"{filled_in} Distilling starts from the result of run {words.escaped(request.start)}.")
            engine.resolve(request)
            show_outlook(source, method, request, config)
            answer = plan.show(request) if available.state == "present" else None
            ready = available.state == "downloadable" or (answer is not None and not plan.refused(answer, request))
            pretrained.need(method, config, engine.data.task_of(source, request.data), answer)
            if available.state == "downloadable":
                st.caption("No estimate yet: the data set is downloaded when the run starts.")
            requests = sweep.ask(request, key, answer)
        look: dict[str, Any] = {"width": "stretch", "disabled": not (ready and requests)}
        label = f"Start {len(requests)} runs" if len(requests) > 1 else "Start"
        start_now = st.button(label, key="start", type="primary", icon=":material/play_arrow:", **look)
        recorded = engine.titles.recorded(method.key)
        meaning = f"Trains the {recorded} and saves the weights for later runs, without distilling."
        look = {"width": "stretch", "disabled": not ready, "icon": ":material/network_node:"}
        if method.record and st.button(RECORD[recorded], key="record experts", help=meaning, **look):
            with services.said_plainly():
                recording = request.model_copy(update={"action": "record", "start": "", "sweep": ""})
                engine.resolve(recording)
                frame.go_to("runs", {"run": services.worker().submit(recording)})
        if start_now and (available.state != "present" or (plan.may_start(request) and sweep.may_start(requests))):
            with services.said_plainly():
                started = services.submit_all(requests)
                if len(started) > 1:
                    frame.go_to("compare", {"sweep": requests[0].sweep})
                frame.go_to("runs", {"run": started[0]})
