"""The programs that are exported with a distilled set: they train a network on it with plain PyTorch, and test it.

The files in `templates/` are Python programs with directives in comments, so that ruff and mypy check them too:

    # [if NAME] ... # [end]   kept if the value NAME is true; "template" never is, so its lines only serve the checks
    # [insert NAME]           replaced by the text NAME

Names in capitals are replaced by their values. Augmentations are the engine's own functions, copied.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent

from engine.core.config import StudentConfig
from engine.core.data_config import DSA_OPERATIONS, WindowConfig
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.data.transforms import augment, optimal, predefined, zca
from engine.data.transforms.predefined import KERNELS, OPTIMAL, QUARTERS, Predefined
from engine.data.transforms.preparation import Preparation
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.pretrain import LONGEST_GRADIENT
from engine.evaluation.probing.probe import MOMENTUM, PROBE_BATCH
from engine.evaluation.train import EVALUATION_BATCH, Recipe
from engine.figures import formats
from engine.meta import losses
from engine.nets import STUDENTS, source_code, statistics
from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.networks import PixelInputs, Stem
from engine.synthetic.base import Training
from engine.synthetic.representations import RepresentationSet


@dataclass(frozen=True)
class Teacher:
    """A teacher to be exported: its network, the stem of a ResNet, and the factor on its outputs."""

    config: TeacherConfig
    stem: Stem
    scale: float


TEMPLATES = Path(__file__).with_name("templates")
RULES = {
    "sgd": "torch.optim.SGD(net.parameters())",
    "momentum": "torch.optim.SGD(net.parameters(), momentum=0.9)",
    "adam": "torch.optim.Adam(net.parameters(), eps=1e-4)",  # close to the inner loop's rule, whose root is bounded
}
PREPARED = {type(None): "shifted", zca.Zca: "whitened", zca.PerImageZca: "whitened_each"}
FORECAST = {
    "close": "the log return from the last close of a window",
    "direction": "whether the close rises from the last one of a window",
    "both": "the log return from the last close of a window, and whether it is a rise",
    "volatility": "the absolute log return from the last close of a window",
}
LOSSES = {
    "close": "F.mse_loss(outputs, wanted)",
    "direction": "F.cross_entropy(outputs, wanted)",
    "both": "F.mse_loss(outputs[:, 0], wanted[:, 0]) + F.cross_entropy(outputs[:, 1:], wanted[:, 1:])",
    "volatility": "F.mse_loss(outputs, wanted)",
}


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
    samples: str = "distilled images",
    networks: Sequence[str] = (),
) -> str:
    """The text of train.py for labelled images, which reads distilled.npz beside it.

    count: of distilled images. recipe: standard training. training: the set's own. preparation: of test images. fit:
    how test images are resized. recorded: score of each protocol on the data set's test images. samples: what the
    images are called. networks: those exported with it. Raises ConfigError if the samples do not fit the network.
    """
    is_random, changes = bool(training.batch_size), augment.augmentation(augmentation, dsa_operations)
    network = source_code.drawn_network(student, spec, training.start_seed or 0)
    operations = [augment.OPERATIONS[name] for name in changes.operations]
    batch = "inputs[chosen]"
    if operations:
        is_always = is_random and training.is_augmented
        batch = f"{'' if is_always else f'{batch} if is_stored else '}changed({batch})"
    scores = {name: f"(recorded: {score})" for name, score in (recorded or {}).items()}
    own_steps = "drawn()" if is_random else 'zip(data["batch_order"], data["learned_rates"], strict=True)'
    blocks = _statistics(network, count)
    blocks |= {"is_random": is_random, "is_augmented": bool(operations), "one_at_a_time": changes.one_at_a_time}
    is_regressed = training.loss == "squared_error"
    blocks |= {"is_annotated": bool(operations) or is_regressed or "has_batch_norm" in blocks}
    is_cosine = training.decay == "cosine"
    blocks |= {"is_regressed": is_regressed, "is_cosine": is_cosine, "is_constant": not is_cosine}
    inserted = {"reading": _reading(spec, preparation, fit), "network": network}
    inserted |= {"operations": sources(*(each.apply for each in operations))}
    inserted |= {"losses": sources(losses.half_squared_error, losses.shares)}
    applied = ", ".join(f"({each.apply.__name__}, {each.num_numbers})" for each in operations)
    standard = {"NUM_STEPS": recipe.num_steps, "BATCH_SIZE": min(recipe.batch_size, count), "LR": recipe.lr}
    own_recipe = "random batches" if is_random else "the stored batches in order"
    own: dict[str, object] = {"OWN_RECIPE": own_recipe, "OWN_STEPS": own_steps}
    own |= {"OWN_NUM_STEPS": training.num_steps, "OWN_BATCH_SIZE": training.batch_size}
    own |= {"LOSS": "(half_squared_error if is_stored else F.cross_entropy)" if is_regressed else "F.cross_entropy"}
    own |= {"OWN_OPTIMISER": RULES[training.rule], "OWN_SCORE": scores.get("as_distilled", "")}
    said = {"TITLE": STUDENTS[student.name].title, "SAMPLES": f"{count:,} {samples}"}
    said |= {"OPERATIONS": applied, "BATCH": batch, "ORDINARY_SCORE": scores.get("ordinary", "")}
    said |= {"PACKAGES": _packages(*(["safetensors"] if networks else []))}
    said |= {"IS_NAMED": "(is_stored or is_taken)" if networks else "is_stored"}
    blocks |= {f"has_{name}": True for name in networks}
    return filled("images", **blocks, **inserted, **standard, **own, **said)


def pretrain_script(
    student: StudentConfig,
    synthetic: RepresentationSet,
    probing: ProbingConfig,
    preparation: Preparation,
    *,
    fit: str = "stretch",
    recorded: str = "",
    networks: Sequence[str] = (),
    teacher: Teacher | None = None,
) -> str:
    """The text of train.py for images with representations; arguments as of `train_script`.

    recorded: accuracy of the linear probe on the data set's test images. networks: files of networks that are exported
    with it, "student" and "teacher". teacher: what is needed to use the latter.
    """
    spec, augmentations = synthetic.spec, synthetic.augmentations
    labelled = f"{probing.probe_images:,}" if probing.probe_images else "all"
    encoder = replace(spec, num_outputs=synthetic.num_dims, class_names=())
    functions = sources(*(CHANGES[each.name] for each in augmentations if each.name in CHANGES))
    inserted = {"reading": _reading(spec, preparation, fit), "functions": functions}
    network = source_code.drawn_network(student, encoder, 0)
    inserted |= {"network": network}
    norms = _statistics(network, synthetic.num_samples * (1 + len(augmentations)))
    said = {"TITLE": STUDENTS[student.name].title, "SAMPLES": f"{synthetic.num_samples:,} distilled images"}
    score = f"  (recorded on the data set, with {labelled} labelled images: {recorded})" if recorded else ""
    said |= {"PROBE_SCORE": score, "NUM_DIMS": f"{synthetic.num_dims:,}"}
    steps = {"NUM_STEPS": probing.pretrain_steps, "BATCH_SIZE": probing.pretrain_batch, "LR": probing.pretrain_lr}
    steps |= {"WEIGHT_DECAY": probing.pretrain_weight_decay, "LONGEST_GRADIENT": LONGEST_GRADIENT}
    probe = {"PROBE_EPOCHS": probing.probe_epochs, "PROBE_LR": probing.probe_lr, "PROBE_BATCH": PROBE_BATCH}
    probe |= {"MOMENTUM": MOMENTUM, "EVALUATION_BATCH": EVALUATION_BATCH}
    changed = ",\n        ".join(map(expression, augmentations))
    is_resnet = teacher is not None and teacher.config.is_resnet
    moved = {"augmented": bool(augmentations), "NUM_AUGMENTATIONS": len(augmentations), "CHANGED": changed}
    more = (["safetensors"] if networks else []) + (["torchvision"] if is_resnet else [])
    taken = {"WAYS": tuple(networks), "has_networks": bool(networks), "is_resnet": is_resnet, "teacher": ""}
    taken |= {f"has_{name}": True for name in networks} | {PREPARED[type(preparation.whitening)]: True}
    taken |= {"PACKAGES": _packages(*more)}
    if teacher is not None:
        taken |= _taken(teacher, encoder, preparation)
    return filled("representations", **inserted, **norms, **said, **steps, **probe, **moved, **taken)


def forecast_script(
    student: StudentConfig, spec: TaskSpec, count: int, training: Training, windows: WindowConfig, *, recorded: str = ""
) -> str:
    """The text of train.py for sequences of price bars; arguments as of `train_script`.

    windows: how bars become windows. recorded: skill on the data set's test windows.
    """
    length, num_features = spec.sample_shape
    horizon, task, is_returns = windows.horizon, spec.task, windows.features == "returns"
    blocks = {"has_value": task != "direction", "has_direction": task in ("direction", "both"), "returns": is_returns}
    blocks |= {"prices": not is_returns, "token_identity": num_features > NUM_FEATURES}
    samples = f"{count:,} distilled sequences" if count > 1 else "distilled sequence"
    said = {"TITLE": STUDENTS[student.name].title, "SAMPLES": samples, "WHAT": FORECAST[task]}
    said |= {"SCORE": f"  (recorded: skill {recorded})" if recorded else "", "AHEAD": formats.counted(horizon, "bar")}
    said |= {"THRESHOLD": f"{windows.threshold:g}", "OPTIMISER": RULES[training.rule]}
    steps = {"NUM_STEPS": training.num_steps, "BATCH_SIZE": training.batch_size, "LOSS": LOSSES[task]}
    places = {"LENGTH": length, "LAST": length - 1, "FIRST": length - 1 + horizon, "HORIZON": horizon}
    places |= {"LEAST_BARS": length + horizon + is_returns}
    judged = {"TRUTH": "moves", "NAIVE": "0", "NAIVE_NAME": "the last close"}
    if task == "volatility":
        mean = 'data["target_shift"][token]'
        judged = {"TRUTH": "np.abs(moves)", "NAIVE": mean, "NAIVE_NAME": "the mean of training"}
    network = source_code.drawn_network(student, spec, training.start_seed or 0)
    return filled("forecasts", network=network, **blocks, **said, **steps, **places, **judged)


CHANGES: dict[str, Callable] = {
    "jitter": augment.color,
    "crop": predefined.crop,
    "blur": predefined.blur,
    "hue": predefined.hue,
    **dict.fromkeys(OPTIMAL, optimal.optimal),
}
"""The functions that predefined augmentations use."""


def expression(augmentation: Predefined) -> str:
    """Code that augments the images `inputs` with representations `targets`."""
    name, numbers = augmentation.name, augmentation.numbers
    if name in QUARTERS:
        return f"inputs.rot90({QUARTERS[name]}, (2, 3))"
    if name == "flip":
        return "inputs.flip(3)"
    if name == "jitter":
        return f"color(inputs, torch.tensor([{numbers}]))"
    if name in OPTIMAL:
        kernel, gamma, ridge, preimage_ridge, share = numbers
        options = f'kernel="{KERNELS[int(kernel)]}", gamma={gamma}, ridge={ridge}, preimage_ridge={preimage_ridge}'
        return f"inputs.lerp(optimal(inputs, targets, {options}), {share})"
    return f"{CHANGES[name].__name__}(inputs, {', '.join(map(str, numbers))})"


def _reading(spec: TaskSpec, preparation: Preparation, fit: str) -> str:
    """The functions of the template `reading`."""
    channels, height, width = spec.sample_shape
    sizes = {"CHANNELS": channels, "HEIGHT": height, "WIDTH": width, "MODE": '"L"' if channels == 1 else '"RGB"'}
    blocks = {fit: True, PREPARED[type(preparation.whitening)]: True}
    return filled("reading", **blocks, **sizes, FAINTEST=f"{zca.FAINTEST:g}")


def _statistics(network: str, count: int) -> dict[str, object]:
    """Values of a template that fixes the statistics of a network's batch norms on `count` samples."""
    if "nn.BatchNorm2d(" not in network:
        return {"statistics": ""}
    size = min(count, statistics.SAMPLE)
    found: dict[str, object] = {"has_batch_norm": True, "statistics": sources(statistics.fix_statistics)}
    return found | {"SAMPLE": statistics.SAMPLE, "NUM_PIECES": -(-size // statistics.PIECE)}


def _taken(teacher: Teacher, encoder: TaskSpec, preparation: Preparation) -> dict[str, object]:
    """Values of the template that builds a teacher and loads its weights."""
    config, stem = teacher.config, teacher.stem
    if not config.is_resnet:
        text = source_code.network(config.student(), encoder)
        lines = f"{source_code.definitions(text)}net = {text}"
        return {"teacher": _in_teacher(lines), "SCALE": teacher.scale}
    seen, head = PixelInputs(preparation, stem), "trunk.conv1"
    lines = f"from torchvision import models\n\ntrunk = models.{config.architecture}()\ntrunk.fc = nn.Identity()\n"
    if stem.kernel == 3:
        lines += f"{head} = nn.Conv2d({stem.channels}, 64, 3, padding=1, bias=False)\ntrunk.maxpool = nn.Identity()\n"
    elif stem.channels != 3:
        lines += f"{head} = nn.Conv2d({stem.channels}, 64, 7, 2, 3, bias=False)\n"
    lines += "net = nn.Sequential(Pixels(), trunk)"
    found: dict[str, object] = {"teacher": _in_teacher(lines), "SCALE": teacher.scale, "SIDE": seen.side}
    return found | {"STEM_CHANNELS": stem.channels, "STEM_MEAN": seen.mean.tolist(), "STEM_STD": seen.std.tolist()}


def _packages(*more: str) -> str:
    return f"{', '.join(('torch', 'numpy', *more))} and pillow"


def _in_teacher(lines: str) -> str:
    return '    if ways == ["teacher"]:\n' + indent(lines.strip("\n"), " " * 8)


def sources(*functions: Callable) -> str:
    """The source of functions, and of what they use of their modules: functions, classes and numbers."""
    numbers: dict[str, str] = {}
    texts: dict[str, str] = {}
    waiting = [inspect.unwrap(function) for function in functions]
    while waiting:
        function = waiting.pop(0)
        if function.__name__ in texts:
            continue
        text = texts[function.__name__] = inspect.getsource(function)
        module = vars(sys.modules[function.__module__])
        for node in ast.walk(ast.parse(text)):
            name = node.id if isinstance(node, ast.Name) else ""
            used = module.get(name)
            if isinstance(used, int | float):
                numbers[name] = f"{name} = {used}\n"
            elif getattr(used, "__module__", "") == function.__module__ and hasattr(used, "__name__"):
                waiting.append(used)
    return "\n\n".join(["".join(numbers.values()), *texts.values()])


def filled(template: str, **values: object) -> str:
    """A template with its directives applied and its names replaced; see the top of this file."""
    lines: list[str] = []
    kept = [True]  # for each open block
    for line in (TEMPLATES / f"{template}.py").read_text(encoding="utf-8").splitlines():
        directive = re.search(r"# \[(if|insert|end) ?(\w*)\]$", line)
        if directive is None:
            lines += [line] if all(kept) else []
        elif directive[1] == "if":
            kept.append(bool(values.get(directive[2])))
        elif directive[1] == "end":
            kept.pop()
        elif all(kept):
            lines.append(str(values[directive[2]]).rstrip("\n"))
    capitals = "|".join(name for name in values if name.isupper())
    program = re.sub(rf"\b({capitals})\b", lambda name: str(values[name[0]]), "\n".join(lines))
    program = re.sub(r"\n{4,}", "\n\n\n", re.sub(r" +\n", "\n", program))
    return re.sub(r"\n+((?:@.+\n)?(?:class|def) )", r"\n\n\n\1", program) + "\n"
