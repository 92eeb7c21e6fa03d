"""Your own data in, by the page: upload, look, rename, use at another size, delete; what goes wrong is one sentence."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile

import numpy as np
import pytest
import streamlit as st
from canned_runs import words as other_words
from PIL import Image
from streamlit.testing.v1 import AppTest

import engine
from pages.ui import uploads

CLASSES = ("1", "2", "10")


def png(shade: int, size: tuple[int, int] = (12, 9)) -> bytes:
    """A picture of one shade, with a little noise that is its own."""
    noise = np.random.default_rng(shade).integers(0, 20, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise + np.uint8(shade)).save(buffer, "PNG")
    return buffer.getvalue()


def tree(classes=CLASSES, per_class: int = 6) -> dict[str, bytes]:
    """Class folders of small pictures."""
    return {
        f"shapes/{name}/{number}.png": png(20 * number + kind, (12 + kind, 9))
        for kind, name in enumerate(classes)
        for number in range(per_class)
    }


def words(app: AppTest) -> str:
    """All text of a page, what went well included."""
    return " ".join([other_words(app), *(alert.value.replace("\\", "") for alert in app.success)])


def zipped(files: dict[str, bytes]) -> bytes:
    """The files as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def spool(*files: tuple[str, bytes]) -> uploads.Spool:
    """The files as a browser sends them."""
    found = uploads.Spool("1", tempfile.TemporaryFile(), uploads.PART_BYTES)  # noqa: SIM115 (closed by the page)
    found.put("0", b"".join(content for _, content in files))
    found.put(uploads.LIST, json.dumps([(name, len(content)) for name, content in files]).encode())
    return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[uploads.Spool]:
    """What the browser has sent; the widget that receives it is tried in the browser's own tests."""
    spools: list[uploads.Spool] = []

    def chosen(key: str, kind: str) -> uploads.Spool | None:
        return next((spool for spool in spools if not spool.file.closed), None)

    monkeypatch.setattr(uploads, "chosen", chosen)
    return spools


@pytest.fixture
def opened(visit, sent):
    """opened("zip", (name, content), ...): the panel that takes new data at one of its ways, with files chosen."""

    def open_panel(way: str, *files: tuple[str, bytes]) -> AppTest:
        app = visit("data", add="1")
        app.segmented_control(key="import way").set_value(way).run()
        sent[:] = [spool(*files)] if files else []
        return app.run()

    return open_panel


@pytest.fixture
def imported(opened):
    """imported(): the page right after a zip came in."""

    def import_zip(files: dict[str, bytes] | None = None, name: str = "my shapes.zip") -> AppTest:
        app = opened("zip", (name, zipped(files or tree())))
        app.button(key="import").click().run()
        assert not app.exception and not app.error
        return app

    return import_zip


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


def keys() -> list[str]:
    """The imported data sets that there are."""
    return list(engine.images.saved(engine.data_root()))


def partial() -> list[str]:
    """What an import that failed has left behind."""
    root = engine.data_root()
    return [path.name for name in ("imported", "decoded") for path in (root / name).glob("**/*") if path.is_file()]


def test_zip_becomes_a_data_set_that_is_shown(imported):
    app = imported()
    (key,) = keys()
    text = words(app)
    assert app.query_params["source"] == key
    assert "my shapes is imported: 18 images in 3 classes" in text
    assert "Training images 15" in text and "Test images 3" in text
    assert "No files were skipped" in text
    assert engine.sources()[key].class_names == CLASSES  # as numbers, not as letters


def test_name_follows_the_chosen_file_until_it_is_written(opened):
    app = opened("zip", ("my shapes.zip", zipped(tree())))
    name = next(box for box in app.text_input if box.label == "Name")
    assert name.value == "my shapes"
    name.set_value("my ** [shapes](http://x)").run()
    app.button(key="import").click().run()
    assert [source.title for source in engine.images.saved(engine.data_root()).values()] == ["my ** [shapes](http://x)"]


@pytest.mark.parametrize("way", ["folder", "zip", "server"])
def test_nothing_chosen_nothing_to_import(opened, way):
    app = opened(way)
    assert "Choose the images" in words(app)
    assert "import" not in [button.key for button in app.button]


def test_folder_upload_skips_hostile_names_and_says_so(opened):
    hostile = [
        "shapes/../../../etc/passwd",
        "/etc/1/a.png",
        "C:\\windows\\1\\a.png",
        "shapes/1/a\0b.png",
        "shapes/1/" + "x" * 300,
    ]
    files = list(tree().items())
    files += [(name, png(7)) for name in hostile] + [("shapes/1/notes.txt", b"hello")]
    app = opened("folder", *files)
    assert f"{len(files)} files" in words(app)
    app.button(key="import").click().run()
    assert not app.exception and not app.error

    (source,) = engine.images.saved(engine.data_root()).values()
    assert source.title == "shapes"
    assert len(source.report.skipped) == 6
    shown = app.expander[[found.label for found in app.expander].index("Skipped files (6)")].dataframe[0].value
    assert all(shown["Reason"])
    assert "1/notes.txt" in list(shown["File"])
    outside = engine.data_root().parent
    assert not [path for path in outside.rglob("*") if path.name in ("passwd", "a.png")]


def test_failure_is_one_sentence_and_a_second_try_needs_no_second_upload(opened, imported):
    imported(tree(("a", "b")), "taken.zip")
    app = opened("zip", ("taken.zip", zipped(tree())))
    app.button(key="import").click().run()
    assert len(app.error) == 1
    assert "choose another name" in app.error[0].value

    next(box for box in app.text_input if box.label == "Name").set_value("free").run()
    app.button(key="import").click().run()
    assert "free is imported" in words(app)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.png": png(1), "b.png": png(2)}, "folder"),
        (tree(("only",)), "class"),
        ({"x/1.txt": b"no picture", "y/2.txt": b"none"}, ""),
    ],
    ids=["no class folders", "one class", "no images"],
)
def test_bad_zip_is_one_sentence_and_leaves_nothing(opened, files, said):
    app = opened("zip", ("my shapes.zip", zipped(files)))
    app.button(key="import").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert said in app.error[0].value
    assert keys() == [] and partial() == []


def test_no_zip_at_all_is_one_sentence(opened):
    app = opened("zip", ("my shapes.zip", b"no zip"))
    app.button(key="import").click().run()
    assert len(app.error) == 1 and not app.exception
    assert keys() == [] and partial() == []


@pytest.mark.parametrize("way", ["folder", "zip"])
def test_upload_that_is_replaced_meanwhile_is_one_sentence_and_leaves_nothing(opened, monkeypatch, sent, way):
    app = opened(way, *(tree().items() if way == "folder" else [("shapes.zip", zipped(tree()))]))
    store = engine.data.images.intake.store

    def replaced_after_the_third(file, parts, target, found, caps):
        store(file, parts, target, found, caps)
        if len(found.images) == 3:
            sent[0].close()

    monkeypatch.setattr("engine.data.images.intake.store", replaced_after_the_third)
    app.button(key="import").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == [
        "The upload was replaced while it was being read; import it again\\."
    ]
    assert keys() == [] and partial() == []


def test_name_of_a_built_in_data_set_is_refused(opened):
    app = opened("zip", ("digits.zip", zipped(tree())))
    app.button(key="import").click().run()
    assert "already a data set called 'digits'" in app.error[0].value.replace("\\", "")
    assert keys() == []


def test_upload_is_kept_after_a_failure_and_let_go_after_success(opened, sent):
    app = opened("zip", ("a.zip", b"no zip"))
    app.button(key="import").click().run()
    assert not sent[0].file.closed
    app = opened("zip", ("a.zip", zipped(tree())))
    app.button(key="import").click().run()
    assert sent[0].file.closed


def test_class_names_are_no_markdown_and_no_html(imported):
    names = ("**bold**", "<script>alert(1)", "[link](http:x)")
    app = imported(tree(names), "**loud**.zip")
    title = next(alert.value for alert in app.success)
    assert r"\*\*loud\*\* is imported" in title
    assert not any(
        "**bold**" in element.value or "<script>" in element.value for element in [*app.markdown, *app.caption]
    )
    assert "**loud**" in app.selectbox[0].options, "a list shows plain text"


def test_report_shows_duplicates_sizes_and_options(imported):
    files = {
        f"shapes/{part}/{name}/{number}.png": png(30 * number + kind)
        for part in ("train", "test")
        for kind, name in enumerate(("a", "b"))
        for number in range(4)
    }
    app = imported(files)
    text = words(app)
    assert "8 test images are also among the training images" in text
    how = next(table.value for table in app.table if "Option" in table.value)
    facts = dict(zip(how["Option"], how["Value"], strict=True))
    assert facts["Image size"] == "32 pixels"
    assert facts["Image sizes"] == r"12 × 9 pixels \(all\)"


def test_image_sizes_are_a_chart_where_they_differ(imported):
    assert "12 to 14 pixels wide, 9 to 9 pixels high." in words(imported())


def test_rename_changes_the_title_and_keeps_the_key(visit, imported):
    imported()
    (key,) = keys()
    app = dialog("_rename", key)
    app.text_input[0].set_value("flat shapes").run()
    app.button(key="save name").click().run()
    assert engine.images.saved(engine.data_root())[key].title == "flat shapes"
    assert "flat shapes" in visit("data").selectbox[0].options


@pytest.mark.parametrize("name", ["  ", "digits"])
def test_bad_new_name_is_one_sentence(imported, name):
    imported()
    (key,) = keys()
    app = dialog("_rename", key)
    app.text_input[0].set_value(name).run()
    app.button(key="save name").click().run()
    assert len(app.error) == 1
    assert engine.images.saved(engine.data_root())[key].title == "my shapes"


def test_deleted_data_set_is_gone_with_its_files(visit, imported):
    imported()
    (key,) = keys()
    app = dialog("_confirm_delete", key)
    assert "This cannot be undone" in words(app)
    app.button(key="confirm delete data").click().run()
    assert keys() == [] and partial() == []
    assert "Training images 1,438" in words(visit("data", source=key))  # the digits in its place


def test_delete_is_refused_while_a_run_uses_it(imported, store):
    imported()
    (key,) = keys()
    run_id = store.submit(engine.RunRequest(source=key, method="bilevel", name="busy with shapes"))
    app = dialog("_confirm_delete", key)
    assert f"Runs in progress use my shapes: {run_id} (busy with shapes)" in words(app)
    assert not app.button
    assert keys() == [key]


def test_same_files_at_another_size_are_another_data_set(imported):
    app = imported()
    app.button(key="import again").click().run()
    next(box for box in app.number_input if box.label.startswith("Image size")).set_value(16).run()
    app.button(key="import").click().run()
    assert not app.exception and not app.error
    old, new = engine.images.saved(engine.data_root()).values()
    assert (old.sample_shape, new.sample_shape) == ((3, 32, 32), (3, 16, 16))
    assert new.title == "my shapes 16"


@pytest.mark.parametrize("is_allowed", [True, False])
def test_folder_read_in_place_is_read_again_only_where_the_page_may_read(visit, tmp_path, monkeypatch, is_allowed):
    for name, content in tree().items():
        path = tmp_path / "elsewhere" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    options = engine.images.ImportOptions(name="private", image_size=8)
    for _ in engine.images.import_path(tmp_path / "elsewhere" / "shapes", options, engine.data_root()):
        pass
    monkeypatch.setenv("DISTILLERY_FOLDERS", str(tmp_path / ("elsewhere" if is_allowed else "here")))
    app = visit("data", source=keys()[0], again="1")
    app.button(key="import").click().run()
    assert not app.exception
    assert [("is outside the folders" in error.value) for error in app.error] == ([] if is_allowed else [True])
    assert len(keys()) == 1 + is_allowed


def test_folder_on_the_server_is_found_and_read_in_place(opened):
    for name, content in tree().items():
        path = engine.data_root() / "folders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    app = opened("server")
    box = next(box for box in app.selectbox if box.label == "Found on the server")
    box.select_index(0).run()
    app.button(key="import").click().run()
    assert not app.exception and not app.error
    assert "shapes is imported: 18 images" in words(app)


def test_path_outside_the_allowed_folders_is_refused(opened):
    app = opened("server")
    next(box for box in app.text_input if box.label == "Or its path").set_value("../../../etc").run()
    assert "outside the folders" in app.error[0].value
    assert keys() == []


@pytest.mark.parametrize(("way", "is_said"), [("folder", True), ("zip", True), ("server", False)])
def test_room_that_an_upload_takes_is_said(opened, way, is_said):
    assert ("about twice the size" in words(opened(way))) is is_said


def test_limits_name_their_variables(visit):
    text = words(visit("data", add="1"))
    for variable in ("DISTILLERY_MAX_FILES", "DISTILLERY_MAX_BYTES"):
        assert variable in text


def test_import_that_is_broken_off_is_said_and_leaves_nothing(opened, monkeypatch):
    app = opened("zip", ("my shapes.zip", zipped(tree())))
    closed = []

    def endless(*_):
        try:
            while True:
                yield engine.events.Progress("copy files", 1, 2)
        finally:
            closed.append(True)

    with monkeypatch.context() as patch:
        patch.setattr(engine.images, "import_zip", endless)
        patch.setattr("pages.ui.services.REDRAW_SECONDS", 0.0)
        patch.setattr("engine.figures.formats.count", lambda value: st.stop())  # as a click elsewhere does
        app.button(key="import").click().run()
    assert closed == [True]
    app.run()
    assert "The import of my shapes was cancelled. Nothing was kept." in words(app)
    assert not app.button(key="import").disabled
