"""The configuration file: what is good, and what is said of each mistake."""

import json
import os
from pathlib import Path

import pytest

from leakwatch.alerting import AlertmanagerConfig
from leakwatch.config import Config, load, parse, schema
from leakwatch.discovery.file import FileConfig
from leakwatch.errors import ConfigError, UsageError
from leakwatch.scraping import ScrapeConfig
from leakwatch.target_option import target_job
from leakwatch.units import expand, format_duration, parse_duration, parse_size

CONFIGS = Path(__file__).parent / "configs"
EXPECTED: dict[str, str] = json.loads((CONFIGS / "expected.json").read_text())
SHIPPED = Path(__file__).parents[1] / "config" / "leakwatch.yml"


def test_every_bad_file_is_expected() -> None:
    """No bad file without its message."""
    assert {path.stem for path in CONFIGS.glob("*.yml")} == EXPECTED.keys()


@pytest.mark.parametrize(("name", "message"), EXPECTED.items(), ids=EXPECTED)
def test_bad_files(name: str, message: str) -> None:
    """Each mistake is one line that names the file, the line, the key and the way out."""
    path = CONFIGS / f"{name}.yml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert message.replace("{f}", str(path)).replace("{d}", str(CONFIGS)) in str(caught.value).splitlines()[0]


def test_all_mistakes_are_said_at_once() -> None:
    """Three mistakes are three lines, in the order of the file."""
    with pytest.raises(ConfigError) as caught:
        parse("global:\n  scrape_interval: x\n  y: 1\nweb:\n  listen: z\n", "f.yml", Path())
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["f.yml:2", "f.yml:3", "f.yml:5"]


def test_no_file() -> None:
    """A file that is not there is said, without a traceback."""
    with pytest.raises(ConfigError, match=r"^nowhere\.yml: No such file or directory$"):
        load(Path("nowhere.yml"))


def test_the_shipped_file_is_good_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """config/leakwatch.yml loads as it is, and shows every key that there is."""
    for name in list(os.environ):
        if name.startswith("LEAKWATCH_"):
            monkeypatch.delenv(name)
    config = load(SHIPPED)
    assert [job.job_name for job in config.scrape_configs] == ["shop", "fleet"]
    text = SHIPPED.read_text()
    properties = json.loads(schema())
    models = [properties, *properties["$defs"].values()]
    keys = {key for model in models for key in model.get("properties", {})}
    assert [key for key in sorted(keys) if f"{key}:" not in text] == []


def test_the_shipped_file_tells_the_defaults() -> None:
    """What is not marked as an example is what holds without the file."""
    config, default = load(SHIPPED), Config()
    assert config.global_ == default.global_
    assert config.metrics == default.metrics
    assert config.web == default.web
    assert config.alerting.resend_delay == default.alerting.resend_delay
    assert config.detection.model_copy(update={"own_code": ()}) == default.detection
    shop, fleet = config.scrape_configs
    fields = ScrapeConfig.model_fields
    for job in (shop, fleet):
        for key in ("scheme", "profile_path", "profile_format", "tls_config", "follow_redirects"):
            assert getattr(job, key) == fields[key].default
    (alertmanager,) = config.alerting.alertmanagers
    assert alertmanager == AlertmanagerConfig(static_configs=alertmanager.static_configs)
    assert shop.scrape_interval == default.global_.scrape_interval
    assert fleet.file_sd_configs[0] == FileConfig(files=fleet.file_sd_configs[0].files)
    values = [line.strip() for line in SHIPPED.read_text().splitlines() if not line.strip().startswith("#")]
    examples = ("job_name:", "targets:", "labels:", "files:", "values:", "own_code:", "example.com/")
    unmarked = [line for line in values if any(word in line for word in examples) and "# example" not in line]
    assert unmarked == []


def test_jobs_inherit_from_global() -> None:
    """What a job does not say, global says; a timeout never exceeds the interval."""
    text = (
        "global: {scrape_interval: 4s, body_size_limit: 1MB}\n"
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]},"
        " {job_name: b, scrape_interval: 30s, static_configs: [{targets: ['b:1']}]}]"
    )
    config = parse(text, "f.yml", Path())
    a, b = config.scrape_configs
    assert (config.interval(a), config.timeout(a), config.size_limit(a)) == (4.0, 4.0, 1024**2)
    assert (config.interval(b), config.timeout(b), config.cost_limit(b)) == (30.0, 10.0, 0.01)


def test_an_empty_file_with_a_target(tmp_path: Path) -> None:
    """What is on the command line is something to watch too; the rest is the defaults."""
    (tmp_path / "c.yml").write_text("")
    config = load(tmp_path / "c.yml", ["shop=http://h:1"])
    assert config == Config().with_targets(["shop=http://h:1"])


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret comes from the environment and shows as stars wherever the configuration is printed."""
    monkeypatch.setenv("LEAKWATCH_SECRET", "hunter2")
    text = (
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}],"
        " authorization: {credentials: '${LEAKWATCH_SECRET}'}}]"
    )
    config = parse(text, "f.yml", Path())
    assert ("Authorization", "Bearer hunter2") in config.scrape_configs[0].headers()
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()


def test_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    """A password file beside the configuration is found from anywhere."""
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
    """[SERVICE=]URL in all the forms that people paste."""
    job = target_job(text)
    (group,) = job.static_configs
    assert (group.labels["service"], group.targets, job.scheme, job.profile_path) == (
        service,
        (address,),
        scheme,
        path,
    )


def test_a_user_in_the_url() -> None:
    """http://user:password@host becomes basic auth; the password may be escaped."""
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
def test_targets_that_are_none(text: str, message: str) -> None:
    """A target that makes no sense is quoted, with what is missing."""
    with pytest.raises(UsageError) as caught:
        target_job(text)
    assert str(caught.value).startswith(f"target {text!r}: ")
    assert message in str(caught.value)


def test_the_schema_describes_what_is_written() -> None:
    """The JSON Schema wants durations as text and knows the keys by their names in the file."""
    described = json.loads(schema())
    assert "global" in described["properties"]
    assert described["$defs"]["DetectionConfig"]["properties"]["block"]["type"] == "string"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1h30m", 5400), ("200ms", 0.2), ("1d", 86400), ("2w", 14 * 86400), ("1y", 31536000)],
)
def test_durations(text: str, seconds: float) -> None:
    """As Prometheus writes them."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "200ms"), (45, "45s"), (7800, "2h10m"), (3600, "1h"), (86400 * 3 + 14400, "3d4h")]
)
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    """The two largest units."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"), [("64MB", 64 * 1024**2), ("512KB", 512 * 1024), ("10", 10), ("1.5GiB", 1610612736)]
)
def test_sizes(text: str, size: int) -> None:
    """Powers of 1024, as in Prometheus."""
    assert parse_size(text) == size


def test_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ${NAME} is a variable; dollars alone stay."""
    monkeypatch.setenv("A", "x")
    assert expand("$A ${A} $1 ${1}") == "$A x $1 ${1}"
