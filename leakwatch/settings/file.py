"""Reads a YAML file into settings; errors name the file, the line and the key.

YAML is read as Prometheus reads it. PyYAML follows YAML 1.1, where `yes` is true, 010 is eight and 12:30 is 750.
"""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from leakwatch.errors import ConfigError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import describe, line_of, repeated_keys

BOOL, INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"


class Loader(yaml.SafeLoader):
    """Reads booleans and whole numbers as YAML 1.2 has them."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as the class above declares it
        first: [(tag, pattern) for tag, pattern in known if tag not in {BOOL, INT}]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver(BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
Loader.add_implicit_resolver(INT, re.compile(r"(?:0|-?[1-9][0-9]*)\Z"), list("-0123456789"))

NAMED = re.compile(r"(alias|anchor|tag|handle) (['\"]).*\2")
"""What YAML calls a text that begins with * & or !, and quotes: it may be a password that wanted quotes."""

Root = TypeVar("Root", bound=BaseSettings)


def read_settings(path: Path, root: type[Root]) -> Root:
    """Return what the file at `path` says; files it names are relative to it. Raises ConfigError."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return parse_settings(text, str(path), path.parent, root)


def parse_settings(text: str, name: str, directory: Path, root: type[Root]) -> Root:
    """Return what `text` says, which errors call `name`; raises ConfigError with a line per mistake."""
    try:
        node, data = compose(text), load(text)
        mistakes = list(repeated_keys(node, name))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = NAMED.sub(r"\1", error.problem or error.context or "")
        raise ConfigError(f"{name}:{mark.line + 1 if mark else 1}: {said}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply, or within itself") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error
    if not mistakes:
        try:
            return root.model_validate({} if data is None else data, context={"directory": directory})
        except ValidationError as error:
            details = sorted(error.errors(), key=lambda detail: line_of(detail["loc"], node))
            mistakes = [describe(detail, node, name, root) for detail in details]
    raise ConfigError("\n".join(mistakes))


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of `text`, which know their lines; raises what PyYAML raises."""
    return yaml.compose(text, Loader=Loader)


def load(text: str) -> Any:
    """Return what `text` says; raises what PyYAML raises."""
    return yaml.load(text, Loader=Loader)  # noqa: S506  a SafeLoader by another name
