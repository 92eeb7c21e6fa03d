"""The command `pretrained`: experts and teachers are listed together, checked against their hashes, and deleted by
name.
"""

from __future__ import annotations

import json

import pytest
from draining import drained
from patterns import toy_splits
from teaching import teaching

from engine import Context
from engine.cli.main import main
from engine.cli.pretrained import translated
from engine.core.config import StudentConfig
from engine.core.context import runs_root
from engine.core.events import TeacherEpoch
from engine.pretrained import find
from engine.pretrained.experts import ExpertsConfig, load_or_record


def output(capsys, *arguments):
    status = main(arguments)
    return status, capsys.readouterr()


def record_experts():
    student, config = StudentConfig(name="mlp"), ExpertsConfig(num_experts=2, epochs=1)
    splits, context = toy_splits(), Context(cache_root=runs_root() / "cache")
    return drained(load_or_record(splits, student, config, context))[1]


def test_experts_and_teachers_are_listed_together_and_deleted_by_name(capsys):
    assert "no pretrained networks yet" in output(capsys, "pretrained", "list")[1].out
    experts, (_, teacher) = record_experts(), drained(teaching(runs_root() / "cache"))
    printed = output(capsys, "pretrained", "list")[1].out
    assert experts.files[0].parent.name in printed and "2 experts trained for 1 epoch" in printed
    assert (
        teacher.digest in printed and "1 teacher trained for 3 epochs" in printed and "with a linear probe" in printed
    )
    found = json.loads(output(capsys, "pretrained", "list", "--json")[1].out)
    assert [(one["kind"], one["num_networks"], one["num_dims"]) for one in found] == [
        ("experts", 2, None),
        ("teachers", 1, 6),
    ]
    assert output(capsys, "pretrained", "delete", teacher.digest)[0] == 0
    (left,) = json.loads(output(capsys, "pretrained", "list", "--json")[1].out)
    assert left["kind"] == "experts"
    status, printed = output(capsys, "pretrained", "delete", teacher.digest)
    assert status == 2 and "no pretrained networks" in printed.err


def test_a_teacher_in_training_is_listed_with_how_far_it_is(capsys):
    generator = teaching(runs_root() / "cache")
    while not (isinstance(event := next(generator), TeacherEpoch) and event.epoch == 1):
        pass
    generator.close()
    assert "width 4, 1 teacher unfinished, at epoch 1 of 3" in output(capsys, "pretrained", "list")[1].out


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_verify_names_each_damaged_file_and_fails(capsys, damage):
    experts, (_, teacher) = record_experts(), drained(teaching(runs_root() / "cache"))
    status, printed = output(capsys, "pretrained", "verify")
    assert status == 0 and printed.out.count("ok ") == 2
    if damage == "gone":
        experts.files[1].unlink()
    else:
        experts.files[1].write_bytes(experts.files[1].read_bytes()[:-1] + b"?")
    status, printed = output(capsys, "pretrained", "verify")
    assert status == 1 and printed.out.count("FAILED") == 1 and "expert-0001.safetensors is" in printed.out
    assert output(capsys, "pretrained", "verify", teacher.digest)[0] == 0
    assert find(runs_root() / "cache", teacher.digest).manifest.kind == "teachers"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("experts --list --json", "pretrained list --kind experts --json"),
        ("teachers --runs here --delete 0123", "pretrained delete --runs here 0123"),
        ("experts --source digits", "pretrained record --method trajectory --source digits"),
        ("teachers --source digits", "pretrained record --method selfsup --source digits"),
        ("list --json", "list --json"),
    ],
)
def test_the_commands_of_before_are_actions_of_pretrained(before, now):
    assert translated(before.split()) == now.split()
