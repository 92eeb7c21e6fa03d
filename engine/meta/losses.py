"""Losses of networks that regress onto classes.

Labels y are shares of K classes: (n,) int64 or (n, K). They are centred before they are regressed onto.

Source: Zhou et al. 2022 (FRePo), arXiv:2206.00719, and its code; cross-entropy with a learned temperature: Loo et al.
2022 (RFAD), arXiv:2210.12067.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def centred(labels: Tensor, num_classes: int) -> Tensor:
    """What is regressed onto, (n, K) float: (y - 1 / K) / sqrt(K / 10)."""
    shares = F.one_hot(labels, num_classes).float() if labels.ndim == 1 else labels
    return (shares - 1 / num_classes) / math.sqrt(num_classes / 10)


def half_squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared error of outputs (n, K) to centred labels, summed over classes, mean over samples."""
    return 0.5 * (outputs - centred(labels, outputs.shape[1]).to(outputs.dtype)).square().sum(1).mean()


def label_margin(labels: Tensor) -> Tensor:
    """The mean over samples of min(largest label - second largest, 1 / K); maximised, it keeps labels apart."""
    first, second = labels.topk(2, dim=1).values.unbind(1)
    return (first - second).clamp_max(1 / labels.shape[1]).mean()


def shares(labels: Tensor) -> Tensor:
    """Labels (n,) or (n, K) as cross-entropy reads them: without negative shares, each row of sum 1.

    A row without positive shares stands for the class of its largest one.
    """
    if labels.ndim == 1:
        return labels
    positive = labels.clamp_min(0)
    total = positive.sum(1, keepdim=True)
    largest = F.one_hot(labels.argmax(1), labels.shape[1]).to(labels)
    return torch.where(total > 0, positive / total.clamp_min(torch.finfo(labels.dtype).tiny), largest)
