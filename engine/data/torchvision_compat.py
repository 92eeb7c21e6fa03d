"""The one door to torchvision.

torchvision's wheels of the package index carry operators compiled against CUDA. Beside a CPU-only PyTorch they do not
load, and `import torchvision` fails with "operator torchvision::nms does not exist", because it describes two
operators that nobody declared. Declaring their schemas is enough for datasets, transforms and models, which use
neither. Where the operators load, nothing is declared.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def operators_load() -> bool:
    """Whether torchvision's compiled operators can be used with this PyTorch; found without importing torchvision."""
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("torchvision is not installed; run pip install -r requirements.txt")
    for library in Path(package.origin).parent.glob("_C.*"):
        try:
            torch.ops.load_library(library)
        except OSError:  # its CUDA libraries are not here
            return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_missing_operators() -> torch.library.Library | None:
    """Declare the schemas that `import torchvision` asks for, where its operators do not load.

    The declarations live as long as the returned object; None where the operators load.
    """
    if operators_load():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    return library


_DECLARED = declare_missing_operators()

from torchvision import datasets, models, transforms  # noqa: E402  only after the declarations

__all__ = ["datasets", "models", "transforms"]
