"""Checkpoints survive crashes at any moment, damage and full disks."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from engine.core import checkpoint


def state(step: int) -> dict:
    return {"values": torch.full((5,), float(step)), "step": step}


def test_a_state_comes_back_bit_for_bit_with_its_types(tmp_path):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    given = {
        "float64": torch.randn(3, dtype=torch.float64, generator=generator),
        "bfloat16": torch.randn(3, generator=generator).bfloat16(),
        "int64": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(0.1),
        "empty": torch.empty(0, 3),
        "transposed": base.t(),
        "shares memory": base,
        "learned": torch.nn.Parameter(torch.ones(2)),
        "count": 7,
        "rate": 0.1 + 0.2,
        "missing": math.nan,
        "text": "grün",
        "flag": True,
    }
    checkpoint.save(tmp_path, 3, given)
    step, found = checkpoint.load_latest(tmp_path)
    assert step == 3
    assert found.keys() == given.keys()
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value.detach()), name
        elif name == "missing":
            assert math.isnan(found[name])
        else:
            assert found[name] == value and type(found[name]) is type(value)


def test_a_state_without_tensors_is_kept_too(tmp_path):
    checkpoint.save(tmp_path, 0, {"step": 0})
    assert checkpoint.load_latest(tmp_path) == (0, {"step": 0})


def test_what_cannot_be_kept_is_refused_by_name_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="'shapes' is a list"):
        checkpoint.save(tmp_path / "new", 1, {"shapes": [1, 2]})
    assert not (tmp_path / "new").exists()


def test_the_last_two_are_kept_and_any_safetensors_reader_can_open_them(tmp_path):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, state(step))
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == ["step-00000020", "step-00000030"]
    with safe_open(sorted(tmp_path.iterdir())[1], "pt") as file:
        assert file.metadata()["step"] == "30"


def test_writing_an_earlier_step_removes_the_abandoned_later_ones(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state(step))
    checkpoint.save(tmp_path, 15, state(15))
    assert checkpoint.latest_step(tmp_path) == 15
    assert len(list(tmp_path.iterdir())) == 2


def test_writing_a_step_again_replaces_it(tmp_path):
    checkpoint.save(tmp_path, 10, state(10))
    checkpoint.save(tmp_path, 20, state(20))
    checkpoint.save(tmp_path, 20, state(21))
    assert checkpoint.load_latest(tmp_path)[1]["step"] == 21
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_there_is_none(tmp_path):
    assert checkpoint.load_latest(tmp_path / "absent") is None
    assert checkpoint.latest_step(tmp_path / "absent") is None


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_last_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def flip_bit_of_header(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [truncate, flip_last_bit, flip_bit_of_header, empty])
def test_a_damaged_file_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    checkpoint.save(tmp_path, 10, state(10))
    newest = checkpoint.save(tmp_path, 20, state(20))
    newest.write_bytes(damage(newest.read_bytes()))
    said: list[str] = []
    step, found = checkpoint.load_latest(tmp_path, said.append)
    assert (step, found["step"]) == (10, 10)
    assert len(said) == 1 and "step 20 is damaged" in said[0]
    assert checkpoint.latest_step(tmp_path) == 10
    checkpoint.save(tmp_path, 15, state(15))  # the damaged one does not push a good one out
    assert sorted(path.name[:13] for path in tmp_path.glob("step-*")) == ["step-00000010", "step-00000015"]


def test_damage_is_a_python_warning_where_nobody_listens(tmp_path):
    path = checkpoint.save(tmp_path, 10, state(10))
    path.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="step 10 is damaged"):
        assert checkpoint.load_latest(tmp_path) is None


def test_a_file_of_a_newer_schema_is_not_misread(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 2)
    checkpoint.save(tmp_path, 10, state(10))
    monkeypatch.undo()
    said: list[str] = []
    assert checkpoint.load_latest(tmp_path, said.append) is None
    assert "schema version 2" in said[0]


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the code under test may tidy up after it."""


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "sync_folder", "unlink"])
def test_a_crash_between_any_two_steps_of_a_write_leaves_a_sound_checkpoint(tmp_path, monkeypatch, call):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state(step))

    def die(*_, **__):
        raise Killed

    if call == "write":

        def half(self, mode):
            with open(self, mode) as file:
                file.write(b"half")
            raise Killed

        monkeypatch.setattr(Path, "open", half)
    elif call == "sync_folder":
        monkeypatch.setattr(checkpoint, call, die)
    else:
        monkeypatch.setattr(*((Path, "unlink") if call == "unlink" else (os, call)), die)
    with pytest.raises(Killed):
        checkpoint.save(tmp_path, 30, state(30))
    monkeypatch.undo()

    with warnings.catch_warnings(action="error"):
        step, found = checkpoint.load_latest(tmp_path)
    assert step == found["step"] == (30 if call in ("sync_folder", "unlink") else 20)
    assert not list(tmp_path.glob("*.tmp"))
    checkpoint.save(tmp_path, 40, state(40))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_checkpoints_and_no_rubbish(tmp_path, monkeypatch, call):
    checkpoint.save(tmp_path, 10, state(10))
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 20, state(20))
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert checkpoint.load_latest(tmp_path)[0] == 10


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import torch
from engine.core import checkpoint

torch.set_num_threads(1)
warnings.simplefilter("error")
folder, rounds, reached = Path(sys.argv[1]), 30, 0
random.seed(0)
for number in range(rounds):
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        for step in range(reached + 1, 10**6):
            checkpoint.save(folder, step, {"values": torch.full((20_000,), float(step)), "step": step})
            os.write(sender, step.to_bytes(4, "big"))
    # five of the kills may come before the child has written anything; a busy machine takes its time with that
    told = os.read(receiver, 4) if number % 6 else b""
    time.sleep(random.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(sender)
    told += b"".join(iter(lambda: os.read(receiver, 65536), b""))
    os.close(receiver)
    completed = int.from_bytes(told[-4:], "big") if told else reached
    found = checkpoint.load_latest(folder)
    if found is None:
        assert completed == 0, completed
        continue
    step, state = found
    assert completed <= step <= completed + 1, (completed, step)
    assert state["step"] == step and (state["values"] == step).all()
    assert not list(folder.glob("*.tmp"))
    reached = step
print(reached)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_kill_9_while_checkpoints_are_written_loses_at_most_the_one_under_way(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, str(tmp_path / "checkpoints")],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 25, "too few checkpoints were written for the kills to mean anything"
