"""The form is made from the config: every field, its bounds, its condition."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from streamlit.testing.v1 import AppTest

import engine
from engine.core.options import Config, option
from pages.ui import forms, words


class Student(Config):
    name: Literal["a", "b"] = option("a", "Which")
    depth: int = option(3, "How deep", low=1, high=8, advanced=True, when=("name", "a"))


class Toy(Config):
    student: Student = Student()
    rate: float = option(0.02, "How fast", low=1e-6, high=10.0, unit="per step")
    is_on: bool = option(False, "Whether", group="More")


def test_entries_open_nested_configs_in_place():
    found = forms.entries(Toy, {"student": {"depth": 5}})
    assert [(field.path, field.start) for field in found] == [
        (("student", "name"), "a"),
        (("student", "depth"), 5),
        (("rate",), 0.02),
        (("is_on",), False),
    ]
    assert [field.option.group for field in found] == ["", "", "", "More"]
    assert found[2].label_with_unit == "Rate (per step)"


def test_nested_undoes_entries():
    values = {field.path: field.start for field in forms.entries(Toy, {})}
    assert Toy.model_validate(forms.nested(values)) == Toy()


def test_every_field_of_every_method_has_a_widget():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        for key, method in engine.METHODS.items():
            values = {}
            forms.ask(forms.entries(method.config, {}), key, values)
            st.session_state[f"values {key}"] = forms.nested(values)

    app = AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception
    for key, method in engine.METHODS.items():
        assert method.config.model_validate(app.session_state[f"values {key}"]) == method.config()


def test_a_field_is_greyed_out_where_it_means_nothing():
    def script():
        import engine
        from pages.ui import forms

        forms.ask(forms.entries(engine.DataConfig, {}), "data", {})

    app = AppTest.from_function(script, default_timeout=60).run()
    assert app.number_input(key="data/zca_eps").disabled
    app.toggle(key="data/zca").set_value(True).run()
    assert not app.number_input(key="data/zca_eps").disabled


def test_a_greyed_out_field_says_what_it_needs():
    def script():
        import engine
        from pages.ui import forms

        forms.ask(forms.entries(engine.DataConfig, {}), "data", {})
        forms.ask(forms.entries(engine.EvaluationConfig, {}), "evaluation", {})

    app = AppTest.from_function(script, default_timeout=60).run()
    assert "**Has no effect now: it needs ZCA whitening on**" in app.number_input(key="data/zca_eps").help
    assert "it needs a choice of Other architectures" in app.number_input(key="evaluation/other_images").help
    app.toggle(key="data/zca").set_value(True).run()
    assert "no effect" not in app.number_input(key="data/zca_eps").help
    assert "it needs ZCA whitening off" in app.selectbox(key="data/normalisation").help


def test_a_field_depends_on_one_that_stands_later_in_another_config():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        config = forms.entries(engine.METHODS["rat_bptt"].config, {}, path=("config",))
        data = forms.entries(engine.DataConfig, {}, path=("data",))
        values = {}
        forms.ask(config, "form", values, among=[*config, *data])
        forms.ask(data, "form", values, among=[*config, *data])
        st.session_state["asked"] = forms.nested(values)

    app = AppTest.from_function(script, default_timeout=60).run()
    toggle = app.toggle(key="form/config/augment_synthetic")
    assert toggle.disabled and "it needs Augmentation other than None" in toggle.help
    app.selectbox(key="form/data/augmentation").set_value("crop").run()
    assert not app.toggle(key="form/config/augment_synthetic").disabled
    assert app.session_state["asked"]["data"]["augmentation"] == "crop"


def test_a_field_that_the_method_does_not_read_is_greyed_out():
    digits, bilevel, rat_bptt = (engine.SOURCES["digits"], engine.METHODS["bilevel"], engine.METHODS["rat_bptt"])
    fields = forms.entries(engine.EvaluationConfig, {}, path=("evaluation",))
    unread = {field.name: field.unread_by for field in forms.fitting(fields, digits, bilevel) if field.unread_by}
    assert unread == {"inner_steps": bilevel.title, "without_augmentation": bilevel.title}
    assert not [field.name for field in forms.fitting(fields, digits, rat_bptt) if field.unread_by]


def test_conditions_and_unread_options_name_options_that_exist():
    shared = {field.dotted for field in forms.entries(engine.DataConfig, {}, path=("data",))}
    shared |= {field.dotted for field in forms.entries(engine.EvaluationConfig, {}, path=("evaluation",))}
    somewhere = set(shared)
    for method in engine.METHODS.values():
        own = forms.entries(method.config, {}, path=("config",))
        known = shared | {field.dotted for field in own}
        somewhere |= known
        assert method.config.unread <= shared
        for field in own:
            place = ".".join(field.path[:-1])
            assert {condition.seen_from(place) for condition in field.option.when} <= known, field.path
    for model, part in ((engine.DataConfig, "data"), (engine.EvaluationConfig, "evaluation")):
        for field in forms.entries(model, {}, path=(part,)):
            place = ".".join(field.path[:-1])
            assert {condition.seen_from(place) for condition in field.option.when} <= somewhere, field.path


def test_several_of_a_literals_choices_are_chosen_from_those_alone():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        values = {}
        forms.ask(forms.entries(engine.DataConfig, {"augmentation": "dsa"}), "data", values)
        st.session_state["chosen"] = values["dsa_operations",]

    app = AppTest.from_function(script, default_timeout=60).run()
    widget = app.multiselect(key="data/dsa_operations")
    assert widget.options == ["Colour", "Crop", "Cutout", "Flip", "Scale", "Rotate"] and not widget.disabled
    assert app.session_state["chosen"] == engine.DataConfig().dsa_operations
    widget.set_value(["flip", "color"]).run()
    assert app.session_state["chosen"] == ("flip", "color")
    app.selectbox(key="data/augmentation").set_value("flip").run()
    assert app.multiselect(key="data/dsa_operations").disabled


@pytest.mark.parametrize(("start", "step"), [(0.02, 0.001), (1.0, 1.0), (0.5, 0.01), (0.0, 0.1)])
def test_steps_fit_the_size_of_the_value(start, step):
    assert forms._step(start, 10.0) == pytest.approx(step)


def test_escaped_text_has_no_live_markdown():
    assert words.escaped("a*b [c](d) $e$ `f`") == r"a\*b \[c\]\(d\) \$e\$ \`f\`"


@pytest.mark.parametrize("text", ["https://x.org/a", "(HTTP://x.org", "www.x.org", "so: me.you+1@x.org"])
def test_escaped_address_is_no_link_and_looks_the_same(text):
    shown = words.escaped(text).replace("\\", "")
    assert not re.search(
        r"https?://|www\.|\w@\w", shown, re.IGNORECASE
    )  # what Markdown looks for after it took out escapes
    assert shown.replace("\u2060", "") == text


def test_escaped_signs_of_no_address_stay_alone():
    assert "\u2060" not in words.escaped("10 @ 5, http, http: www and @home")


def test_labels_are_words_that_tell_one_option_from_another():
    config = [field.label for field in forms.entries(engine.METHODS["bilevel"].config, {})]
    evaluation = [field.label for field in forms.entries(engine.EvaluationConfig, {})]
    assert {"Decays", "Validations", "Set to keep"} <= set(config)
    assert {"Steps of standard training", "Epochs on the full set"} <= set(evaluation)
    assert not [label for label in config + evaluation if label.startswith("Num ")]
    assert len(set(config)) == len(config) and len(set(evaluation)) == len(evaluation)


def test_options_of_a_form_are_shown_under_it_alone_beside_the_choice_of_the_form():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        fields = forms.entries(engine.METHODS["rat_bptt"].config, {}, path=("config",))
        values = {}
        forms.ask([field for field in fields if field.option.group == "Synthetic set"], "form", values, among=fields)
        st.session_state["values"] = forms.nested(values)["config"]

    app = AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception
    assert {"canvas", "poster", "low_rank"}.isdisjoint(app.session_state["values"])
    assert not app.selectbox(key="form/config/images_from").disabled
    app.selectbox(key="form/config/stored_as").set_value("poster").run()
    assert app.session_state["values"]["poster"] == engine.METHODS["rat_bptt"].config().poster.model_dump()
    assert app.selectbox(key="form/config/images_from").disabled and "low_rank" not in app.session_state["values"]
    app.selectbox(key="form/config/stored_as").set_value("low_rank").run()
    assert "low_rank" in app.session_state["values"] and "poster" not in app.session_state["values"]


def test_the_outer_learning_rate_follows_the_form_and_a_number_that_someone_sets_wins():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        model, values = engine.METHODS["trajectory"].config, {}
        fields = forms.entries(model, {"outer_lr": 20.0}, path=("config",))
        forms.ask([field for field in fields if field.name in ("stored_as", "outer_lr")], "form", values)
        st.session_state["kept"] = model.model_validate(forms.nested(values)["config"])

    def shown(form: str) -> float:
        app.selectbox(key="form/config/stored_as").set_value(form).run()
        assert not app.exception
        return app.number_input[0].value

    app = AppTest.from_function(script, default_timeout=60).run()
    assert [shown(form) for form in ("pixels", "canvas", "low_rank", "poster")] == [20.0, 20.0, 2.0, 200.0]
    app.number_input[0].set_value(100.0).run()  # the default of pixels
    assert app.session_state["kept"].chosen() == {"stored_as": "poster", "outer_lr": 100.0}
    assert shown("pixels") == 20.0


def test_a_request_that_leaves_the_outer_learning_rate_out_shows_that_of_its_form():
    fields = forms.entries(engine.METHODS["trajectory"].config, {"stored_as": "low_rank"})
    assert next(field.start for field in fields if field.name == "outer_lr") == 10.0


def test_a_list_of_numbers_is_typed_with_commas_and_one_number_of_before_is_no_change():
    def script():
        import streamlit as st

        import engine
        from pages.ui import forms

        fields = forms.entries(engine.METHODS["selfsup"].config, {"crop_scale": 0.6}, path=("config",))
        values = {}
        forms.ask([field for field in fields if field.path == ("config", "crop_scale")], "form", values)
        st.session_state["value"] = values["config", "crop_scale"]
        st.session_state["edited"] = forms.changed(fields, values)

    app = AppTest.from_function(script, default_timeout=60).run()
    box = app.text_input(key="form/config/crop_scale")
    assert box.value == "0.6" and app.session_state["value"] == (0.6,) and not app.session_state["edited"]
    assert "One or several with commas between them, each from 0.05 to 1" in box.help
    box.set_value("0.4, 0.8").run()
    assert app.session_state["value"] == (0.4, 0.8) and app.session_state["edited"]
    app.text_input(key="form/config/crop_scale").set_value("small").run()
    assert app.session_state["value"] == "small" and not app.exception
