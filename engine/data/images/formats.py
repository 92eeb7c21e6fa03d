"""The three formats of the classic image sets, read from bytes: idx (MNIST), CIFAR batches, SVHN's mat files."""

import io
import math
import pickle
import struct
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from engine.core.errors import DataError

IDX_UINT8 = 0x08


def idx(content: bytes, shape: tuple[int, ...], name: str) -> Tensor:
    """An idx file of unsigned bytes: 0 0 8, the number of dimensions, each size as 4 bytes, then the values.

    shape: the sizes it must have, otherwise DataError. Source: Y. LeCun, "The MNIST database of handwritten digits".
    """
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, IDX_UINT8, len(shape), *shape)
    if content[: len(header)] != header:
        raise DataError(f"{name} is not an idx file of {' x '.join(map(str, shape))} bytes; delete it and start again.")
    num_values = len(content) - len(header)
    if num_values != math.prod(shape):
        raise DataError(f"{name} has {num_values:,} values instead of {math.prod(shape):,}; delete it and start again.")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header)).reshape(shape)


def cifar_batch(content: bytes, label_key: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and targets (N,) int64 of a CIFAR batch. Raises DataError for another file.

    Batches are pickles; only what builds a NumPy array is allowed in them.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images = torch.from_numpy(np.ascontiguousarray(batch[b"data"], dtype=np.uint8)).reshape(-1, 3, 32, 32)
        return images, torch.tensor(batch[label_key], dtype=torch.int64)
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, RuntimeError, EOFError) as error:
        raise DataError(f"{name} is not a CIFAR batch ({error}); delete it and start again.") from error


def svhn_mat(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and targets (N,) int64 of an SVHN file. Raises DataError for another file."""
    from scipy.io import loadmat  # slow to import
    from scipy.io.matlab import MatReadError

    try:
        arrays = loadmat(io.BytesIO(content), variable_names=("X", "y"))
        images = torch.from_numpy(np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1), dtype=np.uint8))
        targets = torch.from_numpy(arrays["y"].astype(np.int64).reshape(-1))
    except (MatReadError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name} is not an SVHN file ({error}); delete it and start again.") from error
    return images, targets % 10


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays, bytes, lists and dictionaries; refuses to call anything else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            # the old path, used in the files, is deprecated
            return import_module("numpy._core.multiarray")._reconstruct
        raise pickle.UnpicklingError(f"it would call {module}.{name}")
