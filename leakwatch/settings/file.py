"""Reads a YAML file into settings. Errors name the file, the line and the key."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from leakwatch.errors import ConfigError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.messages import line_number, located_message, repeated_keys
from leakwatch.settings.yaml_file import load_yaml

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
    node, data = load_yaml(text, name)
    messages = list(repeated_keys(node, name, root))
    if not messages:
        try:
            return root.model_validate({} if data is None else data, context={"directory": directory})
        except OSError as error:
            messages = [f"{name}: a file that it names cannot be read: {error}"]
        except ValidationError as error:
            details = sorted(error.errors(), key=lambda detail: line_number(detail["loc"], node))
            messages = [located_message(detail, node, name, root) for detail in details]
    raise ConfigError("\n".join(messages))
