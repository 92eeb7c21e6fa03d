"""Names of files are made clean or refused; what comes out is safe whatever comes in."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from picture_trees import assert_nothing_left, classes, picture, uploaded

from engine.core.errors import UserError
from engine.data.imported import names

HOSTILE = st.text(st.sampled_from("a./\\:C\x00\n\u202e\u0301é\ud800🐱 ~*%"), max_size=30) | st.text(max_size=300)


@given(HOSTILE)
@example("a/../../b.png")
@example("C:/x")
@example("\\\\host\\share")
@example("./a//b/./c")
def test_a_clean_name_has_no_way_out(name):
    try:
        parts = names.cleaned(name)
    except names.Skipped as reason:
        assert str(reason).startswith(("its name", "it has"))
        return
    assert parts
    for part in parts:
        assert part not in ("", ".", "..") and "/" not in part and "\\" not in part
        assert len(part.encode("utf-8")) <= 255
        assert part == unicodedata.normalize("NFC", part)
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part)
    assert not re.match(r"[A-Za-z]:", parts[0])
    assert names.cleaned("/".join(parts)) == parts


@given(HOSTILE)
def test_a_shown_name_is_one_short_line(name):
    shown = names.shown(name)
    assert len(shown) <= 120 and (shown.isprintable() or not shown)


@given(st.text(max_size=100))
@example("CON")
@example("..")
@example("🐱")
def test_a_slug_is_a_safe_folder_name(title):
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", names.slug(title))
    assert names.slug(title) not in ("con", "nul", "prn", "aux", "com1", "lpt9")
    assert len(names.slug(title)) <= 44


@given(st.lists(HOSTILE, max_size=20, unique=True))
@settings(max_examples=40, deadline=None)
def test_an_upload_of_any_names_writes_only_numbers(tmp_path_factory, hostile):
    root = tmp_path_factory.mktemp("data")
    try:
        uploaded({f"x{name}": picture(7) for name in hostile} | classes(under="x/"), root)
    except UserError:  # a name may make a class of one image
        assert_nothing_left(root)
    written = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    pattern = r"imported/toy/(dataset\.json|files\.json|files/\d{6})|decoded/[0-9a-f]{32}\.safetensors"
    assert all(re.fullmatch(pattern, path) for path in written)


@pytest.mark.parametrize("name", ["__MACOSX/a/._b.png", "a/.DS_Store", ".hidden/x.png", "a/Thumbs.db", "DESKTOP.INI"])
def test_files_of_systems_are_hidden(name):
    assert names.is_hidden(names.cleaned(name))
