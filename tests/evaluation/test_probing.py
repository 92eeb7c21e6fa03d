"""Probes see what is in features and nothing else; networks learn representations from pairs; other images are made
to fit.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import SPEC, toy_splits
from sklearn.linear_model import LogisticRegression

from engine.core.config import StudentConfig
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.predefined import Predefined
from engine.data.transforms.preparation import Preparation
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.fine_tune import Classifier, fine_tune
from engine.evaluation.probing.pretrain import bounded_sgd, of_pairs, pretrain, real_pairs
from engine.evaluation.probing.probe import features_of, knn, labelled_part, linear_probe, share_right
from engine.evaluation.probing.similarity import linear_cka, mean_cosine
from engine.evaluation.probing.transfer import adapted, fitted
from engine.evaluation.train import accuracy
from engine.nets import make_encoder, make_student

CONFIG = ProbingConfig(pretrain_steps=60, pretrain_batch=32, pretrain_lr=0.05, probe_epochs=20)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clouds(num=300, num_dims=6, spread=1.0):
    """Features (num, D) of three classes, each a cloud of its own, and the classes."""
    generator = seeded()
    targets = torch.arange(num) % 3
    centres = 1.5 * torch.randn(3, num_dims, generator=generator)
    return centres[targets] + spread * torch.randn(num, num_dims, generator=generator), targets


# features


def test_features_keep_the_order_of_the_images_and_each_is_seen_once():
    data = toy_splits(300).train
    seen = []

    def represent(inputs):
        seen.append(len(inputs))
        return inputs.flatten(1)[:, :5]

    features = drained(features_of(represent, data, "look"))[1]
    assert torch.equal(features, data.inputs.flatten(1)[:, :5])
    assert sum(seen) == 300 and max(seen) - min(seen) <= 1, "batches are equally large"


def test_features_carry_no_graph():
    weight = torch.randn(64, 2, requires_grad=True)
    features = drained(features_of(lambda inputs: inputs.flatten(1) @ weight, toy_splits().train, "look"))[1]
    assert not features.requires_grad


def test_labelled_part_is_balanced_and_always_the_same():
    train = LabelledSet(torch.zeros(90, 1, 2, 2), torch.arange(90) % 3, lambda inputs: inputs)
    rows = labelled_part(train, 12, 3)
    assert train.targets[rows].bincount().tolist() == [4, 4, 4]
    assert torch.equal(rows, labelled_part(train, 12, 3))
    assert torch.equal(labelled_part(train, 0, 3), torch.arange(90))
    assert torch.equal(labelled_part(train, 1000, 3), torch.arange(90))


# the linear probe


def test_linear_probe_separates_as_well_as_logistic_regression():
    features, targets = clouds()
    probe = linear_probe(features, targets, 3, CONFIG, seeded())
    found = share_right(probe(features).argmax(1), targets)
    best = LogisticRegression(C=1e3, max_iter=1000).fit(features.numpy(), targets.numpy())
    assert found == pytest.approx(best.score(features.numpy(), targets.numpy()), abs=0.02)
    assert 0.5 < found < 1, "the clouds overlap"


def test_linear_probe_is_blind_to_shift_and_scale_of_each_feature():
    features, targets = clouds()
    moved = features * torch.tensor([1e-3, 1.0, 50.0, 2.0, 0.1, 7.0]) + torch.arange(6.0)
    plain = linear_probe(features, targets, 3, CONFIG, seeded())(features)
    assert torch.allclose(linear_probe(moved, targets, 3, CONFIG, seeded())(moved), plain, atol=1e-2)


def test_a_feature_that_never_varies_leaves_the_probe_finite():
    features, targets = clouds()
    features = torch.cat([features, torch.full((300, 1), 0.1)], 1)
    probe = linear_probe(features, targets, 3, CONFIG, seeded())
    assert torch.isfinite(probe(features)).all()
    assert probe.scale[-1] == 1


def test_one_step_of_the_probe_is_one_of_torch_sgd():
    features, targets = clouds(num=60)
    config = CONFIG.model_copy(update={"probe_epochs": 1})
    probe = linear_probe(features, targets, 3, config, seeded())
    weight, bias = torch.zeros(6, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    sgd = torch.optim.SGD([weight, bias], lr=config.probe_lr, momentum=0.9)
    standard = (features - features.mean(0)) / features.std(0, correction=0)
    F.cross_entropy(standard @ weight + bias, targets).backward()
    sgd.step()
    assert torch.allclose(probe.weight, weight.detach(), atol=1e-6)
    assert torch.allclose(probe.bias, bias.detach(), atol=1e-6)


def test_labels_without_a_pattern_teach_a_probe_nothing():
    features, _ = clouds(num=2000)
    targets = torch.randint(3, (2000,), generator=seeded(5))
    probe = linear_probe(features[:1000], targets[:1000], 3, CONFIG, seeded())
    assert share_right(probe(features[1000:]).argmax(1), targets[1000:]) < 0.42


# neighbours


def naive_knn(features, targets, query, k, num_classes):
    cosines = [float(query @ one / (query.norm() * one.norm())) for one in features]
    votes = [0.0] * num_classes
    for index in sorted(range(len(features)), key=lambda i: -cosines[i])[:k]:
        votes[int(targets[index])] += np.exp(cosines[index] / 0.07)
    return int(np.argmax(votes))


def test_neighbours_vote_as_in_a_naive_loop():
    features, targets = clouds(num=60, spread=2.0)
    queries, _ = clouds(num=700, spread=2.5)
    found = knn(features, targets, queries, 7, 3)
    assert found[-20:].tolist() == [naive_knn(features, targets, query, 7, 3) for query in queries[-20:]]


def test_one_neighbour_of_a_known_image_is_itself():
    features, targets = clouds(spread=3.0)
    assert torch.equal(knn(features, targets, 5 * features, 1, 3), targets)


def test_fewer_features_than_neighbours_all_vote():
    features, targets = clouds(num=9)
    assert len(knn(features, targets, features, 50, 3)) == 9


# pre-training


def encoder_and_start(num_dims=4, seed=0):
    encoder = make_encoder(StudentConfig(name="mlp"), SPEC, num_dims)
    return encoder, encoder.init(seeded(seed))


def last(path):
    *_, theta = path
    return theta


def test_pretraining_learns_the_representations():
    encoder, theta = encoder_and_start()
    inputs, _ = toy_splits().train.batch(torch.arange(60))
    wanted = torch.tanh(inputs.flatten(1)[:, :4])
    draw = of_pairs(LabelledSet.as_is(inputs, wanted), 32, seeded())
    before = F.mse_loss(encoder(theta, inputs), wanted)
    after = F.mse_loss(encoder(last(pretrain(encoder, theta, draw, CONFIG, CONFIG.pretrain_steps)), inputs), wanted)
    assert after < 0.2 * before


def test_each_step_asks_for_its_own_pairs_and_yields_weights():
    encoder, theta = encoder_and_start()
    asked = []

    def draw(step):
        asked.append(step)
        return torch.zeros(2, *SPEC.sample_shape), torch.ones(2, 4)

    assert len(list(pretrain(encoder, theta, draw, CONFIG, 5))) == 5
    assert asked == [0, 1, 2, 3, 4]


def test_bounded_sgd_is_torch_sgd_with_weight_decay_and_clipping():
    theta = torch.randn(5, generator=seeded())
    rule, state = bounded_sgd(0.01), None
    reference = theta.clone().requires_grad_()
    sgd = torch.optim.SGD([reference], lr=0.1, momentum=0.9, weight_decay=0.01)
    state = rule.init(theta)
    for number in range(4):
        gradient = (0.1, 3.0, 0.4, 20.0)[number] * torch.randn(5, generator=seeded(number))
        theta, state = rule.apply(theta, gradient, state, 0.1)
        reference.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_([reference], 1.0)
        sgd.step()
    assert torch.allclose(theta, reference.detach(), atol=1e-5)


def test_a_rate_far_too_large_still_leaves_finite_weights():
    encoder, theta = encoder_and_start()
    inputs, _ = toy_splits().train.batch(torch.arange(60))
    config = CONFIG.model_copy(update={"pretrain_lr": 10.0})
    draw = of_pairs(LabelledSet.as_is(inputs, 100 * inputs.flatten(1)[:, :4]), 60, seeded())
    assert torch.isfinite(last(pretrain(encoder, theta, draw, config, config.pretrain_steps))).all()


def test_small_sets_are_drawn_whole_and_large_ones_without_repetition():
    inputs, targets = torch.arange(10.0).view(-1, 1, 1, 1), torch.arange(10.0)[:, None]
    pairs = LabelledSet.as_is(inputs, targets)
    assert torch.equal(of_pairs(pairs, 10, seeded())(0)[0], inputs)
    some, wanted = of_pairs(pairs, 6, seeded())(0)
    assert len(some.unique()) == 6
    assert torch.equal(some.flatten(), wanted.flatten()), "an image keeps its representation"


def test_real_images_are_prepared_as_they_are_drawn_with_their_own_representations():
    data = LabelledSet(torch.arange(10.0).view(-1, 1, 1, 1), torch.arange(10.0)[:, None], lambda inputs: 2 * inputs)
    some, wanted = of_pairs(data, 4, seeded())(0)
    assert len(some) == 4
    assert torch.equal(some.flatten(), 2 * wanted.flatten())


def test_real_pairs_hold_what_the_teacher_says_of_changed_images():
    data = toy_splits(6).train
    known = torch.randn(6, 3)

    def represent(inputs):
        return inputs.flatten(1)[:, :3]

    rotate = Predefined("rotate_90")
    inputs, targets = real_pairs(data, known, (rotate,), represent)
    assert inputs.shape == (12, 1, 8, 8)
    assert torch.equal(targets[:6], known), "plain images are not represented again"
    assert torch.equal(targets[6:], represent(rotate(inputs[:6])))


def test_fine_tuning_learns_the_labels():
    splits = toy_splits(90)
    encoder, theta = encoder_and_start()
    classifier = Classifier(encoder, 3)
    start = classifier.start(theta, 4)
    config = ProbingConfig(fine_tune_steps=60, fine_tune_lr=0.05, pretrain_batch=32)
    tuned = last(fine_tune(classifier, start, splits.train, config, 60, splits.augment, seeded()))
    assert classifier(start, splits.train.inputs).abs().max() == 0, "the layer on top begins as zeros"
    assert accuracy(classifier.fixed(tuned, splits.train), splits.test) > 0.9
    assert not torch.equal(tuned[: encoder.num_params], theta), "the network itself moves too"


# likeness


def rows(num_dims, seed):
    return torch.randn(40, num_dims, generator=seeded(seed), dtype=torch.float64)


def naive_cka(x, y):
    """HSIC of the linear kernels, by double loops over centred Gram matrices."""
    n = len(x)
    centring = np.eye(n) - 1 / n
    k, m = (centring @ (each @ each.T) @ centring for each in (x.numpy(), y.numpy()))

    def hsic(a, b):
        return sum(a[i, j] * b[j, i] for i in range(n) for j in range(n))

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def test_cka_is_the_ratio_of_naive_loops():
    x = rows(5, 0)
    y = x[:, :3] + rows(3, 1)
    assert linear_cka(x, y) == pytest.approx(naive_cka(x, y))


def test_cka_is_one_for_itself_and_blind_to_rotation_scale_and_shift():
    x, y = rows(5, 0), rows(5, 0) + rows(5, 1)
    rotation = torch.linalg.qr(rows(5, 2)[:5])[0]
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(3 * x @ rotation + 7, y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))
    assert 0 < linear_cka(x, y) < 1


def test_representations_that_are_all_alike_are_like_nothing():
    assert linear_cka(torch.ones(10, 3), rows(4, 0)[:10]) == 0


def test_cosine_is_of_each_image_less_the_mean_of_all():
    x, y = rows(4, 0), rows(4, 1)
    naive = []
    for one, other in zip(x - x.mean(0), y - y.mean(0), strict=True):
        naive.append(float((one @ other) / (one.norm() * other.norm())))
    assert mean_cosine(x, y) == pytest.approx(np.mean(naive))
    assert mean_cosine(2 * x + 1, x) == pytest.approx(1)
    assert mean_cosine(-x, x) == pytest.approx(-1)


# other sources

COLOUR, GREY = (
    TaskSpec("classification", (3, 6, 6), 2, ("a", "b")),
    TaskSpec("classification", (1, 4, 4), 2, ("a", "b")),
)
UNIT = {n: Preparation("unit", torch.zeros(n), torch.ones(n)) for n in (1, 3)}


def images(*shape):
    return torch.randint(256, shape, generator=seeded()).to(torch.uint8)


@pytest.mark.parametrize(("spec", "shape"), [(COLOUR, (5, 1, 8, 8)), (GREY, (5, 3, 2, 6)), (GREY, (5, 1, 4, 4))])
def test_other_images_become_inputs_of_this_network(spec, shape):
    data = LabelledSet(images(*shape), torch.arange(5) % 4, lambda inputs: inputs / 0)
    found, targets = adapted(data, spec, UNIT[spec.sample_shape[0]]).batch(torch.arange(5))
    assert found.shape == (5, *spec.sample_shape) and found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1 + 1e-6
    assert torch.equal(targets, data.targets)


def test_images_that_fit_are_prepared_as_this_source_prepares_its_own():
    preparation = Preparation("standard", torch.tensor([0.3]), torch.tensor([0.2]))
    data = LabelledSet(images(5, 1, 4, 4), torch.zeros(5).long(), lambda inputs: inputs / 0)
    found, _ = adapted(data, GREY, preparation).batch(torch.arange(5))
    assert torch.equal(found, preparation.forward(data.inputs))


def test_grey_is_repeated_and_white_stays_white():
    grey = torch.rand(2, 1, 6, 6, generator=seeded())
    coloured = fitted(grey, (3, 6, 6))
    assert all(torch.equal(coloured[:, channel], grey[:, 0]) for channel in range(3))
    assert torch.allclose(fitted(torch.ones(2, 3, 8, 8), (1, 4, 4)), torch.ones(2, 1, 4, 4))


def test_a_probe_of_a_student_equals_its_own_accuracy_on_the_same_logits():
    """The last layer of a trained student is itself a linear probe: share_right agrees with accuracy."""
    splits = toy_splits()
    student = make_student(StudentConfig(name="mlp"), SPEC)
    theta = student.init(seeded())
    logits = drained(features_of(lambda inputs: student(theta, inputs), splits.test, "look"))[1]
    assert share_right(logits.argmax(1), splits.test.targets) == accuracy(partial(student, theta), splits.test)
