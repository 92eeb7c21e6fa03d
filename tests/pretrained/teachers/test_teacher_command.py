"""Teachers on the command line: listed with how far they are, and deleted by name."""

from __future__ import annotations

import json

from draining import drained
from teaching import teaching

from engine.cli.main import main
from engine.core.context import runs_root
from engine.core.events import TeacherEpoch


def output(capsys, *arguments):
    status = main(arguments)
    return status, capsys.readouterr()


def test_teachers_are_listed_and_deleted(capsys):
    assert "no teachers yet" in output(capsys, "teachers", "--list")[1].out
    _, teacher = drained(teaching(runs_root() / "cache"))
    _, printed = output(capsys, "teachers", "--list")
    assert teacher.digest in printed.out and "3 epochs" in printed.out and "% linear probe" in printed.out
    (info,) = json.loads(output(capsys, "teachers", "--list", "--json")[1].out)
    assert (info["digest"], info["num_dims"], info["is_complete"]) == (teacher.digest, 6, True)
    assert output(capsys, "teachers", "--delete", teacher.digest)[0] == 0
    assert json.loads(output(capsys, "teachers", "--list", "--json")[1].out) == []
    status, printed = output(capsys, "teachers", "--delete", teacher.digest)
    assert status == 2 and "no teacher" in printed.err


def test_a_teacher_that_was_stopped_is_listed_as_such(capsys):
    generator = teaching(runs_root() / "cache")
    while not (isinstance(event := next(generator), TeacherEpoch) and event.epoch == 1):
        pass
    generator.close()
    assert "stopped after epoch 1 of 3" in output(capsys, "teachers", "--list")[1].out
