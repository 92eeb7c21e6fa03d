"""Train TITLE on the SAMPLES in distilled.npz, and test it on your own images:

    python train.py TEST_FOLDER                standard training: shuffled, from scratch ORDINARY_SCORE
    python train.py TEST_FOLDER as_distilled   its own recipe: OWN_RECIPE OWN_SCORE
# [if has_student]
    python train.py TEST_FOLDER student        tests the run's own network: student.safetensors
# [end]

TEST_FOLDER holds one sub-folder of images per class. Needs PACKAGES.
"""

# [if is_annotated]
from __future__ import annotations

# [end]
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

# [if template]
from engine.data.transforms.augment import flip
from engine.meta.losses import shares
from engine.nets.statistics import SAMPLE, fix_statistics
from engine.runs.templates.reading import listed, read

NUM_STEPS, BATCH_SIZE, LR, OWN_NUM_STEPS, OWN_BATCH_SIZE, NUM_PIECES = 100, 10, 0.003, 100, 10, 1
# [end]
data = dict(np.load(Path(__file__).with_name("distilled.npz")))
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["targets"])
names = [unicodedata.normalize("NFC", str(name)).replace("/", "-") for name in data["class_names"]]
# [insert reading]


def shuffled():
    """The images of each step of standard training, and its learning rate."""
    left = torch.empty(0, dtype=torch.long)
    for step in range(NUM_STEPS):
        if len(left) < BATCH_SIZE:
            left = torch.randperm(len(inputs))
        yield left[:BATCH_SIZE], LR * (1 + math.cos(math.pi * step / NUM_STEPS)) / 2
        left = left[BATCH_SIZE:]


# [if is_random]
def drawn():
    """The images of each step of the set's own recipe, and its learning rate."""
    rate = data["learned_rates"][0]
    # [if is_constant]
    for _ in range(OWN_NUM_STEPS):
        yield torch.randperm(len(inputs))[:OWN_BATCH_SIZE], rate
    # [end]
    # [if is_cosine]
    for step in range(OWN_NUM_STEPS):
        decay = (1 + math.cos(math.pi * step / OWN_NUM_STEPS)) / 2
        yield torch.randperm(len(inputs))[:OWN_BATCH_SIZE], rate * decay
    # [end]


# [end]
# [if is_regressed]
# [insert losses]


# [end]
# [if is_augmented]
# [insert operations]


def changed(batch):
    """The batch augmented, by random numbers per image."""
    operations = [OPERATIONS]
    # [if one_at_a_time]
    operations = [operations[torch.randint(len(operations), ())]]
    # [end]
    for operation, num_numbers in operations:
        batch = operation(batch, torch.rand(len(batch), num_numbers))
    return batch


# [end]
# [if template]
net, OWN_STEPS, OPERATIONS, BATCH, LOSS = nn.Sequential(), drawn(), (flip, 1), inputs, F.cross_entropy
OWN_OPTIMISER, IS_NAMED = torch.optim.Adam(net.parameters()), False
# [end]
is_stored = sys.argv[2:] == ["as_distilled"]
# [if has_student]
is_taken = sys.argv[2:] == ["student"]
# [end]
if len(sys.argv) != 2 + IS_NAMED or not Path(sys.argv[1]).is_dir():
    sys.exit("Name a folder of test images with one sub-folder per class: python train.py TEST_FOLDER")
tests = listed(sys.argv[1])
if unknown := sorted({name for _, name in tests} - set(names)):
    sys.exit(f"The folder '{unknown[0]}' is not named after a class. The classes are: {', '.join(names)}.")

# [insert network]
# [insert statistics]

# [if is_regressed]
targets = targets if is_stored else shares(targets)
# [end]
optimiser = OWN_OPTIMISER if is_stored else torch.optim.Adam(net.parameters())
steps = OWN_STEPS if is_stored else shuffled()
# [if has_student]
if is_taken:
    from safetensors.torch import load_file

    net.load_state_dict(load_file(Path(__file__).with_name("student.safetensors")))
    net.eval()
    steps = []
# [end]
for chosen, rate in steps:
    loss = LOSS(net(BATCH), targets[chosen])
    optimiser.param_groups[0]["lr"] = float(rate)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
# [if has_batch_norm]
if net.training:
    fix_statistics(net, inputs[torch.randperm(len(inputs))[:SAMPLE]].chunk(NUM_PIECES))  # on what it was trained on
# [end]

right = 0
with torch.no_grad():
    for start in range(0, len(tests), 1000):
        paths, folders = zip(*tests[start : start + 1000], strict=True)
        labels = torch.tensor([names.index(name) for name in folders])
        right += (net(torch.stack([read(path) for path in paths])).argmax(1) == labels).sum().item()
print(f"accuracy {100 * right / len(tests):.1f} % on {len(tests)} images")
