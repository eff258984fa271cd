"""A round trip of state through plain values, as a file would store them."""

import base64
import json
from typing import Any

from leakwatch.detect.plain import Plain
from leakwatch.leaks.service_state import ServicePlain
from leakwatch.pipeline import Pipeline


def encode(value: Any) -> Any:
    """Return a plain value without bytes, which JSON does not have. Fail if it has a value of another type."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    assert isinstance(value, dict)
    assert all(type(key) is str for key in value)
    return {key: encode(item) for key, item in value.items()}


def decode(value: Any) -> Any:
    """Return the plain value that was encoded."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return base64.b64decode(value["base64"])
        return {key: decode(item) for key, item in value.items()}
    return value


def text(value: Any) -> str:
    """Return a plain value as JSON."""
    return json.dumps(encode(value))


def stored(value: Plain) -> Any:
    """Return a plain value after a round trip through JSON."""
    return decode(json.loads(text(value)))


def to_plain(pipeline: Pipeline, now: float = 0.0) -> list[Plain]:
    """Return the plain values of a pipeline, as one value per service."""
    return [
        {"shared": service.shared, "service": service.service, "targets": list(service.targets)}
        for service in pipeline.to_plain(now)
    ]


def from_plain(plain: Plain) -> ServicePlain:
    """Return the plain values of a service from the value of `to_plain`."""
    return ServicePlain(plain["shared"], plain["service"], plain["targets"])


def restarted(pipeline: Pipeline, now: float = 0.0) -> Pipeline:
    """Return a new pipeline with the state of another one, as after a restart of leakwatch."""
    new = Pipeline(pipeline.settings)
    new.restore(map(from_plain, decode(json.loads(text(to_plain(pipeline, now))))), now)
    return new
