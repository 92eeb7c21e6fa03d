"""The program that goes with distilled images and representations: it pre-trains a network on them, and probes what it learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from string import Template

from engine.core.config import StudentConfig
from engine.data.transforms.optimal import LEAST_EIGENVALUE, LEAST_VARIANCE, MOST_AT_ONCE
from engine.data.transforms.predefined import KERNELS, OPTIMAL, QUARTERS, Predefined
from engine.data.transforms.preparation import Preparation
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.pretrain import LONGEST_GRADIENT
from engine.evaluation.probing.probe import MOMENTUM, PROBE_BATCH
from engine.evaluation.train import EVALUATION_BATCH
from engine.nets import STUDENTS, source_code
from engine.runs.augment_template import DSA
from engine.runs.reading_template import OPENING, reading
from engine.synthetic.representations import RepresentationSet

BLUR = '''

def blurred(batch, kernel, sigma):
    """Each pixel the Gaussian mean of those around it, the border reflected."""
    places, channels = torch.arange(kernel) - kernel // 2, batch.shape[1]
    weights = (-(places**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).expand(channels, 1, 1, -1)
    wide = nn.functional.pad(batch, (kernel // 2,) * 4, mode="reflect")
    rows = nn.functional.conv2d(wide, weights, groups=channels)
    return nn.functional.conv2d(rows, weights.transpose(2, 3), groups=channels)
'''
OPTIMAL_CODE = f'''

def optimal(images, representations, kernel, gamma, ridge, ridge_back, share):
    """Images a share of the way towards what one optimal augmentation of them all makes of them (arXiv:2411.01767)."""
    parts = zip(images.split({MOST_AT_ONCE}), representations.split({MOST_AT_ONCE}), strict=True)
    return images.lerp(torch.cat([goal(*part, kernel, gamma, ridge, ridge_back) for part in parts]), share)


def goal(images, representations, kernel, gamma, ridge, ridge_back):
    """What it makes of images that are compared with one another, in float64."""
    rows, wanted = images.flatten(1).double(), representations.double()
    mean = rows.mean(0)
    rows, wanted = rows - mean, wanted - wanted.mean(0)
    matrix = rows @ rows.T
    if kernel == "rbf":
        squares = matrix.diagonal()
        matrix = (-gamma * (squares[:, None] + squares - 2 * matrix).clamp_min(0)).exp()
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > {LEAST_EIGENVALUE} * values.max()
    values, vectors = values[kept], vectors[:, kept]
    wanted, sizes, _ = torch.linalg.svd(wanted, full_matrices=False)
    wanted = math.sqrt(len(rows)) * wanted[:, sizes**2 > {LEAST_VARIANCE} * sizes.max() ** 2]
    inverse = torch.linalg.pinv(wanted.T @ vectors * (values.sqrt() / (values + ridge)))
    turn = 2 * len(rows) * (inverse @ inverse.T) / (values[:, None] + values)
    turned = (vectors * values.sqrt()) @ turn
    found = (turned * (values.sqrt() / (values + ridge_back))) @ vectors.T @ rows
    size = found.norm()
    scale = rows.norm() / torch.where(size > 0, size, 1.0)
    return (mean + scale * found).to(images.dtype).view_as(images)
'''
FUNCTIONS = {"jitter": DSA["color"], "blur": BLUR} | dict.fromkeys(OPTIMAL, OPTIMAL_CODE)
"""The functions that the expression of an augmentation calls."""
AUGMENTED = Template('''\
coefficients, bases, mean_representation = (
    torch.from_numpy(data[f"representation_{name}"]) for name in ("coefficients", "bases", "mean")
)
$functions

def moved(number):
    """The representations under an augmentation: a small network of its own moves their coefficients."""
    names = ("hidden_weights", "hidden_biases", "shift_weights", "shift_biases")
    first, first_bias, second, second_bias = (torch.from_numpy(data[name][number]) for name in names)
    shifts = torch.relu(coefficients @ first + first_bias) @ second + second_bias
    return (coefficients + shifts) @ bases + mean_representation


inputs = torch.cat([
    inputs,
$changed])
targets = torch.cat([targets, *(moved(number) for number in range($count))])
''')
SCRIPT = Template('''\
"""Pre-train $title on the $samples in distilled.npz, and probe it with images of your own:

    python train.py LABELLED_FOLDER TEST_FOLDER$score

Pre-training uses no label. Then the network is frozen, and a linear classifier of its $num_dims outputs learns the classes
of LABELLED_FOLDER. Each folder holds one sub-folder of images for each class. Needs torch, numpy and pillow.
"""

$opening
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["representations"])
$reading


def listed(folder):
    """(path, class) of each image in the sub-folders of a folder."""
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    found = [(path, each.name) for each in folders for path in sorted(each.iterdir())]
    images = [(path, name) for path, name in found if path.suffix.lower() in KINDS and path.name[0] != "."]
    if not images:
        sys.exit(f"There are no images in the sub-folders of {folder}. Put them in one sub-folder for each class.")
    return [(path, unicodedata.normalize("NFC", name)) for path, name in images]  # macOS keeps accents apart


@torch.no_grad()
def features(images):
    """What the frozen network puts out for each image, in their order; each batch is a mixture of classes."""
    order = torch.randperm(len(images))
    batches = order.chunk(-(-len(images) // $test_batch))
    found = [net(torch.stack([read(images[place][0]) for place in places])) for places in batches]
    return torch.cat(found)[order.argsort()]


def decayed(rate, step, num_steps):
    return rate * (1 + math.cos(math.pi * step / num_steps)) / 2


if len(sys.argv) != 3 or not all(Path(folder).is_dir() for folder in sys.argv[1:]):
    sys.exit(
        "Say where labelled images and test images are, each in one sub-folder for each class: "
        "python train.py LABELLED_FOLDER TEST_FOLDER"
    )
labelled, tests = listed(sys.argv[1]), listed(sys.argv[2])
names = sorted({name for _, name in labelled})
if unknown := sorted({name for _, name in tests} - set(names)):
    sys.exit(f"{sys.argv[1]} has no folder '{unknown[0]}', which is in {sys.argv[2]}. Its classes: {', '.join(names)}.")

$augmented
$network
optimiser = torch.optim.SGD(net.parameters(), momentum=$momentum, weight_decay=$weight_decay)
for step in range($num_steps):
    chosen = torch.randperm(len(inputs))[:$batch_size]
    loss = nn.functional.mse_loss(net(inputs[chosen]), targets[chosen])
    optimiser.param_groups[0]["lr"] = decayed($lr, step, $num_steps)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), $longest_gradient)
    optimiser.step()

known, queries = features(labelled), features(tests)
mean, std = known.mean(0), known.std(0, correction=0)
std = torch.where(std > 1e-6 * std.max(), std, 1.0)
known, queries = (known - mean) / std, (queries - mean) / std
classes, wanted = (torch.tensor([names.index(name) for _, name in images]) for images in (labelled, tests))
probe = nn.Linear(known.shape[1], len(names))
nn.init.zeros_(probe.weight)
nn.init.zeros_(probe.bias)
optimiser = torch.optim.SGD(probe.parameters(), momentum=$momentum)
per_epoch, step = -(-len(known) // $probe_batch), 0
for _ in range($probe_epochs):
    for chosen in torch.randperm(len(known)).chunk(per_epoch):
        loss = nn.functional.cross_entropy(probe(known[chosen]), classes[chosen])
        optimiser.param_groups[0]["lr"] = decayed($probe_lr, step, $probe_epochs * per_epoch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1

right = (probe(queries).argmax(1) == wanted).sum().item()
print(f"accuracy {100 * right / len(tests):.1f} % on {len(tests)} images")
''')


def pretrain_script(
    student: StudentConfig,
    synthetic: RepresentationSet,
    probing: ProbingConfig,
    preparation: Preparation,
    *,
    fit: str = "stretch",
    recorded: str = "",
) -> str:
    """The text of train.py, which reads distilled.npz beside it.

    Args:
        student: the network, written out as plain layers; its outputs are representations.
        synthetic: the set, of whose augmentations the names and numbers are written out.
        probing: how the network is pre-trained and probed, as an evaluation does it.
        preparation: how the pixels of an image become inputs.
        fit: how an image is brought to size, "crop", "pad" or "stretch", as the data set's own were.
        recorded: what the linear probe gave on the data set's own images, for the first lines.

    Raises ConfigError where the samples do not fit the network.
    """
    spec = synthetic.spec
    labelled = f"{probing.probe_images:,}" if probing.probe_images else "all"
    encoder = replace(spec, num_outputs=synthetic.num_dims, class_names=())
    return SCRIPT.substitute(
        title=STUDENTS[student.name].title,
        samples=f"{synthetic.num_samples:,} distilled images",
        score=f"   (recorded on the data set, with {labelled} labelled images: {recorded})" if recorded else "",
        num_dims=f"{synthetic.num_dims:,}",
        opening=OPENING,
        reading=reading(spec, preparation, fit),
        augmented=_augmented(synthetic.augmentations, spec.sample_shape),
        network=source_code.drawn_network(student, encoder, 0),
        num_steps=probing.pretrain_steps,
        batch_size=probing.pretrain_batch,
        lr=probing.pretrain_lr,
        momentum=MOMENTUM,
        weight_decay=probing.pretrain_weight_decay,
        longest_gradient=LONGEST_GRADIENT,
        test_batch=EVALUATION_BATCH,
        probe_epochs=probing.probe_epochs,
        probe_batch=PROBE_BATCH,
        probe_lr=probing.probe_lr,
    )


def _augmented(augmentations: Sequence[Predefined], sample_shape: tuple[int, ...]) -> str:
    """The lines that add the augmented images and their representations to the others; empty where there are none."""
    if not augmentations:
        return ""
    functions = "".join(dict.fromkeys(FUNCTIONS.get(each.name, "") for each in augmentations))
    changed = "".join(f"    {expression(each, sample_shape)},\n" for each in augmentations)
    return AUGMENTED.substitute(functions=functions, count=len(augmentations), changed=changed)


def expression(augmentation: Predefined, sample_shape: tuple[int, ...]) -> str:
    """The images `inputs`, of representations `targets`, under an augmentation, as code that FUNCTIONS goes with.

    sample_shape: (C, H, W).
    """
    name, numbers = augmentation.name, augmentation.numbers
    if name in QUARTERS:
        return f"inputs.rot90({QUARTERS[name]}, (2, 3))"
    if name == "flip":
        return "inputs.flip(3)"
    if name == "jitter":
        return f"color(inputs, {numbers})"
    if name == "blur":
        return f"blurred(inputs, {numbers[0]:.0f}, {numbers[1]})"
    if name in OPTIMAL:
        return f'optimal(inputs, targets, "{KERNELS[int(numbers[0])]}", {", ".join(map(str, numbers[1:]))})'
    return _cropped(*numbers, *sample_shape[1:])


def _cropped(share: float, down: float, right: float, height: int, width: int) -> str:
    """A window of a share of the area, enlarged to the images' size."""
    rows, columns = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = f"inputs[:, :, {top} : {top + rows}, {left} : {left + columns}]"
    return f'nn.functional.interpolate({window}, ({height}, {width}), mode="bilinear")'
