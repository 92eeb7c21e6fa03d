"""Self-supervised distillation: the outer loss, the pool, targets that follow the set, and no label anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import SPEC, toy_splits

from engine import SOURCES, Context, RunRequest, events
from engine.core.config import checked
from engine.core.errors import ConfigError
from engine.data.source import Availability, TaskSpec
from engine.data.transforms.optimal import optimal
from engine.meta.pool import Pool
from engine.methods.selfsup import selfsup
from engine.methods.selfsup.config import SelfsupConfig
from engine.nets import make_encoder
from engine.run import resolve, run

TINY = {
    "student": {"name": "convnet", "depth": 2, "width": 4, "norm": "batch"},
    "num_images": 8,
    "image_bases": 5,
    "representation_bases": 4,
    "basis_size": 4,
    "teacher": {
        "width": 4,
        "depth": 2,
        "num_dims": 6,
        "epochs": 1,
        "steps_per_epoch": 2,
        "batch_size": 16,
        "projector_width": 8,
    },
    "augmentations": ["flip", "rotate_90"],
    "approximation_steps": 5,
    "pool_size": 3,
    "pool_steps": 4,
    "outer_steps": 6,
    "real_batch": 20,
    "num_validations": 0,
    "refresh_every": 2,
    "probing": {"pretrain_steps": 4, "pretrain_batch": 16},
}


def config_of(**changes) -> SelfsupConfig:
    return checked(SelfsupConfig, TINY | changes, "test")


@pytest.fixture
def context(tmp_path) -> Context:
    return Context(seed=3, cache_root=tmp_path)


def test_labels_of_the_training_images_change_nothing(context):
    splits = toy_splits()
    turned = replace(splits, train=replace(splits.train, targets=splits.train.targets.roll(7)))
    first, second = (drained(selfsup.distill(each, config_of(), context))[1].state_dict() for each in (splits, turned))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_outer_loss_falls(context):
    steps = config_of(outer_steps=60, num_images=12, outer_lr=0.02, augmentations=[])
    found, _ = drained(selfsup.distill(toy_splits(), steps, context))
    losses = [event.values["outer_loss"] for event in found if isinstance(event, events.Measured)]
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_inner_steps_are_those_of_torch_sgd(context, momentum):
    config = config_of(inner_momentum=momentum, inner_weight_decay=0.01, inner_clip=0.0, pool_steps=100)
    encoder = make_encoder(config.student, SPEC, 6)
    pool = Pool(encoder, config.pool(), F.mse_loss, context)
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(10, *SPEC.sample_shape, generator=generator), torch.randn(10, 6, generator=generator)
    weights = pool.members[1].theta.clone().requires_grad_()
    optimiser = torch.optim.SGD([weights], lr=config.inner_lr, momentum=momentum, weight_decay=0.01)
    for _ in range(3):
        pool.train(1, inputs, targets)
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(encoder(weights, inputs), targets).backward()
        optimiser.step()
    assert torch.allclose(pool.members[1].theta, weights, atol=1e-6)


def test_a_long_gradient_is_cut(context):
    config = config_of(inner_momentum=0.0, inner_weight_decay=0.0, inner_clip=0.5, inner_lr=1.0)
    pool = Pool(make_encoder(config.student, SPEC, 6), config.pool(), F.mse_loss, context)
    before = pool.members[0].theta.clone()
    pool.train(0, torch.randn(10, *SPEC.sample_shape), 100 * torch.randn(10, 6))
    assert (pool.members[0].theta - before).norm().item() == pytest.approx(0.5, rel=1e-4)


def test_networks_begin_at_different_ages_and_anew_at_the_end_of_a_life(context):
    config = config_of(pool_size=4, pool_steps=8)
    pool = Pool(make_encoder(config.student, SPEC, 6), config.pool(), F.mse_loss, context)
    assert sorted(config.pool().warm_up_ages(context)) == [0, 2, 4, 6]
    pairs = torch.randn(5, *SPEC.sample_shape), torch.randn(5, 6)
    assert list(pool.warm_up(*pairs)) == list(range(1, 13))
    assert [member.age for member in pool.members] == config.pool().warm_up_ages(context)
    oldest = config.pool().warm_up_ages(context).index(6)
    for _ in range(2):
        pool.train(oldest, *pairs)
    assert (pool.members[oldest].age, pool.members[oldest].life) == (8, 0)
    pool.train(oldest, *pairs)
    assert (pool.members[oldest].age, pool.members[oldest].life) == (1, 1)
    assert config_of(prewarm=False).pool().warm_up_ages(context) == [0, 0, 0]


def test_a_pool_goes_on_from_its_state(context):
    config = config_of(inner_batch=3)
    encoder = make_encoder(config.student, SPEC, 6)
    pairs = torch.randn(5, *SPEC.sample_shape), torch.randn(5, 6)
    pool, other = (Pool(encoder, config.pool(), F.mse_loss, context) for _ in range(2))
    pool.train(0, *pairs)
    other.load_state(pool.state())
    for number in (0, 2, 0, 0, 0):
        assert pool.train(number, *pairs) == other.train(number, *pairs)
    assert torch.equal(pool.members[0].theta, other.members[0].theta)


def test_targets_of_augmented_images_follow_the_images(context):
    """The teacher's shift of the images as they are now, in the bases as they are now: not those of the start."""
    splits, config = toy_splits(), config_of()
    teacher = drained(selfsup.load_or_train(splits, config.teacher, context))[1]
    real = drained(selfsup.of_training(teacher, splits, context))[1]
    synthetic = selfsup._new_set(splits.spec, real.shape[1], config)
    drained(synthetic.start_from_real(splits.train, real, context.stream("images"), "start"))
    _, first = drained(selfsup._renew(synthetic, teacher, config, context, 0))
    with torch.no_grad():
        synthetic.image_coefficients.add_(3.0)
        synthetic.representation_bases.mul_(2.0)
    _, then = drained(selfsup._renew(synthetic, teacher, config, context, 2))
    images = synthetic.images().detach()
    plain = teacher.represent(images)
    for number, change in enumerate(synthetic.augmentations):
        shift = teacher.represent(change(images)) - plain
        wanted = torch.linalg.lstsq(synthetic.representation_bases.detach().T, shift.T).solution.T
        assert torch.allclose(then[number], wanted, atol=1e-4)
    assert not torch.allclose(first, then, atol=1e-2)


def test_optimal_augmentations_follow_the_set_and_have_targets_of_the_teacher(context):
    """They come last; the teacher sees what the images and representations of the moment make of the images."""
    splits, config = toy_splits(), config_of(num_optimal=2, kernel_gamma=0.01)
    teacher = drained(selfsup.load_or_train(splits, config.teacher, context))[1]
    real = drained(selfsup.of_training(teacher, splits, context))[1]
    synthetic = selfsup._new_set(splits.spec, real.shape[1], config)
    drained(synthetic.start_from_real(splits.train, real, context.stream("images"), "start"))
    assert [each.name for each in synthetic.augmentations] == ["rotate_90", "flip", "optimal_1", "optimal_2"]
    _, shifts = drained(selfsup._renew(synthetic, teacher, config, context, 0))
    images, own = synthetic.materialise()
    goal = optimal(images, own, kernel="rbf", gamma=0.01, ridge=1.0, preimage_ridge=1.0)
    shift = teacher.represent(goal) - teacher.represent(images)
    assert torch.allclose(shifts[3], synthetic.coefficients_of(shift + synthetic.representation_mean), atol=1e-4)
    inputs, targets = selfsup._pairs(synthetic, shifts)
    assert len(inputs) == len(targets) == 5 * 8
    assert torch.equal(inputs[-8:], goal) and torch.equal(inputs, synthetic.pairs()[0])


def test_optimal_augmentations_are_an_option_of_their_own_and_published_for_cifar100_alone():
    with pytest.raises(ConfigError, match="num_optimal"):
        config_of(num_optimal=4)
    with pytest.raises(ConfigError, match="augmentations"):
        config_of(augmentations=["optimal_1"])
    config = config_of(num_optimal=3, kernel_type="linear", mu_p=0.0)
    assert SelfsupConfig.model_validate_json(config.model_dump_json()) == config
    published = {
        each.source: each.config.get("num_optimal", 0) for each in selfsup.METHOD.presets if each.key == "low_rank_100"
    }
    assert published == {"cifar10": 0, "cifar100": 3}


def test_a_run_with_optimal_augmentations_goes_on_from_a_checkpoint_to_the_same_bits(context):
    config = config_of(num_optimal=2, kernel_type="linear")
    found, whole = drained(selfsup.distill(toy_splits(), config, context))
    stopped = selfsup.distill(toy_splits(), config, context)
    third = next(event for event in stopped if isinstance(event, events.Checkpoint) and event.step == 3)
    saved = third.snapshot()
    stopped.close()
    again = drained(selfsup.distill(toy_splits(), config, replace(context, resume_from=saved)))[1]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    analysed = [event.values for event in found if isinstance(event, events.Analysed) and event.name == "approximation"]
    assert analysed[-1]["augmentations"] == ["rotate_90", "flip", "optimal_1", "optimal_2"]
    assert config.size(SPEC).num_bytes == whole.as_stored(16).num_bytes()


def test_more_bases_than_there_can_be_are_refused_before_anything_is_trained(tmp_path):
    spec = TaskSpec("classification", (3, 32, 32), 10, tuple("abcdefghij"))
    for changes, sentence in (
        ({"image_bases": 49, "basis_size": 4}, "48"),
        ({"representation_bases": 7}, "6"),
        ({"basis_size": 33}, "larger than the images"),
        ({"storage_budget": 1, "num_images": 500}, "storage"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            config_of(**changes).check(spec, tmp_path)
    config_of(storage_budget=100).check(spec, tmp_path)


@pytest.mark.parametrize(("parameterisation", "side"), [("low_rank", 8), ("full", 8)])
def test_planned_storage_is_that_of_the_set(context, parameterisation, side):
    config = config_of(parameterisation=parameterisation)
    _, synthetic = drained(selfsup.distill(toy_splits(), config, context))
    size = config.size(SPEC)
    assert (
        size.num_bytes == synthetic.as_stored(synthetic.usual_bits).num_bytes()
        and size.num_samples == synthetic.num_samples
    )


@pytest.mark.parametrize(
    ("key", "sentence"), [("nowhere", "no source 'nowhere' to transfer to"), ("cifar10", "to transfer to, is not here")]
)
def test_transfer_to_a_source_that_is_not_here_is_refused_before_the_start(tmp_path, monkeypatch, key, sentence):
    missing = Availability("missing", "Put its files there.")
    monkeypatch.setattr(type(SOURCES["cifar10"]), "availability", lambda self, root: missing)
    request = RunRequest(source="digits", method="selfsup", config=TINY | {"probing": {"transfer": [key]}})
    with pytest.raises(ConfigError, match=sentence):
        resolve(request, tmp_path)


def test_a_whole_run_compares_and_transfers_without_a_label_arm(context):
    request = RunRequest(
        source="digits",
        method="selfsup",
        evaluation={"num_students": 1, "full_epochs": 1},
        config=TINY
        | {
            "probing": {
                "pretrain_steps": 3,
                "probe_images": 100,
                "probe_epochs": 2,
                "fine_tune_steps": 2,
                "transfer": ["digits"],
            }
        },
    )
    found, synthetic = drained(run(request, context))
    scores = [event for event in found if isinstance(event, events.Scored) and event.split == "test"]
    arms = {"distilled", "start", "random_real", "random_samples", "untrained", "full", "teacher"}
    assert arms == {score.arm for score in scores}
    measured = {(score.protocol, score.metric) for score in scores if score.arm == "distilled"}
    assert measured == {
        ("linear_probe", "accuracy"),
        ("knn", "accuracy"),
        ("fine_tune", "accuracy"),
        ("linear_probe", "accuracy@digits"),
        ("linear_probe", "cosine"),
        ("linear_probe", "cka"),
    }
    summary = found[-1].summary
    assert summary["labels"] == "none" and summary["num_bytes"] == synthetic.num_bytes()
    assert set(summary["retention"]) == {"linear_probe", "knn", "fine_tune"}
    analysed = {event.name for event in found if isinstance(event, events.Analysed)}
    assert analysed == {"spectrum", "approximation", "storage", "map", "map_tsne"}
    warned = [event.message for event in found if isinstance(event, events.Warned)]
    assert any("of 8 small images take 136 numbers; stored whole, the small images would take 128" in w for w in warned)


def test_bases_that_are_of_no_use_are_cautioned_or_refused(tmp_path):
    images, large = config_of(image_bases=5), config_of(image_bases=9, basis_size=8)
    assert "small images take 136 numbers; stored whole, the small images would take 128." in images.caution(SPEC)
    assert "of 8 representations take 62 numbers; stored whole, the representations would take 48." in config_of(
        image_bases=2, representation_bases=4
    ).caution(replace(SPEC, sample_shape=(1, 16, 16)))
    assert config_of(image_bases=2, representation_bases=2).caution(SPEC) == ""
    assert config_of(parameterisation="full").caution(SPEC) == ""
    with pytest.raises(ConfigError, match="take 712 numbers, more than the 512 of the images at full size. Use fewer"):
        large.check(SPEC, tmp_path)


BUDGET = {"byte_budget": 500, "augmentations": ["flip", "rotate_90", "blur", "jitter"], "hidden_dims": 2}


def test_a_byte_budget_holds_as_much_as_fits_in_the_proportions_of_the_settings():
    config = config_of(**BUDGET)
    counts = config.counts(SPEC)
    assert config.size(SPEC).num_bytes <= 500
    assert counts.image_bases == round(counts.num_images * 5 / 8)
    assert counts.representation_bases == round(counts.num_images * 4 / 8)
    images, U, V, A = counts
    more = images + 1
    u, v = round(more * 5 / 8), round(more * 4 / 8)
    assert 2 * (more * (u + v) + (u + 1) * 16 + (v + 1) * 6) > 450, "one image more would take over nine tenths"
    network = 2 * (2 * V * 2 + 2 + V)
    bases = 2 * (images * (U + V) + (U + 1) * 16 + (V + 1) * 6)
    assert 1 <= A == min(4, (500 - bases) // network) < 4
    assert config_of(**BUDGET | {"byte_budget": 10**6}).counts(SPEC)[1:] == (16, 6, 4), "no more bases than there are"
    full = config_of(byte_budget=500, parameterisation="full")
    assert full.size(SPEC).num_samples == (500 - 8) // (64 + 2 * 6) and full.size(SPEC).num_bytes <= 500
    assert config_of().counts(SPEC) == (8, 5, 4, 2)


def test_a_budget_for_no_image_is_refused_with_the_bytes_of_one(tmp_path):
    with pytest.raises(ConfigError, match="too small: 103 bytes are needed for one image"):
        config_of(byte_budget=100).check(SPEC, tmp_path)
    with pytest.raises(ConfigError, match="too small: 84 bytes are needed"):
        config_of(byte_budget=75, parameterisation="full").check(SPEC, tmp_path)


def test_within_a_budget_the_augmentations_with_the_smallest_error_are_kept(context):
    config = config_of(**BUDGET)
    found, synthetic = drained(selfsup.distill(toy_splits(), config, context))
    (told,) = [event.values for event in found if isinstance(event, events.Analysed) and event.name == "budget"]
    counts = config.counts(SPEC)
    assert told["errors"] == sorted(told["errors"]) and set(told["augmentations"]) == set(BUDGET["augmentations"])
    kept = [each.name for each in synthetic.augmentations]
    assert set(kept) == set(told["augmentations"][: counts.num_augmentations]) and told["num_images"] == counts[0]
    assert (synthetic.num_images, len(synthetic.image_bases)) == counts[:2]
    assert synthetic.as_stored(16).num_bytes() <= 500
    saved = next(e.snapshot() for e in found if isinstance(e, events.Checkpoint) and e.step == 6)
    again = drained(selfsup.distill(toy_splits(), config, replace(context, resume_from=saved)))[1]
    assert [each.name for each in again.augmentations] == kept


def test_lists_of_strengths_make_augmentations_and_networks_and_older_requests_say_the_same(context, tmp_path):
    strengths = {"augmentations": ["flip", "blur", "crop"], "blur_kernel": [3, 5], "crop_scale": "0.5, 0.7, 0.9"}
    config = config_of(**strengths, outer_steps=1, byte_budget=0)
    assert [each.name for each in config.predefined()] == ["flip", *["crop"] * 3, *["blur"] * 2]
    found, synthetic = drained(selfsup.distill(toy_splits(), config, context))
    assert len(synthetic.hidden_weights) == 6 and config.size(SPEC).num_bytes == synthetic.as_stored(16).num_bytes()
    analysed = [event.values for event in found if isinstance(event, events.Analysed) and event.name == "approximation"]
    assert analysed[-1]["augmentations"][1] == "crop to 50%" and analysed[-1]["augmentations"][0] == "flip"
    assert config_of(blur_kernel=3, crop_scale=0.6) == config_of(blur_kernel=[3], crop_scale="0.6")
    with pytest.raises(ConfigError, match="blur_kernel must be odd; choose 5 instead of 4"):
        config_of(blur_kernel=[3, 4])
    with pytest.raises(ConfigError, match="changes colour images alone. Leave out hue"):
        config_of(augmentations=["hue"]).check(SPEC, tmp_path)
