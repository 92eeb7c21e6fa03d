"""Experts: what is read back is what was recorded, what is there is reused, and what is broken is recorded again."""

from __future__ import annotations

import errno
import json
import math

import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import SPEC, toy_splits
from safetensors import safe_open

from engine import Context
from engine.core.config import StudentConfig, checked
from engine.core.errors import ConfigError, DataError, Diverged
from engine.core.events import ExpertEpoch, Progress, Warned
from engine.nets import make_student
from engine.pretrained import store
from engine.pretrained.experts import ExpertsConfig, buffer, load_or_record, trainer

STUDENT = StudentConfig(name="mlp")
TOY = {"num_experts": 2, "epochs": 3, "lr": 0.05, "batch_size": 16}


def config(**changes) -> ExpertsConfig:
    return checked(ExpertsConfig, TOY | changes, "test")


def recording(root, settings=None, splits=None, student_config=STUDENT):
    splits = splits or toy_splits()
    return load_or_record(splits, student_config, settings or config(), Context(seed=9, cache_root=root))


def rows_of(experts, number=0):
    return torch.stack([experts.weights(number, epoch) for epoch in range(experts.num_epochs + 1)])


def told(found, cached=None):
    return [e for e in found if isinstance(e, ExpertEpoch) and (cached is None or e.cached == cached)]


def only_folder(root):
    (folder,) = (root / "experts").iterdir()
    return folder


def naive_expert(settings, number, splits):
    """torch.optim.SGD on the module itself, in the same order of images."""
    student = make_student(STUDENT, SPEC)
    stream = Context(seed=settings.seed).stream
    theta = student.init(stream("expert", number, "start"))
    for parameter, value in zip(student.module.parameters(), student.unflatten(theta).values(), strict=True):
        parameter.data.copy_(value)
    optimiser = torch.optim.SGD(
        student.module.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    rows = [theta]
    for epoch in range(settings.epochs):
        if settings.lr_decay and epoch > settings.epochs // 2 + 1:
            optimiser.param_groups[0]["lr"] = settings.lr / 10
        for indices in torch.randperm(60, generator=stream("expert", number, "epoch", epoch)).split(16):
            inputs, targets = splits.train.batch(indices)
            optimiser.zero_grad()
            F.cross_entropy(student.module(inputs), targets).backward()
            optimiser.step()
        rows.append(torch.cat([p.detach().flatten() for p in student.module.parameters()]))
    return torch.stack(rows)


@pytest.mark.parametrize("changes", [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"epochs": 6, "lr_decay": True}])
def test_recorded_weights_are_those_of_torch_optim(tmp_path, changes):
    settings = config(**changes)
    experts = drained(recording(tmp_path, settings))[1]
    for number in range(2):
        torch.testing.assert_close(
            rows_of(experts, number), naive_expert(settings, number, toy_splits()), rtol=1e-4, atol=1e-6
        )


def test_a_row_read_through_the_memory_map_is_the_row_of_the_whole_file(tmp_path):
    experts = drained(recording(tmp_path))[1]
    with safe_open(experts.files[1], "pt") as file:
        whole = file.get_tensor("trajectory")
    assert torch.equal(rows_of(experts, 1), whole) and whole.shape == (4, experts.num_params)
    assert experts.files[1].stat().st_size - trainer.expert_bytes(config(), experts.num_params) < 200, (
        "only a header more"
    )


def test_half_precision_halves_the_file_and_rounds_the_weights(tmp_path):
    exact = drained(recording(tmp_path))[1]
    half = drained(recording(tmp_path, config(dtype="float16")))[1]
    assert torch.equal(rows_of(half), rows_of(exact).half().float())
    assert half.describe()["num_bytes"] < 0.51 * exact.describe()["num_bytes"]
    assert half.weights(0, 1).dtype == torch.float32


def test_sam_and_gsam_step_as_their_equations_say():
    student = make_student(STUDENT, SPEC)
    theta = student.init(torch.Generator().manual_seed(0))
    inputs, targets = toy_splits().train.batch(torch.randperm(60, generator=torch.Generator().manual_seed(5))[:16])

    def gradient(at):
        at = at.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(student(at, inputs), targets), at)[0]

    plain = gradient(theta)
    far = gradient(theta + 0.05 * plain / plain.norm())
    across = plain - (plain @ far) / (far @ far) * far
    assert abs(across @ far) < 1e-5 * far.norm() ** 2
    for optimiser, expected in (("sam", far), ("gsam", far - 0.3 * across)):
        settings = config(optimiser=optimiser, rho=0.05, alpha=0.3)
        state = trainer.SgdState(theta, torch.zeros_like(theta))
        after = trainer.step(student, state, inputs, targets, settings.lr, settings)
        torch.testing.assert_close(after.theta, theta - 0.05 * expected)


def test_a_second_run_reuses_what_the_first_recorded_and_adds_what_is_missing(tmp_path):
    first, one = drained(recording(tmp_path))
    assert len(told(first, cached=False)) == 2 * 4
    second, other = drained(recording(tmp_path, config(num_experts=3)))
    assert [(e.expert, e.epoch) for e in told(second, cached=True)] == [(n, e) for n in range(2) for e in range(4)]
    assert {e.expert for e in told(second, cached=False)} == {2}
    assert other.files[:2] == one.files and len(list((tmp_path / "experts").iterdir())) == 1


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 4}, {"lr": 0.06}, {"momentum": 0.5}, {"seed": 1}, {"dtype": "float16"}, {"steps_per_epoch": 2}],
)
def test_other_settings_are_other_experts(tmp_path, changes):
    drained(recording(tmp_path))
    found, _ = drained(recording(tmp_path, config(**changes)))
    assert not told(found, cached=True)
    assert len(store.recordings(tmp_path)) == 2


def test_other_data_or_another_student_are_other_experts(tmp_path):
    drained(recording(tmp_path))
    other_data = toy_splits()
    object.__setattr__(other_data, "fingerprint", "otherwise prepared")
    drained(recording(tmp_path, splits=other_data))
    drained(recording(tmp_path, student_config=StudentConfig(name="convnet", depth=2, width=4)))
    assert len(store.recordings(tmp_path)) == 3


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_recording_that_was_stopped_goes_on_to_the_same_bits(tmp_path, stop_after):
    settings = config(momentum=0.9)
    whole = drained(recording(tmp_path / "whole", settings))[1]
    generator = recording(tmp_path / "stopped", settings)
    seen = 0
    for event in generator:
        seen += isinstance(event, ExpertEpoch)
        if seen == stop_after:
            break
    generator.close()
    found, resumed = drained(recording(tmp_path / "stopped", settings))
    assert [path.read_bytes() for path in resumed.files] == [path.read_bytes() for path in whole.files]
    curves = [(e.expert, e.epoch, e.train_loss, e.validation_accuracy) for e in told(found)]
    assert len(curves) == len(set(curves)) == 8, "each epoch of each expert is told once"
    left = {path.name for path in only_folder(tmp_path / "stopped").iterdir()}
    assert left == {"manifest.json", "expert-0000.safetensors", "expert-0001.safetensors", "lock"}


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_broken_file_is_named_and_recorded_again(tmp_path, damage):
    before = drained(recording(tmp_path))[1]
    path, content = before.files[1], before.files[1].read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    found, after = drained(recording(tmp_path))
    (said,) = [event.message for event in found if isinstance(event, Warned)]
    assert said.startswith("Expert 2 of 2: ") and path.name in said and "trained again" in said
    assert after.files[1].read_bytes() == content


def test_a_full_disk_ends_the_recording_and_keeps_what_was_recorded(tmp_path, monkeypatch):
    writes = iter(range(100))
    write = buffer.write_row

    def until_full(*arguments):
        if next(writes) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(buffer, "write_row", until_full)
    with pytest.raises(OSError, match="No space left"):
        drained(recording(tmp_path))
    monkeypatch.undo()
    assert [len(found.manifest.networks) for found in store.recordings(tmp_path)] == [1]
    found, experts = drained(recording(tmp_path))
    assert [(e.expert, e.epoch) for e in told(found, cached=False)] == [(1, 2), (1, 3)], "only what was not recorded"
    assert len(experts.files) == 2


def test_an_expert_that_was_complete_when_the_disk_was_full_is_not_trained_again(tmp_path, monkeypatch):
    writes = iter(range(100))
    write = store.Recording.write

    def until_full(self):
        if next(writes) == 1:  # the first begins the recording
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self)

    monkeypatch.setattr(store.Recording, "write", until_full)
    with pytest.raises(OSError, match="No space left"):
        drained(recording(tmp_path, config(num_experts=1)))
    monkeypatch.undo()
    found, experts = drained(recording(tmp_path, config(num_experts=1)))
    assert not told(found, cached=False) and len(told(found, cached=True)) == 4
    assert torch.equal(rows_of(experts), untroubled(tmp_path))


def untroubled(tmp_path):
    """The same expert, recorded without any trouble."""
    return rows_of(drained(recording(tmp_path / "untroubled", config(num_experts=1)))[1])


def test_two_recordings_of_the_same_experts_wait_for_each_other_and_share(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.pretrained.recording.WAITING_SECONDS", 0.001)
    first, second = recording(tmp_path), recording(tmp_path)
    seen, ends = ([], []), {}
    for event in first:  # the first holds the lock from here on
        seen[0].append(event)
        if isinstance(event, ExpertEpoch):
            break
    waited = next(second)
    assert isinstance(waited, Progress) and "another run" in waited.phase
    while len(ends) < 2:
        for number, generator in enumerate((first, second)):
            if number not in ends:
                try:
                    seen[number].append(next(generator))
                except StopIteration as end:
                    ends[number] = end.value
    assert ends[0].files == ends[1].files
    trained = [(e.expert, e.epoch) for events in seen for e in told(events, cached=False)]
    assert sorted(trained) == [(expert, epoch) for expert in range(2) for epoch in range(4)], "each trained once"


def test_experts_that_do_not_learn_are_told(tmp_path):
    found, _ = drained(recording(tmp_path, config(lr=1e-6, epochs=1)))
    warnings = [event.message for event in found if isinstance(event, Warned)]
    assert len(warnings) == 2 and "did not learn" in warnings[0] and "learning rate" in warnings[0]
    found, _ = drained(recording(tmp_path))
    assert not [event for event in found if isinstance(event, Warned)]


def test_an_expert_that_diverges_says_which_and_when(tmp_path):
    with pytest.raises(Diverged, match=r"expert 1 became infinite or NaN in epoch \d.*learning rate"):
        drained(recording(tmp_path, config(lr=10.0, momentum=0.99, epochs=30), toy_splits(scale=1e18)))


def test_experts_of_a_folder_serve_where_they_fit_and_are_refused_in_a_sentence_where_not(tmp_path):
    recorded = drained(recording(tmp_path))[1]
    folder = str(only_folder(tmp_path))
    found, given = drained(recording(tmp_path / "elsewhere", config(folder=folder, lr=0.2, epochs=9, num_experts=5)))
    assert given.files == recorded.files and not (tmp_path / "elsewhere").exists()
    assert [(e.num_experts, e.num_epochs, e.cached) for e in told(found)] == 8 * [(2, 3, True)], "as they were recorded"
    convnet = StudentConfig(name="convnet", depth=2, width=4)
    with pytest.raises(
        ConfigError, match=r"another student: 'mlp' with [\d,]+ .*this run's student is 'convnet' with [\d,]+"
    ):
        drained(recording(tmp_path, config(folder=folder), student_config=convnet))
    other_data = toy_splits()
    object.__setattr__(other_data, "fingerprint", "otherwise prepared")
    with pytest.raises(ConfigError, match="of other data"):
        drained(recording(tmp_path, config(folder=folder), other_data))
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        drained(recording(tmp_path, config(folder=str(tmp_path / "nowhere"))))


def test_a_broken_file_of_a_given_folder_is_left_out(tmp_path):
    recorded = drained(recording(tmp_path))[1]
    recorded.files[0].write_bytes(b"")
    settings = config(folder=str(only_folder(tmp_path)))
    found, given = drained(recording(tmp_path, settings))
    assert given.files == recorded.files[1:]
    assert "left out" in next(event.message for event in found if isinstance(event, Warned))
    recorded.files[1].write_bytes(b"")
    with pytest.raises(ConfigError, match="None of the experts"):
        drained(recording(tmp_path, settings))


def test_experts_are_listed_with_their_size_and_deleted_by_name(tmp_path):
    experts = drained(recording(tmp_path))[1]
    (found,) = store.recordings(tmp_path)
    shown = found.describe()
    assert (shown["title"], shown["num_networks"], shown["num_epochs"]) == ("mlp", 2, 3)
    assert shown["num_bytes"] > experts.describe()["num_bytes"] and shown["accuracy"] == experts.describe()["accuracy"]
    store.delete(tmp_path, found.digest)
    assert not store.recordings(tmp_path)
    with pytest.raises(DataError, match="no pretrained networks"):
        store.delete(tmp_path, "../somewhere")


def test_a_damaged_manifest_is_no_recording(tmp_path):
    drained(recording(tmp_path))
    (only_folder(tmp_path) / "manifest.json").write_text(json.dumps({"key": {}})[:-1])
    assert not store.recordings(tmp_path)
    found, _ = drained(recording(tmp_path))
    assert len(told(found, cached=False)) == 8
    assert "manifest.json is damaged. The experts are trained again." in next(
        e.message for e in found if isinstance(e, Warned)
    )


@pytest.mark.parametrize(
    "experts",
    [
        [],
        {"0": {}},
        {"0": {"file": "a", "hash": "b", "curve": []}},
        {
            "0": {
                "file": "../a",
                "hash": "b",
                "curve": [{"epoch": 0, "train_loss": None, "accuracy": 0.1, "seconds": 0.0}],
            }
        },
    ],
)
def test_a_manifest_that_says_nonsense_is_no_recording(tmp_path, experts):
    drained(recording(tmp_path))
    path = only_folder(tmp_path) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"networks": experts}))
    assert not store.recordings(tmp_path)


def test_a_file_that_is_deleted_while_it_is_used_is_named(tmp_path):
    experts = drained(recording(tmp_path))[1]
    experts.files[0].unlink()
    with pytest.raises(DataError, match=r"expert-0000\.safetensors was deleted or damaged"):
        experts.weights(0, 1)


def test_the_curve_is_that_of_the_recorded_weights(tmp_path):
    splits = toy_splits()
    found, experts = drained(recording(tmp_path, splits=splits))
    student = make_student(STUDENT, SPEC)
    for event in told(found):
        theta = experts.weights(event.expert, event.epoch)
        right = (
            student(theta, splits.validation.batch(torch.arange(60))[0]).argmax(1) == splits.validation.targets
        ).float()
        assert event.validation_accuracy == pytest.approx(right.mean().item())
        assert (event.train_loss is None) == (event.epoch == 0)
        assert event.train_loss is None or math.isfinite(event.train_loss)


def test_every_setting_that_means_something_but_the_number_and_the_folder_is_part_of_the_key():
    splits = toy_splits()
    base = trainer.key_of(splits, STUDENT, config())
    assert trainer.key_of(splits, STUDENT, config(num_experts=7, folder="x")) == base
    assert set(base["experts"]) == set(ExpertsConfig.model_fields) - {"num_experts", "folder", "rho", "alpha"}
    assert trainer.key_of(splits, STUDENT, config(rho=0.5)) == base, "rho means nothing to plain steps"
    flat = trainer.key_of(splits, STUDENT, config(optimiser="gsam"))
    assert trainer.key_of(splits, STUDENT, config(optimiser="gsam", rho=0.5)) != flat
    assert trainer.key_of(splits, STUDENT.model_copy(update={"width": 128}), config()) == base, "an MLP has no width"
