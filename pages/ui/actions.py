"""What can be done with a run, or with several ticked ones: buttons, and the dialogs they open."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import engine
from engine.results import names
from pages.ui import forms, frame, parts, services, words

EDIT, EVALUATE, BEGIN, DELETE = "Name, note and tags", "Evaluate again", "Start from this result", "Delete"
DISTIL = {"experts": "Distil with these experts", "teacher": "Distil with this teacher"}
ICONS = {EDIT: "edit_note", EVALUATE: "rule", BEGIN: "resume", DELETE: "delete"}


def show(row: engine.RunRow) -> None:
    """The buttons of a run: the main ones for its state, the others in a menu."""
    store = services.store()
    if row.is_active:
        label = "Stopping …" if row.stop_requested else "Stop"
        if st.button(label, icon=":material/stop_circle:", type="primary", disabled=row.stop_requested, key="stop"):
            store.request_stop(row.id)
            st.rerun()
    if row.resumable and st.button(_resume_label(row), icon=":material/play_arrow:", type="primary", key="resume"):
        services.worker().resume(row.id)
        st.rerun()
    if row.loaded_from:
        if st.button(EVALUATE, icon=":material/rule:", type="primary", key="evaluate again"):
            evaluate_again(row)
    elif row.action == "record":
        label, icon = DISTIL[engine.titles.recorded(row.method)], ":material/science:"
        if row.status == "done" and st.button(label, icon=icon, type="primary", key="distil with these"):
            frame.go_to("distill", {"from": row.id})
    elif row.status == "done" and st.button("Compare", icon=":material/compare_arrows:", type="primary", key="compare"):
        frame.go_to("compare", {"run": row.id})
    is_edited = row.action == "distill" or (row.action == "record" and row.status != "done")
    if is_edited and st.button("Edit and start again", icon=":material/edit:", key="edit"):
        frame.go_to("distill", {"from": row.id})
    if store.previews(row.id) and st.button("Gallery", icon=":material/photo_library:", key="gallery"):
        frame.go_to("gallery", {"run": row.id})
    menu: dict[str, Any] = {"icon": ":material/more_horiz:", "key": "more"}
    chosen = st.menu_button("More", _choices(row), format_func=lambda name: f":material/{ICONS[name]}: {name}", **menu)
    if chosen == EDIT:
        edit(row)
    elif chosen == EVALUATE:
        evaluate_again(row)
    elif chosen == BEGIN:
        frame.go_to("distill", {"from": row.id, "start": row.id})
    elif chosen == DELETE:
        delete([row])


def _resume_label(row: engine.RunRow) -> str:
    if row.checkpoint_step:
        return f"Resume from step {row.checkpoint_step:,}"
    return {"evaluate": "Start again", "record": "Resume"}.get(row.action, "Start again from step 0")


def _choices(row: engine.RunRow) -> list[str]:
    choices = [EDIT]
    if services.store().result(row.id):
        if not row.loaded_from:  # in sight
            choices.append(EVALUATE)
        method = engine.METHODS.get(row.method)
        if row.action == "distill" and method and method.config.begun_from_result({}) is not None:
            choices.append(BEGIN)
    return choices if row.status == "running" else [*choices, DELETE]


@st.dialog("Name, note and tags", icon=":material/edit_note:")
def edit(row: engine.RunRow) -> None:
    name = st.text_input("Name", value=row.name, max_chars=120, placeholder="What this run is about", key="edit name")
    hint = "What you found out"
    note = st.text_area("Note", value=row.note, max_chars=2000, height=140, placeholder=hint, key="edit note")
    tags = _ask_tags("Tags", row.tags, "edit tags")
    if st.button("Save", type="primary", key="save about"):
        with services.said_plainly():
            store = services.store()
            store.annotate(row.id, note=note.strip(), tags=tags)
            if name.strip() != row.name:
                store.rename(row.id, name.strip())
            st.rerun()


@st.dialog("Tag the ticked runs", icon=":material/sell:")
def tag(rows: Sequence[engine.RunRow]) -> None:
    added = _ask_tags("Add", (), "tags added")
    present = list(dict.fromkeys(tag for row in rows for tag in row.tags))
    removed = st.multiselect("Remove", present, placeholder="None", key="tags removed") if present else []
    if st.button("Save", type="primary", key="save tags", disabled=not (added or removed)):
        with services.said_plainly():
            for row in rows:
                services.store().annotate(row.id, tags=[*(tag for tag in row.tags if tag not in removed), *added])
            st.rerun()


def _ask_tags(label: str, chosen: Sequence[str], key: str) -> list[str]:
    """Tags chosen from those in use, or new ones."""
    known = sorted({tag for row in services.store().runs() for tag in row.tags} | set(chosen), key=str.casefold)
    look: dict[str, Any] = {"accept_new_options": True, "select_all": False, "max_selections": 20}
    about, hint = "Up to 20 tags of 30 characters.", "Choose or type a tag"
    return st.multiselect(label, known, list(chosen), key=key, help=about, placeholder=hint, **look)


@st.dialog("Delete?", icon=":material/delete:")
def delete(rows: Sequence[engine.RunRow]) -> None:
    """Ask once, then delete runs with everything they made. Running ones are kept."""
    running = [row for row in rows if row.status == "running"]
    doomed = [row for row in rows if row.status != "running"]
    if doomed:
        named = ", ".join(row.id for row in doomed[:12]) + (" …" if len(doomed) > 12 else "")
        what = f"{named}, {words.escaped(names.run_title(rows[0]))}," if len(rows) == 1 else named
        number = "run" if len(doomed) == 1 else f"{len(doomed)} runs:"
        st.write(f"Deletes {number} {what} with all pictures, checkpoints and results. This cannot be undone.")
    if running:
        named, them = ", ".join(row.id for row in running), "it" if len(running) == 1 else "them"
        st.info(f"Still running and kept: {named}. Stop {them} first.", icon=":material/play_circle:")
    if parts.confirmed("delete", disabled=not doomed):
        with services.said_plainly():
            for row in doomed:
                services.store().delete(row.id)
            frame.go_to("runs", {})


@st.dialog("Evaluate again", icon=":material/rule:")
def evaluate_again(row: engine.RunRow) -> None:
    """Queue a run that compares this result with real data again, with other architectures or more students."""
    st.write("Trains new students on this result and on real data. The result does not change.")
    own, evaluation = engine.results.student_of(row).name, row.request.evaluation
    students = [name for name in engine.students_for(engine.kind_of(row.method).takes) if name != own]
    default = [name for name in evaluation.students if name in students]
    look: dict[str, Any] = {"placeholder": "None", "key": "evaluate students", "select_all": False}
    look["help"] = f"Tested besides {words.student_name(row)}, for which it was distilled."
    others = st.multiselect("Other architectures", students, default, forms.choice_name, **look)
    count = st.number_input("Students per training set", 1, 200, evaluation.num_students, 1, key="evaluate count")
    recipes: dict[forms.Path, Any] = {}
    asked = [each for each in forms.of_request(row.request) if _is_of_recipes(each)]
    forms.ask(asked, f"evaluate {row.id}", recipes, columns=2)
    if st.button("Evaluate", type="primary", icon=":material/play_arrow:", key="evaluate"):
        with services.said_plainly():
            request = evaluation_request(row, others, int(count), forms.nested(recipes).get("evaluation", {}))
            engine.resolve(request)
            frame.go_to("runs", {"run": services.worker().submit(request)})


def _is_of_recipes(field: forms.Entry) -> bool:
    """Whether an option is of the published recipes, and the run's method reads it."""
    return field.name in ("recipes", "recipe_percent") and not field.unread_by


def evaluation_request(
    row: engine.RunRow, students: Sequence[str], num_students: int, recipes: Mapping[str, Any]
) -> engine.RunRequest:
    """The request that compares a run's result with real data again. Raises ConfigError if that is not possible.

    recipes: options of the evaluation that choose the recipes of training.
    """
    asked = row.request.model_dump(mode="json")
    asked["evaluation"] |= {"students": list(students), "num_students": num_students, **recipes}
    asked |= {"action": "evaluate", "start": row.id, "sweep": ""}
    asked["name"] = f"Evaluated again: {names.run_title(row).removeprefix('Evaluated again: ')}"[:120]
    return engine.checked(engine.RunRequest, asked, "Evaluation")
