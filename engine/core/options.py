"""Options: each hyperparameter is declared once; the form, the flags, the checks and the reference are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

PARTS = ("config", "data", "evaluation")
"""The parts of a request that hold options. A path that begins with one of them is a full path."""


@dataclass(frozen=True)
class Condition:
    """What another option must be: one of `values`, or none of them where `excluded`.

    path: an option of the same config ("target"), or one of the whole request ("data.augmentation").
    """

    path: str
    values: tuple[Any, ...]
    excluded: bool = False

    def seen_from(self, place: str) -> str:
        """The full path of the other option for an option of the config at `place` ("config.student")."""
        return self.path if self.path.partition(".")[0] in PARTS or not place else f"{place}.{self.path}"

    def holds(self, value: Any) -> bool:
        """Whether the other option has a value that meets the condition."""
        return ((tuple(value) if isinstance(value, list) else value) in self.values) != self.excluded

    def words(self, label: str, name: Callable[[Any], str]) -> str:
        """The condition as what a form says: "ZCA whitening on", "Augmentation other than None".

        label: what people call the other option. name: what they call one of its values.
        """
        *first, last = (name(value) for value in self.values)
        named = f"{', '.join(first)} or {last}" if first else last
        if self.values == ((),):
            return f"a choice of {label}"
        if self.excluded:
            return f"{label} other than {named}"
        return f"{label} {named}"


def unless(path: str, *values: Any) -> Condition:
    """The option has an effect unless the option at `path` has one of `values`."""
    return Condition(path, values, excluded=True)


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its type, default, bounds and description.

    advanced: folded away in the form. label: its name in the form; by default, the field's name in words. group: the
    heading it stands under. names: of choices whose name is not their key. when: the conditions for it to have an
    effect, all of which must hold. of: the kind of data set it is for; "" for both. among: what it chooses from, if it
    grows with the program: students, or data sets of a kind.
    """

    unit: str = ""
    advanced: bool = False
    label: str = ""
    group: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    when: tuple[Condition, ...] = ()
    of: Literal["", "images", "prices"] = ""
    among: Literal["", "students", "images", "prices"] = ""

    def within(self, holder: Option, place: str) -> Option:
        """The option within a config that is itself an option, `holder`: the holder's heading and conditions count too.

        place: the config that the holder belongs to.
        """
        conditions = (replace(each, path=each.seen_from(place)) for each in holder.when)
        return replace(self, group=holder.group or self.group, when=(*conditions, *self.when))

    def unmet(self, place: str, values: Mapping[str, Any]) -> Condition | None:
        """The first condition that does not hold, so that the option has no effect; None where all hold.

        place: the config it belongs to ("config.student"). values: full path -> value of the options that are known; a
        condition on any other option counts as met.
        """
        for condition in self.when:
            path = condition.seen_from(place)
            if path in values and not condition.holds(values[path]):
                return condition
        return None


def option(
    default: Any,
    description: str | None = None,
    low: float | None = None,
    high: float | None = None,
    *,
    unit: str = "",
    advanced: bool = False,
    label: str = "",
    group: str = "",
    names: Mapping[str, str] | None = None,
    when: tuple[str, Any] | Condition | Sequence[Condition] = (),
    of: Literal["", "images", "prices"] = "",
    among: Literal["", "students", "images", "prices"] = "",
) -> Any:
    """A hyperparameter: default, description, inclusive bounds, and the rest as `Option` explains it.

    description: for the form and the reference; a long one stands as a docstring below the field instead.
    when: ("other", value), ("other", (one value, another)), `unless(...)`, or a list of conditions.
    """
    made = Option(unit, advanced, label, group, names or {}, _conditions(when), of, among)
    return _declared(FieldInfo(default=default, description=description, ge=low, le=high), made)


def _conditions(when: tuple[str, Any] | Condition | Sequence[Condition]) -> tuple[Condition, ...]:
    if isinstance(when, Condition):
        return (when,)
    if isinstance(when, tuple) and len(when) == 2 and isinstance(when[0], str):
        path, wanted = when
        return (Condition(path, wanted if isinstance(wanted, tuple) else (wanted,)),)
    return tuple(each for each in when if isinstance(each, Condition))


def option_like(config: type[BaseModel], name: str, default: Any) -> Any:
    """The option `name` of another config with a default of its own."""
    info = config.model_fields[name]
    low, high = bounds(info)
    return _declared(FieldInfo(default=default, description=info.description, ge=low, le=high), option_of(info))


def _declared(info: FieldInfo, made: Option) -> FieldInfo:
    info.metadata.append(made)
    return info


def option_of(info: FieldInfo) -> Option:
    """What `option(...)` recorded about a field."""
    return next((each for each in info.metadata if isinstance(each, Option)), Option())


def bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    """The inclusive bounds of a field, None where there is none."""
    low = next((rule.ge for rule in info.metadata if getattr(rule, "ge", None) is not None), None)
    return low, next((rule.le for rule in info.metadata if getattr(rule, "le", None) is not None), None)


class Config(BaseModel):
    """Base of all configs: frozen, unknown keys refused, numbers finite. A docstring below a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for info in cls.model_fields.values():  # a docstring has line breaks and a full stop
            info.description = info.description and " ".join(info.description.split()).removesuffix(".")


def in_effect(config: Config) -> dict[str, Any]:
    """The values of a flat config, as JSON, without the options that have no effect under the others."""
    values = config.model_dump(mode="json")
    fields = type(config).model_fields.items()
    return {name: values[name] for name, info in fields if option_of(info).unmet("", values) is None}
