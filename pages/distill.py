"""Distil: data set, method, preset, hyperparameters, what will happen, Start."""

from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import forms, frame, plan, pretrained, services, sweep, words

frame.ensure()

RECORD = {
    "experts": ("Record experts only", "Trains the experts and keeps them for later runs; no images are made."),
    "teacher": ("Train teacher only", "Trains the teacher and keeps it for later runs; no images are made."),
}
"""The button of what is made beforehand, and what it does."""
CONTENTS = {
    "labelled": "pixels and labels",
    "representations": "images and representations",
    "forecasts": "bars and targets",
}
"""What is stored of a method's result."""
STORED = {
    "images": "Learned values at 4 bytes each, hard labels at 1, against the full set at the 1 byte a value of its files.",
    "prices": "4 bytes a value, against all training windows at the same; neighbouring windows share most of their bars.",
}
"""How sizes are compared, by the kind of data set."""
OWN = "own"  # start from an old run or from bare defaults, not from a preset


def chosen_source(old: engine.RunRequest | None) -> str:
    """The data set to distil; one that is chosen on the data page or in an old run comes first."""
    keys = list(services.sources())
    wanted = old.source if old else st.query_params.get("source", keys[0])
    return st.selectbox(
        "Data set", keys, index=keys.index(wanted) if wanted in keys else 0, format_func=engine.titles.source,
        key=f"distil source {st.query_params.get('from', '')} {st.query_params.get('source', '')}", persist_state="session",
    )  # fmt: skip


def chosen_method(old: engine.RunRequest | None, source: str) -> engine.methods.method.Method:
    """The method, one of those that can do what a student of the source must."""
    task = engine.data.task_of(services.sources()[source]).task
    keys = [key for key, method in engine.METHODS.items() if task in method.tasks]
    wanted = old.method if old else keys[0]
    key = st.selectbox(
        "Method",
        keys,
        index=keys.index(wanted) if wanted in keys else 0,
        format_func=engine.titles.method,
        key=f"distil method {st.query_params.get('from', '')}{' prices' if task != 'classification' else ''}",
        persist_state="session",
    )
    return engine.METHODS[key]


def chosen_start(method: engine.methods.method.Method, source: str, old: engine.RunRequest | None) -> tuple[str, dict]:
    """The preset's key and the values it gives to config, data and evaluation."""
    presets, old_id = method.presets_for(source), st.query_params.get("from", "")
    usable_old = old if old and old.source == source and old.method == method.key else None
    options = [OWN, *presets] if usable_old else [*presets, OWN]

    def name(key: str) -> str:
        if key == OWN:
            return f"As in run {old_id}" if usable_old else "Default settings"
        return presets[key].title

    key = st.selectbox(
        "Start from",
        options,
        format_func=name,
        key=f"distil preset {source} {method.key} {bool(usable_old)}",
        persist_state="session",
    )
    if key != OWN:
        preset = presets[key]
        return key, {
            "config": preset.config,
            "data": preset.data,
            "evaluation": preset.evaluation,
            "seed": 0,
            "device": "auto",
            "name": "",
        }
    if usable_old:
        values = usable_old.config
        if "start" in st.query_params:
            values = method.config.begun_from_result(values) or values
        name = "" if usable_old.sweep else usable_old.name  # a sweep names its runs by their values
        return OWN, usable_old.model_dump() | {"config": values, "name": name}
    return OWN, {"config": {}, "data": {}, "evaluation": {}, "seed": 0, "device": "auto", "name": ""}


def ask_run(start: dict, key: str) -> dict:
    """Name, seed and device."""
    with st.grid(3, min_column_width=210):
        name = st.text_input(
            "Name (optional)",
            value=start["name"],
            max_chars=120,
            key=f"{key}/name",
            placeholder="What this run is about",
            persist_state="session",
        )
        seed = st.number_input(
            "Seed",
            0,
            2**31 - 1,
            value=start["seed"],
            step=1,
            key=f"{key}/seed",
            help="The same settings and seed give the same result.",
            persist_state="session",
        )
        devices = ["auto", "cpu", "cuda"]
        device = st.selectbox(
            "Device",
            devices,
            index=devices.index(start["device"]),
            format_func=forms.choice_name,
            key=f"{key}/device",
            help="Auto takes the GPU where there is one.",
            persist_state="session",
        )
    return {"name": name.strip(), "seed": seed, "device": device}


def show_plan(
    source: engine.data.Source,
    method: engine.methods.method.Method,
    request: engine.RunRequest,
    config: engine.MethodConfig,
) -> None:
    """What will happen, in numbers that are known before anything runs."""
    spec = engine.data.task_of(source, request.data)
    full = words.planned_train(source, request.data)
    synthetic_bytes, full_bytes = words.planned_storage(source, config.size(spec), full, request.data)
    st.markdown(
        f"**{words.escaped(config.describe_size(spec))}**, "
        f"{formats.num_bytes(synthetic_bytes)} of {CONTENTS[method.result]}, instead of some {formats.count(full)} training {'windows' if source.kind == 'prices' else 'images'}, {formats.num_bytes(full_bytes)}: "
        f"a compression of **{formats.ratio(full_bytes / synthetic_bytes)}**.",
        help=STORED[source.kind],
    )
    if method.result == "forecasts":
        full = ", with full training" if request.evaluation.compare_full else ""
        st.markdown(
            f"{formats.counted(config.outer_steps, 'outer step')} for {engine.titles.student(config.student)}. Then "
            f"{formats.counted(request.evaluation.num_students, 'student')} an arm compare it with random and k-means real windows of the same number{full}, "
            "and with forecasts that need no network: the last value and the training mean."
        )
        return
    if method.result == "representations":
        full = ", on the full data set" if request.evaluation.compare_full else ""
        st.markdown(
            f"{formats.counted(config.outer_steps, 'outer step')} for {engine.titles.student(config.student)}, without labels. Then "
            f"{formats.counted(request.evaluation.num_students, 'student')} an arm are pre-trained, frozen and probed with labels: on the set, on random real images "
            f"with the teacher's representations at equal storage{full}, and on nothing."
        )
        return
    arms = "random and k-means real images of the same size" + (
        " and the full data set" if request.evaluation.compare_full else ""
    )
    st.markdown(
        f"{formats.counted(config.outer_steps, 'outer step')} for {engine.titles.student(config.student)}. Then {formats.counted(request.evaluation.num_students, 'student')} an arm compare it with {arms}."
    )


with services.said_plainly():
    st.title("Distil", anchor=False)
    old = services.store().run(st.query_params["from"]).request if "from" in st.query_params else None
    began_from = st.query_params.get("start", old.start if old else "")
    if old:
        filled_in = f"Filled in from run {words.escaped(st.query_params['from'])}. That run stays as it is."
        origin = st.empty()
        if old.source in services.sources():
            origin.caption(filled_in)
        else:
            origin.warning(
                f"The data set of run {words.escaped(st.query_params['from'])}, '{words.escaped(old.source)}', is no longer here, so nothing is filled in from it.",
                icon=":material/folder_off:",
            )
            old = None
    with st.container(border=True):
        with st.grid(3, min_column_width=240):
            source_key = chosen_source(old)
            method = chosen_method(old, source_key)
            preset, start = chosen_start(method, source_key, old)
        chosen_preset = method.presets_for(source_key).get(preset)
        cost = f" This preset takes {chosen_preset.cost}." if chosen_preset and chosen_preset.cost else ""
        st.caption(words.escaped(method.summary + cost))
    source = services.sources()[source_key]
    available = source.availability(engine.data_root())
    if available.state == "missing":
        st.error(words.escaped(available.message), title=f"{source.title} is not here", icon=":material/folder_off:")
    elif available.state == "downloadable":
        st.info(words.escaped(available.message), icon=":material/download:")

    round_number = st.session_state.get("form round", 0)
    preparation = st.session_state.get("preparation", {}).get(source_key, {})
    key = f"form/{source_key}/{method.key}/{preset}/{st.query_params.get('from', '')}/{began_from}/{round_number}{preparation or ''}"
    parts = {
        "config": forms.entries(method.config, start["config"], path=("config",)),
        "data": forms.entries(engine.DataConfig, start["data"], preparation, path=("data",)),
        "evaluation": forms.entries(engine.EvaluationConfig, start["evaluation"], path=("evaluation",)),
    }
    parts = {part: forms.fitting(fields, source, method) for part, fields in parts.items()}
    fields = [field for part in parts.values() for field in part]
    answers: dict[forms.Path, Any] = {}

    left, right = st.columns([2, 1], gap="large")
    with left:
        headings = forms.groups(parts["config"])
        tabs = st.tabs(["Basics", *headings[1:], "Data", "Evaluation", "Run"])
        shown = [[field for field in parts["config"] if field.option.group == heading] for heading in headings]
        for tab, tabbed in zip(tabs, [*shown, parts["data"], parts["evaluation"]], strict=False):
            with tab:
                forms.ask(tabbed, key, answers, among=fields)
        with tabs[-1]:
            about = ask_run(start, key)

    with right, st.container(border=True):
        st.subheader("What will happen", anchor=False)
        edited = forms.changed(fields, answers)
        if edited:
            st.badge("Changed", icon=":material/edit:", color="orange", help="Differs from what you started from.")
            st.caption("Changed: " + ", ".join(words.escaped(field.label.lower()) for field in edited))
            if st.button("Undo changes", icon=":material/undo:", type="tertiary", key="undo"):
                st.session_state["form round"] = round_number + 1
                st.session_state.get("preparation", {}).pop(source_key, None)
                st.rerun()
        ready, request, requests, answer = False, None, [], None
        with services.said_plainly():
            values = forms.nested(answers)
            config = engine.checked(method.config, values["config"], "Settings")
            request = engine.checked(
                engine.RunRequest,
                {
                    "source": source_key,
                    "method": method.key,
                    "preset": (old.preset if old else "") if preset == OWN else preset,
                    "config": forms.differing(method.config, values["config"]),
                    "data": values["data"],
                    "evaluation": values["evaluation"],
                    "start": began_from if config.starts_from == "result" else "",
                    **about,
                },
                "Settings",
            )  # fmt: skip
            if request.start:
                origin.caption(f"{filled_in} Its images begin from the result of run {words.escaped(request.start)}.")
            engine.resolve(request)
            show_plan(source, method, request, config)
            ready = available.state != "missing"
            if available.state == "present":
                answer = plan.show(request)
                ready = plan.refused(answer, request) is None
            pretrained.need(method, config, engine.data.task_of(source, request.data), answer)
            if available.state == "downloadable":
                st.caption("There is no estimate yet: the data set is downloaded when the run starts.")
            requests = sweep.ask(method, request, key, answer)
        start_now = st.button(
            f"Start {len(requests)} runs" if len(requests) > 1 else "Start",
            type="primary", icon=":material/play_arrow:", width="stretch", disabled=not (ready and requests), key="start",
        )  # fmt: skip
        label, meaning = RECORD[engine.titles.recorded(method.key)]
        record_now = method.record is not None and st.button(
            label, icon=":material/network_node:", width="stretch", key="record experts",
            disabled=not ready,
            help=meaning,
        )  # fmt: skip
        if record_now:
            with services.said_plainly():
                recording = request.model_copy(update={"action": "record", "start": "", "sweep": ""})
                engine.resolve(recording)
                frame.go_to("runs", {"run": services.submit(recording)})
        if start_now and (available.state != "present" or (plan.may_start(request) and sweep.may_start(requests))):
            with services.said_plainly():
                started = services.submit_all(requests)
                if len(started) > 1:
                    frame.go_to("compare", {"sweep": requests[0].sweep})
                frame.go_to("runs", {"run": started[0]})
