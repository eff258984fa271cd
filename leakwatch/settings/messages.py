"""Messages for invalid settings: file, line, key, the quoted value, and the nearest valid key."""

import difflib
import re
from collections.abc import Iterable, Iterator

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from leakwatch.errors import quote, redacted
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.redaction import fields, hide, models, secret_keys
from leakwatch.settings.types import UNQUOTED
from leakwatch.settings.yaml_file import nodes

OF_KEY = "[key]"  # pydantic appends it to the location of an invalid key
Location = tuple[int | str, ...]
"""The keys and indices that lead to a value."""

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
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "extra_forbidden": "is not a valid key",
}
"""Messages for users of YAML, by the type of pydantic's error. Other types keep pydantic's message."""

PROMETHEUS_KEYS = {
    "honor_labels": "profiles have no labels; set it in Prometheus, in the job that scrapes leakwatch",
    "honor_timestamps": "profiles have no timestamps",
    "metric_relabel_configs": "relabel_configs changes targets, ignore hides stacks",
    "sample_limit": "metrics.series_limit limits exported series, detection.series_limit stacks per target",
    "label_limit": "metrics.series_limit limits exported series",
}
"""Hints for keys of Prometheus that leakwatch does not have."""
MAX_LISTED_KEYS = 14  # a message with more keys is too long to read


def cross_field_error(messages: Iterable[tuple[Location, str]]) -> ValidationError | None:
    """Return the error of a model with values that contradict each other, None if there are no `messages`.

    `messages`: the location of the value to change, and the reason.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError("cross_field", "{text}", {"text": text}), loc=loc, input=None)
        for loc, text in messages
    ]
    return ValidationError.from_exception_data("settings", details) if details else None


def friendly_message(detail: ErrorDetails, *, is_secret: bool = False) -> str:
    """Return the problem without its location and without secrets, from MESSAGES if possible."""
    template = MESSAGES.get(detail["type"])
    if template is None:
        problem = re.sub("^Input should be", "must be", detail["msg"].removeprefix("Value error, "))
    else:
        problem = template.format(**detail.get("ctx", {}))
    return hide(problem, detail.get("input"), is_secret=is_secret)


def repeated_keys(node: yaml.Node | None, name: str, root: type[BaseSettings]) -> Iterator[str]:
    """Yield a message for each key that a mapping has twice; PyYAML would silently use the last one."""
    mappings = [mapping for mapping in nodes(node) if isinstance(mapping, yaml.MappingNode)]
    entries = [entry for mapping in mappings for entry in mapping.value]
    secret = {id(inner) for key, value in entries if key.value in secret_keys(root) for inner in nodes(value)}
    for mapping in mappings:
        seen = set()
        for key, _ in mapping.value:
            if key.value in seen:
                shown = "a key" if id(key) in secret else quote(redacted(str(key.value)))
                yield f"{name}:{key.start_mark.line + 1}: {shown} is given twice"
            seen.add(key.value)


def located_message(detail: ErrorDetails, node: yaml.Node | None, name: str, root: type[BaseSettings]) -> str:
    """Return the message for `detail` on one line, with file name and line number.

    `node` and `root`: the whole file and its model.
    """
    location = detail["loc"]
    place, path = f"{name}:{line_number(location, node)}", shown_path(location, root)
    if detail["type"] == "extra_forbidden":
        key, valid_keys = str(location[-1]), _valid_keys(location[:-1], root)
        close_keys = difflib.get_close_matches(key, valid_keys, 1, 0.6)
        short = len(valid_keys) <= MAX_LISTED_KEYS
        hint = f"valid keys: {', '.join(valid_keys)}" if short else "see docs/configuration.md"
        hint = f"did you mean {close_keys[0]!r}?" if close_keys else PROMETHEUS_KEYS.get(key, hint)
        return f"{place}: unknown key {path!r}; {hint}"
    return f"{place}: {message(detail, root)}"


def message(detail: ErrorDetails, root: type[BaseSettings] = BaseSettings) -> str:
    """Return the path of the keys, the problem and the value: "[2].targets: must be a list, found 'x'"."""
    path, value = shown_path(detail["loc"], root), detail["input"]
    is_secret = not secret_keys(root).isdisjoint(detail["loc"])
    problem = friendly_message(detail, is_secret=is_secret)
    shown = isinstance(value, str | int | float) and detail["type"] != UNQUOTED and not is_secret
    text = redacted(str(value)) if shown else ""
    found = f", found {quote(text)}" if text and text not in problem else ""
    return f"{path + ': ' if path else ''}{problem}{found}"


def shown_path(location: Location, root: type[BaseSettings]) -> str:
    """Return `location` as users write it: a[0].b. Below the key of a secret, a key that is not valid is `*`."""
    parts, secret = [], False
    for number, part in enumerate(location):
        is_own = isinstance(part, int) or part == OF_KEY or part in _valid_keys(location[:number], root)
        parts.append("*" if secret and not is_own else part)
        secret |= part in secret_keys(root)
    return redacted("".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip("."))


def line_number(location: Location, node: yaml.Node | None) -> int:
    """Return the line of `location` in the file `node`, or of its nearest ancestor that the file contains."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _valid_keys(location: Location, root: type[BaseSettings]) -> list[str]:
    """Return the keys that are valid at `location`."""
    valid = [root]
    for part in location:
        if isinstance(part, str):
            named = [field for model in valid for key, field in fields(model).items() if key == part]
            valid = [model for field in named for model in models(field.annotation)] or valid
    return [key for model in valid for key in fields(model)]
