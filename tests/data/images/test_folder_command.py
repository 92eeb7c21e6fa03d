"""The command line imports and forgets."""

from __future__ import annotations

import argparse

import pytest
from picture_trees import classes, split_classes, written, zipped

from engine.cli import imports
from engine.core.errors import UserError
from engine.data import images


@pytest.fixture
def command(data_root, monkeypatch):
    """Run one command line as the engine's parser would."""
    monkeypatch.setenv("DISTILLERY_DATA", str(data_root))
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)

    def add(name: str, function, text: str, *, machine_readable: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(command=function)
        return sub

    imports.register(add)

    def run(*words: object) -> int:
        options = parser.parse_args([str(word) for word in words])
        return options.command(options)

    return run


def test_a_folder_is_imported_with_its_report_and_forgotten(command, data_root, tmp_path, capsys):
    tree = split_classes() | {"train/cats/bad.png": b"no"}
    tree["test/cats/copy.png"] = tree["train/cats/0.png"]
    folder = written(tmp_path / "My animals", tree)
    assert command("import", folder, "--size", 8, "--fit", "pad", "--colour", "grey") == 0
    (source,) = images.saved(data_root).values()
    assert (source.key, source.title, source.sample_shape) == ("folder:my-animals", "My animals", (1, 8, 8))
    assert source.options.fit == "pad" and source.options.colour == "grey"
    said = capsys.readouterr()
    assert "folder:my-animals: My animals, train and test folders" in said.out
    assert "skipped: train/cats/bad.png is not an image" in said.out
    assert (
        "warning: 1 test image equal to a training image, for example train/cats/0.png and test/cats/copy.png"
        in said.out
    )
    assert "decode images" in said.err
    assert command("forget", source.key) == 0
    assert images.saved(data_root) == {}


def test_a_zip_file_is_imported_under_a_name(command, data_root, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(classes()).getvalue())
    assert command("import", tmp_path / "a.zip", "--name", "Pets", "--size", "16") == 0
    assert images.saved(data_root)["folder:pets"].sample_shape == (3, 16, 16)


def test_what_is_wrong_is_one_sentence(command, tmp_path):
    folder = written(tmp_path / "a", classes())
    with pytest.raises(UserError, match="image_size"):
        command("import", folder, "--size", 4)
    with pytest.raises(UserError, match="There is no folder or zip file"):
        command("import", tmp_path / "absent")
    with pytest.raises(UserError, match="There is no imported data set 'folder:x'"):
        command("forget", "folder:x")
