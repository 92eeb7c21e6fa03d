"""Students by key, and the one function that builds them."""

from __future__ import annotations

from dataclasses import replace

import torch

from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import alexcifarnet, alexnet, convnet, lenet, mlp, resnet, sequence, simple, vgg
from engine.nets.student import Student, StudentCard

STUDENTS: dict[str, StudentCard] = {
    card.key: card
    for card in (
        StudentCard(
            "convnet",
            "ConvNet-D",
            "The field's standard: D blocks of convolution, norm, activation, pooling",
            convnet.build,
        ),
        StudentCard("lenet", "LeNet", "Small and fast, for 28 or 32 pixel images", lenet.build),
        StudentCard(
            "alexcifarnet",
            "AlexCifarNet",
            "The colour-image network of the first distillation paper",
            alexcifarnet.build,
        ),
        StudentCard("mlp", "MLP 256-128", "Fully connected; takes any sample shape", mlp.build, ("images", "prices")),
        StudentCard("simpleconvnet", "SimpleConvNet", "Two convolutions, for small grey images", simple.simple_convnet),
        StudentCard(
            "convnetrgb",
            "ConvNetRGB",
            "Three wide convolutions, for colour images in class folders",
            simple.convnet_rgb,
        ),
        StudentCard("alexnet", "AlexNet", "Five convolutions without normalisation", alexnet.build),
        StudentCard("vgg11", "VGG11", "Eight convolutions, large; slow on CPUs", vgg.build),
        StudentCard("resnet18", "ResNet18", "Seventeen convolutions with shortcuts; slow on CPUs", resnet.strided),
        StudentCard(
            "resnet18_ap",
            "ResNet18-AP",
            "ResNet18 with average pooling in place of strides; the slowest",
            resnet.average_pooled,
        ),
        StudentCard(
            "lstm",
            "LSTM",
            "Recurrent, with a memory that gates open and close; for windows of price bars",
            sequence.lstm,
            ("prices",),
        ),
        StudentCard(
            "gru",
            "GRU",
            "Recurrent, with fewer gates than an LSTM; for windows of price bars",
            sequence.gru,
            ("prices",),
        ),
        StudentCard(
            "transformer",
            "Transformer",
            "Attention between all bars of a window of prices",
            sequence.transformer,
            ("prices",),
        ),
        StudentCard(
            "linear",
            "Linear",
            "One linear layer; the simplest that forecasts from a window",
            sequence.linear,
            ("prices",),
        ),
    )
}


def make_student(config: StudentConfig, spec: TaskSpec, device: torch.device | str = "cpu") -> Student:
    """The student of a config for one task. Raises ConfigError where the samples do not fit the architecture."""
    return Student(STUDENTS[config.name].build(config, spec), config.name, config.init, device)


def make_encoder(config: StudentConfig, spec: TaskSpec, num_dims: int, device: torch.device | str = "cpu") -> Student:
    """A student whose outputs are representations (N, num_dims). Raises ConfigError as `make_student`."""
    return make_student(config, replace(spec, num_outputs=num_dims, class_names=()), device)
