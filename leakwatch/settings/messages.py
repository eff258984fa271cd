"""What is said of a mistake in the configuration: file, line, key, the nearest good key, and how to mend it."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from leakwatch.errors import quote, without_user
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import HIDDEN

Location = tuple[int | str, ...]
"""The keys and indices that lead to a place."""

MESSAGES = {
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping",
    "missing": "is missing",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "extra_forbidden": "is no key that is known here",
}
"""What pydantic says, in the words of somebody who writes YAML; what is not here says "must be" something."""

PROMETHEUS = {
    "params": "leakwatch asks for what it needs; profile_path says where, profile_format in which form",
    "honor_labels": "a profile has no labels of its own; Prometheus, which scrapes leakwatch, needs it",
    "honor_timestamps": "a profile has no timestamps",
    "metric_relabel_configs": "relabel_configs change targets, ignore keeps stacks out of sight",
    "sample_limit": "metrics.series_limit bounds the series of stacks, detection.series_limit what is followed",
    "label_limit": "metrics.series_limit bounds the series of stacks",
}
"""Keys that those who come from Prometheus may write: why there are none here, and what there is."""
MOST_KEYS = 12  # that are named; more are for the docs


def misplaced(mistakes: Iterable[tuple[Location, str]]) -> ValidationError | None:
    """Return the error of a model whose keys are good alone and do not fit together; None if there are none.

    `mistakes`: which of the keys to change, and why.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError("misfit", "{said}", {"said": said}), loc=loc, input=None)
        for loc, said in mistakes
    ]
    return ValidationError.from_exception_data("misfits", details) if details else None


def reworded(detail: ErrorDetails) -> str:
    """Return what is wrong, in our words."""
    said = MESSAGES.get(detail["type"])
    if said is None:
        return re.sub("^Input should be", "must be", detail["msg"].removeprefix("Value error, "))
    return said.format(**detail.get("ctx", {}))


def repeated_keys(node: yaml.Node | None, name: str) -> Iterator[str]:
    """Yield a mistake for each key that a mapping has twice: YAML would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"{name}:{key.start_mark.line + 1}: {quote(str(key.value))} is given twice"
            seen.add(key.value)
            yield from repeated_keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from repeated_keys(item, name)


def describe(detail: ErrorDetails, node: yaml.Node | None, name: str, root: type[BaseSettings]) -> str:
    """Return one line that says where in the file `name` a mistake is and how to mend it; `root`: of the file."""
    place, where = f"{name}:{line_of(detail['loc'], node)}", path_of(detail["loc"])
    if detail["type"] == "extra_forbidden":
        key, known = str(detail["loc"][-1]), _known_keys(detail["loc"][:-1], root)
        close = difflib.get_close_matches(key, known, 1, 0.6)
        hint = f"known here: {', '.join(known)}" if len(known) <= MOST_KEYS else "docs/configuration.md has all"
        hint = f"did you mean {close[0]!r}?" if close else PROMETHEUS.get(key, hint)
        return f"{place}: unknown key {where!r}; {hint}"
    return f"{place}: {mistake(detail)}"


def mistake(detail: ErrorDetails) -> str:
    """Return where a mistake is, what it is and the text that has it: "[2].targets: must be a list, found 'x'"."""
    where, said, given = path_of(detail["loc"]), reworded(detail), detail["input"]
    shown = isinstance(given, str | int | float) and detail["type"] != HIDDEN
    given = without_user(str(given)) if shown else ""
    found = f", found {quote(given)}" if given and given not in said else ""
    return f"{where + ': ' if where else ''}{said}{found}"


def path_of(loc: Location) -> str:
    """Return the keys and indices that lead to a place, as people write them: a[0].b."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def line_of(loc: Location, node: yaml.Node | None) -> int:
    """Return the line of `loc`, or of its nearest ancestor that the file has."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _known_keys(loc: Location, root: type[BaseSettings]) -> list[str]:
    """Return the keys that may stand at `loc`."""
    models = [root]
    for part in loc:
        if isinstance(part, str):
            fields = [field for model in models for key, field in _fields(model).items() if key == part]
            models = [model for field in fields for model in _models(field.annotation)] or models
    return [key for model in models for key in _fields(model)]


def _fields(model: type[BaseSettings]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseSettings]]:
    """Return the models within a type such as tuple[Model, ...] or Model | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseSettings):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
