"""Reads a YAML file into settings. Errors name the file, the line and the key.

Booleans and integers follow YAML 1.2, as in Prometheus. PyYAML follows YAML 1.1, where `yes` is true, 010 is eight
and 12:30 is 750.
"""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from leakwatch.errors import ConfigError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import line_number, located_message, repeated_keys

BOOL, INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"


class YamlLoader(yaml.SafeLoader):
    """A SafeLoader that reads booleans and integers as YAML 1.2 does."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as the base class declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in {BOOL, INT}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


YamlLoader.add_implicit_resolver(BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
YamlLoader.add_implicit_resolver(INT, re.compile(r"(?:0|-?[1-9][0-9]*)\Z"), list("-0123456789"))

QUOTED_TOKEN = re.compile(r"(alias|anchor|tag|handle) (['\"]).*\2")
"""A token with * & or ! that a message of PyYAML quotes; it may be a password that is missing its quotes."""

Root = TypeVar("Root", bound=BaseSettings)


def read_settings(path: Path, root: type[Root]) -> Root:
    """Return the settings in the file at `path`; paths in it are relative to the file. Raises ConfigError."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return parse_settings(text, str(path), path.parent, root)


def parse_settings(text: str, name: str, directory: Path, root: type[Root]) -> Root:
    """Return the settings in `text`; `name`: of its file. Raises ConfigError, with one line per invalid value."""
    try:
        node, data = yaml.compose(text, Loader=YamlLoader), load_yaml(text)
        messages = list(repeated_keys(node, name))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = QUOTED_TOKEN.sub(r"\1", error.problem or error.context or "")
        raise ConfigError(f"{name}:{mark.line + 1 if mark else 1}: {problem}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply, or within itself") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error
    if not messages:
        try:
            return root.model_validate({} if data is None else data, context={"directory": directory})
        except ValidationError as error:
            details = sorted(error.errors(), key=lambda detail: line_number(detail["loc"], node))
            messages = [located_message(detail, node, name, root) for detail in details]
    raise ConfigError("\n".join(messages))


def load_yaml(text: str) -> Any:
    """Return the data in `text`; raises yaml.YAMLError, and ValueError and RecursionError as PyYAML does."""
    return yaml.load(text, Loader=YamlLoader)  # noqa: S506  YamlLoader is a SafeLoader
