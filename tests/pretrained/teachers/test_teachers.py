"""Teachers: fixed functions of an image, trained once, kept, found again, and refused in a sentence."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from draining import drained
from patterns import SPEC, toy_splits
from safetensors.torch import load_file, save_file
from teaching import config, teaching

from engine import Context
from engine.core.errors import ConfigError, DataError, Diverged
from engine.core.events import Progress, Scored, TeacherEpoch, Warned
from engine.data.source import TaskSpec
from engine.data.torchvision_compat import models
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.nets import make_encoder
from engine.nets.statistics import fix_statistics, pieces_of
from engine.pretrained import store
from engine.pretrained.recording import estimate_recording
from engine.pretrained.teachers import TeacherTrainer, networks, of_training, train


def told(found, cached=None):
    return [e for e in found if isinstance(e, TeacherEpoch) and (cached is None or e.cached == cached)]


def warned(found):
    return [event.message for event in found if isinstance(event, Warned)]


def only_folder(root):
    (folder,) = (root / "teachers").iterdir()
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder where the usual teacher was trained."""
    root = tmp_path_factory.mktemp("trained")
    drained(teaching(root))
    return root


@pytest.fixture
def kept(trained, tmp_path):
    """The same in this test's folder: the usual teacher is found there."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)


def all_inputs():
    return toy_splits().train.batch(torch.arange(60))[0]


def test_a_teacher_tells_its_epochs_and_its_probe_on_both_splits(tmp_path):
    found, teacher = drained(teaching(tmp_path))
    assert [(e.epoch, e.num_epochs, e.cached) for e in told(found)] == [(n, 3, False) for n in range(4)]
    assert told(found)[0].train_loss is None and told(found)[3].train_loss > 0
    scores = [event for event in found if isinstance(event, Scored)]
    assert [(s.arm, s.protocol, s.metric, s.split) for s in scores] == [
        ("teacher", "linear_probe", "accuracy", split) for split in ("validation", "test")
    ]
    facts = teacher.summary
    assert facts["num_dims"] == teacher.num_dims == 6 and facts["num_epochs"] == 3
    assert facts["knn_accuracy"] == told(found)[3].knn_accuracy and facts["probe_accuracy"] == scores[0].value
    assert scores[0].seconds == facts["seconds"] == sum(e.seconds for e in told(found))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_what_a_teacher_says_of_an_image_does_not_depend_on_its_neighbours(tmp_path, norm):
    _, teacher = drained(teaching(tmp_path, config(norm=norm)))
    inputs = all_inputs()
    whole = teacher.represent(inputs)
    assert whole.shape == (60, 6) and not whole.requires_grad
    torch.testing.assert_close(
        torch.cat([teacher.represent(image[None]) for image in inputs]), whole, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(teacher.represent(inputs.repeat(3, 1, 1, 1))[120:], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("kept")
def test_statistics_are_those_of_real_images(tmp_path):
    settings, splits = config(), toy_splits()
    _, teacher = drained(teaching(tmp_path, settings))
    encoder = make_encoder(settings.student(), SPEC, 6)
    weights = load_file(only_folder(tmp_path) / "teacher.safetensors")
    theta = torch.cat([weights[name].flatten() for name in encoder.names])
    with torch.no_grad():
        own_batch = encoder(theta, splits.train.batch(torch.arange(60))[0]) * teacher.scale
    # of the whole training set the batch's own statistics are the fixed ones, but for 59 in place of 60
    torch.testing.assert_close(teacher.represent(all_inputs()), own_batch, rtol=0.01, atol=0.01)


def test_statistics_of_images_sorted_by_class_are_those_of_all_images(tmp_path):
    data, settings = toy_splits(1200).train, config(epochs=1, batch_size=200)
    data = replace(data, inputs=data.inputs + data.targets[:, None, None, None])  # each class brighter than the last
    splits = replace(toy_splits(), train=data.subset(data.targets.argsort()))
    _, teacher = drained(teaching(tmp_path, settings, splits))
    encoder = make_encoder(settings.student(), SPEC, 6)
    weights = load_file(only_folder(tmp_path) / "teacher.safetensors")
    theta = torch.cat([weights[name].flatten() for name in encoder.names])
    with torch.no_grad():
        all_at_once = encoder(theta, splits.train.inputs) * teacher.scale
    assert (teacher.represent(splits.train.inputs) - all_at_once).norm() < 0.1 * all_at_once.norm()


@pytest.mark.usefixtures("kept")
def test_the_mean_variance_of_a_dimension_over_training_images_is_one(tmp_path):
    _, teacher = drained(teaching(tmp_path))
    assert teacher.represent(all_inputs()).var(0, correction=0).mean().item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.usefixtures("kept")
def test_training_images_are_represented_in_their_order(tmp_path):
    _, teacher = drained(teaching(tmp_path))
    _, found = drained(of_training(teacher, toy_splits(), Context(cache_root=tmp_path)))
    torch.testing.assert_close(found, teacher.represent(all_inputs()), rtol=1e-4, atol=1e-5)


def test_a_second_run_takes_what_the_first_trained(tmp_path):
    first, one = drained(teaching(tmp_path))
    second, other = drained(teaching(tmp_path))
    assert [(e.epoch, e.train_loss, e.knn_accuracy) for e in told(second, cached=True)] == [
        (e.epoch, e.train_loss, e.knn_accuracy) for e in told(first, cached=False)
    ]
    assert not told(second, cached=False)
    values = [[(e.split, e.value, e.seconds) for e in found if isinstance(e, Scored)] for found in (first, second)]
    assert values[0] == values[1] and all(e.cached for e in second if isinstance(e, Scored))
    assert other.digest == one.digest and other.summary == one.summary
    assert torch.equal(one.represent(all_inputs()), other.represent(all_inputs()))


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 4}, {"lr": 0.002}, {"kind": "simclr"}, {"seed": 1}, {"crop_scale": 0.5}, {"norm": "instance"}],
)
@pytest.mark.usefixtures("kept")
def test_other_settings_are_another_teacher(tmp_path, changes):
    _, one = drained(teaching(tmp_path))
    found, other = drained(teaching(tmp_path, config(**changes)))
    assert other.digest != one.digest and not told(found, cached=True) and len(store.recordings(tmp_path)) == 2


@pytest.mark.usefixtures("kept")
def test_settings_that_mean_nothing_and_the_seed_of_the_run_are_no_other_teacher(tmp_path):
    drained(teaching(tmp_path))
    found, _ = drained(teaching(tmp_path, config(temperature=0.1, file="unused")))
    assert not told(found, cached=False)


@pytest.mark.usefixtures("kept")
def test_other_data_are_another_teacher(tmp_path):
    drained(teaching(tmp_path))
    other = toy_splits()
    object.__setattr__(other, "fingerprint", "otherwise prepared")
    found, _ = drained(teaching(tmp_path, splits=other))
    assert not told(found, cached=True)


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path, stop_after):
    drained(teaching(tmp_path / "whole"))
    generator = teaching(tmp_path / "stopped")
    seen = 0
    for event in generator:
        seen += isinstance(event, TeacherEpoch)
        if seen == stop_after:
            break
    generator.close()
    (kept,) = store.recordings(tmp_path / "stopped")
    assert (len(kept.manifest.networks), kept.partial_epochs, kept.manifest.num_epochs) == (0, stop_after - 1, 3)
    found, _ = drained(teaching(tmp_path / "stopped"))
    files = [only_folder(tmp_path / name) / "teacher.safetensors" for name in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [e.epoch for e in told(found)] == [0, 1, 2, 3], "each epoch is told once"
    assert len(told(found, cached=False)) == 4 - stop_after
    assert {path.name for path in files[1].parent.iterdir()} == {"manifest.json", "teacher.safetensors", "lock"}


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.usefixtures("kept")
def test_a_broken_file_is_named_and_trained_again(tmp_path, damage):
    drained(teaching(tmp_path))
    path = only_folder(tmp_path) / "teacher.safetensors"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    found, _ = drained(teaching(tmp_path))
    (said,) = warned(found)
    assert said.startswith("The teacher: ") and path.name in said and "trained again" in said
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["cut", "nonsense"])
@pytest.mark.usefixtures("kept")
def test_a_damaged_manifest_is_no_teacher(tmp_path, damage):
    drained(teaching(tmp_path))
    path = only_folder(tmp_path) / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps(content)[:-1] if damage == "cut" else json.dumps(content | {"networks": {"0": {"curve": "?"}}})
    )
    assert not store.recordings(tmp_path)
    found, _ = drained(teaching(tmp_path))
    assert (
        len(told(found, cached=False)) == 4
        and "manifest.json is damaged. The teachers are trained again." in warned(found)[0]
    )


def test_a_damaged_checkpoint_is_told_and_training_continues_from_the_one_before(tmp_path):
    generator = teaching(tmp_path)
    for event in generator:
        if isinstance(event, TeacherEpoch) and event.epoch == 1:
            break
    generator.close()
    state = max((only_folder(tmp_path) / "state").iterdir())
    os.truncate(state, state.stat().st_size - 5)
    found, _ = drained(teaching(tmp_path))
    assert "damaged" in warned(found)[0] and len(told(found, cached=False)) == 3


def test_two_runs_of_the_same_teacher_wait_for_each_other_and_share(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.pretrained.recording.WAITING_SECONDS", 0.001)
    first, second = teaching(tmp_path), teaching(tmp_path)
    seen, ends = ([], []), {}
    for event in first:  # the first holds the lock from here on
        seen[0].append(event)
        if isinstance(event, TeacherEpoch):
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
    assert ends[0].digest == ends[1].digest
    assert len([e for events in seen for e in told(events, cached=False)]) == 4, "trained once"
    assert len(told(seen[1], cached=True)) == 4


def test_a_teacher_that_says_the_same_of_all_images_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    encoder = make_encoder(config().student(), SPEC, 6)
    save_file({name: torch.zeros(shape) for name, shape in zip(encoder.names, encoder.shapes, strict=True)}, path)
    with pytest.raises(Diverged, match="the same for all images"):
        drained(teaching(tmp_path, config(kind="file", file=str(path))))


def test_teachers_are_listed_with_their_size_and_deleted_by_name(tmp_path):
    before = store.state(tmp_path)
    _, teacher = drained(teaching(tmp_path))
    (found,) = store.recordings(tmp_path)
    facts, shown = teacher.summary, found.describe()
    assert (shown["digest"], shown["title"], shown["num_dims"]) == (teacher.digest, teacher.title, 6)
    assert (shown["accuracy"], shown["seconds"]) == (facts["probe_accuracy"], facts["seconds"])
    assert shown["num_bytes"] > 4 * facts["num_params"]
    assert (shown["num_networks"], shown["num_epochs"], shown["partial_epochs"]) == (1, 3, None)
    assert store.state(tmp_path) != before
    store.delete(tmp_path, found.digest)
    assert not store.recordings(tmp_path) and store.state(tmp_path) == before
    with pytest.raises(DataError, match="no pretrained networks"):
        store.delete(tmp_path, "../somewhere")


def test_a_trial_counts_what_is_missing_and_keeps_nothing(tmp_path):
    context = Context(cache_root=tmp_path)
    _, plan = drained(estimate_recording(TeacherTrainer(toy_splits(), config(), context)))
    assert plan.num_recorded == 0 and plan.seconds > 0 and not list(tmp_path.iterdir())
    _, longer = drained(estimate_recording(TeacherTrainer(toy_splits(), config(steps_per_epoch=1000), context)))
    assert longer.seconds > 20 * plan.seconds
    drained(teaching(tmp_path))
    size = (only_folder(tmp_path) / "teacher.safetensors").stat().st_size
    assert plan.missing_bytes == plan.num_bytes == pytest.approx(size, abs=2000)
    _, there = drained(estimate_recording(TeacherTrainer(toy_splits(), config(), context)))
    assert (there.num_recorded, there.missing_bytes, there.seconds) == (1, 0, 0.0)


# -------------------------------------------------------------------------------- weights brought along


def weights(tmp_path, change=lambda tensors: tensors):
    """A file of an encoder's weights, as a user may bring it."""
    encoder = make_encoder(config().student(), SPEC, 6)
    theta = encoder.init(torch.Generator().manual_seed(3))
    path = tmp_path / "own.safetensors"
    save_file(change({name: value.clone() for name, value in encoder.unflatten(theta).items()}), path)
    return path


def test_weights_of_a_file_are_used_with_the_statistics_of_these_images(tmp_path):
    path = weights(tmp_path)
    found, teacher = drained(teaching(tmp_path, config(kind="file", file=str(path))))
    assert not told(found) and len([e for e in found if isinstance(e, Scored)]) == 2
    ours, kept = load_file(path), load_file(only_folder(tmp_path) / "teacher.safetensors")
    assert all(torch.equal(kept[name], ours[name]) for name in ours)
    assert kept["1.running_var"].mean() != 1.0
    assert teacher.represent(all_inputs()).var(0, correction=0).mean().item() == pytest.approx(1.0, abs=1e-4)


def test_a_kept_teacher_may_be_brought_as_a_file_and_says_the_same(tmp_path):
    _, one = drained(teaching(tmp_path / "here"))
    path = only_folder(tmp_path / "here") / "teacher.safetensors"
    _, other = drained(teaching(tmp_path / "there", config(kind="file", file=str(path))))
    torch.testing.assert_close(one.represent(all_inputs()), other.represent(all_inputs()))


def test_a_file_that_changed_is_another_teacher(tmp_path):
    settings = config(kind="file", file=str(weights(tmp_path)))
    _, one = drained(teaching(tmp_path, settings))
    weights(tmp_path, lambda tensors: {name: 2 * value for name, value in tensors.items()})
    _, other = drained(teaching(tmp_path, settings))
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: {k: v for k, v in tensors.items() if k != "0.weight"}, "has no tensor '0.weight'"),
        (lambda tensors: tensors | {"fc.weight": torch.ones(2)}, "has a tensor 'fc.weight' that the network does not"),
        (lambda tensors: tensors | {"0.weight": torch.ones(5, 1, 3, 3)}, r"'0.weight' of shape \(5, 1, 3, 3\)"),
        (lambda tensors: tensors | {"1.running_mean": torch.ones(4)}, "has no tensor '1.running_var'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_name_of_its_tensor(tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        drained(teaching(tmp_path, config(kind="file", file=str(weights(tmp_path, change)))))
    assert not store.recordings(tmp_path)


def test_a_file_that_is_missing_or_no_safetensors_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no weights file is named"):
        drained(teaching(tmp_path, config(kind="file")))
    with pytest.raises(ConfigError, match="no teacher's weights file '.*nothing.safetensors'"):
        drained(teaching(tmp_path, config(kind="file", file=str(tmp_path / "nothing.safetensors"))))
    path = tmp_path / "text.safetensors"
    path.write_text("no weights")
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        drained(teaching(tmp_path, config(kind="file", file=str(path))))


def test_torchvisions_weights_offline_say_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    def offline(self, *args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(
        DataError, match=r"could not be downloaded \(no route.*resnet18-f37072fd\.pth to .*checkpoints.*trained here"
    ):
        drained(teaching(tmp_path, config(kind="imagenet")))


def test_an_imagenet_teacher_sees_enlarged_colours_of_the_pixels(tmp_path, monkeypatch):
    torch.manual_seed(0)
    pretrained = models.resnet18()
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda self, *a, **k: pretrained.state_dict())
    preparation = Preparation("standard", torch.tensor([0.3]), torch.tensor([0.2]))
    splits = ImageSplits(**vars(toy_splits(12)), preparation=preparation)
    settings = config(kind="imagenet")
    _, teacher = drained(teaching(tmp_path, settings, splits))
    assert teacher.num_dims == settings.output_dims == 512
    inputs = splits.test.batch(torch.arange(3))[0]
    pixels = preparation.inverse(inputs).clamp(0, 1)
    large = torch.nn.functional.interpolate(pixels, (64, 64), mode="bilinear").expand(-1, 3, -1, -1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pretrained.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = pretrained.eval()((large - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(teacher.represent(inputs), expected * teacher.scale, rtol=1e-4, atol=1e-4)


def test_images_too_small_for_the_network_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Student 'resnet18' needs images of at least"):
        drained(teaching(tmp_path, config(network="resnet18")))


def test_a_resnet_becomes_a_fixed_function_too():
    settings = config(network="resnet18")
    spec = TaskSpec("classification", (1, 28, 28), 3, ("a", "b", "c"))
    trainable = train.make_networks(settings, spec, "cpu")
    network = networks.make_network(settings, spec, None, "cpu")
    theta = trainable.init(torch.Generator().manual_seed(0))
    network.load_state_dict(train.of_encoder(trainable, theta), strict=False)
    inputs = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    data = toy_splits().train.__class__(inputs, torch.zeros(4, dtype=torch.int64), lambda x: x)
    fix_statistics(network, pieces_of(data))
    with torch.no_grad():
        whole, alone = network(inputs), network(inputs[:1])
    torch.testing.assert_close(whole[:1], alone, rtol=1e-3, atol=1e-4)


def test_a_manifest_that_names_no_teacher_is_not_listed(tmp_path):
    folder = tmp_path / "teachers" / "something"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert not store.recordings(tmp_path)
