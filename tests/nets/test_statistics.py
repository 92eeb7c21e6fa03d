"""A trained network with batch norms is a function of each sample alone."""

from __future__ import annotations

import pytest
import torch
from patterns import SPEC, toy_splits

from engine.core.config import StudentConfig
from engine.data.source import LabelledSet, TaskSpec
from engine.evaluation.train import accuracy
from engine.nets import make_student
from engine.nets.statistics import PIECE, SAMPLE

COLOUR32 = TaskSpec("classification", (3, 32, 32), 10, tuple("0123456789"))
NORMED = StudentConfig(depth=2, width=8, norm="batch")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, spec=SPEC, seed=0):
    return torch.randn(count, *spec.sample_shape, generator=seeded(seed))


def data_of(inputs):
    return LabelledSet.as_is(inputs, torch.zeros(len(inputs)).long())


@pytest.mark.parametrize(
    ("name", "spec", "dtype"),  # rounding grows with the depth
    [("convnet", SPEC, torch.float32), ("resnet18", COLOUR32, torch.float64), ("vgg11", COLOUR32, torch.float64)],
)
def test_outputs_of_an_image_alone_equal_those_in_any_batch(name, spec, dtype):
    student = make_student(StudentConfig(name=name, depth=2, width=8, norm="batch"), spec)
    network = student.fixed(student.init(seeded()), data_of(images(12, spec))).to(dtype)
    queries = 3 * images(6, spec, seed=1).to(dtype)
    with torch.no_grad():
        whole, size = network(queries), network(queries).abs().max()
        alone = torch.cat([network(image[None]) for image in queries])
        mixed = network(torch.cat([100 * images(5, spec), queries]))[5:]
    assert (alone - whole).abs().max() <= 1e-6 * size and (mixed - whole).abs().max() <= 1e-6 * size


def test_accuracy_is_the_same_in_mixed_batches_in_sorted_ones_and_one_image_at_a_time():
    splits = toy_splits(300)
    student = make_student(NORMED, SPEC)
    network = student.fixed(student.init(seeded()), splits.train)
    by_class = splits.test.subset(splits.test.targets.argsort())
    alone = [accuracy(network, splits.test.subset(row[None])) for row in torch.arange(300)]
    found = accuracy(network, splits.test)
    assert found == accuracy(network, by_class) == pytest.approx(sum(alone) / 300)
    with torch.no_grad():
        assert not torch.allclose(
            network(splits.test.inputs[:4]), student(student.init(seeded()), splits.test.inputs[:4])
        )


def test_of_the_training_set_in_one_piece_they_are_its_own_statistics():
    student, inputs = make_student(NORMED, SPEC), images(200)
    theta = student.init(seeded())
    with torch.no_grad():  # PyTorch's running variance is the unbiased one
        torch.testing.assert_close(
            student.fixed(theta, data_of(inputs))(inputs), student(theta, inputs), rtol=1e-2, atol=1e-3
        )


def test_pieces_of_a_sorted_set_are_mixed_and_a_large_one_is_sampled():
    student = make_student(NORMED, SPEC)
    shift = torch.arange(4 * SAMPLE).div(4 * SAMPLE)[:, None, None, None]  # one class after the other
    seen = []
    data = LabelledSet(images(4 * SAMPLE) + 10 * shift, shift.flatten(), lambda inputs: seen.append(inputs) or inputs)
    student.fixed(student.init(seeded()), data)
    assert [len(piece) for piece in seen] == [PIECE] * (SAMPLE // PIECE)
    assert all(4.5 < piece.mean() < 5.5 for piece in seen)


def test_networks_without_batch_norms_keep_their_bits_and_look_at_no_data():
    student = make_student(StudentConfig(depth=2, width=8), SPEC)
    theta = student.init(seeded())
    assert torch.equal(student.fixed(theta, data_of(images(0)))(images(5)), student(theta, images(5)))
