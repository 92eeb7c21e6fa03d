"""Titles of data sets, methods and networks by key; the key itself where this version does not know it."""

from typing import Any

from pydantic import ValidationError

from engine.core.config import Config, DataConfig, EvaluationConfig, RunRequest, StudentConfig
from engine.core.students import title_of
from engine.data import find_source
from engine.figures import formats
from engine.methods import METHODS
from engine.methods.presets import Preset
from engine.nets import STUDENTS
from engine.pretrained import Recording

OWN_SETTINGS = "own settings"


def source(key: str) -> str:
    """A data set's title."""
    found = find_source(key)
    return found.title if found else key


def method(key: str) -> str:
    """A method's title."""
    found = METHODS.get(key)
    return found.title if found else key


def recorded(method_key: str) -> str:
    """What a method trains beforehand: "experts" or "teacher"."""
    found = METHODS.get(method_key)
    return (found.recorded if found else "") or "experts"


def action(key: str, method_key: str) -> str:
    """What a run of this action and method does."""
    records = "Trains a teacher" if recorded(method_key) == "teacher" else "Records experts"
    return {"distill": "Distils", "evaluate": "Evaluates a result", "record": records}[key]


def preset(method_key: str, source_key: str, key: str) -> str:
    """A preset's title, or "own settings"."""
    found = _preset(method_key, source_key, key)
    return found.title if found else OWN_SETTINGS


def _preset(method_key: str, source_key: str, key: str) -> Preset | None:
    return METHODS[method_key].presets_for(source_key).get(key) if method_key in METHODS else None


def settings(request: RunRequest) -> str:
    """The title of the request's preset, with ", changed" if the request differs from it; or "own settings"."""
    found = _preset(request.method, request.source, request.preset)
    if found is None:
        return OWN_SETTINGS
    config = METHODS[request.method].config
    is_changed = _differs(config, request.config, found.config)
    is_changed |= _differs(DataConfig, request.data.model_dump(), found.data)
    if request.action == "distill":
        is_changed |= _differs(EvaluationConfig, request.evaluation.model_dump(), found.evaluation)
    return f"{found.title}, changed" if is_changed else found.title


def _differs(model: type[Config], now: dict[str, Any], then: dict[str, Any]) -> bool:
    """Whether two configs differ; one that this version cannot read differs from any."""
    try:
        return model.model_validate(now) != model.model_validate(then)
    except ValidationError:
        return True


def architecture(key: str) -> str:
    """An architecture's title, without settings; of a member of a pool with what is special to it."""
    return title_of(key)


def pretrained(found: Recording) -> list[str]:
    """What a recording holds, in phrases."""
    manifest = found.manifest
    noun, facts = manifest.kind.removesuffix("s"), []
    if manifest.networks:
        trained = f"for {formats.counted(manifest.num_epochs, 'epoch')}" if manifest.num_epochs else "elsewhere"
        facts.append(f"{formats.counted(len(manifest.networks), noun)} trained {trained}")
    if found.partial_epochs is not None:
        facts.append(f"1 {noun} unfinished, at epoch {found.partial_epochs} of {manifest.num_epochs}")
    if found.accuracy is not None:
        probe = " with a linear probe" if manifest.kind == "teachers" else ""
        facts.append(f"{formats.percent(found.accuracy)} on validation images{probe}")
    return [*facts, formats.num_bytes(found.num_bytes)]


def student(config: StudentConfig) -> str:
    """A network's name as papers write it, "ConvNet-D3"."""
    return STUDENTS[config.name].named(config)
