"""Comparisons of representations are fair: equal bytes, the same starts, labels only after pre-training, real
arms measured once.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import pytest
import torch
from comparing import events_of
from draining import drained

from engine.core.config import EvaluationConfig, MethodConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Progress, Scored, Warned
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.augment import Augmentation
from engine.data.transforms.predefined import optimal_ones, predefined
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.bench import cache_path
from engine.evaluation.comparison import planned_seconds
from engine.evaluation.plan import versions
from engine.evaluation.probing import comparison as probing_comparison
from engine.evaluation.probing.comparison import RepresentationComparison
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.short import fitting, random_pairs, real_sizes, short_probe, short_probe_of_real
from engine.evaluation.ratios import against_full
from engine.evaluation.scores import baselines, best_by_arm, likeness, summarise, transfers
from engine.nets import make_encoder
from engine.synthetic.base import Training
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.representations import PairSet

SPEC = TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c"))
NUM_DIMS = 6
CONVNET = StudentConfig(name="convnet", depth=1, width=8)
PROBING = ProbingConfig(
    pretrain_steps=40, pretrain_batch=32, pretrain_lr=0.1, probe_epochs=10, neighbours=5, fine_tune_steps=10
)
EVALUATION = EvaluationConfig(num_students=2, full_epochs=10, other_images=40)
BRIEF = PROBING.model_copy(update={"pretrain_steps": 5, "probe_epochs": 2, "fine_tune_steps": 2})
ONCE = EVALUATION.model_copy(update={"num_students": 1, "full_epochs": 1})


class Teacher:
    """Tells the patterns of the classes apart, so that its representations are worth learning."""

    title, num_dims = "stand-in teacher", NUM_DIMS

    def __init__(self, patterns, *, is_blind=False):
        directions = torch.randn(NUM_DIMS, 64, generator=torch.Generator().manual_seed(9))
        directions[: len(patterns)] = patterns.flatten(1)
        self.weight = torch.zeros_like(directions) if is_blind else directions / 8
        self.seen = 0

    def represent(self, inputs):
        self.seen += len(inputs)
        return inputs.flatten(1) @ self.weight.T


def patterns_of(seed):
    return torch.randn(3, *SPEC.sample_shape, generator=torch.Generator().manual_seed(seed))


def noisy_splits(*, channels=1, side=8, title="toy"):
    """Three patterns deep in noise; images as read."""
    generator = torch.Generator().manual_seed(1)
    patterns = patterns_of(0)
    preparation = Preparation("standard", torch.full((channels,), 0.5), torch.full((channels,), 0.2))

    def part(num_images):
        targets = torch.arange(num_images) % 3
        noise = 1.5 * torch.randn(num_images, *SPEC.sample_shape, generator=generator)
        pixels = (0.5 + 0.1 * (patterns[targets] + noise)).repeat(1, channels, 1, 1)
        pixels = torch.nn.functional.interpolate(pixels, (side, side))
        return LabelledSet((255 * pixels).clamp(0, 255).to(torch.uint8), targets, preparation.forward)

    return ImageSplits(
        part(600),
        part(150),
        part(150),
        dataclasses.replace(SPEC, sample_shape=(channels, side, side)),
        preparation.to_display,
        Augmentation(()),
        title,
        title=title,
        preparation=preparation,
    )


@pytest.fixture(scope="module")
def splits():
    return noisy_splits()


@pytest.fixture
def teacher():
    return Teacher(patterns_of(0))


def real_of(splits, teacher):
    return teacher.represent(splits.train.batch(torch.arange(len(splits.train)))[0])


def pair_set(splits, real, num_images=30, student=CONVNET):
    training = Training("momentum", PROBING.pretrain_steps, batch_size=PROBING.pretrain_batch)
    synthetic = PairSet(spec=splits.spec, training=training, num_dims=real.shape[1], num_images=num_images, rate=0.1)
    drained(synthetic.start_from_real(splits.train, real, torch.Generator().manual_seed(0), "begin"))
    return synthetic


def scores(splits, teacher, cache, *, probing=BRIEF, evaluation=ONCE, others=None, seed=0, synthetic=None):
    """Scores of a comparison too brief to teach anything."""
    real = real_of(splits, teacher)
    compared = comparison(splits, teacher, cache, real, probing, evaluation, others, seed, synthetic)
    return [event for event in events_of(compared) if isinstance(event, Scored)]


def comparison(splits, teacher, cache, real, probing=BRIEF, evaluation=ONCE, others=None, seed=0, synthetic=None):
    class Compared(RepresentationComparison):
        def load_teacher(self):
            yield from ()
            return teacher, real

    Compared.probing = probing
    Compared.__abstractmethods__ = frozenset()
    context = Context(seed=seed, cache_root=cache)
    config = MethodConfig(student=CONVNET)
    return Compared(splits, config, evaluation, context, synthetic or pair_set(splits, real), others)


@pytest.fixture(scope="module")
def learned(splits, tmp_path_factory):
    """Scores of a comparison long enough to teach something, of three networks an arm."""
    evaluation = EVALUATION.model_copy(update={"num_students": 3})
    cache = tmp_path_factory.mktemp("cache")
    return scores(splits, Teacher(patterns_of(0)), cache, probing=PROBING, evaluation=evaluation)


@pytest.fixture(scope="module")
def brief(splits, tmp_path_factory):
    """Scores of the usual brief comparison, and the folder of its cache."""
    folder = tmp_path_factory.mktemp("cache")
    return scores(splits, Teacher(patterns_of(0)), folder), folder


def test_every_arm_under_every_protocol(learned):
    found = learned
    counts = {}
    for score in found:
        key = score.arm, score.protocol, score.metric
        counts[key] = counts.get(key, 0) + (score.split == "test")
        assert score.recipe and math.isfinite(score.value)
    networks = ("distilled", "random_real", "random_samples", "untrained", "full")
    ways = ("linear_probe", "knn", "fine_tune")
    expected = {(arm, way, "accuracy"): 3 for arm in networks for way in ways}
    expected |= {(arm, "linear_probe", metric): 3 for arm in networks for metric in ("cosine", "cka")}
    assert counts == expected | {("teacher", way, "accuracy"): 1 for way in ways[:2]}
    validated = {(s.arm, s.protocol, s.metric, s.seed) for s in found if s.split == "validation"}
    assert validated == {(s.arm, s.protocol, s.metric, s.seed) for s in found if s.split == "test"}


def test_a_network_pretrained_on_informative_pairs_beats_an_untrained_one(learned):
    best = best_by_arm(learned, "convnet")
    assert best["distilled"].low > best["untrained"].mean
    assert best["full"].mean > best["distilled"].mean, "600 pairs teach more than 30"
    alike = likeness(summarise(learned))
    assert alike["full"]["cosine"].mean > alike["distilled"]["cosine"].mean > alike["untrained"]["cosine"].mean


def test_a_teacher_that_sees_nothing_teaches_nothing(splits, tmp_path):
    blind = Teacher(patterns_of(0), is_blind=True)
    found = scores(splits, blind, tmp_path)
    assert best_by_arm(found, "convnet")["teacher"].mean == pytest.approx(1 / 3, abs=0.01)
    assert all(score.value == 0 for score in found if score.metric == "cka")


def test_storage_is_equal_and_counted(splits, teacher, brief):
    real = real_of(splits, teacher)
    synthetic = pair_set(splits, real)
    assert fitting(synthetic) == 4 * 30 * (64 + 6) // (64 + 2 * 6) == 110
    arms = {score.arm: score for score in brief[0]}
    assert arms["distilled"].num_bytes == synthetic.num_bytes() == 4 * 30 * (64 + 6)
    assert (arms["random_real"].num_samples, arms["random_real"].num_bytes) == (110, 110 * (64 + 2 * 6))
    assert (arms["random_samples"].num_samples, arms["random_samples"].num_bytes) == (30, 30 * (64 + 2 * 6))
    assert arms["full"].num_bytes == 600 * 64 + 2 * 600 * 6
    assert arms["full"].num_samples == 600 and arms["untrained"].num_bytes == 0


def low_rank_set(splits, real, num_images=40, optimal=()):
    training = Training("momentum", PROBING.pretrain_steps, batch_size=PROBING.pretrain_batch)
    no_strengths = dict.fromkeys(("jitter", "crop_scale", "blur_kernel", "blur_sigma", "hue"), ())
    augmentations = predefined(("rotate_90", "flip"), **no_strengths, seed=0)
    synthetic = LowRankSet(
        spec=splits.spec,
        training=training,
        num_dims=NUM_DIMS,
        num_images=num_images,
        image_bases=8,
        representation_bases=4,
        basis_size=4,
        augmentations=augmentations + optimal,
        hidden_dims=2,
        rate=0.1,
    )
    drained(synthetic.start_from_real(splits.train, real, torch.Generator().manual_seed(0), "begin"))
    return synthetic


def test_random_real_images_are_seen_by_the_teacher_under_the_sets_augmentations(splits, teacher):
    real = real_of(splits, teacher)
    synthetic = low_rank_set(splits, real)
    count = fitting(synthetic)
    assert 1 <= count == synthetic.num_bytes() // (64 + 2 * NUM_DIMS)
    inputs, targets = random_pairs(synthetic, splits.train, teacher, real, count, 0)
    assert len(inputs) == len(targets) == 3 * count
    assert torch.equal(inputs[count : 2 * count], inputs[:count].rot90(1, (2, 3)))
    assert torch.allclose(targets, teacher.represent(inputs), atol=1e-5)
    assert not torch.equal(inputs, random_pairs(synthetic, splits.train, teacher, real, count, 1)[0])


def test_random_real_pairs_have_optimal_images_of_their_own(splits, teacher):
    real, optimal = real_of(splits, teacher), optimal_ones(1, kernel="rbf", gamma=0.01, ridge=1.0, preimage_ridge=1.0)
    synthetic = low_rank_set(splits, real, optimal=optimal)
    count = fitting(synthetic)
    inputs, targets = random_pairs(synthetic, splits.train, teacher, real, count, 0)
    assert len(inputs) == 4 * count
    assert torch.equal(inputs[3 * count :], optimal[0](inputs[:count], targets[:count]))
    assert torch.allclose(targets, teacher.represent(inputs), atol=1e-5)


def test_another_choice_of_augmentations_is_another_random_real_arm(splits, teacher, tmp_path):
    real = real_of(splits, teacher)
    scores(splits, teacher, tmp_path, synthetic=low_rank_set(splits, real))
    found = scores(splits, teacher, tmp_path, synthetic=pair_set(splits, real, num_images=5))
    assert not any(score.cached for score in found if score.arm == "random_real")
    assert all(score.cached for score in found if score.arm == "full")


def test_real_arms_are_cached_across_runs_and_the_distilled_is_not(splits, teacher, brief):
    first, folder = brief
    second = scores(splits, teacher, folder, seed=2)
    assert not any(score.cached for score in first)
    for before, after in zip(first, second, strict=True):
        assert after.cached == (after.arm != "distilled")
        assert (after.value, after.recipe) == (before.value, before.recipe)
        assert after.seconds == before.seconds or after.arm == "distilled"


@pytest.mark.parametrize("changed", [{"pretrain_steps": 4}, {"probe_epochs": 1}, {"neighbours": 3}])
def test_another_recipe_is_another_cache_entry(splits, teacher, brief, changed):
    found = scores(splits, teacher, brief[1], probing=BRIEF.model_copy(update=changed))
    assert not any(score.cached for score in found)


def test_another_source_to_transfer_to_is_another_cache_entry(splits, teacher, brief):
    found = scores(splits, teacher, brief[1], others={"same": splits})
    assert not any(score.cached for score in found)


def test_another_teacher_is_another_cache_entry(splits, brief):
    other = Teacher(patterns_of(3))
    assert not any(score.cached for score in scores(splits, other, brief[1]))


def test_test_labels_choose_nothing(splits, teacher, brief, tmp_path):
    """With every test label wrong, all validation scores and recipes stay the same and only the test scores change."""
    wrong = LabelledSet(splits.test.inputs, (splits.test.targets + 1) % 3, splits.test.prepare)
    honest, fooled = brief[0], scores(dataclasses.replace(splits, test=wrong), teacher, tmp_path)
    assert [score.recipe for score in honest] == [score.recipe for score in fooled]
    for before, after in zip(honest, fooled, strict=True):
        if before.split == "validation" or before.metric in ("cosine", "cka"):
            assert after.value == before.value
    accuracies = [
        [s.value for s in found if s.split == "test" and s.metric == "accuracy"] for found in (honest, fooled)
    ]
    assert accuracies[0] != accuracies[1]


def test_no_label_is_seen_before_a_network_is_frozen(splits, teacher, brief, tmp_path):
    """Training labels move the probes alone: likeness to the teacher is the same with all of them wrong."""
    wrong = LabelledSet(splits.train.inputs, (splits.train.targets * 7 + 1) % 3, splits.train.prepare)
    honest, fooled = brief[0], scores(dataclasses.replace(splits, train=wrong), teacher, tmp_path)
    alike = [[s.value for s in found if s.metric in ("cosine", "cka")] for found in (honest, fooled)]
    assert alike[0] == alike[1]


def test_each_image_is_looked_at_once_for_all_measures_of_a_network(splits, teacher, tmp_path, monkeypatch):
    looked = []
    features_of = probing_comparison.features_of

    def counting(represent, data, phase):
        looked.append((phase, len(data)))
        return features_of(represent, data, phase)

    monkeypatch.setattr(probing_comparison, "features_of", counting)
    teacher.seen = 0
    evaluation = ONCE.model_copy(update={"compare_full": False})
    scores(splits, teacher, tmp_path, evaluation=evaluation)
    networks = [
        (f"compute features of {split} images", n) for split, n in (("train", 600), ("validation", 150), ("test", 150))
    ]
    assert looked[2:] == 4 * networks
    assert looked[:2] == [("represent validation images", 150), ("represent test images", 150)]
    assert teacher.seen == 600 + 150 + 150, "the training images were represented beforehand"


def test_full_is_left_out_where_it_is_not_asked_for(splits, teacher, tmp_path):
    evaluation = ONCE.model_copy(update={"compare_full": False})
    found = scores(splits, teacher, tmp_path, evaluation=evaluation)
    assert {score.arm for score in found} == {"distilled", "random_real", "random_samples", "untrained", "teacher"}
    assert not any(against_full(found, "convnet").values())


def test_retention_gap_and_work_are_of_the_same_protocol(learned):
    rows = {(row.arm, row.protocol, row.metric): row for row in summarise(learned)}
    ratios = against_full(learned, "convnet")
    assert set(ratios["retention"]) == {"linear_probe", "knn", "fine_tune"}
    for protocol, retention in ratios["retention"].items():
        distilled, full = (rows[arm, protocol, "accuracy"] for arm in ("distilled", "full"))
        assert retention == distilled.mean / full.mean
        floor = rows["untrained", protocol, "accuracy"].mean
        assert ratios["floor"][protocol] == "untrained"
        assert ratios["gap_closed"][protocol] == (distilled.mean - floor) / (full.mean - floor)
    assert full.training["num_steps"] == 10 * math.ceil(600 / 32) > distilled.training["num_steps"] == 40
    assert ratios["work_ratio"]["linear_probe"] == pytest.approx(10 * 19 * 32 / (40 * 30))


def test_frozen_features_are_probed_on_another_source(splits, teacher, tmp_path):
    others = {"coloured": noisy_splits(channels=3, side=12, title="Coloured")}
    found = scores(splits, teacher, tmp_path, probing=PROBING, evaluation=EVALUATION, others=others)
    table = transfers(summarise(found))
    assert list(table) == ["coloured"]
    assert set(table["coloured"]) == {"distilled", "random_real", "random_samples", "untrained", "full", "teacher"}
    row = table["coloured"]["full"]
    assert row.mean > 0.5, "the same patterns, larger and in colour"
    assert "600 labelled images of Coloured, measured on 40 test images" in row.recipe
    assert row.metric not in {one.metric for one in best_by_arm(found, "convnet").values()}


def test_a_whole_network_is_fine_tuned_on_another_source_beside_its_probe(splits, teacher, tmp_path):
    others = {"coloured": noisy_splits(channels=3, side=12, title="Coloured")}
    probing = PROBING.model_copy(update={"fine_tune_steps": 0, "transfer_steps": 30, "fine_tune_lr": 0.05})
    found = scores(splits, teacher, tmp_path, probing=probing, evaluation=EVALUATION, others=others)
    rows = summarise(found)
    table = transfers(rows, "fine_tune")
    assert list(table) == ["coloured"]
    assert set(table["coloured"]) == {"distilled", "random_real", "random_samples", "untrained", "full"}
    row = table["coloured"]["full"]
    assert row.metric == "accuracy@coloured" and row.mean > 0.5
    assert "; fine-tuned on 600 labelled images of Coloured for 30 steps at rate 0.05, measured on 40" in row.recipe
    assert not any(each.protocol == "fine_tune" and each.metric == "accuracy" for each in rows)
    assert transfers(rows)["coloured"]["full"].recipe != row.recipe
    assert {each.split for each in found if each.protocol == "fine_tune"} == {"validation", "test"}
    assert best_by_arm(found, "convnet")["distilled"].metric == "accuracy"


def test_other_architectures_are_judged_by_linear_probes_alone(splits, teacher, tmp_path):
    evaluation = ONCE.model_copy(update={"students": ("mlp",)})
    found = [score for score in scores(splits, teacher, tmp_path, evaluation=evaluation) if score.student == "mlp"]
    assert {(score.arm, score.protocol, score.metric) for score in found} == {
        (arm, "linear_probe", "accuracy") for arm in ("distilled", "random_real", "random_samples", "untrained")
    }
    assert all("measured on 40 test images" in score.recipe for score in found)


def test_probes_learn_from_as_many_labelled_images_as_asked_for(splits, teacher, tmp_path):
    evaluation = ONCE.model_copy(update={"compare_full": False})
    probing = BRIEF.model_copy(update={"probe_images": 30, "fine_tune_steps": 0, "neighbours": 0})
    found = scores(splits, teacher, tmp_path, probing=probing, evaluation=evaluation)
    assert {score.protocol for score in found} == {"linear_probe"}
    assert all("30 labelled images" in score.recipe for score in found if score.metric == "accuracy")


def test_arms_of_one_number_begin_with_the_same_weights(splits, teacher, tmp_path):
    """Pre-training that moves nothing leaves every arm as the untrained one is."""
    probing = PROBING.model_copy(
        update={"pretrain_lr": 1e-6, "pretrain_weight_decay": 0.0, "pretrain_steps": 1, "fine_tune_steps": 0}
    )
    evaluation = EVALUATION.model_copy(update={"compare_full": False})
    found = scores(splits, teacher, tmp_path, probing=probing, evaluation=evaluation)
    alike = likeness(summarise(found))
    assert alike["distilled"]["cka"].mean == pytest.approx(alike["untrained"]["cka"].mean, abs=1e-3)
    assert alike["random_real"]["cka"].mean == pytest.approx(alike["untrained"]["cka"].mean, abs=1e-3)
    by_seed = {s.value for s in found if s.arm == "untrained" and s.metric == "cka" and s.split == "test"}
    assert len(by_seed) == 2, "another number has other weights"


def test_a_short_probe_repeats_and_real_images_are_its_baseline(splits, teacher):
    real = real_of(splits, teacher)
    synthetic, context = pair_set(splits, real), Context(seed=4)
    encoder = make_encoder(CONVNET, SPEC, NUM_DIMS)
    found = [drained(short_probe(encoder, synthetic.pairs(), splits, PROBING, 30, context))[1] for _ in range(2)]
    assert found[0] == found[1] and 0.34 < found[0] < 1
    events, _ = drained(short_probe_of_real(synthetic, splits, teacher, real, CONVNET, PROBING, 30, context))
    scored = [event for event in events if not isinstance(event, Progress)]
    rows = baselines(scored)
    assert {(score.protocol, score.split) for score in scored} == {("short_probe", "validation")}
    assert {arm: row.num_samples for arm, row in rows.items()} == {"random_real": 110, "random_samples": 30}


def test_real_images_that_are_too_few_are_all_used_and_it_is_said(splits, teacher, tmp_path):
    few = dataclasses.replace(splits, train=splits.train.subset(torch.arange(60)))
    real = real_of(few, teacher)
    synthetic = pair_set(few, real)
    assert real_sizes(synthetic, few.train)[0][:2] == ("random_real", 60)
    (note,) = [event for event in events_of(comparison(few, teacher, tmp_path, real)) if isinstance(event, Warned)]
    assert note.level == "note" and note.message.startswith("110 real images with representations would fit")


def test_the_plan_counts_networks_of_every_arm_and_the_teacher(splits, teacher, tmp_path):
    compared = comparison(splits, teacher, tmp_path, real_of(splits, teacher), evaluation=EVALUATION)
    counted = Counter(training.arm for training in compared.plan())
    assert counted == {"distilled": 2, "random_real": 2, "random_samples": 2, "untrained": 2, "full": 2, "teacher": 1}


def test_planned_seconds_grow_with_the_pre_training(splits, teacher, tmp_path):
    def seconds(**changes):
        probing, real = BRIEF.model_copy(update=changes), real_of(splits, teacher)
        compared = comparison(splits, teacher, tmp_path, real, probing)
        return sum(drained(planned_seconds(compared, compared.plan(), {}, 0.01))[1].values())

    assert 0 < seconds() < seconds(pretrain_steps=5000)
    assert not list(tmp_path.iterdir()), "a trial leaves nothing behind"


def test_frozen_networks_with_batch_norms_answer_for_each_image_alone_and_say_so(
    splits, teacher, tmp_path, monkeypatch
):
    networks, features_of = [], probing_comparison.features_of

    def watched(represent, data, phase):
        networks.append(represent)
        return features_of(represent, data, phase)

    monkeypatch.setattr(probing_comparison, "features_of", watched)
    real = real_of(splits, teacher)
    compared = comparison(splits, teacher, tmp_path, real)
    compared.config = MethodConfig(student=CONVNET.model_copy(update={"norm": "batch"}))
    found = [event for event in events_of(compared) if isinstance(event, Scored)]
    inputs = splits.test.batch(torch.arange(20))[0]
    with torch.no_grad():
        for represent in networks:
            alone = torch.cat([represent(image[None]) for image in inputs])
            torch.testing.assert_close(alone, represent(inputs), rtol=1e-5, atol=1e-6)
    ends = {score.arm: score.recipe.partition("; batch norms fixed on ")[2] for score in found}
    trained = dict.fromkeys(("distilled", "random_real", "random_samples", "full"), "what it was trained on")
    assert ends == trained | {"untrained": "real training images", "teacher": ""}
    bench = compared.bench("convnet")
    plain = comparison(splits, teacher, tmp_path, real).bench("convnet")
    before = dataclasses.replace(bench, student=plain.student)  # the same settings, before statistics were fixed
    assert cache_path(bench, {}) != cache_path(before, {})


def test_networks_are_pretrained_on_the_starting_set_too(splits, teacher, tmp_path):
    real = real_of(splits, teacher)
    synthetic, begun = pair_set(splits, real), pair_set(splits, real)
    with torch.no_grad():
        synthetic.inputs.mul_(-1)
    compared = comparison(splits, teacher, tmp_path, real, synthetic=synthetic)
    compared.sets = versions(synthetic, begun)
    found = [event for event in events_of(compared) if isinstance(event, Scored)]
    values = {arm: [s.value for s in found if s.arm == arm] for arm in ("distilled", "start")}
    assert len(values["start"]) == len(values["distilled"]) and values["start"] != values["distilled"]
    start = next(score for score in found if score.arm == "start")
    assert "before the first outer step" in start.recipe and start.num_bytes == begun.num_bytes() and not start.cached
