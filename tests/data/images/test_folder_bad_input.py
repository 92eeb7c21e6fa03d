"""Bad input is refused in one clear sentence, or left out with a reason; the good images are not lost."""

from __future__ import annotations

import io
import pickle
import struct
import zlib

import pytest
from picture_trees import (
    assert_nothing_left,
    classes,
    encoded,
    options,
    picture,
    refusal,
    refused,
    split_classes,
    upload_of,
    uploaded,
    written,
)
from PIL import Image
from safetensors import SafetensorError

from engine import machine
from engine.data.images import import_path, import_upload, limits


def huge_png(width: int, height: int) -> bytes:
    """A sound PNG of one grey level, a few kilobytes whatever its size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "green")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def bomb_header(side: int) -> bytes:
    """A PNG that claims to be `side` x `side` and holds next to nothing."""
    png = bytearray(huge_png(4, 4))
    png[16:24] = struct.pack(">II", side, side)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    return bytes(png)


NO_IMAGE = "is not an image (JPEG, PNG, WebP or BMP)"
SKIPPED = {
    "text.jpg": (b"not a picture", NO_IMAGE),
    "page.html": (b"<script>alert(1)</script>", NO_IMAGE),
    "program.png": (b"MZ\x90\x00" + bytes(100), NO_IMAGE),
    "empty.jpg": (b"", "is empty (0 bytes)"),
    "weights.pt": (pickle.dumps({"a": 1}, protocol=4), "is a Python pickle, which is never opened"),
    "moving.gif": (animation("GIF"), "is a GIF; save it as JPEG or PNG"),
    "scan.tif": (encoded(Image.new("RGB", (10, 10)), "TIFF"), "is a TIFF; save it as JPEG or PNG"),
    "photo.heic": (b"\x00\x00\x00\x18ftypheic" + bytes(50), "is a HEIC or AVIF photo; save it as JPEG or PNG"),
    "drawing.svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "is an SVG drawing; save it as JPEG or PNG"),
    "inner.zip": (b"PK\x03\x04" + bytes(30), "is a nested archive; unpack it first"),
    "inner.png": (b"PK\x03\x04" + bytes(30), "is a nested archive; unpack it first"),
    "moving.png": (animation("PNG"), "is animated; save one frame of it"),
    "moving.webp": (animation("WEBP"), "is animated; save one frame of it"),
    "dot.png": (picture(0, (1, 1)), "is 1 x 1 pixels; both sides need 4 or more"),
    "line.png": (picture(0, (30_000, 1)), "is 30,000 x 1 pixels; both sides need 4 or more"),
    "bomb.png": (
        bomb_header(7_100),
        "is 7,100 x 7,100 pixels large: more than the 50,000,000 pixels allowed (DISTILLERY_MAX_PIXELS)",
    ),
    "great_bomb.png": (bomb_header(40_000), "has more than the 50,000,000 pixels allowed (DISTILLERY_MAX_PIXELS)"),
}


@pytest.mark.parametrize("name", SKIPPED)
def test_a_bad_file_is_left_out_with_its_reason_and_the_good_ones_are_kept(name, data_root):
    content, reason = SKIPPED[name]
    source = uploaded(classes() | {f"cats/{name}": content}, data_root)
    assert source.report.skipped == ((f"cats/{name}", reason),)
    assert source.num_train + source.num_test == 10


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_image_is_left_out(kind, data_root):
    whole = picture(1, (64, 64), kind)
    source = uploaded(classes() | {"cats/cut.img": whole[: len(whole) // 2]}, data_root)
    ((name, reason),) = source.report.skipped
    assert name == "cats/cut.img" and reason.startswith("is damaged (")


def test_a_damaged_image_is_left_out(data_root):
    noise = bytearray(picture(1, (64, 64)))
    noise[200:400] = bytes(200)
    source = uploaded(classes() | {"cats/bad.png": bytes(noise)}, data_root)
    assert source.report.skipped[0][1].startswith("is damaged (")


def test_a_real_decompression_bomb_is_never_decoded(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_PIXELS", "1000000")
    source = uploaded(classes() | {"cats/bomb.png": huge_png(3000, 3000)}, data_root)
    assert "3,000 x 3,000 pixels large" in source.report.skipped[0][1]


def test_a_file_over_the_cap_is_left_out(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILE_BYTES", "5000")
    source = uploaded(classes() | {"cats/large.png": picture(0, (100, 100))}, data_root)
    assert source.report.skipped == (
        ("cats/large.png", "is larger than the 5,000 bytes allowed (DISTILLERY_MAX_FILE_BYTES)"),
    )


def test_hidden_files_are_left_out_with_a_count(data_root):
    hidden = ("__MACOSX/cats/._0.png", ".DS_Store", "cats/.DS_Store", "dogs/Thumbs.db", "desktop.ini", ".git/HEAD")
    source = uploaded(classes() | dict.fromkeys(hidden, b"x"), data_root)
    assert source.report.skipped == () and source.class_names == ("cats", "dogs")
    assert "Hidden and system files, such as .DS_Store, are left out: 6." in source.report.notes


HOSTILE = {
    "../../etc/evil.png": "its name leads out of the folder",
    "cats/../../evil.png": "its name leads out of the folder",
    "..\\..\\evil.png": "its name leads out of the folder",
    "/etc/evil.png": "its name is an absolute path",
    "\\\\server\\share\\evil.png": "its name is an absolute path",
    "C:\\Windows\\evil.png": "its name is an absolute path",
    "c:evil.png": "its name is an absolute path",
    "cats/evil\x00.png": "its name contains control characters",
    "cats/evil\n.png": "its name contains control characters",
    f"cats/{'x' * 252}.png": "its name is too long",
    "/".join(["deep"] * 1000) + "/x.png": "its name is too long",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_left_out_and_touches_nothing(name, data_root, tmp_path):
    before = {path for path in tmp_path.rglob("*") if data_root not in path.parents}
    source = uploaded({name: picture(999)} | classes(), data_root)
    ((shown, reason),) = source.report.skipped
    assert reason == HOSTILE[name] and shown.isprintable() and len(shown) <= 120
    assert {path for path in tmp_path.rglob("*") if data_root not in path.parents} == before
    stored = {path.name for path in (data_root / "imported" / "toy").rglob("*")}
    assert stored == {"dataset.json", "files.json", "files"} | {f"{number:06d}" for number in range(1, 11)}


def test_the_second_file_of_a_name_is_left_out(data_root):
    twice = [*classes().items(), ("cats\\0.png", picture(999))]
    importing = import_upload([(name, io.BytesIO(content)) for name, content in twice], options(), data_root)
    with pytest.raises(StopIteration) as end:
        while True:
            next(importing)
    assert end.value.value.report.skipped == (("cats/0.png", "is the second file of this name"),)


def test_no_files_at_all(data_root):
    assert (
        refused({}, data_root)
        == "There are no images; use one sub-folder per class, with JPEG, PNG, WebP or BMP files."
    )


def test_an_empty_folder(data_root, tmp_path):
    (tmp_path / "nothing").mkdir()
    sentence = refusal(import_path(tmp_path / "nothing", options(), data_root), data_root)
    assert sentence.startswith("There are no images;")


def test_a_path_that_does_not_exist(data_root, tmp_path):
    with pytest.raises(Exception, match="There is no folder or zip file"):
        import_path(tmp_path / "absent", options(), data_root)


def test_no_image_among_the_files_names_the_first_and_why(data_root):
    sentence = refused({"cats/a.jpg": b"hello", "dogs/b.gif": animation("GIF")}, data_root)
    assert sentence == (
        "There are no usable images (JPEG, PNG, WebP or BMP): the first of 2 skipped files, 'cats/a.jpg', "
        "is not an image (JPEG, PNG, WebP or BMP)."
    )


def test_no_class_folders(data_root):
    flat = {f"{number}.png": picture(number) for number in range(6)}
    assert refused(flat, data_root).startswith("There are no class folders: '0.png' is at the top.")
    wrapped = {f"photos/{name}": content for name, content in flat.items()}
    assert refused(wrapped, data_root).startswith("There is only one class folder, 'photos',")


def test_one_class(data_root):
    assert refused(classes(("cats",)), data_root).startswith(
        "There is only one class folder, 'cats', but at least two classes are needed. If it"
    )


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_of_too_few_images_without_a_test_folder(count, data_root):
    sentence = refused(classes(("cats",)) | classes(("dogs",), count, seed=1), data_root)
    images = "1 image" if count == 1 else "2 images"
    assert sentence == f"Class 'dogs' has {images}; it needs at least three, one of them for testing."


def test_a_class_of_one_training_image_beside_a_test_folder(data_root):
    tree = split_classes()
    del tree["train/dogs/0.png"], tree["train/dogs/1.png"]
    assert refused(tree, data_root) == "Class 'dogs' has 1 training image; it needs at least two."


def test_a_class_without_test_images(data_root):
    tree = {name: content for name, content in split_classes().items() if not name.startswith("test/dogs")}
    assert (
        refused(tree, data_root)
        == "Class 'dogs' has no images in the test folder; add some, or remove the test folder."
    )


def test_an_empty_class_folder(data_root, tmp_path):
    folder = written(tmp_path / "animals", classes())
    (folder / "birds").mkdir()
    sentence = refusal(import_path(folder, options(), data_root), data_root)
    assert sentence == "Class folder 'birds' has no images; put images in it or remove it."


def test_a_class_folder_of_bad_files_alone_says_how_many(data_root):
    sentence = refused(classes() | {"birds/a.jpg": b"", "birds/b.jpg": b"no"}, data_root)
    assert sentence == "Class folder 'birds' has no usable images (2 skipped); put images in it or remove it."


def test_a_class_whose_images_cannot_be_decoded_names_the_first(data_root):
    cut = {f"birds/{number}.png": picture(number, (64, 64))[:300] for number in range(4)}
    sentence = refused(classes() | cut, data_root)
    assert sentence.startswith(
        "Class 'birds' has no images that can be used (4 skipped, the first 'birds/0.png', which is damaged ("
    )


def test_class_folders_that_differ_by_case_alone(data_root):
    sentence = refused(classes(("Cats", "cats", "dogs")), data_root)
    assert sentence == "The class folders 'Cats' and 'cats' differ only by case; merge them or rename one."
    other = split_classes() | classes(("Cats",), under="test/")
    assert "differ only by case" in refused(other, data_root)


def test_a_class_in_the_test_folder_alone(data_root):
    sentence = refused(split_classes() | classes(("birds",), under="test/"), data_root)
    assert (
        sentence
        == "Class folder 'birds' is in the test folder but not in the train folder; add training images or remove it."
    )


def test_images_nested_too_deep(data_root):
    deep = {f"{label}/{side}/{number}.png": picture(number) for label in "ab" for side in "lr" for number in range(3)}
    assert (
        refused(deep, data_root)
        == "The images are nested too deep: 'a/l/0.png' is 2 folders down, but must be directly in its class folder."
    )
    source = uploaded(classes() | {"cats/more/1.png": picture(999)}, data_root)
    assert source.report.skipped == (
        ("cats/more/1.png", "is nested too deep: it must be directly in its class folder"),
    )


def test_one_class_nested_too_deep(data_root):
    deep = {f"birds/more/{number}.png": picture(number) for number in range(3)}
    assert (
        refused(classes() | deep, data_root)
        == "Class folder 'birds' has images only in sub-folders (3); move them up into it."
    )


def test_images_outside_the_class_folders_are_left_out(data_root):
    source = uploaded(classes() | {"stray.png": picture(999)}, data_root)
    assert source.report.skipped == (("stray.png", "is not in a class folder"),)


def test_too_many_files(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "9")
    assert (
        refused(classes(), data_root)
        == "There are 10 files, but at most 9 are allowed; use fewer, or set DISTILLERY_MAX_FILES."
    )


@pytest.mark.parametrize("way", ["upload", "path"])
def test_too_many_bytes(way, data_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_BYTES", "2000")
    folder = written(tmp_path / "a", classes())
    importing = (
        import_path(folder, options(), data_root)
        if way == "path"
        else import_upload(upload_of(classes()), options(), data_root)
    )
    assert (
        refusal(importing, data_root)
        == "The files are larger than 2,000 bytes in total; use fewer, or set DISTILLERY_MAX_BYTES."
    )


def test_too_many_classes(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_CLASSES", "2")
    assert (
        refused(classes(("a", "b", "c")), data_root)
        == "There are 3 class folders, but at most 2 are allowed; use fewer, or set DISTILLERY_MAX_CLASSES."
    )


def test_more_memory_than_allowed(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_DECODED_BYTES", "1000")
    assert refused(classes(), data_root) == (
        "10 images of 8 x 8 pixels need 1,920 bytes of memory, but at most 1,000 are allowed; choose a smaller "
        "image size, or set "
        "DISTILLERY_MAX_DECODED_BYTES."
    )


def test_a_cap_that_is_no_number(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_FILES", "many")
    assert refused(classes(), data_root) == "DISTILLERY_MAX_FILES is 'many'; set it to a whole number of 1 or more."


def test_every_cap_is_changed_by_its_variable(monkeypatch):
    rows = limits().rows()
    assert len(rows) == len(type(limits()).model_fields)
    for variable, value, unit, sentence in rows:
        assert variable.startswith("DISTILLERY_M") and unit and sentence
        monkeypatch.setenv(variable, str(value + 1))
    assert [value for _, value, _, _ in limits().rows()] == [value + 1 for _, value, _, _ in rows]


def test_a_full_disk_is_said_and_leaves_nothing(data_root, monkeypatch):
    def full(*_arguments) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("engine.data.images.decoded.save_file", full)
    sentence = refused(classes(), data_root)
    assert "cannot be stored under" in sentence and "No space left on device" in sentence


def test_more_pixels_than_there_is_memory_are_refused_before_they_are_decoded(data_root, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda device: machine.reserve(device) + 100)
    sentence = refused(classes(), data_root)
    assert "1,920 bytes of memory, but only 100 are free; choose a smaller image size" in sentence


def test_memory_that_runs_out_in_an_import_is_said_and_leaves_nothing(data_root, monkeypatch):
    def none_left(*_arguments) -> None:
        raise MemoryError

    monkeypatch.setattr("engine.data.images.decoded._write", none_left)
    assert "not enough memory to import" in refused(classes(), data_root)


def test_an_import_that_is_given_up_leaves_nothing(data_root):
    for moment in range(1, 5):
        importing = import_upload(
            [(name, io.BytesIO(content)) for name, content in classes().items()], options(), data_root
        )
        for _ in range(moment):
            next(importing)
        importing.close()
        assert_nothing_left(data_root)
