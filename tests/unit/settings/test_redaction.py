"""Secrets at the wrong place: no message, log line, page or response quotes them."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from leakwatch.config import Config, Overrides, load, parse
from leakwatch.daemon import Daemon
from leakwatch.discovery.file import FileConfig, FileDiscoverer
from leakwatch.discovery.http import parse as parse_list
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_builder import TargetBuilder, TargetDefaults
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import ConfigError, DiscoveryError, redacted
from leakwatch.scrape.target_url import target_job
from leakwatch.settings.base import BaseSettings, CredentialSettings
from leakwatch.settings.redaction import fields, hide, models, secret_keys
from leakwatch.web.server.web_config import WebSettings
from leakwatch.web.server.web_config_file import read
from tests.support.api_world import app_state, get
from tests.support.clock import ManualClock

SECRET = "hunter2"  # noqa: S105  a text to search for
TARGETS = "static_configs: [{targets: ['h:1']}]"


def job(text: str) -> str:
    """Return a configuration with one job that has `text`."""
    return f"scrape_configs:\n- {{job_name: a, {TARGETS}, {text}}}\n"


def targets(address: str) -> str:
    """Return a configuration with one target."""
    return f"scrape_configs:\n- {{job_name: a, static_configs: [{{targets: ['{address}']}}]}}\n"


INVALID = [
    *(job(f"authorization: {text}") for text in ("hunter2", "[hunter2]", "{hunter2}", "{credentials: [hunter2]}")),
    *(job(f"authorization: {{{key}: hunter2}}") for key in ("token", "credentials_file", "credential")),
    job("authorization: {type: basic, credentials: hunter2}"),
    job("authorization: {type: hunter2, type: hunter2}"),
    job("authorization: {hunter2: 1, hunter2: 2}"),
    job("authorization: {credentials: {hunter2: hunter2}}"),
    *(job(f"basic_auth: {text}") for text in ("'me:hunter2'", "[me, hunter2]", "{me: hunter2}", "{'me:hunter2'}")),
    job("basic_auth: {username: me, password: [hunter2]}"),
    job("basic_auth: {username: me, password_file: hunter2}"),
    job("basic_auth: {username: {hunter2: x}, password: x}"),
    *(job(f"http_headers: {text}") for text in ("hunter2", "{X: hunter2}", "{X: [hunter2]}", "{'X:hunter2'}")),
    *(job(f"http_headers: {{X: {{{key}: hunter2}}}}") for key in ("secrets", "values", "files", "secret")),
    *(job(f"http_headers: {{X: {{{key}: [hunter2ü]}}}}") for key in ("values", "files")),
    job("http_headers: {'X Y hunter2': {values: [a]}}"),
    *(job(f"params: {text}") for text in ("hunter2", "[hunter2]", "{key: hunter2}", "{key: [[hunter2]]}")),
    job("params: {key: {hunter2: 1}}"),
    job("password: hunter2"),
    job("bearer_token: hunter2"),
    job("basic_auth: &hunter2 x, x: *hunter3"),
    job("authorization: *hunter2"),
    job("authorization: !hunter2 x"),
    job("authorization: {credentials: !!int hunter2}"),
    "authorization: hunter2",
    "global: {authorization: hunter2}",
    *map(
        targets,
        (
            *(
                "me:hunter2@h:1",
                "hunter2@h:1",
                "http://me:hunter2@h:1",
                "http://h:1/?token=hunter2",
                "h:1/?hunter2",
            ),
            *(
                "me:hun/hunter2@h:1",
                "me:h@hunter2@h:1",
                "h:1?token=hunter2",
                "unix://me:hunter2@h",
                "a b:hunter2@h",
            ),
        ),
    ),
    *(
        job(f"http_sd_configs: [{{url: '{url}'}}]")
        for url in (
            *("ftp://me:hunter2@h/", "http://me:hunter2@h/", "http://me:hun/hunter2@h/"),
            *(
                "ftp://h/?token=hunter2",
                "h/?token=hunter2",
                "h?hunter2=x",
                "http://h:x/?hunter2",
                "http:/h/#hunter2",
            ),
            *("http://hunter2:x@[h/", "ftp://a:b@h/?hunter2"),
        )
    ),
    *(
        f"warm_from: {{url: '{url}'}}"
        for url in (
            "http://me:hunter2@h",
            "http://h:x/?a=hunter2",
            "ftp://h/?hunter2",
            "me:hunter2@h",
            "h?a=hunter2",
        )
    ),
    *(
        f"web: {{{key}: '{url}'}}"
        for key in ("external_url", "listen", "route_prefix")
        for url in ("http://me:hunter2@h", "https://h/?token=hunter2", "me:hunter2@h", "/a?token=hunter2")
    ),
    "web: {allowed_hosts: ['http://me:hunter2@h']}",
    "alerting: {alertmanagers: [{static_configs: [{targets: ['me:hunter2@h:1']}]}]}",
    "alerting: {alertmanagers: [{static_configs: [{targets: ['h:1']}], path_prefix: '/x?token=hunter2'}]}",
    "links: {source: 'https://me:hunter2@h/{nothing}'}",
    "links: {source: {example.com/a: 'https://h/{nothing}?token=hunter2'}}",
    "links: {source: 'me:hunter2@h'}",
    job("dns_sd_configs: [{names: ['me:hunter2@h..x']}]"),
    job("profile_path: '/debug/pprof?token=hunter2'"),
    job("metrics_path: '/metrics?token=hunter2'"),
    job("kubernetes_sd_configs: [{role: pod, api_server: 'https://me:hunter2@h'}]"),
    job("kubernetes_sd_configs: [{role: pod, api_server: 'https://h/?token=hunter2'}]"),
    job("kubernetes_sd_configs: [{role: pod, api_server: 'https://me:hun/hunter2@h'}]"),
    job("file_sd_configs: [{files: ['https://me:hunter2@h']}]"),
    job("tls_config: {cert_file: x, key_file: 'https://me:hunter2@h'}"),
]
"""Invalid configurations with a secret."""

INVALID_WEB = [
    "basic_auth_users: {me: hunter2}",
    "basic_auth_users: {'me:hunter2'}",
    "basic_auth_users: me:hunter2",
    "basic_auth_users: {me: x, hunter2: [hunter2]}",
    "basic_auth_users: {hunter2: x, hunter2: x}",
    "tls_server_config: {cert_file: x, key: hunter2}",
    "tls_server_config: {cert_file: x, key: [hunter2]}",
    'tls_server_config: {cert_file: x, key_file: "-----BEGIN PRIVATE KEY-----\\nhunter2\\n"}',
    "http_server_config: {headers: {Authorization: hunter2}}",
]


@pytest.mark.parametrize("text", INVALID)
def test_invalid_configurations(text: str, tmp_path: Path) -> None:
    """`check-config` reports an error with file and line, and without the secret."""
    path = tmp_path / "leakwatch.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert f"{path}:" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", INVALID_WEB)
def test_invalid_web_configurations(text: str, tmp_path: Path) -> None:
    """The error of a web configuration does not contain the secret either."""
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", INVALID[::7])
def test_a_failed_reload(text: str, tmp_path: Path) -> None:
    """Neither the log nor the page and the API of the status quote the secret after a failed reload."""
    path = tmp_path / "leakwatch.yml"
    path.write_text(job("scheme: http"))
    daemon = Daemon(lambda: load(path))
    path.write_text(text)
    with capture_logs() as log, pytest.raises(ConfigError):
        asyncio.run(daemon.reload())
    own = daemon._app_state("").own
    state = app_state(last_reload=own.last_reload, configuration_yaml=own.configuration_yaml)
    pages = [get("/status", state).text, get("/api/v1/status", state).text]
    assert all(str(path) in page for page in pages)
    assert SECRET not in f"{log}{pages}"


def test_an_internal_error_while_reading() -> None:
    """The API does not quote an unexpected error, which may contain any value."""
    configs = iter([Config()])

    def read_config() -> Config:
        for config in configs:
            return config
        raise KeyError(SECRET)

    daemon = Daemon(read_config)
    with pytest.raises(ConfigError, match="KeyError") as caught:
        asyncio.run(daemon.reload())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "a=http://me:hunter2@h:x",
            "http://me:hun/hunter2@h:1",
            "http://me:h@hunter2@h:x",
            "ftp://me:hunter2@h:1",
        ),
        *("me:hunter2@h:1:1", "=http://me:hunter2@h", "http://me:hunter2@[h", "http://h:x/?token=hunter2"),
    ],
)
def test_invalid_targets_of_the_command_line(url: str) -> None:
    """The error of `--target` does not contain the secret."""
    with pytest.raises(ConfigError) as caught:
        target_job(url)
    assert SECRET not in str(caught.value)


def test_a_valid_target_of_the_command_line() -> None:
    """The name of the job, which pages show, is the service, or the URL without password and query."""
    url = "http://me:p@hunter2@h:1/x?token=hunter2"
    assert target_job(f"a={url}").job_name == "a"
    assert target_job(url).job_name == "http://h:1/x"


@pytest.mark.parametrize("option", [("web", "listen"), ("web", "external_url"), ("warm_from", "url")])
@pytest.mark.parametrize("url", ["me:hunter2@h", "ftp://me:hunter2@h", "http://h:x/?token=hunter2"])
def test_invalid_options(option: tuple[str, str], url: str) -> None:
    """The error of an option does not contain the secret."""
    with pytest.raises(ConfigError) as caught:
        Config().override(Overrides(values={option: url}))
    assert SECRET not in str(caught.value)


ADDRESSES = ["me:hunter2@h:1", "hunter2@h:1", "http://h:1/?token=hunter2", "http://me:hun/hunter2@h:1"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_discovered_addresses(address: str, tmp_path: Path) -> None:
    """The log of an invalid address from files, servers or rules does not contain the secret."""
    path = tmp_path / "targets.yml"
    path.write_text(f"- {{targets: ['{address}'], labels: '{address}'}}\n")
    group = TargetGroup(targets=(address,))
    with capture_logs() as log:
        asyncio.run(FileDiscoverer(FileConfig(files=(path,)), DiscoveryStatus(), ManualClock()).read())
        asyncio.run(TargetBuilder(TargetDefaults(job="a", scheme="http", path="/x")).build([group]))
    assert len(log) == 2
    assert SECRET not in str(log)
    with pytest.raises(DiscoveryError) as caught:
        parse_list(f'[{{"targets": "{address}"}}]'.encode(), "http://h")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_configuration_on_the_page_of_the_status(address: str) -> None:
    """Rules may make an address of any text, which the page does not show with its secrets."""
    rules = "relabel_configs: [{target_label: __address__, replacement: 'h:1'}]"
    text = f"scrape_configs: [{{job_name: a, static_configs: [{{targets: ['{address}']}}], {rules}}}]"
    assert SECRET not in parse(text, "f.yml", Path()).to_yaml()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("h:1", "h:1"),
        ("http://h:1/a", "http://h:1/a"),
        ("http://u:p@h:1/a?b=c#d", "http://**********@h:1/a?**********"),
        ("(?P<name>a)", "(?P<name>a)"),
        ("(?i)a?b", "(?i)a?b"),
        ("a/(?i)b", "a/(?i)b"),
        ("h/?a", "h/?**********"),
        ("@h", "@h"),
        ("x?a=b", "x?**********"),
        ("a\nb", "**********"),
    ],
)
def test_redacted_text(text: str, shown: str) -> None:
    """User, password and query are hidden; other text stays."""
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_other_messages_stay() -> None:
    """A message about a value without secrets is not changed."""
    assert hide("'a' is not b; write 'a:1'", "a") == "'a' is not b; write 'a:1'"


def _all_models(root: type[BaseSettings]) -> set[type[BaseSettings]]:
    inner = {model for field in fields(root).values() for model in models(field.annotation)}
    return {root}.union(*map(_all_models, inner))


def test_secret_keys_are_complete() -> None:
    """The keys are derived from the models: each key of a secret, and each model in which any value may be one."""
    assert secret_keys(Config) == {
        *("password", "credentials", "secrets", "basic_auth", "authorization", "http_headers", "params")
    }
    assert secret_keys(WebSettings) == {"key", "basic_auth_users"}
    with_secret = {
        model.__name__
        for model in _all_models(Config)
        if any(str(SecretStr.__name__) in repr(field.annotation) for field in fields(model).values())
    }
    credentials = {model.__name__ for model in _all_models(Config) if issubclass(model, CredentialSettings)}
    assert with_secret - {"ScrapeConfig"} == credentials  # of a job, only `params` may have secrets
