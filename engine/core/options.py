"""Options: each hyperparameter is declared once; the form, the flags, the checks and the reference are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator
from pydantic.fields import FieldInfo

PARTS = ("config", "data", "evaluation")
"""The parts of a request that hold options. A path that begins with one of them is a full path."""
MOST_NUMBERS = 8
"""In a list of numbers."""


@dataclass(frozen=True)
class Condition:
    """What another option must be: one of `values`, or none of them if `excluded`.

    path: of an option of the same config ("target"), or of the request ("data.augmentation").
    """

    path: str
    values: tuple[Any, ...]
    excluded: bool = False

    def seen_from(self, place: str) -> str:
        """The full path of the other option, for an option of the config at `place` ("config.student")."""
        return self.path if self.path.partition(".")[0] in PARTS or not place else f"{place}.{self.path}"

    def holds(self, value: Any) -> bool:
        """Whether `value` of the other option meets the condition."""
        return ((tuple(value) if isinstance(value, list) else value) in self.values) != self.excluded

    def words(self, label: str, name: Callable[[Any], str]) -> str:
        """The condition as a form says it: "ZCA whitening on", "Augmentation other than None".

        label: of the other option. name: of one of its values.
        """
        if self.values == ((),):
            return f"a choice of {label}"
        *first, last = (name(value) for value in self.values)
        named = f"{', '.join(first)} or {last}" if first else last
        return f"{label} other than {named}" if self.excluded else f"{label} {named}"


When = Condition | tuple[str, Any]


def unless(path: str, *values: Any) -> Condition:
    """The option has an effect unless the option at `path` has one of `values`."""
    return Condition(path, values, excluded=True)


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its type, default, bounds and description.

    advanced: folded away in the form. label: its name in the form; by default, the field's name in words. group: its
    heading in the form. names: of choices that are not called by their key. when: it has an effect only if all of these
    hold. of: the kind of data set it is for; "" for both. among: it chooses from all students, or data sets of a kind.
    scale: another option of its config, and factors on the default for some of its values. each: bounds of each number
    of a list.
    """

    unit: str = ""
    advanced: bool = False
    label: str = ""
    group: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    when: tuple[Condition, ...] = ()
    of: Literal["", "images", "prices"] = ""
    among: Literal["", "students", "images", "prices"] = ""
    scale: tuple[str, Mapping[str, float]] | None = None
    each: tuple[float, float] | None = None

    def factor(self, values: Mapping[str, Any]) -> float:
        """The factor on the default under the other values of its config."""
        other, factors = self.scale or ("", {})
        return next((factor for value, factor in factors.items() if value == values.get(other)), 1.0)

    def within(self, holder: Option, place: str) -> Option:
        """The option with the heading and conditions of `holder`, an option of the config at `place` that holds it."""
        conditions = (replace(each, path=each.seen_from(place)) for each in holder.when)
        return replace(self, group=holder.group or self.group, when=(*conditions, *self.when))

    def unmet(self, place: str, values: Mapping[str, Any]) -> Condition | None:
        """The first condition that does not hold, so that the option has no effect; None if all hold.

        place: its config ("config.student"). values: of options, by full path; conditions on others count as met.
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
    when: When | Sequence[When] = (),
    **about: Any,
) -> Any:
    """A hyperparameter: default, description, inclusive bounds, and the other fields of `Option`.

    description: for the form and the reference; a long one is a docstring below the field instead.
    when: ("other", value), ("other", (one value, another)), `unless(...)`, or a list of these.
    """
    info = FieldInfo(default=default, description=description, ge=low, le=high)
    info.metadata.append(Option(when=_conditions(when), **about))
    return info


def numbers(
    default: tuple[float, ...], description: str | None = None, *, low: float, high: float, **about: Any
) -> Any:
    """A hyperparameter that is a list of numbers, each within inclusive bounds; empty only if the default is.

    One number stands for a list of one, and text for the numbers between its commas. A list of one is written as a
    number, so that requests and keys from before there were lists stay the same.
    """

    def within(values: tuple[float, ...]) -> tuple[float, ...]:
        if not values and default:
            raise ValueError("give at least one number")
        if wrong := [value for value in values if not low <= value <= high]:
            raise ValueError(f"give numbers from {low:g} to {high:g}, not {wrong[0]:g}")
        if len(values) > MOST_NUMBERS:
            raise ValueError(f"give at most {MOST_NUMBERS} numbers, not {len(values)}")
        return tuple(dict.fromkeys(values))

    info = option(default, description, each=(low, high), **about)
    written = PlainSerializer(lambda values: values[0] if len(values) == 1 else list(values))
    info.metadata += [BeforeValidator(as_numbers), AfterValidator(within), written]
    return info


def as_numbers(value: Any) -> Any:
    """A list of numbers from what stands for one: a single number, or text with commas; other values as they are."""
    if isinstance(value, str):
        return tuple(part for part in map(str.strip, value.split(",")) if part)
    return (value,) if isinstance(value, int | float) else value


def _conditions(when: Any) -> tuple[Condition, ...]:
    if isinstance(when, Condition):
        return (when,)
    if when and isinstance(when[0], str):
        path, wanted = when
        return (Condition(path, wanted if isinstance(wanted, tuple) else (wanted,)),)
    return tuple(condition for each in when for condition in _conditions(each))


def option_like(config: type[BaseModel], name: str, default: Any) -> Any:
    """The option `name` of another config with a default of its own."""
    info = config.model_fields[name]
    like = FieldInfo(default=default, description=info.description)
    like.metadata += info.metadata
    return like


def option_of(info: FieldInfo) -> Option:
    """What `option(...)` recorded about a field."""
    return next((each for each in info.metadata if isinstance(each, Option)), Option())


def bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    """The inclusive lower and upper bound of a field, or of each of its numbers; None where it has none."""
    if each := option_of(info).each:
        return each
    low = next((rule.ge for rule in info.metadata if getattr(rule, "ge", None) is not None), None)
    return low, next((rule.le for rule in info.metadata if getattr(rule, "le", None) is not None), None)


class Config(BaseModel):
    """Base of all configs: frozen, no unknown keys, finite numbers. A docstring below a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for info in cls.model_fields.values():  # a docstring has line breaks and a full stop
            info.description = info.description and " ".join(info.description.split()).removesuffix(".")

    @classmethod
    def scaled_defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults that depend on other values of the config."""
        options = ((name, info.default, option_of(info)) for name, info in cls.model_fields.items())
        return {name: default * option.factor(values) for name, default, option in options if option.scale}

    @model_validator(mode="before")
    @classmethod
    def _scale_defaults(cls, values: Any) -> Any:
        return cls.scaled_defaults(values) | values if isinstance(values, dict) else values

    def chosen(self) -> dict[str, Any]:
        """The values that a request has to name to get this config, as JSON."""
        scaled = self.scaled_defaults(vars(self))
        unlike = {name: value for name, value in vars(self).items() if name in scaled and value != scaled[name]}
        return self.model_dump(mode="json", exclude_defaults=True) | unlike


def in_effect(config: Config) -> dict[str, Any]:
    """The values of a flat config, as JSON, without those of options that have no effect."""
    values = config.model_dump(mode="json")
    fields = type(config).model_fields.items()
    return {name: values[name] for name, info in fields if option_of(info).unmet("", values) is None}
