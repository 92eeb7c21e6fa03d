"""Imported data sets stay, are found again, renamed, deleted, and never half there."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from draining import drained
from picture_trees import (
    assert_nothing_left,
    classes,
    imported_path,
    imported_zip,
    options,
    picture,
    refusal,
    split_classes,
    upload_of,
    uploaded,
    written,
    zipped,
)

from engine.core.config import DataConfig, RunRequest
from engine.core.context import Context
from engine.core.errors import ConfigError, DataError
from engine.core.events import Progress
from engine.data import images
from engine.data.images import ImageReport, decoded, import_upload
from engine.data.imported import library
from engine.data.source import Source
from engine.run import run


def no_decoding(monkeypatch) -> None:
    monkeypatch.setattr(decoded, "decode", lambda *_: pytest.fail("an image was decoded"))


def test_a_saved_set_is_the_one_that_was_imported(data_root):
    assert images.saved(data_root) == {}
    source = uploaded(split_classes() | {"train/cats/x.gif": b"GIF89a"}, data_root, name="Über-Tiere 1")
    assert source.key == "folder:uber-tiere-1" and source.title == "Über-Tiere 1"
    library._read.cache_clear()
    assert images.saved(data_root) == {source.key: source}
    assert ImageReport.model_validate_json(source.report.model_dump_json()) == source.report


def test_images_set_apart_for_validation_do_not_count_as_training_images(data_root, tmp_path):
    tree = split_classes(splits=("train", "test")) | classes(count=9, seed=7, under="val/")
    source = uploaded(tree, data_root)
    request = RunRequest(source=source.key, config={"student": {"name": "mlp"}, "ipc": 4})
    with pytest.raises(ConfigError, match="smallest class has 3 images to train on.*to 3 or less"):
        drained(run(request, Context(cache_root=tmp_path / "cache", data_root=data_root)))


def test_an_imported_set_is_a_source(data_root):
    source: Source = uploaded(classes(), data_root)
    assert source.sample_shape == (3, 8, 8) and source.class_names == ("cats", "dogs")
    assert (source.num_train, source.num_test, source.fewest_per_class) == (8, 2, 4)
    assert source.summary == "Your own: 2 classes, 10 colour images of 8 x 8 pixels."
    assert source.availability(data_root).state == "present"
    splits = drained(source.load(DataConfig(), data_root))[1]
    assert len(splits.train) + len(splits.validation) == 8 and len(splits.test) == 2
    assert splits.spec.class_names == source.class_names and splits.spec.sample_shape == source.sample_shape
    assert {path.name for path in source.paths(data_root)} >= {"000000", "dataset.json", f"{source.digest}.safetensors"}


def test_the_newest_set_comes_last(data_root):
    for name in ("B", "A", "C"):
        uploaded(classes(), data_root, name=name)
    assert [source.title for source in images.saved(data_root).values()] == ["B", "A", "C"]


def test_equal_content_is_decoded_once_and_shares_its_scores(data_root, tmp_path, monkeypatch):
    tree = classes() | {"cats/bad.png": picture(5)[:200]}
    first = uploaded(tree, data_root, name="First")
    no_decoding(monkeypatch)
    second = imported_zip(zipped(tree), data_root, name="Second")
    third = imported_path(written(tmp_path / "animals", tree), data_root, name="Third")
    assert first.report == second.report == third.report and first.report.skipped[0][0] == "cats/bad.png"
    assert len(list((data_root / "decoded").iterdir())) == 1
    prints = {drained(source.load(DataConfig(), data_root))[1].fingerprint for source in (first, second, third)}
    assert len(prints) == 1


@pytest.mark.parametrize("change", [{"image_size": 16}, {"fit": "pad"}, {"colour": "rgb"}])
def test_other_options_make_other_pixels(change, data_root):
    assert uploaded(classes(), data_root).digest != uploaded(classes(), data_root, name="B", **change).digest


def test_damaged_decoded_images_are_made_again_or_told(data_root):
    source = uploaded(classes(), data_root)
    path = decoded.path_of(source.digest, data_root)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="missing or damaged .*; delete the data set and import it again"):
        drained(source.load(DataConfig(), data_root))
    uploaded(classes(), data_root, name="Again")
    assert len(drained(source.load(DataConfig(), data_root))[1].test) == 2
    path.unlink()
    assert source.availability(data_root).state == "missing"
    with pytest.raises(DataError, match="missing or damaged"):
        drained(source.load(DataConfig(), data_root))


def test_exact_duplicates_between_train_and_test_are_told(data_root):
    tree = split_classes()
    tree["test/cats/copy.png"] = tree["train/cats/0.png"]
    tree["test/dogs/resaved.bmp"] = picture(1000, (10, 10), "BMP")  # the pixels of train/cats/0.png
    source = uploaded(tree, data_root)
    assert source.report.duplicates == (
        ("train/cats/0.png", "test/cats/copy.png"),
        ("train/cats/0.png", "test/dogs/resaved.bmp"),
    )


def test_the_report_counts_sizes_and_files(data_root):
    tree = classes(count=4) | {"cats/wide.png": picture(50, (20, 10)), "cats/x.gif": b"GIF89a", ".DS_Store": b"x"}
    report = uploaded(tree, data_root).report
    assert report.sizes == ((10, 10, 8), (20, 10, 1))
    assert report.num_files == 11
    assert report.total_bytes == sum(len(content) for name, content in tree.items() if name.endswith(".png"))


def test_a_set_is_renamed_and_keeps_its_key(data_root):
    source = uploaded(classes(), data_root)
    images.rename(source.key, "  Pets ", data_root)
    (renamed,) = images.saved(data_root).values()
    assert (renamed.key, renamed.title, renamed.options.name) == (source.key, "Pets", "Pets")
    assert renamed.report == source.report and renamed.created == source.created
    with pytest.raises(ConfigError):
        images.rename(source.key, "  ", data_root)


@pytest.mark.parametrize("name", ["Toy", "TOY"])
def test_no_two_sets_have_one_name(name, data_root):
    other = uploaded(classes(), data_root, name="Other")
    uploaded(classes(), data_root, name="Toy")
    with pytest.raises(DataError, match="There is already a data set called 'Toy'; choose another name."):
        uploaded(classes(), data_root, name=name)
    with pytest.raises(DataError, match="already"):
        images.rename(other.key, name, data_root)


def test_names_that_are_alike_get_keys_of_their_own(data_root):
    assert [uploaded(classes(), data_root, name=name).key for name in ("A b", "A-b", "a_b")] == [
        "folder:a-b",
        "folder:a-b-2",
        "folder:a-b-3",
    ]


def test_deleting_removes_pixels_only_when_nobody_else_uses_them(data_root):
    first, second = uploaded(classes(), data_root), uploaded(classes(), data_root, name="Second")
    images.delete(first.key, data_root)
    assert list(images.saved(data_root)) == [second.key]
    assert len(drained(second.load(DataConfig(), data_root))[1].test) == 2
    images.delete(second.key, data_root)
    assert_nothing_left(data_root)


@pytest.mark.parametrize(
    "key", ["folder:absent", "digits", "folder:../..", "folder:", "folder:.partial-1-x-000000000000"]
)
def test_a_key_that_does_not_exist_is_refused(key, data_root):
    uploaded(classes(), data_root)
    for act in (
        lambda: images.delete(key, data_root),
        lambda: images.rename(key, "X", data_root),
        lambda: images.import_again(key, options("Y"), data_root),
    ):
        with pytest.raises(DataError, match="There is no imported data set"):
            act()
    assert len(images.saved(data_root)) == 1


@pytest.mark.parametrize("way", ["upload", "zip", "path", "zip path"])
def test_the_same_files_at_another_size(way, data_root, tmp_path):
    tree = split_classes() | {"train/cats/x.gif": b"GIF89a"}
    if way == "upload":
        source = uploaded(tree, data_root)
    elif way == "zip":
        source = imported_zip(zipped(tree), data_root)
    else:
        (tmp_path / "a.zip").write_bytes(zipped(tree).getvalue())
        source = imported_path(written(tmp_path / "a", tree) if way == "path" else tmp_path / "a.zip", data_root)
    again = drained(images.import_again(source.key, options("Larger", 16, fit="pad"), data_root))[1]
    assert again.sample_shape == (3, 16, 16) and again.report == source.report and again.origin == source.origin
    images.delete(source.key, data_root)
    third = drained(images.import_again(again.key, options("Small", 8), data_root))[1]
    assert third.digest == source.digest


def test_files_that_are_gone_cannot_be_used_again(data_root, tmp_path):
    by_upload = uploaded(classes(), data_root)
    (data_root / "imported" / "toy" / "files" / "000003").unlink()
    with pytest.raises(DataError, match="The original files of this data set are missing; import them again."):
        drained(images.import_again(by_upload.key, options("B"), data_root))
    by_path = imported_path(written(tmp_path / "a", classes()), data_root, name="C")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(DataError, match="There is no folder or zip file"):
        images.import_again(by_path.key, options("D"), data_root)
    assert len(images.saved(data_root)) == 2
    assert not list((data_root / "imported").glob(".*"))


def test_a_snapshot_outlives_its_folder(data_root, tmp_path):
    source = imported_path(written(tmp_path / "a", classes()), data_root)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len(drained(source.load(DataConfig(), data_root))[1].test) == 2


def test_links_inside_a_folder_are_followed_and_others_not(data_root, tmp_path):
    folder = written(tmp_path / "a", classes())
    (tmp_path / "secret.png").write_bytes(picture(99))
    (tmp_path / "others").mkdir()
    (folder / "cats" / "inside.png").symlink_to(folder / "dogs" / "0.png")
    (folder / "cats" / "outside.png").symlink_to(tmp_path / "secret.png")
    (folder / "cats" / "broken.png").symlink_to(folder / "absent.png")
    (folder / "birds").symlink_to(tmp_path / "others")
    source = imported_path(folder, data_root)
    assert source.num_train + source.num_test == 11
    assert dict(source.report.skipped) == {
        "birds": "is a link to a folder",
        "cats/broken.png": "is not a regular file",
        "cats/outside.png": "is a link that leads out of the folder",
    }


def test_only_allowed_folders_are_read(data_root, tmp_path, monkeypatch):
    default = data_root / "folders"
    assert images.allowed_roots(data_root) == (default,)
    written(default / "animals", classes())
    assert images.checked_path("animals", data_root) == default / "animals"
    assert images.checked_path(f" {default}/animals/../animals ", data_root) == default / "animals"
    (tmp_path / "secret").mkdir()
    (default / "link").symlink_to(tmp_path / "secret")
    for text in ("../..", "/etc", str(tmp_path / "secret"), "link", f"{default}s"):
        with pytest.raises(DataError, match="is outside the folders that may be read; move it to .*DISTILLERY_FOLDERS"):
            images.checked_path(text, data_root)
    for text in ("a\x00b", "x" * 5000):
        with pytest.raises(DataError):
            images.checked_path(text, data_root)
    with pytest.raises(DataError, match="There is no folder or zip file"):
        images.checked_path("absent", data_root)
    monkeypatch.setenv("DISTILLERY_FOLDERS", os.pathsep.join([str(tmp_path / "secret"), "", str(default)]))
    assert images.allowed_roots(data_root) == (tmp_path / "secret", default)
    assert images.checked_path(str(default / "link"), data_root) == tmp_path / "secret"


def test_what_killed_imports_left_is_removed_by_the_next(data_root):
    root = data_root / "imported"
    dead = next(pid for pid in range(300_000, 10**6) if not psutil.pid_exists(pid))
    host = os.uname().nodename
    for name in (
        f".partial-{dead}-{host}-{'0' * 12}",
        f".partial-{os.getpid()}-{host}-{'1' * 12}",
        f".partial-{dead}-elsewhere-{'2' * 12}",
    ):
        (root / name / "files").mkdir(parents=True)
    old = root / f".partial-{os.getpid()}-{host}-{'3' * 12}"
    old.mkdir()
    orphan = data_root / "decoded" / f"{'a' * 32}.safetensors"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    for path in (old, orphan):
        os.utime(path, (time.time() - 2 * library.LEFTOVER_SECONDS,) * 2)
    uploaded(classes(), data_root)
    assert {path.name[-1] for path in root.glob(".partial-*")} == {"1", "2"}
    assert not orphan.exists()
    assert list(images.saved(data_root)) == ["folder:toy"]


def test_a_record_that_cannot_be_read_does_not_hide_the_others(data_root):
    uploaded(classes(), data_root)
    for name, text in (("broken", "{"), ("older", json.dumps({"schema_version": 0})), ("empty", "")):
        (data_root / "imported" / name).mkdir()
        (data_root / "imported" / name / "dataset.json").write_text(text)
    assert list(images.saved(data_root)) == ["folder:toy"]


def test_imports_at_one_time_do_not_hinder_each_other(data_root):
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            uploaded(classes(count=10), data_root, name=f"Set {number % 2} {'x' * number}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(images.saved(data_root)) == 6
    assert len({source.digest for source in images.saved(data_root).values()}) == 1


def test_progress_is_told_with_counts(data_root):
    events, _ = drained(images.import_upload(upload_of(classes()), options(), data_root))
    assert all(isinstance(event, Progress) and 0 <= event.done <= event.total for event in events)
    last = {event.phase: (event.done, event.total) for event in events}
    assert last == {"copy files": (10, 10), "decode images": (10, 10), "store images": (1, 1)}


@pytest.mark.parametrize("change", ["written", "removed"])
def test_a_file_that_changes_while_it_is_read_ends_the_import(change, data_root, tmp_path):
    folder = written(tmp_path / "a", classes())
    importing = images.import_path(folder, options(), data_root)
    for event in importing:
        if event.phase == "read files" and event.done == event.total:
            break
    if change == "written":
        (folder / "cats" / "0.png").write_bytes(picture(12345))
    else:
        (folder / "cats" / "0.png").unlink()
    assert refusal(importing, data_root).startswith("'cats/0.png' ")


def test_memory_stays_that_of_the_decoded_images_and_progress_keeps_coming(data_root, tmp_path):
    noise = np.random.default_rng(0)
    contents = [picture(seed, (int(noise.integers(300, 900)),) * 2, "JPEG", quality=80) for seed in range(8)]
    folder = written(
        tmp_path / "a", {f"{label}/{number}.jpg": contents[number % 8] for label in "ab" for number in range(100)}
    )
    process, peak, stop = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    imported_path(folder, data_root, name="warm up", image_size=16)
    before, watcher = process.memory_info().rss, threading.Thread(target=watch)
    watcher.start()
    times = [time.monotonic()]
    importing = images.import_path(folder, options("Memory", 64), data_root)
    for _ in importing:
        times.append(time.monotonic())
    stop.set()
    watcher.join()
    decoded_bytes = 200 * 3 * 64 * 64
    assert peak[0] - before < decoded_bytes + 100_000_000
    assert max(after - earlier for earlier, after in zip(times, times[1:], strict=False)) < 2.0
    assert times[-1] - times[0] < 60


def test_an_upload_reads_one_file_at_a_time(data_root):
    under_way: list[str] = []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            assert size >= 0, "the whole file was asked for at once"
            under_way.append(self.label)
            return super().read(size)

    files = []
    for name, content in classes().items():
        file = Watched(content)
        file.label = name
        files.append((name, file))
    drained(images.import_upload(files, options(), data_root))
    order = list(dict.fromkeys(under_way))
    assert order == [name for name in classes()] and under_way == sorted(under_way, key=order.index)


def test_a_data_root_that_cannot_be_written_is_said(tmp_path):
    root = tmp_path / "file"
    root.write_text("x")
    with pytest.raises(DataError, match="cannot be stored under"):
        uploaded(classes(), root)
    assert images.saved(Path(root)) == {}


@pytest.mark.real_data("seedlings12")
def test_real_class_folders_are_read_as_they_are(real_data, data_root):
    source = imported_path(real_data / "seedlings12", data_root)
    assert source.class_names == tuple(str(number) for number in range(1, 13))
    assert source.report.layout == "train and validation folders"
    assert source.report.counts == {"train": (30,) * 12, "validation": (0,) * 12, "test": (10,) * 12}
    assert [name for name, _ in source.report.skipped] == ["class_names.json"]


def test_of_two_imports_of_one_name_at_once_one_is_refused(data_root):
    first, second = (import_upload(upload_of(classes(seed=seed)), options(), data_root) for seed in (1, 2))
    next(first), next(second)
    source = drained(first)[1]
    with pytest.raises(DataError, match="There is already a data set called 'Toy'"):
        drained(second)
    assert list(images.saved(data_root)) == [source.key]


def test_a_twin_that_is_deleted_during_an_import_leaves_no_set_without_images(data_root, monkeypatch):
    first = uploaded(classes(), data_root, name="first")
    add = library.Library.add

    def add_late(*arguments):
        images.delete(first.key, data_root)
        return add(*arguments)

    monkeypatch.setattr(library.Library, "add", add_late)
    with pytest.raises(DataError, match="was deleted during the import of second; try again"):
        uploaded(classes(), data_root, name="second")
    assert_nothing_left(data_root)
