"""The configuration in force is shown, and no secret of it: every key that may hold one is tried."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from leakwatch.config import Config, parse
from leakwatch.web.api.status import shown
from tests.support.api_world import get, source

SECRET = "hunter2"  # noqa: S105  a secret that must not be seen
HTTP = [
    ("basic_auth: {username: me, password: hunter2}", "basic_auth.password"),
    ("basic_auth: {username: me, password: '${SECRET}'}", "basic_auth.password"),
    ("authorization: {credentials: hunter2}", "authorization.credentials"),
    ("authorization: {type: Token, credentials: '${SECRET}'}", "authorization.credentials"),
    ("http_headers: {X-Key: {secrets: [hunter2]}}", "http_headers.secrets"),
    ("http_headers: {X-Key: {secrets: ['${SECRET}']}}", "http_headers.secrets"),
    ("http_headers: {X-Key: {values: [hunter2]}}", "http_headers.values"),
]
TARGETS = "static_configs: [{targets: ['a:1']}]"
PLACES = {
    "scrape_configs": "scrape_configs: [{job_name: a, %s, static_configs: [{targets: ['a:1']}]}]",
    "http_sd_configs": "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://x/y', %s}]}]",
    "kubernetes_sd_configs": (
        "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, api_server: 'https://x', %s}]}]"
    ),
    "alertmanagers": "alerting: {alertmanagers: [{%s, static_configs: [{targets: ['a:1']}]}]}",
    "warm_from": "warm_from: {url: 'http://x', %s}",
}
OTHERS = [
    "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://x/y?token=hunter2#hunter2'}]}]",
    """scrape_configs: [{job_name: a, relabel_configs: [{action: labeldrop, regex: b}],
    static_configs: [{targets: ['me:hunter2@a:1', 'http://me:hunter2@a:1']}]}]""",
]


def read(text: str) -> Config:
    """Return the configuration in `text`."""
    return parse(text, "leakwatch.yml", Path())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("keys", "name"), HTTP, ids=[keys for keys, _ in HTTP])
def test_no_secret_is_shown(place: str, keys: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords, tokens and headers, also those from the environment, are stars; the key beside them is there."""
    monkeypatch.setenv("SECRET", SECRET)
    config = read(PLACES[place] % keys)
    response = get("/api/v1/status", source(config=lambda: config))
    assert response.status_code == 200
    assert SECRET not in response.text
    assert f"{name.partition('.')[0]}:" in response.json()["configuration"]


@pytest.mark.parametrize("text", OTHERS)
def test_no_url_shows_a_secret(text: str) -> None:
    """What stands before a host or after a path may be a secret."""
    assert SECRET not in get("/api/v1/status", source(config=lambda: read(text))).text


def test_every_key_that_may_hold_a_secret_is_tried() -> None:
    """A new key of that kind fails here until it is added above."""
    tried = {name for _, name in HTTP}
    assert {path for path in secrets(Config) if path not in tried} == set()
    assert {name for name in tried if name != "http_headers.values"} == set(secrets(Config))


def secrets(model: type[BaseModel]) -> Iterator[str]:
    """Yield the last two names of the path to each secret in `model`."""
    for name, field in model.model_fields.items():
        for kind in parts(field.annotation):
            if kind is SecretStr:
                yield name
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from (path if "." in path else f"{name}.{path}" for path in secrets(kind))


def parts(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of."""
    if typing.get_origin(annotation) in {None, types.GenericAlias}:
        yield annotation
    for part in typing.get_args(annotation):
        yield from parts(part)


def test_the_configuration_can_be_read_back() -> None:
    """What is shown is in the words of the file: durations and sizes as they are written, all defaults said."""
    path = Path(__file__).parents[4] / "config" / "leakwatch.yml"
    text = "global: {scrape_interval: 1m30s, body_size_limit: 512KB}\ndetection: {block: 10m}\n"
    config = read(text + "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]")
    found = shown(config)
    assert "scrape_interval: 1m30s" in found
    assert "body_size_limit: 512KB" in found
    assert read(found) == config
    assert yaml.safe_load(found)["metrics"]["stacks_per_target"] == 50
    whole = parse(path.read_text(), str(path), path.parent)
    assert yaml.safe_load(shown(whole)).keys() >= yaml.safe_load(path.read_text()).keys()
