"""Writes docs/configuration.md from the settings models: python docs/source/configuration.py [FILE]."""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leakwatch.config import Config
from leakwatch.discovery.runner import DiscoverySettings
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.units import exact_duration, exact_size
from leakwatch.web.server.web_config import WebSettings

PAGE = Path(__file__).parents[1] / "configuration.md"
SHARED: Mapping[type[BaseSettings], str] = {DiscoverySettings: "Discovery", HttpSettings: "HTTP client"}
"""Models with keys that several other models share, and the titles of their sections."""
HEAD = """\
# Configuration

<!-- Written by `make docs` from the models in leakwatch/; edit the docstrings there. -->

This page lists all keys of the file of `leakwatch run --config`, and of the file of `--web.config.file`. Start
with the commented file [config/leakwatch.yml](../config/leakwatch.yml). `leakwatch check-config` reports each
invalid key and value with its line. `leakwatch config-schema` prints a JSON Schema for editors. An unknown key is
an error.

| type | format |
|---|---|
| duration | `15s`, `5m`, `1h30m`, `200ms` |
| size | `512KB`, `64MB`; powers of 1024 |
| path | relative to the configuration file |
| secret | text that is never shown; `${NAME}` is replaced by the environment variable |
| time | `2027-01-31` (midnight UTC) or `2027-01-31T08:00:00Z` |
| text | some keys also accept an integer or a boolean |

`[]` in the name of a key stands for each entry of a list.
"""
OWN_NAME = re.compile(r"^(One of )?`\w+`(: |\.$)")
"""The name of its key, with which the docstring of a model may begin."""
WORDS = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text"}
FORMATS = {"path": "path", "file-path": "path", "password": "secret", "date-time": "time"}

Schema = Mapping[str, Any]


@dataclass
class Section:
    """One table: a model, and all paths where its keys occur."""

    model: type[BaseSettings]
    name: str
    schema: Schema
    paths: list[str] = field(default_factory=list)


class Sections:
    """The sections of a model and of the models below it, in the order of the file."""

    def __init__(self, root: type[BaseSettings], name: str) -> None:
        schema = root.model_json_schema(by_alias=True, mode="validation")
        self._defined: Schema = schema.get("$defs", {})
        self._models = {model.__name__: model for model in _below(BaseSettings)}
        self.sections: dict[type[BaseSettings], Section] = {}
        self._visit(root, schema, "", name)

    def _visit(self, model: type[BaseSettings], schema: Schema, path: str, name: str) -> None:
        section = self.sections.get(model)
        if section is not None:
            section.paths.append(path)
            return
        self.sections[model] = section = Section(model, name, schema, [path])
        start = "" if model in SHARED else path
        for key, value in schema["properties"].items():
            if key not in _shared_keys(model):
                for reference, suffix in _references(value):
                    below = f"{start}.{key}{suffix}".lstrip(".")
                    self._visit(self._models[reference], self._defined[reference], below, f"`{below}`")
        for base in _shared(model):
            self._visit(base, base.model_json_schema(by_alias=True), path, SHARED[base])

    def write(self) -> Iterator[str]:
        """Yield the text of each section."""
        for section in self.sections.values():
            yield f"\n## {section.name}\n\n{_summary(section.model)}\n"
            if section.model in SHARED:
                yield f"\nIn {', '.join(f'`{path}`' for path in section.paths)}.\n"
            yield "\n| key | type | default | meaning |\n|---|---|---|---|\n"
            documented = descriptions(section.model)
            required = section.schema.get("required", ())
            for key, value in section.schema["properties"].items():
                if key not in _shared_keys(section.model):
                    meaning = documented.get(key) or self._first_sentence(section.model, key, value)
                    yield self._row(key, value, meaning, required=key in required)
            for base in _shared(section.model):
                yield f"| | | | and the keys of [{SHARED[base]}](#{_anchor(SHARED[base])}) |\n"

    def _first_sentence(self, model: type[BaseSettings], key: str, value: Schema) -> str:
        """Return the first sentence of the model of a value; raises ValueError if the value has no model."""
        for reference, _ in _references(value):
            return _summary(self._models[reference]).partition(".")[0] + "."
        raise ValueError(f"no docstring below {model.__name__}.{key}")

    def _row(self, key: str, value: Schema, meaning: str, *, required: bool) -> str:
        default = "required" if required else _default(value.get("default"), self._words(value))
        return f"| `{key}` | {self._words(value)} | {default} | {_cell(meaning)} |\n".replace(" |  |", " | |")

    def _words(self, value: Schema) -> str:
        """Return the type of a value in words."""
        if "$ref" in value:
            name = self.sections[self._models[value["$ref"].rpartition("/")[2]]].name
            return f"[{name}](#{_anchor(name)})"
        if "anyOf" in value:
            return " or ".join(self._words(option) for option in value["anyOf"] if option.get("type") != "null")
        if "enum" in value or "const" in value:
            options = value.get("enum", [value.get("const")])
            return ", ".join(f"`{option or json.dumps(option)}`" for option in options)
        if value.get("type") == "array":
            return f"list of {self._words(value['items'])}"
        if value.get("type") == "object":
            return f"mapping of text to {self._words(value['additionalProperties'])}"
        return _scalar(value)


def page() -> str:
    """Return the whole page."""
    config = "".join(Sections(Config, "The file").write())
    web = "".join(Sections(WebSettings, "The file of `--web.config.file`").write())
    return HEAD + config + web


def descriptions(model: type[BaseSettings]) -> dict[str, str]:
    """Return the docstrings below fields, by key."""
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseSettings) and owner is not BaseSettings:
            texts |= _docstrings(owner)
    return {info.alias or name: texts[name] for name, info in model.model_fields.items() if name in texts}


def _docstrings(owner: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{owner} is not a class")
    texts = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            texts[node.target.id] = inspect.cleandoc(ast.literal_eval(after.value))
    return texts


def _below(model: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _below(subclass)


def _shared(model: type[BaseSettings]) -> list[type[BaseSettings]]:
    return [base for base in SHARED if issubclass(model, base) and model is not base]


def _shared_keys(model: type[BaseSettings]) -> set[str]:
    return {key for base in _shared(model) for key in base.model_fields}


def _references(value: Schema) -> Iterator[tuple[str, str]]:
    """Yield the name of each model of a value, with the suffix of its path."""
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], ""
    for option in value.get("anyOf", ()):
        yield from _references(option)
    for key, suffix in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(value.get(key), dict):
            yield from ((name, suffix + rest) for name, rest in _references(value[key]))


def _scalar(value: Schema) -> str:
    examples = value.get("examples", [])
    if "15s" in examples:
        return "duration"
    if "64MB" in examples:
        return "size"
    kind = value.get("type", "string")
    words = FORMATS.get(value.get("format", ""), "") or WORDS["string" if isinstance(kind, list) else kind]
    least = value.get("minimum", value.get("exclusiveMinimum"))
    most = value.get("maximum")
    if least is not None and most is not None:
        return f"{words}, {'above ' if 'exclusiveMinimum' in value else ''}{least} to {most}"
    return words if least is None else f"{words}, at least {least}"


def _default(value: Any, words: str) -> str:
    if value is None or isinstance(value, dict):  # the table of the model has its defaults
        return ""
    if isinstance(value, float | int) and "duration" in words:
        value = exact_duration(value)
    if isinstance(value, int) and words == "size":
        value = exact_size(value)
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`".replace("|", "\\|")


def _summary(model: type[BaseSettings]) -> str:
    text = OWN_NAME.sub("", _cell((inspect.getdoc(model) or "").partition("\n\n")[0]))
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _anchor(name: str) -> str:
    return re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PAGE).write_text(page(), encoding="utf-8")
