"""Batch norms with fixed statistics, which make a trained network a function of each sample alone.

In training, batch norms use the statistics of the batch. Afterwards they are fixed on the samples of that training, by
PyTorch's running averages without a momentum: the mean over pieces of the mean and the unbiased variance. Up to 256
samples are one piece; of large sets a sample of 1,024 is used. Pieces are mixed at random, as batches are: files are
often sorted by class, and within a piece of one class values vary less than in the whole.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from engine.data.source import LabelledSet

SAMPLE, PIECE = 1024, 256


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms of images in a network."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def with_statistics(network: nn.Module) -> nn.Module:
    """The same network, frozen; its batch norms now have statistics, still to be fixed or loaded."""
    for norm in batch_norms(network):
        norm.track_running_stats, norm.momentum = True, None  # None: the mean over all batches
        norm.register_buffer("running_mean", torch.zeros(norm.num_features))
        norm.register_buffer("running_var", torch.ones(norm.num_features))
        norm.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))
    return network.eval().requires_grad_(False)


def pieces_of(data: LabelledSet) -> Iterator[Tensor]:
    """Prepared inputs of `data`, at most 1,024, in a random order that is always the same, in equal pieces."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    for indices in order.chunk(-(-len(order) // PIECE)):
        yield data.batch(indices)[0]


def fix_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch norms to their means over batches of inputs; exported with the programs."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
    with torch.no_grad():
        for inputs in batches if norms else ():
            network(inputs)
    network.eval()
