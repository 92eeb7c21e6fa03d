"""Price histories by the page: upload, change what was detected, import, look, rename, delete; and the form for
distilling them.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from canned_runs import words as other_words
from streamlit.testing.v1 import AppTest

import engine
from engine.data.prices.simulate import simulate

SIMULATED = "simulated_prices"


def words(app: AppTest) -> str:
    """All text of a page, what went well included."""
    return " ".join([other_words(app), *(alert.value.replace("\\", "") for alert in app.success)])


def csv(token: str = "AAA", num_bars: int = 600, header: str = "date,open,high,low,close,volume") -> bytes:
    """A history as exchanges write them."""
    bars = simulate((token,), num_bars, seed=1)[0]
    dates = bars.times.astype("datetime64[s]").astype("datetime64[D]")
    rows = [
        ",".join([str(date), *(f"{value:.8g}" for value in row)]) for date, row in zip(dates, bars.table, strict=True)
    ]
    return "\n".join([header, *rows]).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def sent(visit):
    """sent(("a.csv", b"…"), ...): the panel that takes prices, with files uploaded."""

    def send(*files: tuple[str, bytes]) -> AppTest:
        app = visit("data", add="1")
        app.segmented_control(key="import kind").set_value("prices").run()
        if files:
            app.file_uploader(key="prices upload 0 files").set_value([(*file, "text/csv") for file in files]).run()
        assert not app.exception, [entry.value for entry in app.exception]
        return app

    return send


@pytest.fixture
def imported(sent) -> AppTest:
    """The page of two tokens that just came in."""
    app = sent(("AAA.csv", csv("AAA")), ("BBB.csv", csv("BBB")))
    next(box for box in app.text_input if box.label == "Name").set_value("my *coins*").run()
    app.button(key="import").click().run()
    assert not app.exception and not app.error
    return app


def dialog(name: str, key: str) -> AppTest:
    """One of the dialogs about a data set, open; a page under test would close it with every click."""
    app = AppTest.from_string(
        "import streamlit as st\n"
        "import engine\n"
        "from pages.ui import imported\n"
        f"found = engine.sources().get({key!r})\n"
        f"imported.{name}(found) if found else st.text('gone')\n"
    )
    app.run()
    assert not app.exception
    return app


def saved() -> dict[str, engine.data.Source]:
    return engine.prices.saved(engine.data_root())


def picked(app: AppTest, label: str):
    return next(box for box in app.selectbox if box.label == label)


def test_simulated_prices_are_said_to_be_simulated(visit):
    app = visit("data", source=SIMULATED)
    assert "These prices are simulated" in words(app)
    assert "SIM-A" in picked(app, "Token").options and not app.error


def test_split_is_said_in_words_with_its_embargo(visit):
    text = words(visit("data", source=SIMULATED))
    for part in ("Train", "Validation", "Test"):
        assert f"**{part}** " in text
    assert "**embargo** of 31 bars" in text


def test_embargo_and_candles_follow_the_windows_chosen(visit):
    app = visit("data", source=SIMULATED)
    next(box for box in app.number_input if box.label == "Window (bars)").set_value(10).run()
    assert "**embargo** of 11 bars" in words(app) and not app.exception


def test_windows_that_do_not_fit_are_one_sentence_and_the_history_stays(visit):
    app = visit("data", source=SIMULATED)
    next(box for box in app.number_input if box.label == "Window (bars)").set_value(500).run()
    assert len(app.error) == 1 and "bars" in app.error[0].value
    assert "Price history" in words(app) and "Training windows" not in words(app)
    assert not app.exception


def test_windows_chosen_on_the_data_page_are_those_of_the_form(visit):
    app = visit("data", source=SIMULATED)
    picked(app, "Target").set_value("volatility").run()
    app.button(key="distil prepared").click().run()
    assert not app.exception
    assert app.session_state["preparation"] == {SIMULATED: {"windows": {"target": "volatility"}}}


def test_prices_and_images_have_fields_and_methods_of_their_own(visit):
    prices, images = visit("distill", source=SIMULATED), visit("distill", source="digits")
    assert picked(prices, "Method").options == [engine.METHODS["ohlc"].title]
    assert engine.METHODS["ohlc"].title not in picked(images, "Method").options
    labels = [{box.label for box in (*app.selectbox, *app.number_input, *app.toggle)} for app in (prices, images)]
    assert {"Target", "Window (bars)", "Horizon (bars)"} <= labels[0] and "ZCA whitening" not in labels[0]
    assert "ZCA whitening" in labels[1] and "Horizon (bars)" not in labels[1]


def test_students_offered_are_those_that_take_the_samples(visit):
    prices, images = visit("distill", source=SIMULATED), visit("distill", source="digits")
    assert picked(prices, "Student").options == ["MLP 256-128", "LSTM", "GRU", "Transformer", "Linear"]
    assert "ConvNet" in picked(images, "Student").options and "LSTM" not in picked(images, "Student").options


def test_plan_of_prices_counts_windows_and_not_images(visit):
    app = visit("distill", source=SIMULATED)
    text = words(app)
    assert "training windows" in text and "bars and targets" in text and "training images" not in text
    assert not app.error and not app.button(key="start").disabled


def test_upload_becomes_a_data_set_with_a_line_that_counts(imported):
    (source,) = saved().values()
    assert (source.title, source.tokens) == ("my *coins*", ("AAA", "BBB"))
    assert "my *coins* is imported: 2 tokens, 1,200 bars." in words(imported)
    assert {"Price history", "Windows", "Files"} <= {header.value for header in (*imported.header, *imported.subheader)}
    assert [len(bars) for bars in source.bars(engine.data_root())] == [600, 600]


def test_preview_tells_what_was_found_before_anything_is_kept(sent):
    app = sent(("AAA.csv", csv()))
    text = words(app)
    assert "600 bars of 1 day, 1 Jan 2018 to 23 Aug 2019, from 600 rows." in text
    assert [picked(app, role).value for role in ("Date", "Open", "Close", "Volume")] == [
        "date",
        "open",
        "close",
        "volume",
    ]
    assert next(box for box in app.text_input if box.label == "Name").value == "AAA"
    assert not saved()


def test_column_that_is_meant_can_be_chosen_instead(sent):
    app = sent(("AAA.csv", csv(header="date,open,high,low,close,traded things")))
    assert picked(app, "Volume").value == ""
    picked(app, "Volume").set_value("traded things").run()
    app.button(key="import").click().run()
    assert not app.exception and not app.error
    (bars,) = next(iter(saved().values())).bars(engine.data_root())
    assert len(np.unique(bars.volume)) > 100


def test_columns_that_cannot_be_are_a_sentence_and_nothing_to_import(sent):
    app = sent(("AAA.csv", csv()))
    picked(app, "High").set_value("low").run()
    assert app.error and not [button for button in app.button if button.key == "import"]
    picked(app, "High").set_value("high").run()
    assert not app.error and app.button(key="import")


def test_repairs_are_told_before_the_import_and_after(sent):
    app = sent(("AAA.csv", csv() + b"\n2019-12-01,null,null,null,null,null"))
    assert "- 1 row without prices" in words(app)
    app.button(key="import").click().run()
    text = words(app)
    assert (
        "repair made while reading" in text
        and "**AAA.csv**: 600 bars of AAA" in text
        and "- 1 row without prices" in text
    )


def test_file_that_cannot_be_read_is_a_sentence_and_the_others_stay(sent):
    app = sent(("AAA.csv", csv()), ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 20))
    assert len(app.error) == 1 and "picture" in app.error[0].value.replace("\\", "")
    assert "1 token to import, 1 skipped." in words(app)
    app.button(key="import").click().run()
    assert [source.tokens for source in saved().values()] == [("AAA",)]


def test_file_that_is_not_wanted_is_left_out(sent):
    app = sent(("AAA.csv", csv("AAA")), ("BBB.csv", csv("BBB")))
    next(box for box in app.toggle if box.key.endswith("BBB.csv/use")).set_value(False).run()
    app.button(key="import").click().run()
    assert [source.tokens for source in saved().values()] == [("AAA",)]


def test_tokens_can_be_called_otherwise(sent):
    app = sent(("AAA.csv", csv()))
    next(box for box in app.text_input if box.label == "Token").set_value("Gold").run()
    app.button(key="import").click().run()
    assert [source.tokens for source in saved().values()] == [("Gold",)]


def test_zip_holds_several_tokens_and_names_the_data_set(sent):
    app = sent(("coins.zip", zipped({"AAA.csv": csv("AAA"), "BBB.csv": csv("BBB"), "picture.png": b"x"})))
    assert next(box for box in app.text_input if box.label == "Name").value == "coins"
    app.button(key="import").click().run()
    (source,) = saved().values()
    assert (source.title, source.tokens) == ("coins", ("AAA", "BBB"))
    assert source.report.skipped[0][0] == "picture.png"


def test_damaged_zip_is_a_sentence(sent):
    app = sent(("coins.zip", b"PK\x03\x04 and no more"))
    assert len(app.error) == 1 and not app.exception


def test_files_on_the_server_are_found_and_read(sent):
    folder = engine.data_root() / "folders" / "coins"
    folder.mkdir(parents=True)
    (folder / "AAA.csv").write_bytes(csv())
    app = sent()
    app.segmented_control(key="prices way").set_value("server").run()
    picked(app, "Found on the server").select_index(0).run()
    app.button(key="import").click().run()
    assert not app.exception and not app.error
    (source,) = saved().values()
    assert source.title == "coins" and str(folder) in source.origin


def test_path_outside_the_allowed_folders_is_refused(sent):
    app = sent()
    app.segmented_control(key="prices way").set_value("server").run()
    next(box for box in app.text_input if box.label == "Or its path").set_value("../../../etc").run()
    assert "outside the folders" in app.error[0].value and not app.exception


def test_name_that_is_taken_is_refused_with_a_sentence(sent):
    app = sent(("AAA.csv", csv()))
    next(box for box in app.text_input if box.label == "Name").set_value("Simulated prices").run()
    app.button(key="import").click().run()
    assert "already" in app.error[0].value and not saved()


def test_prices_are_renamed_and_keep_their_key(visit, imported):
    (key,) = saved()
    app = dialog("_rename", key)
    app.text_input[0].set_value("crypto").run()
    app.button(key="save name").click().run()
    assert not app.exception and saved()[key].title == "crypto"
    assert "crypto" in visit("data").selectbox[0].options


def test_deleted_prices_are_gone_after_a_question(imported):
    (key,) = saved()
    app = dialog("_confirm_delete", key)
    assert "Deletes my *coins* with its bars" in words(app) and key in saved()
    app.button(key="confirm delete data").click().run()
    assert not app.exception and not saved()


def test_bars_that_are_gone_are_said(visit, imported):
    (source,) = saved().values()
    for path in source.paths(engine.data_root()):
        if path.suffix != ".json":
            path.unlink()
    app = visit("data", source=source.key)
    assert "Its prices are missing" in app.error[0].value and not app.exception


def test_windows_that_take_much_memory_are_made_when_asked_for(visit, monkeypatch):
    monkeypatch.setattr("pages.ui.prices.MUCH_MEMORY", 1_000_000)
    app = visit("data", source=SIMULATED)
    assert "of memory" in words(app) and "Training windows of" not in words(app) and "Price history" in words(app)
    app.button(key="show preparation").click().run()
    assert "Training windows of SIM-A" in words(app) and not app.exception
