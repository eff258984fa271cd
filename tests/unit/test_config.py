"""The configuration file: valid files, and the message for each invalid value."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.config import Config, Overrides, Value, load, parse, schema
from leakwatch.discovery.dns import DnsConfig
from leakwatch.discovery.file import FileConfig
from leakwatch.discovery.http import HttpConfig
from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.relabel import RelabelConfig
from leakwatch.errors import ConfigError, UsageError
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.scrape.config import ScrapeConfig
from leakwatch.scrape.target_url import target_job
from leakwatch.settings.types import expand
from leakwatch.settings.units import exact_duration, format_duration, parse_duration, parse_size
from leakwatch.web.server.config import WebConfig

CONFIGS = Path(__file__).parents[1] / "configs"
EXPECTED: dict[str, str] = json.loads((CONFIGS / "expected.json").read_text())
SHIPPED = Path(__file__).parents[2] / "config" / "leakwatch.yml"


def test_every_invalid_file_has_a_message() -> None:
    """Each file in tests/configs has a message in expected.json."""
    assert {path.stem for path in CONFIGS.glob("*.yml")} == EXPECTED.keys()


@pytest.mark.parametrize(("name", "message"), EXPECTED.items(), ids=EXPECTED)
def test_invalid_files(name: str, message: str) -> None:
    """The message for an invalid file has the file, the line, the key and a correction."""
    path = CONFIGS / f"{name}.yml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert message.replace("{f}", str(path)).replace("{d}", str(CONFIGS)) in str(caught.value).splitlines()[0]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "route", "prefix"),
    [
        (None, None, ""),
        ("https://example.com", None, ""),
        ("https://example.com/", None, ""),
        ("https://example.com/a/b/", None, "/a/b"),
        ("https://example.com/a/b", "/", ""),
        ("https://example.com/a%20b", "/", ""),
        ("https://example.com/a", "b", "/b"),
        (None, "/b/", "/b"),
    ],
)
def test_prefixes(url: str | None, route: str | None, prefix: str) -> None:
    """The prefix is route_prefix, else the path of external_url, as in Prometheus; outer slashes are ignored."""
    assert WebConfig(external_url=url, route_prefix=route).prefix() == prefix
    options = Overrides(values={("web", "route_prefix"): route, ("web", "external_url"): url})
    assert Config().override(options).web.prefix() == prefix


def test_options_override_keys() -> None:
    """The command line overrides the file."""
    config = parse("web: {listen: 'a:1', external_url: 'http://x/y'}", "f.yml", Path())
    options: dict[tuple[str, str], Value | None] = {
        ("web", "listen"): "b:2",
        ("web", "external_url"): None,
        ("web", "route_prefix"): "/z",
    }
    options |= {("web", "allowed_hosts"): ["A.example", "*.b.example."], ("web", "enable_lifecycle"): True}
    assert config.override(Overrides(values=options)).web == WebConfig(
        listen="b:2",
        external_url="http://x/y",
        route_prefix="/z",
        allowed_hosts=("a.example", "*.b.example"),
        enable_lifecycle=True,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({("web", "external_url"): "x"}, "--web.external-url: must be like https://example.com/leakwatch"),
        ({("web", "listen"): "b:2", ("web", "route_prefix"): ".."}, "--web.route-prefix: '..' must be a path"),
        (
            {("web", "listen"): "b:2", ("web", "external_url"): "http://h/%20"},
            "--web.external-url: '/%20' must be",
        ),
        ({("web", "allowed_hosts"): ["h:1"]}, "--web.allowed-host: 'h:1' must be a host name without"),
        ({("web", "listen"): "x", ("warm_from", "url"): "http://h"}, "--listen: 'x' must be host:port"),
        ({("web", "listen"): "b:2", ("warm_from", "url"): "h"}, "--warm-from: "),
    ],
)
def test_an_invalid_option_is_named(options: dict[tuple[str, str], str], message: str) -> None:
    """The error of an invalid option names it, also if other options are given."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        Config().override(Overrides(["shop=http://h:1"], options))


def test_a_target_that_conflicts_with_the_file_is_named() -> None:
    """The error of a target names --target if other options are given too."""
    config = parse("detection: {block: 1m}", "f.yml", Path())
    with pytest.raises(UsageError, match=r"^--target: job 'shop': detection\.block 1m is shorter than"):
        config.override(Overrides(["shop=http://h:1"]))


def test_all_errors_are_reported_at_once() -> None:
    """Three invalid values give three lines, in the order of the file."""
    with pytest.raises(ConfigError) as caught:
        parse("global:\n  scrape_interval: x\n  y: 1\nweb:\n  listen: z\n", "f.yml", Path())
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["f.yml:2", "f.yml:3", "f.yml:5"]


def test_contradicting_keys() -> None:
    """Each message has the line of the key to change: the interval if the file has no block."""
    text = (
        "web: {}\ndetection:\n  own_code: []\n  block: 1m\nscrape_configs:\n- job_name: a\n  scrape_timeout: 20s\n"
        "  static_configs: [{targets: ['a:1']}]\n- static_configs: [{targets: ['a:1']}]\n  job_name: a\n"
        "links:\n  source: https://x/{path}\n"
    )
    assert places(text) == [
        "f.yml:4: detection.block",
        "f.yml:7: scrape_configs[0].scrape_timeout",
        "f.yml:10: scrape_configs[1].job_name",
        "f.yml:12: links.source",
    ]
    jobs = "scrape_configs:\n- static_configs: [{targets: ['a:1']}]\n  job_name: a\n"
    assert places(f"global:\n  scrape_interval: 2m\n{jobs}") == ["f.yml:2: global.scrape_interval"]
    assert places(f"{jobs}  scrape_interval: 2m\n") == ["f.yml:4: scrape_configs[0].scrape_interval"]


def places(text: str) -> list[str]:
    """Return the places of the errors in a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yml", Path())
    return [": ".join(line.split(": ")[:2]) for line in str(caught.value).splitlines()]


def test_a_missing_file() -> None:
    """A missing file raises a ConfigError with the message of the system."""
    with pytest.raises(ConfigError, match=r"^nowhere\.yml: No such file or directory$"):
        load(Path("nowhere.yml"))


def test_the_shipped_file_is_valid_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """config/leakwatch.yml is valid and contains every key."""
    for name in list(os.environ):
        if name.startswith("LEAKWATCH_"):
            monkeypatch.delenv(name)
    config = load(SHIPPED)
    assert [job.job_name for job in config.scrape_configs] == ["shop", "fleet", "discovered", "kubernetes"]
    text = SHIPPED.read_text()
    properties = json.loads(schema())
    models = [properties, *properties["$defs"].values()]
    keys = {key for model in models for key in model.get("properties", {})}
    assert [key for key in sorted(keys) if f"{key}:" not in text] == []


def test_the_shipped_file_has_the_defaults() -> None:
    """The values that are not marked as examples are the defaults."""
    config, default = load(SHIPPED), Config()
    assert config.global_ == default.global_
    assert config.metrics == default.metrics
    assert config.web == default.web
    assert config.alerting.resend_delay == default.alerting.resend_delay
    assert config.evidence.model_copy(update={"path": None}) == default.evidence
    assert config.detection.model_copy(update={"own_code": ()}) == default.detection
    shop, fleet, discovered, kubernetes = config.scrape_configs
    fields = ScrapeConfig.model_fields
    for job in config.scrape_configs:
        for key in ("scheme", "profile_path", "profile_format", "tls_config", "follow_redirects", "target_limit"):
            assert getattr(job, key) == fields[key].default
    (alertmanager,) = config.alerting.alertmanagers
    assert alertmanager == AlertmanagerConfig(static_configs=alertmanager.static_configs)
    assert shop.scrape_interval == default.global_.scrape_interval
    assert fleet.file_sd_configs[0] == FileConfig(files=fleet.file_sd_configs[0].files)
    (http,), (srv, _), (replace, *_) = (
        discovered.http_sd_configs,
        discovered.dns_sd_configs,
        discovered.relabel_configs,
    )
    assert http == HttpConfig(url=http.url)
    assert srv == DnsConfig(names=srv.names)
    examples_only = {"source_labels", "regex", "target_label"}
    assert replace.model_dump(exclude=examples_only) == RelabelConfig(target_label="x").model_dump(
        exclude=examples_only
    )
    (pods,) = kubernetes.kubernetes_sd_configs
    assert pods == KubernetesConfig(role=pods.role, selectors=pods.selectors)
    text = SHIPPED.read_text()
    recipe = text[
        text.index("    # Each pod that is annotated") : text.index("\ndetection:")
    ]  # is an example as a whole
    lines = text.replace(recipe, "").splitlines()
    values = [line.strip() for line in lines if not line.strip().startswith("#")]
    examples = (
        "job_name:",
        "targets:",
        "labels: {",
        "url:",
        "names:",
        "regex:",
        "target_label:",
        "modulus:",
        "port:",
        "files:",
        "values:",
        "own_code:",
        "example.com/",
    )
    unmarked = [line for line in values if any(word in line for word in examples) and "# example" not in line]
    assert unmarked == []


def test_numbers_and_booleans_are_text_in_rules() -> None:
    """In rules, `true`, `yes` and `080` are text, as in Prometheus; elsewhere, numbers are numbers."""
    job = "job_name: a, static_configs: [{targets: [h]}]"
    for written in ("true", "yes", "080", "8080", "12:30", "0x1F", "off", "1_000"):
        text = f"scrape_configs: [{{{job}, relabel_configs: [{{action: keep, regex: {written}}}]}}]"
        assert parse(text, "f.yml", Path()).scrape_configs[0].relabel_configs[0].regex == written
    assert parse("metrics: {series_limit: 1000}", "f.yml", Path()).metrics.series_limit == 1000
    job = "scrape_configs: [{job_name: a, follow_redirects: no, static_configs: [{targets: ['h:1']}]}]"
    assert parse(job, "f.yml", Path()).scrape_configs[0].follow_redirects is False


@given(st.integers(1, 10**11))
def test_exact_durations(milliseconds: int) -> None:
    """`parse_duration` is the inverse of `exact_duration`."""
    assert round(parse_duration(exact_duration(milliseconds / 1000)) * 1000) == milliseconds


def test_durations_as_prometheus_prints_them() -> None:
    """Weeks and years are used only without a remainder."""
    printed = {90: "1m30s", 5400: "1h30m", 0.2: "200ms", 90 * 86400: "90d", 14 * 86400: "2w", 31536000: "1y"}
    assert {seconds: exact_duration(seconds) for seconds in printed} == printed


def test_rules_may_complete_an_address() -> None:
    """A job with relabel_configs accepts incomplete addresses."""
    text = (
        "scrape_configs: [{job_name: a, relabel_configs: [{target_label: x, replacement: y}],"
        " static_configs: [{targets: [host, 'http://b/']}]}]"
    )
    assert parse(text, "f.yml", Path()).scrape_configs[0].static_configs[0].targets == ("host", "http://b/")


def test_global_is_the_default_of_jobs() -> None:
    """`global` has the defaults of jobs; a timeout never exceeds the interval."""
    text = (
        "global: {scrape_interval: 4s, body_size_limit: 1MB}\n"
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]},"
        " {job_name: b, scrape_interval: 30s, static_configs: [{targets: ['b:1']}]}]"
    )
    config = parse(text, "f.yml", Path())
    a, b = config.jobs()
    assert (a.defaults.interval, a.defaults.timeout, a.size_limit) == (4.0, 4.0, 1024**2)
    assert (b.defaults.interval, b.defaults.timeout, b.cost_limit) == (30.0, 10.0, 0.01)


def test_the_option_for_the_folder_of_evidence() -> None:
    """--evidence.path overrides evidence.path only."""
    config = parse("evidence: {path: here, body_limit: 7}\n", "f", Path("/etc/leakwatch"))
    assert config.evidence.path == Path("/etc/leakwatch/here")
    evidence = config.override(Overrides(values={("evidence", "path"): "there"})).evidence
    assert (evidence.path, evidence.body_limit) == (Path("there"), 7)


def test_the_redaction_of_evidence_applies_to_leaks() -> None:
    """Labels that are redacted in stored profiles are not shown on leaks either: by default all of them."""
    text = "evidence: {redact: {labels: [user*]}}"
    default, some = (parse(each, "leakwatch.yml", Path()).judging().redaction.labels for each in ("", text))
    assert default is not None
    assert default.fullmatch("trace endpoint")
    assert some is not None
    assert (bool(some.fullmatch("user_id")), some.fullmatch("trace endpoint")) == (True, None)


def test_an_empty_file_with_a_target(tmp_path: Path) -> None:
    """An empty file with a target on the command line gives the defaults and this target."""
    (tmp_path / "c.yml").write_text("")
    config = load(tmp_path / "c.yml", Overrides(["shop=http://h:1"]))
    assert config == Config().override(Overrides(["shop=http://h:1"])).with_storage(None)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret from the environment is masked wherever the configuration is printed."""
    monkeypatch.setenv("LEAKWATCH_SECRET", "hunter2")
    text = (
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}],"
        " authorization: {credentials: '${LEAKWATCH_SECRET}'}}]"
    )
    config = parse(text, "f.yml", Path())
    assert ("Authorization", "Bearer hunter2") in config.scrape_configs[0].headers()
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    "value", ["12345", "'12345${LEAKWATCH_UNSET}'", "[12345]", "*12345", "!12345", "!12345!x", "!!12345 x"]
)
def test_messages_do_not_show_secrets(value: str) -> None:
    """The message for an invalid secret has its place only."""
    text = (
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}],"
        f" basic_auth: {{username: u, password: {value}}}}}]"
    )
    with pytest.raises(ConfigError, match=r"^f\.yml:1: ") as caught:
        parse(text, "f.yml", Path())
    assert "12345" not in str(caught.value)


def test_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    """Paths are relative to the folder of the configuration file."""
    (tmp_path / "password").write_text("x")
    (tmp_path / "c.yml").write_text(
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}],"
        " basic_auth: {username: u, password_file: password}}]"
    )
    assert load(tmp_path / "c.yml").scrape_configs[0].headers()[0][0] == "Authorization"


@pytest.mark.parametrize(
    ("text", "service", "address", "scheme", "path"),
    [
        ("http://127.0.0.1:6060", "127.0.0.1:6060", "127.0.0.1:6060", "http", "/debug/pprof"),
        ("127.0.0.1:6060", "127.0.0.1:6060", "127.0.0.1:6060", "http", "/debug/pprof"),
        ("shop=https://shop:8443", "shop", "shop:8443", "https", "/debug/pprof"),
        ("https://shop/debug/pprof", "shop:443", "shop:443", "https", "/debug/pprof"),
        ("shop=http://h", "shop", "h:80", "http", "/debug/pprof"),
        ("http://h:1/admin/debug/pprof/", "h:1", "h:1", "http", "/admin/debug/pprof"),
        ("http://h:1/debug/pprof/goroutine?debug=1", "h:1", "h:1", "http", "/debug/pprof"),
        ("http://[::1]:6060", "[::1]:6060", "[::1]:6060", "http", "/debug/pprof"),
        ("s=unix:///run/app.sock", "s", "unix:///run/app.sock", "http", "/debug/pprof"),
    ],
)
def test_targets_of_the_command_line(text: str, service: str, address: str, scheme: str, path: str) -> None:
    """[SERVICE=]URL is accepted with and without scheme, path and query."""
    job = target_job(text)
    (group,) = job.static_configs
    assert (group.labels["service"], group.targets, job.scheme, job.profile_path) == (
        service,
        (address,),
        scheme,
        path,
    )


@pytest.mark.parametrize(
    ("texts", "jobs"),
    [
        (["shop=http://a:1"], {"shop": ["a:1"]}),
        (["http://a:1"], {"http://a:1": ["a:1"]}),
        (["shop=http://a:1", "shop=http://b:1", "cart=http://c:1"], {"shop": ["a:1", "b:1"], "cart": ["c:1"]}),
        (["shop=http://a:1", "shop=https://b:1"], {"shop": ["a:1"], "shop=https://b:1": ["b:1"]}),
        (
            ["shop=http://a:1", "shop=http://me:hunter2@b:1?x=1"],
            {"shop": ["a:1"], "shop=http://b:1": ["b:1"]},
        ),
        (
            ["file=http://a:1", "file=http://b:1"],
            {"file": ["f:1"], "file=http://a:1": ["a:1"], "file=http://b:1": ["b:1"]},
        ),
    ],
)
def test_jobs_of_the_command_line(texts: list[str], jobs: dict[str, list[str]]) -> None:
    """A job has the name of its service, and all targets of the same settings; or else that of the target."""
    config = parse("scrape_configs: [{job_name: file, static_configs: [{targets: ['f:1']}]}]", "f.yml", Path())
    scrape_configs = (config if "file" in jobs else Config()).override(Overrides(texts)).scrape_configs
    found = {job.job_name: [group.targets[0] for group in job.static_configs] for job in scrape_configs}
    assert found == jobs


def test_a_target_that_is_given_twice() -> None:
    """The error names the job."""
    with pytest.raises(UsageError, match="--target: job_name 'shop' is used twice"):
        Config().override(Overrides(["shop=http://a:1", "shop=http://a:1"]))


def test_query_parameters_in_the_url() -> None:
    """Parameters of the URL become `params`, except those that leakwatch sets; the name of the job has none."""
    job = target_job("http://h:1/debug/pprof/goroutine?debug=1&authKey=a%20b&seconds=3")
    assert job.query_params() == {"authKey": ["a b"]}
    assert job.job_name == "http://h:1/debug/pprof/goroutine"


def test_a_user_in_the_url() -> None:
    """User and password of the URL become basic auth; the password may be escaped."""
    job = target_job("http://me:a%40b@h:1")
    assert job.static_configs[0].targets == ("h:1",)
    assert job.headers() == [("Authorization", "Basic bWU6YUBi")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://h:1", "must be 'http' or 'https'"),
        ("http://", "must be host:port"),
        ("http://a b:1", "must be host:port"),
        ("http://h:x", "must be host:port"),
        ("http://h:99999", "must be host:port"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("127.0.0.1", "must be host:port, for example 127.0.0.1:6060"),
        ("shop=h", "must be host:port"),
        ("=http://h:1", "there is no service before the ="),
    ],
)
def test_invalid_targets(text: str, message: str) -> None:
    """The message for an invalid target quotes the target and names the problem."""
    with pytest.raises(UsageError) as caught:
        target_job(text)
    assert str(caught.value).startswith(f"target {text!r}: ")
    assert message in str(caught.value)


def test_the_schema() -> None:
    """In the JSON Schema, durations are text, and keys have their names in the file."""
    described = json.loads(schema())
    assert "global" in described["properties"]
    assert described["$defs"]["DetectionConfig"]["properties"]["block"]["type"] == "string"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1h30m", 5400), ("200ms", 0.2), ("1d", 86400), ("2w", 14 * 86400), ("1y", 31536000)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations in the format of Prometheus are parsed."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "200ms"), (45, "45s"), (7800, "2h10m"), (3600, "1h"), (86400 * 3 + 14400, "3d4h")]
)
def test_formatted_durations(seconds: float, text: str) -> None:
    """Durations are formatted in the two largest units."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"), [("64MB", 64 * 1024**2), ("512KB", 512 * 1024), ("10", 10), ("1.5GiB", 1610612736)]
)
def test_sizes(text: str, size: int) -> None:
    """Units are powers of 1024, as in Prometheus."""
    assert parse_size(text) == size


def test_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ${NAME} is a variable; other dollar signs stay."""
    monkeypatch.setenv("A", "x")
    assert expand("$A ${A} $1 ${1}") == "$A x $1 ${1}"


@pytest.mark.parametrize(
    ("text", "option", "default", "state", "evidence"),
    [
        ("", None, Path("data"), "data", "data/evidence"),
        ("", None, None, "", None),
        ("storage: {path: /var/state}", None, Path("data"), "/var/state", "/var/state/evidence"),
        ("storage: {path: /var/state}", "/data", None, "/data", "/data/evidence"),
        ("storage: {path: ''}", None, Path("data"), "", None),
        ("storage: {path: /var/state}", "", Path("data"), "", None),
        ("evidence: {path: /var/evidence}", None, Path("data"), "data", "/var/evidence"),
    ],
)
def test_the_folders_of_state_and_evidence(
    text: str, option: str | None, default: Path | None, state: str, evidence: str | None
) -> None:
    """The option comes before the file, the file before the default; evidence is beside the state by default."""
    config = parse(text, "f.yml", Path("/")).override(Overrides(values={("storage", "path"): option}))
    config = config.with_storage(default)
    assert str(config.storage.path) == state
    assert config.evidence.path == (evidence and Path(evidence))


def test_the_default_folder_is_used_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a configuration file, the folder `data` in the working directory has the state, but is not created."""
    (tmp_path / "c.yml").write_text("scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}]}]\n")
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "c.yml").storage.path == ""
    (tmp_path / "data").mkdir()
    assert load(tmp_path / "c.yml").storage.path == Path("data")
