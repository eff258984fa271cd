"""Keeps secrets out of the messages for invalid settings, also secrets at the wrong place.

A value is hidden below each key that contains a secret. Elsewhere, user, password and query of a URL are hidden.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from leakwatch.errors import MASK, redacted
from leakwatch.settings.base import BaseSettings, CredentialSettings

QUOTED = re.compile(r"(['\"])(.+?)\1")


def fields(model: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the keys of a model."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def models(annotation: Any) -> list[type[BaseSettings]]:
    """Return the models in a type such as tuple[Model, ...] or Model | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseSettings):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models(inner)]


def _contains_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_contains_secret, get_args(annotation)))


@cache
def secret_keys(root: type[BaseSettings]) -> frozenset[str]:
    """Return the keys of secrets, and of models in which every value may be one, anywhere in `root`."""
    keys = set[str]()
    for key, field in fields(root).items():
        inner = models(field.annotation)
        if _contains_secret(field.annotation) or any(issubclass(model, CredentialSettings) for model in inner):
            keys.add(key)
        keys |= frozenset[str]().union(*map(secret_keys, inner))
    return frozenset(keys)


def hide(message: str, value: object, *, is_secret: bool = False) -> str:
    """Return the message for an invalid value without secrets in the value; `is_secret`: its text is a secret."""
    for text in _texts(value):
        safe = MASK if is_secret and not isinstance(value, Mapping) else redacted(text)
        if safe != text:
            message = _replaced(message, text, safe)
    return message


def _replaced(message: str, text: str, safe: str) -> str:
    def word(_: re.Match[str]) -> str:
        return safe

    def quoted(match: re.Match[str]) -> str:
        # Libraries quote parts of a URL, such as a password that they consider a port.
        return repr(MASK) if match[2] in text and match[2] not in safe else match[0]

    message = message.replace(repr(text), repr(safe))
    if repr(text) != f"'{text}'":  # a validator may quote it as a part of a path
        message = message.replace(repr(text)[1:-1], safe)
    message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", word, message)
    return QUOTED.sub(quoted, message)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | int | float) and str(value):
        yield str(value)
