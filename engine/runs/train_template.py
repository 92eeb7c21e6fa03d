"""The program that goes with a distilled set: it trains a network on it with torch alone, and tests it on a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from string import Template

from engine.core.config import DSA_OPERATIONS, EvaluationConfig, StudentConfig
from engine.data.source import TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.evaluation.train import Recipe
from engine.nets import STUDENTS, source_code
from engine.runs import augment_template
from engine.runs.reading_template import OPENING, reading
from engine.synthetic.base import Training

UNTRIED_LR = 3e-3
"""The middle of the rates that an evaluation tries, for a set that was never evaluated."""

DRAWN = Template('''

def drawn():
    """The images of each step of a training as distilled, and its rate."""
    for _ in range($num_steps):
        yield torch.randperm(len(inputs))[:$batch_size], data["learned_rates"][0]
''')
MIXED = (
    "tests = [tests[place] for place in torch.randperm(len(tests))]  # batch norm: each batch a mixture of classes\n"
)
RULES = {
    "sgd": "torch.optim.SGD(net.parameters())",
    "momentum": "torch.optim.SGD(net.parameters(), momentum=0.9)",
    "adam": "torch.optim.Adam(net.parameters(), eps=1e-4)",  # near to the rule of the inner loop, whose root is bounded
}

SCRIPT = Template('''\
"""Train $title on the $samples in distilled.npz, and test it on images of your own:

    python train.py TEST_FOLDER                as ordinary data: shuffled, from scratch$ordinary_score
    python train.py TEST_FOLDER as_distilled   $as_distilled_way$as_distilled_score

TEST_FOLDER holds one sub-folder of images for each class. Needs torch, numpy and pillow.
"""

$opening
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["targets"])
names = [unicodedata.normalize("NFC", str(name)).replace("/", "-") for name in data["class_names"]]
$reading


def shuffled():
    """The images of each step of an ordinary training, and its rate."""
    left = torch.empty(0, dtype=torch.long)
    for step in range($num_steps):
        if len(left) < $batch_size:
            left = torch.randperm(len(inputs))
        yield left[:$batch_size], $lr * (1 + math.cos(math.pi * step / $num_steps)) / 2
        left = left[$batch_size:]
$drawn$changed

is_stored = sys.argv[2:] == ["as_distilled"]
if len(sys.argv) != 2 + is_stored or not Path(sys.argv[1]).is_dir():
    sys.exit("Say where the test images are, in one sub-folder for each class: python train.py TEST_FOLDER")
tests = []
for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
    if (name := unicodedata.normalize("NFC", folder.name)) not in names:  # macOS keeps accents apart from their letters
        sys.exit(f"The folder '{folder.name}' is not called like a class. The classes are: {', '.join(names)}.")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in KINDS and path.name[0] != "."]
    tests += [(path, names.index(name)) for path in files]
if not tests:
    sys.exit(f"There are no images in the sub-folders of {sys.argv[1]}. Put them in one sub-folder for each class.")
$mixed
$network
optimiser = $rule if is_stored else torch.optim.Adam(net.parameters())
for chosen, rate in $steps if is_stored else shuffled():
    batch = inputs[chosen]
$augmented    loss = nn.functional.cross_entropy(net(batch), targets[chosen])
    optimiser.param_groups[0]["lr"] = float(rate)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

right = 0
with torch.no_grad():
    for start in range(0, len(tests), 1000):
        paths, labels = zip(*tests[start : start + 1000])
        right += (net(torch.stack([read(path) for path in paths])).argmax(1) == torch.tensor(labels)).sum().item()
print(f"accuracy {100 * right / len(tests):.1f} % on {len(tests)} images")
''')


def train_script(
    student: StudentConfig,
    spec: TaskSpec,
    count: int,
    recipe: Recipe,
    preparation: Preparation,
    training: Training,
    *,
    fit: str = "stretch",
    augmentation: str = "none",
    dsa_operations: Sequence[str] = DSA_OPERATIONS,
    recorded: Mapping[str, str] | None = None,
    is_poster: bool = False,
) -> str:
    """The text of train.py, which reads distilled.npz beside it.

    Args:
        student: the network, written out as plain layers.
        spec: shape (C, H, W) of the samples, and the classes.
        count: distilled images, or patches of a poster.
        recipe: how the network is trained on them as ordinary data.
        preparation: how the pixels of a test image become inputs.
        training: how the set was made to be trained on, with what distilled.npz says of it; with random batches,
            num_steps is how long it is trained here.
        fit: how a test image is brought to size, "crop", "pad" or "stretch", as the data set's own were.
        augmentation: the data set's; of crops only DSA's are repeated.
        dsa_operations: what DSA draws from.
        recorded: what each protocol gave on the data set's own test images, for the first lines.
        is_poster: whether the images are patches of one.

    Raises ConfigError where the samples do not fit the network.
    """
    recorded = recorded or {}
    is_random = bool(training.batch_size)
    network = source_code.drawn_network(student, spec, training.start_seed or 0)
    augmented = augment_template.LINES.get(augmentation, "")
    if augmented and not (is_random and training.is_augmented):
        augmented = f"if not is_stored:\n        {augmented}"
    values = asdict(recipe) | {
        "batch_size": min(recipe.batch_size, count),
        "title": STUDENTS[student.name].title,
        "samples": f"{count:,} {'patches of the distilled poster' if is_poster else 'distilled images'}",
        "opening": OPENING,
        "reading": reading(spec, preparation, fit),
        "network": network,
        "augmented": f"    {augmented}\n" if augmented else "",
        "changed": augment_template.definitions(augmentation, dsa_operations),
        "drawn": DRAWN.substitute(num_steps=training.num_steps, batch_size=training.batch_size) if is_random else "",
        "steps": "drawn()" if is_random else 'zip(data["batch_order"], data["learned_rates"])',
        "as_distilled_way": "random batches at the learned rate"
        if is_random
        else "the stored order with the learned rates",
        "rule": RULES[training.rule],
        "mixed": MIXED if "nn.BatchNorm2d(" in network else "",
    }
    values |= {
        f"{protocol}_score": f" (recorded: {recorded[protocol]})" if protocol in recorded else ""
        for protocol in ("ordinary", "as_distilled")
    }
    return SCRIPT.substitute(values)


def ordinary_recipe(training: dict, evaluation: EvaluationConfig) -> Recipe:
    """The recipe that an ordinary score was measured with, or a sensible one where there is none."""
    if training:
        return Recipe(**training)
    return Recipe(evaluation.ordinary_steps, evaluation.batch_size, UNTRIED_LR)
