"""Pre-train TITLE on the SAMPLES in distilled.npz, and probe it with your own images:

    python train.py LABELLED_FOLDER TEST_FOLDER PROBE_SCORE
# [if has_student]
    python train.py LABELLED_FOLDER TEST_FOLDER student   probes the run's own network: student.safetensors
# [end]
# [if has_teacher]
    python train.py LABELLED_FOLDER TEST_FOLDER teacher   probes its teacher: teacher.safetensors
# [end]

Pre-training uses no labels. Then the network is frozen, and a linear classifier on its NUM_DIMS outputs learns the
classes of LABELLED_FOLDER. Each folder holds one sub-folder of images per class. Needs PACKAGES.
"""

from __future__ import annotations

import math
import sys
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

# [if template]
from engine.evaluation.probing.pretrain import LONGEST_GRADIENT
from engine.evaluation.probing.probe import MOMENTUM, PROBE_BATCH
from engine.evaluation.train import EVALUATION_BATCH
from engine.nets.statistics import SAMPLE, fix_statistics
from engine.runs.templates.reading import listed, mean, read, std

NUM_STEPS, BATCH_SIZE, LR, WEIGHT_DECAY, PROBE_EPOCHS, PROBE_LR, NUM_PIECES = 100, 10, 0.1, 0.0, 10, 0.1, 1
WAYS: tuple[str, ...] = ()
SCALE, SIDE, STEM_CHANNELS, STEM_MEAN, STEM_STD = 1.0, 64, 3, 0.0, 1.0
# [end]
data = dict(np.load(Path(__file__).with_name("distilled.npz")))
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["representations"])
# [insert reading]


@torch.no_grad()
def features(images):
    """Outputs of the frozen network for each image, in order."""
    starts = range(0, len(images), EVALUATION_BATCH)
    batches = (images[start : start + EVALUATION_BATCH] for start in starts)
    found = torch.cat([net(torch.stack([read(path) for path, _ in batch])) for batch in batches])
    # [if has_teacher]
    found = found * SCALE if ways == ["teacher"] else found
    # [end]
    return found


def decayed(rate, step, num_steps):
    """Cosine decay of a learning rate to zero."""
    return rate * (1 + math.cos(math.pi * step / num_steps)) / 2


# [if is_resnet]
class Pixels(nn.Module):
    """Prepared images as the teacher sees them."""

    def forward(self, inputs):
        # [if shifted]
        pixels = inputs * std + mean
        # [end]
        # [if whitened]
        pixels = (inputs.flatten(1) @ torch.from_numpy(data["zca_backward"]) + mean).view_as(inputs)
        # [end]
        # [if whitened_each]
        colouring, contrast, level = (
            torch.from_numpy(data[f"zca_{name}"]) for name in ("backward", "contrast", "level")
        )
        pixels = (inputs.flatten(1) @ colouring * contrast + level).view_as(inputs)
        # [end]
        pixels = pixels.clamp(0, 1)
        if min(pixels.shape[2:]) < SIDE:
            scale = SIDE / min(pixels.shape[2:])
            sides = [round(side * scale) for side in pixels.shape[2:]]
            pixels = F.interpolate(pixels, sides, mode="bilinear", align_corners=False)
        if pixels.shape[1] != STEM_CHANNELS:
            pixels = pixels.mean(1, keepdim=True).expand(-1, STEM_CHANNELS, -1, -1)
        return (pixels - torch.tensor(STEM_MEAN)[:, None, None]) / torch.tensor(STEM_STD)[:, None, None]


# [end]
ways = [way for way in WAYS if sys.argv[3:] == [way]]  # a network that the run trained
if len(sys.argv) != 3 + len(ways) or not all(Path(folder).is_dir() for folder in sys.argv[1:3]):
    sys.exit(
        "Name a folder of labelled images and one of test images, each with one sub-folder per class: "
        "python train.py LABELLED_FOLDER TEST_FOLDER"
    )
labelled, tests = listed(sys.argv[1]), listed(sys.argv[2])
names = sorted({name for _, name in labelled})
if unknown := sorted({name for _, name in tests} - set(names)):
    sys.exit(f"{sys.argv[1]} has no folder '{unknown[0]}', which is in {sys.argv[2]}. Its classes: {', '.join(names)}.")

# [if augmented]
coefficients, bases, mean_representation = (
    torch.from_numpy(data[f"representation_{name}"]) for name in ("coefficients", "bases", "mean")
)

# [insert functions]


def moved(number):
    """The representations under an augmentation; its own small network shifts their coefficients."""
    names = ("hidden_weights", "hidden_biases", "shift_weights", "shift_biases")
    first, first_bias, second, second_bias = (torch.from_numpy(data[name][number]) for name in names)
    shifts = torch.relu(coefficients @ first + first_bias) @ second + second_bias
    return (coefficients + shifts) @ bases + mean_representation


# [if template]
NUM_AUGMENTATIONS, CHANGED, net = 1, inputs.flip(3), nn.Sequential()
# [end]
inputs = torch.cat([inputs, CHANGED])
targets = torch.cat([targets, *(moved(number) for number in range(NUM_AUGMENTATIONS))])
# [end]

# [insert network]
# [insert statistics]

# [if has_networks]
if ways:
    from safetensors.torch import load_file

    # [insert teacher]
    net.load_state_dict(load_file(Path(__file__).with_name(f"{ways[0]}.safetensors")))
    net.eval()
# [end]
optimiser = torch.optim.SGD(net.parameters(), momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
for step in range(0 if ways else NUM_STEPS):
    chosen = torch.randperm(len(inputs))[:BATCH_SIZE]
    loss = F.mse_loss(net(inputs[chosen]), targets[chosen])
    optimiser.param_groups[0]["lr"] = decayed(LR, step, NUM_STEPS)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), LONGEST_GRADIENT)
    optimiser.step()
# [if has_batch_norm]
if not ways:
    fix_statistics(net, inputs[torch.randperm(len(inputs))[:SAMPLE]].chunk(NUM_PIECES))  # on what it was trained on
# [end]

known, queries = features(labelled), features(tests)
centre, spread = known.mean(0), known.std(0, correction=0)
spread = torch.where(spread > 1e-6 * spread.max(), spread, 1.0)
known, queries = (known - centre) / spread, (queries - centre) / spread
classes, wanted = (torch.tensor([names.index(name) for _, name in images]) for images in (labelled, tests))
probe = nn.Linear(known.shape[1], len(names))
nn.init.zeros_(probe.weight)
nn.init.zeros_(probe.bias)
optimiser = torch.optim.SGD(probe.parameters(), momentum=MOMENTUM)
per_epoch, step = -(-len(known) // PROBE_BATCH), 0
for _ in range(PROBE_EPOCHS):
    for chosen in torch.randperm(len(known)).chunk(per_epoch):
        loss = F.cross_entropy(probe(known[chosen]), classes[chosen])
        optimiser.param_groups[0]["lr"] = decayed(PROBE_LR, step, PROBE_EPOCHS * per_epoch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1

right = (probe(queries).argmax(1) == wanted).sum().item()
print(f"accuracy {100 * right / len(tests):.1f} % on {len(tests)} images")
