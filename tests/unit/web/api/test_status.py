"""The status shows the configuration in force without secrets; every key for a secret is tried."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from leakwatch.config import Config, parse
from tests.support.api_world import app_state, get

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
    "scrape_configs: [{job_name: a, params: {token: [hunter2]}, static_configs: [{targets: ['a:1']}]}]",
]


def read(text: str) -> Config:
    """Return the configuration in `text`."""
    return parse(text, "leakwatch.yml", Path())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("keys", "name"), HTTP, ids=[keys for keys, _ in HTTP])
def test_no_secret_is_shown(place: str, keys: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords, tokens and headers, including those from the environment, are hidden; their keys are shown."""
    monkeypatch.setenv("SECRET", SECRET)
    config = read(PLACES[place] % keys)
    response = get("/api/v1/status", app_state(configuration_yaml=config.to_yaml))
    assert response.status_code == 200
    assert SECRET not in response.text
    assert f"{name.partition('.')[0]}:" in response.json()["configuration"]


@pytest.mark.parametrize("text", OTHERS)
def test_no_url_shows_a_secret(text: str) -> None:
    """User, password, query and fragment of a URL may be secrets."""
    assert SECRET not in get("/api/v1/status", app_state(configuration_yaml=read(text).to_yaml)).text


def test_every_key_for_a_secret_is_tried() -> None:
    """A new key for a secret fails this test until it is added above."""
    tried = {name for _, name in HTTP} | {"scrape_configs.params"}  # in OTHERS
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
    """Yield the types in an annotation."""
    if typing.get_origin(annotation) in {None, types.GenericAlias}:
        yield annotation
    for part in typing.get_args(annotation):
        yield from parts(part)


def test_the_configuration_can_be_read_back() -> None:
    """The configuration is shown in the format of the file, with all defaults."""
    path = Path(__file__).parents[4] / "config" / "leakwatch.yml"
    text = "global: {scrape_interval: 1m30s, body_size_limit: 512KB}\ndetection: {block: 10m}\n"
    config = read(text + "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]")
    shown = config.to_yaml()
    assert "scrape_interval: 1m30s" in shown
    assert "body_size_limit: 512KB" in shown
    assert read(shown) == config
    assert yaml.safe_load(shown)["metrics"]["stacks_per_target"] == 50
    complete = parse(path.read_text(), str(path), path.parent)
    assert yaml.safe_load(complete.to_yaml()).keys() >= yaml.safe_load(path.read_text()).keys()
