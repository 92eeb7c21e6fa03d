"""Published files: found, checked, downloaded, continued; each damage is named in one sentence."""

from __future__ import annotations

import http.server
import re
import threading
from dataclasses import replace

import pytest
from draining import drained
from making import CLOSED, md5, tar_bytes, tiny_cifar10, tiny_mnist, written

from engine.core.errors import DataError
from engine.core.events import Progress
from engine.data.images import files
from engine.data.images.files import Part, Published

CONTENT = bytes(range(256)) * 4000  # about a megabyte


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.contents` by path; can ignore ranges or break off after some bytes."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        content = server.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if (wanted := self.headers.get("Range")) and not server.ignore_ranges:
            start = int(re.match(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = server.break_after if server.break_after is not None else len(content)
        self.wfile.write(content[start : max(start, stop)])

    def log_message(self, *arguments):
        """Silent."""


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.contents, server.requests, server.break_after, server.ignore_ranges = {}, [], None, False
    server.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def one_file(*urls: str, content: bytes = CONTENT) -> Published:
    return Published("sets/a.bin", md5(content), urls, "none", "sets", (Part("a.bin", md5(content)),))


def test_download_gives_the_file_with_progress_in_kilobytes(server, data_root):
    server.contents["/a.bin"] = CONTENT
    events, contents = drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))
    assert contents == {"a.bin": CONTENT}
    assert (data_root / "sets/a.bin").read_bytes() == CONTENT
    assert not (data_root / "sets/a.bin.part").exists()
    assert Progress("download Toy: a.bin", 1024, 1024) in events
    server.requests.clear()
    assert drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))[1] == {"a.bin": CONTENT}
    assert server.requests == []


def test_a_broken_download_is_continued_where_it_stopped(server, data_root):
    server.contents["/a.bin"], server.break_after = CONTENT, 300_000
    file = one_file(server.url + "a.bin")
    with pytest.raises(
        DataError, match="connection broke after 300,000 of 1,024,000 bytes.*try again, or fetch it from"
    ):
        drained(files.read_parts(file, data_root, "Toy"))
    assert not files.is_present(file, data_root)
    assert (data_root / "sets/a.bin.part").stat().st_size == 300_000
    server.break_after = None
    assert drained(files.read_parts(file, data_root, "Toy"))[1]["a.bin"] == CONTENT
    assert server.requests[-1] == ("/a.bin", "bytes=300000-")


def test_a_server_without_ranges_sends_it_all_again(server, data_root):
    server.contents["/a.bin"], server.ignore_ranges = CONTENT, True
    written(data_root, {"sets/a.bin.part": CONTENT[:1000]})
    assert drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))[1]["a.bin"] == CONTENT


@pytest.mark.parametrize("left", [b"from another file", b"x" * len(CONTENT), CONTENT + b"more"])
def test_a_part_file_of_something_else_is_thrown_away(server, data_root, left):
    server.contents["/a.bin"] = CONTENT
    written(data_root, {"sets/a.bin.part": left})
    assert drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))[1]["a.bin"] == CONTENT


def test_a_whole_part_file_is_taken_once_its_md5_is_right(server, data_root):
    server.contents["/a.bin"] = CONTENT
    written(data_root, {"sets/a.bin.part": CONTENT})
    assert drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))[1]["a.bin"] == CONTENT


def test_the_next_mirror_is_tried(server, data_root):
    server.contents |= {"/wrong.bin": b"not it", "/a.bin": CONTENT}
    urls = (CLOSED + "a.bin", server.url + "gone.bin", server.url + "wrong.bin", server.url + "a.bin")
    assert drained(files.read_parts(one_file(*urls), data_root, "Toy"))[1]["a.bin"] == CONTENT


def test_a_wrong_file_is_not_kept(server, data_root):
    server.contents["/a.bin"] = b"an error page"
    with pytest.raises(DataError, match="what came is not the published file"):
        drained(files.read_parts(one_file(server.url + "a.bin"), data_root, "Toy"))
    assert list((data_root / "sets").iterdir()) == []


def test_no_network_names_file_address_and_folder(data_root):
    with pytest.raises(DataError) as error:
        drained(files.read_parts(one_file(CLOSED + "a.bin"), data_root, "Toy"))
    message = str(error.value)
    assert message.startswith("Toy: a.bin could not be downloaded (no connection: ")
    assert f"fetch it from {CLOSED}a.bin and put it in {data_root / 'sets'}." in message
    assert "\n" not in message


def test_a_folder_that_cannot_be_written_is_told(server, data_root):
    server.contents["/a.bin"] = CONTENT
    (data_root / "sets").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=f"a.bin cannot be written to {data_root / 'sets'}"):
        drained(files.download(one_file(server.url + "a.bin"), data_root, "Toy"))


def test_root_that_is_a_file_or_locked_is_told(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.write_text("")
    with pytest.raises(DataError, match=f"The data folder {root} is a file; set DISTILLERY_DATA to a folder"):
        files.check_root(root)
    files.check_root(tmp_path / "not yet")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(DataError, match="cannot be read .Permission denied."):
        files.check_root(tmp_path)


def test_a_folder_in_a_files_place_is_told(data_root):
    (data_root / "sets/a.bin").mkdir(parents=True)
    with pytest.raises(DataError, match="a.bin is a folder where a file should be"):
        files.is_present(one_file(CLOSED), data_root)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"?" + content[1:], lambda content: b""]
)
def test_a_damaged_file_is_named_and_never_read(data_root, damage):
    file = one_file(CLOSED)
    written(data_root, {"sets/a.bin": damage(CONTENT)})
    for attempt in (
        lambda: files.is_present(file, data_root),
        lambda: drained(files.read_parts(file, data_root, "Toy")),
    ):
        with pytest.raises(
            DataError, match=f"{data_root}/sets/a.bin is incomplete or damaged.*{md5(CONTENT)}.*delete it"
        ):
            attempt()


def test_a_mended_file_is_noticed(data_root):
    file = one_file(CLOSED)
    written(data_root, {"sets/a.bin": CONTENT[:100]})
    with pytest.raises(DataError):
        files.is_present(file, data_root)
    written(data_root, {"sets/a.bin": CONTENT})
    assert files.is_present(file, data_root)


def test_parts_are_read_out_of_an_archive_without_unpacking(data_root):
    source, batches, archive = tiny_cifar10()
    written(data_root, {"cifar-10-python.tar.gz": archive})
    (file,) = source.published()
    assert files.is_present(file, data_root)
    assert drained(files.read_parts(file, data_root, "Toy"))[1] == batches
    assert [path.name for path in data_root.iterdir()] == ["cifar-10-python.tar.gz"]


def test_an_archive_fills_what_is_missing_among_unpacked_files(data_root):
    source, batches, archive = tiny_cifar10()
    unpacked = {f"cifar-10-batches-py/{name}": batches[name] for name in ("data_batch_1", "test_batch")}
    written(data_root, {"cifar-10-python.tar.gz": archive} | unpacked)
    assert drained(files.read_parts(source.published()[0], data_root, "Toy"))[1] == batches


def test_an_archive_that_hides_another_file_is_refused(data_root):
    source, batches, _ = tiny_cifar10()
    members = {f"cifar-10-batches-py/{name}": content for name, content in batches.items()}
    for changed, message in (
        (members | {"cifar-10-batches-py/data_batch_3": b"evil"}, "holds a data_batch_3 that is not the published one"),
        ({"../../data_batch_1": b"evil"}, "holds no data_batch_1, data_batch_2"),
    ):
        archive = tar_bytes(changed)
        written(data_root, {"cifar-10-python.tar.gz": archive})
        file = replace(source.published()[0], md5=md5(archive))
        with pytest.raises(DataError, match=message):
            drained(files.read_parts(file, data_root, "Toy"))


def test_an_archive_that_ends_early_is_named_even_where_its_md5_is_believed(data_root):
    source, _, archive = tiny_cifar10()
    cut = archive[: len(archive) // 2]
    written(data_root, {"cifar-10-python.tar.gz": cut})
    with pytest.raises(DataError, match="cifar-10-python.tar.gz holds no .*test_batch.*delete it"):
        drained(files.read_parts(replace(source.published()[0], md5=md5(cut)), data_root, "Toy"))


def test_a_gzip_that_ends_early_is_named_even_where_its_md5_is_believed(data_root):
    source, contents = tiny_mnist()
    path, packed = next(iter(contents.items()))
    written(data_root, {path: packed[:-20]})
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz is incomplete or damaged"):
        files.is_present(source.published()[0], data_root)
    believed = replace(source.published()[0], md5=md5(packed[:-20]))
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz cannot be unpacked"):
        drained(files.read_parts(believed, data_root, "Toy"))
