"""Zip files are checked before and while they are unpacked; what they say of themselves is not believed."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from picture_trees import (
    Tree,
    assert_nothing_left,
    classes,
    imported_path,
    imported_zip,
    options,
    picture,
    refusal,
    zipped,
)

from engine.core.errors import UserError
from engine.data.images import import_zip


def member(archive: io.BytesIO, name: str | zipfile.ZipInfo, content: bytes) -> io.BytesIO:
    """The archive with one more member."""
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, content)
    return archive


def refused_zip(file: io.BytesIO, data_root) -> str:
    return refusal(import_zip(file, options(), data_root), data_root)


def never_opened(archive: io.BytesIO, monkeypatch) -> io.BytesIO:
    """The archive; the test fails if one of its members is opened."""
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was opened"))
    return archive


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_packing_is_read(compression, data_root):
    assert imported_zip(zipped(classes(), compression), data_root).report.skipped == ()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06", picture(0), b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_file_is_refused(content, data_root):
    assert refused_zip(io.BytesIO(content), data_root).startswith("This is not a complete zip file (")


def test_a_truncated_zip_is_refused(data_root):
    whole = zipped(classes()).getvalue()
    assert refused_zip(io.BytesIO(whole[: len(whole) // 2]), data_root) == (
        "This is not a complete zip file (file is not a zip file); zip the folder again."
    )


def never_listed(archive: io.BytesIO, monkeypatch) -> io.BytesIO:
    """The archive; the test fails if `zipfile` makes objects of its members."""
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the members were listed"))
    return archive


def with_zip64_end(tree: Tree, monkeypatch) -> io.BytesIO:
    """A zip file of the tree that ends as one of more than 65,535 members does."""
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        return zipped(tree)


def test_too_many_members_are_refused_before_they_are_listed(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "4")
    assert refused_zip(never_listed(zipped(classes()), monkeypatch), data_root).startswith(
        "There are 10 files and folders, but at most 4 are allowed;"
    )


def test_too_many_files_are_refused_before_they_are_unpacked(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "9")
    assert refused_zip(never_opened(zipped(classes()), monkeypatch), data_root).startswith(
        "There are 10 files, but at most 9 are allowed;"
    )


@pytest.mark.parametrize("end", ["plain", "zip64"])
def test_a_number_of_members_that_is_a_lie_is_not_believed(end, data_root, monkeypatch):
    archive = with_zip64_end(classes(), monkeypatch) if end == "zip64" else zipped(classes())
    content = bytearray(archive.getvalue())
    for signature, offset, number in ((b"PK\x05\x06", 8, "<2H"), (b"PK\x06\x06", 24, "<2Q")):
        place = content.find(signature)
        assert (place >= 0) is (end == "zip64" or number == "<2H")
        if place >= 0:
            struct.pack_into(number, content, place + offset, 1, 1)
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "4")
    sentence = refused_zip(never_listed(io.BytesIO(bytes(content)), monkeypatch), data_root)
    assert sentence.startswith("There are 10 files and folders, but at most 4 are allowed;")


def test_folders_of_a_zip_are_no_files_but_have_the_same_cap(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "10")
    archive = zipped(classes() | {"cats/": b"", "dogs/": b""})
    assert imported_zip(archive, data_root, name="Other").num_test == 2
    archive = zipped(classes(count=2) | {f"{number}/": b"" for number in range(11)})
    with pytest.raises(UserError, match="There are 11 folders, but at most 10 are allowed;"):
        imported_zip(never_opened(archive, monkeypatch), data_root)


@pytest.mark.parametrize("before", [b"", b"#!a program that unpacks itself"], ids=["", "something before it"])
@pytest.mark.parametrize("comment", [b"", b"made by hand", b"x" * 65_535], ids=["", "comment", "longest comment"])
def test_a_zip_with_something_around_it_is_read(before, comment, data_root):
    archive = zipped(classes())
    with zipfile.ZipFile(archive, "a") as file:
        file.comment = comment
    assert imported_zip(io.BytesIO(before + archive.getvalue()), data_root).report.skipped == ()


def test_a_zip64_end_is_read(data_root, monkeypatch):
    assert imported_zip(with_zip64_end(classes(), monkeypatch), data_root).report.skipped == ()


def test_too_many_bytes_are_refused_before_unpacking(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_BYTES", "100000")
    bomb = member(zipped(classes()), "cats/bomb.bmp", b"BM" + bytes(200_000))
    assert refused_zip(never_opened(bomb, monkeypatch), data_root).startswith(
        "The files are larger than 100,000 bytes in total;"
    )


def test_a_bomb_is_refused_by_its_ratio_before_unpacking(data_root, monkeypatch):
    bomb = zipped({f"{label}/{number}.bmp": b"BM" + bytes(2_000_000) for label in "ab" for number in range(3)})
    sentence = refused_zip(never_opened(bomb, monkeypatch), data_root)
    assert sentence.startswith("This zip file unpacks to ") and "at most 200 times is allowed" in sentence
    assert "DISTILLERY_MAX_RATIO" in sentence


def test_a_bomb_that_lies_about_its_size_unpacks_no_more_than_it_says(data_root):
    archive = zipped(classes())
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cats/bomb.bmp", b"BM" + bytes(50_000_000))
    content = archive.getvalue()
    lie = content.replace(struct.pack("<I", 50_000_002), struct.pack("<I", 100))
    assert lie != content
    source = imported_zip(io.BytesIO(lie), data_root)
    assert source.report.skipped == (("cats/bomb.bmp", "is damaged inside the zip file"),)
    assert all(path.stat().st_size < 10_000 for path in (data_root / "imported" / "toy" / "files").iterdir())


def test_one_member_over_the_cap_is_left_out(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILE_BYTES", "5000")
    source = imported_zip(member(zipped(classes()), "cats/large.png", picture(0, (100, 100))), data_root)
    assert source.report.skipped[0][1] == "is larger than the 5,000 bytes allowed (DISTILLERY_MAX_FILE_BYTES)"


def test_a_nested_zip_is_left_out(data_root):
    nested = member(zipped(classes()), "cats/more.zip", zipped(classes()).getvalue())
    assert imported_zip(nested, data_root).report.skipped == (
        ("cats/more.zip", "is a nested archive; unpack it first"),
    )


def encrypted(archive: io.BytesIO) -> io.BytesIO:
    """The archive with the flag of encryption on every member."""
    content = bytearray(archive.getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(signature, place + 4)
    return io.BytesIO(bytes(content))


def test_an_encrypted_zip_is_refused(data_root):
    assert refused_zip(encrypted(zipped(classes())), data_root) == (
        "There are no usable images (JPEG, PNG, WebP or BMP): the first of 10 skipped files, 'cats/0.png', is "
        "encrypted; make the zip file without a password."
    )


def test_links_are_left_out(data_root):
    link = zipfile.ZipInfo("cats/link.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    source = imported_zip(member(zipped(classes()), link, b"/etc/passwd"), data_root)
    assert source.report.skipped == (("cats/link.png", "is a link or not a regular file"),)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_and_hostile_names_are_left_out(data_root):
    archive = zipped(classes())
    for name in ("cats/0.png", "../evil.png", "/etc/evil.png", "C:\\evil.png"):
        archive = member(archive, name, picture(999))
    assert dict(imported_zip(archive, data_root).report.skipped) == {
        "cats/0.png": "is the second file of this name",
        "../evil.png": "its name leads out of the folder",
        "/etc/evil.png": "its name is an absolute path",
        "C:\\evil.png": "its name is an absolute path",
    }


@pytest.mark.parametrize("name", [b"cats/evil\x00.png", b"\x00ats/evil1.png"])
def test_a_name_with_a_nul_is_left_out(name, data_root):
    content = member(zipped(classes()), "cats/evil1.png", picture(999)).getvalue()
    source = imported_zip(io.BytesIO(content.replace(b"cats/evil1.png", name)), data_root)
    ((_, reason),) = source.report.skipped
    assert reason == "its name contains control characters"


def test_windows_separators_are_folders(data_root):
    archive = zipped({name.replace("/", "\\"): content for name, content in classes().items()})
    assert imported_zip(archive, data_root).class_names == ("cats", "dogs")


def test_a_damaged_member_is_left_out(data_root):
    large = picture(999, (60, 60))
    content = bytearray(member(zipped(classes(), zipfile.ZIP_STORED), "cats/bad.png", large).getvalue())
    place = content.find(large) + 500
    content[place : place + 50] = bytes(50)
    source = imported_zip(io.BytesIO(bytes(content)), data_root)
    assert source.report.skipped == (("cats/bad.png", "is damaged inside the zip file"),)


def test_an_empty_folder_of_a_zip_is_an_empty_class(data_root):
    archive = zipped(classes())
    with zipfile.ZipFile(archive, "a") as file:
        file.mkdir("birds")
    assert refused_zip(archive, data_root) == "Class folder 'birds' has no images; put images in it or remove it."


def test_a_zip_file_of_this_machine_keeps_only_pixels(data_root, tmp_path):
    path = tmp_path / "animals.zip"
    path.write_bytes(zipped(classes()).getvalue())
    source = imported_path(path, data_root)
    assert source.path == str(path) and source.origin == f"Read from {path}"
    assert [found.name for found in (data_root / "imported" / "toy").iterdir()] == ["dataset.json"]


def test_a_refused_zip_can_be_tried_again(data_root):
    archive = zipped(classes())
    assert "class folders of ImageNet Nette are missing" in refusal(
        import_zip(archive, options(subset="nette"), data_root), data_root
    )
    assert imported_zip(archive, data_root).num_test == 2


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 200))
@example(place=599468, value=1, cut=0)  # a member that begins before the file
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_a_zip_is_a_sentence_or_a_reason(place, value, cut, tmp_path_factory):
    content = bytearray(zipped(classes(count=3)).getvalue())
    content[place % len(content)] = value
    root = tmp_path_factory.mktemp("data")
    try:
        imported_zip(io.BytesIO(bytes(content[: len(content) - cut])), root)
    except UserError:
        assert_nothing_left(root)
