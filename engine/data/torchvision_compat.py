"""The only place that imports torchvision.

The wheels on the package index contain operators compiled for CUDA. With a CPU-only PyTorch these cannot be loaded, and
`import torchvision` fails with "operator torchvision::nms does not exist". Declaring the schemas of two operators
helps; datasets, transforms and models use neither.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def operators_load() -> bool:
    """Whether torchvision's compiled operators load with this PyTorch; checked without importing torchvision."""
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("torchvision is not installed; run pip install -r requirements.txt")
    for library in Path(package.origin).parent.glob("_C.*"):
        try:
            torch.ops.load_library(library)
        except OSError:  # CUDA libraries are missing
            return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_missing_operators() -> torch.library.Library | None:
    """Declare the schemas that `import torchvision` needs, for as long as the result lives; None if operators load."""
    if operators_load():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + _ARGUMENTS)
    return library


_DECLARED = declare_missing_operators()

from torchvision import datasets, models, transforms  # noqa: E402  only after the declarations

__all__ = ["datasets", "models", "transforms"]
