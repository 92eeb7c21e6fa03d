"""CLIP's view of class names, as PoCO was published with. Needs the optional package `transformers` and its weights."""

from collections.abc import Generator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from engine.core.errors import ConfigError
from engine.core.events import Event, Progress
from engine.core.progress import ticking
from engine.methods.forms.distances import cosine_distances

WEIGHTS = "openai/clip-vit-base-patch32"
NAMES_AT_ONCE = 16
OTHERS = "or choose the order 'features' or 'names', which need"
INSTALL = f"Install it with pip install transformers, {OTHERS} nothing more."
ALLOW = f"Allow the download (about 600 MB, once), {OTHERS} none."


def check(download: bool) -> None:
    """Raise ConfigError if CLIP's package is missing, or its weights are and may not be downloaded."""
    if not find_spec("transformers"):
        raise ConfigError(f"Class order 'clip' needs the package transformers, which is not here. {INSTALL}")
    if not download and not is_at_hand():
        raise ConfigError(f"The weights of CLIP, {WEIGHTS}, are not on this machine. {ALLOW}")


def is_at_hand() -> bool:
    """Whether the published weights and their tokenizer lie on this machine. Nothing is loaded, or fetched."""
    if not find_spec("huggingface_hub"):
        return False
    from huggingface_hub import try_to_load_from_cache

    return all(
        any(isinstance(try_to_load_from_cache(WEIGHTS, name), str) for name in names)
        for names in (("config.json",), ("tokenizer.json", "vocab.json"), ("model.safetensors", "pytorch_model.bin"))
    )


def text_distances(
    names: Sequence[str], *, download: bool, weights: str = WEIGHTS
) -> Generator[Event, None, np.ndarray]:
    """(K, K) 1 - cosine of CLIP ViT-B/32 text features of the class names.

    The feature of a name is the text encoder's last hidden state at all positions, padded to the longest text the
    encoder takes (77 x 512 numbers), flattened.
    download: whether weights that are not on this machine may be fetched; without it nothing touches the network.
    weights: the name of published weights, or a folder. Raises ConfigError where package or weights are not at hand.
    Source: Shul et al. 2024, arXiv:2403.12040, section 3.2, and its published code.
    """
    tokenizer, encoder = yield from ticking("load CLIP's text encoder", lambda: _load(weights, download))
    features = []
    length = encoder.config.max_position_embeddings
    for first in range(0, len(names), NAMES_AT_ONCE):
        yield Progress("read the class names with CLIP", first, len(names))
        texts = [name.replace("_", " ") for name in names[first : first + NAMES_AT_ONCE]]
        tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        with torch.no_grad():
            features.append(encoder(**tokens).last_hidden_state.flatten(1))
    return cosine_distances(torch.cat(features))


def _load(weights: str, download: bool) -> tuple[Any, Any]:
    """CLIP's tokenizer and text encoder, in evaluation mode."""
    # transformers imports torchvision, which can fail beside a CPU-only PyTorch unless it came in by this door
    import engine.data.torchvision_compat  # noqa: F401

    try:
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        problem = f"Class order 'clip' needs the package transformers, which does not load ({error})."
        raise ConfigError(f"{problem} {INSTALL}") from error

    problem = f"The weights of CLIP, {weights}, are not on this machine. {ALLOW}"
    for is_local in (True, False) if download else (True,):  # transformers asks the network even for what is here
        try:
            tokenizer = CLIPTokenizer.from_pretrained(weights, local_files_only=is_local)
            return tokenizer, CLIPTextModel.from_pretrained(weights, local_files_only=is_local).eval()
        except (OSError, ValueError) as error:
            cause = error
    if download:
        remedy = f"Check the connection to huggingface.co and the space on disk, {OTHERS} none."
        problem = f"The weights of CLIP, {weights}, could not be fetched. {remedy}"
    raise ConfigError(problem) from cause
