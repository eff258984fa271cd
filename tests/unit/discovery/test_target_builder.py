"""Discovery by file, and from groups to endpoints."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from leakwatch.config import parse
from leakwatch.discovery.file import Reader
from leakwatch.discovery.relabel import RelabelConfig, Rules
from leakwatch.discovery.target_builder import BuiltTargets, JobDefaults, TargetBuilder
from leakwatch.discovery.target_group import TargetGroup


def addresses(groups: Sequence[TargetGroup] | None) -> list[str] | None:
    """Return all addresses of the groups."""
    return None if groups is None else [address for group in groups for address in group.targets]


def resolve(groups: Sequence[TargetGroup], job: JobDefaults) -> BuiltTargets:
    """Return what one job makes of the groups."""
    return asyncio.run(TargetBuilder(job).resolve(groups))


def write(path: Path, text: str) -> None:
    """Write a file as people do: to another name first, then into place."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def test_yaml_and_json_files(tmp_path: Path) -> None:
    """Both formats are read, new files and changes are seen, what did not change is not told again."""
    reader = Reader((tmp_path / "*.yml", tmp_path / "*.json"))
    write(tmp_path / "a.yml", "- targets: ['a:1', 'a:2']\n  labels: {service: shop}\n")
    assert addresses(reader.read()) == ["a:1", "a:2"]
    assert reader.read() is None
    write(tmp_path / "b.json", json.dumps([{"targets": ["b:1"]}]))
    assert addresses(reader.read()) == ["a:1", "a:2", "b:1"]
    write(tmp_path / "a.yml", "- targets: ['a:3']\n")
    assert addresses(reader.read()) == ["a:3", "b:1"]
    write(tmp_path / "a.yml", "- targets: ['a:3'] # the same\n")
    assert reader.read() is None
    (tmp_path / "b.json").unlink()
    with capture_logs() as logged:
        assert addresses(reader.read()) == ["a:3"]
    assert [line["event"] for line in logged] == ["targets file is gone: its targets go too"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"targets": ["a:1", "a:', "Unterminated string"),
        ('[{"targets": ["http://a:1"]}]', "must be host:port"),
        ('{"targets": []}', "top level: must be a list"),
        ('[{"targets": ["a:1"], "lables": {}}]', "0.lables: is not a valid key"),
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ('[{"targets": ["b:99999"]}]', "must be host:port"),
        ('[{"targets": ["b:1"], "labels": {"a": "\\ud83d"}}]', "must be a valid string"),
        ('[{"targets": ["b"]}]', "must be host:port"),
    ],
    ids=["half written", "bad target", "wrong type", "typo", "empty", "deep", "port", "half a letter", "no port"],
)
def test_a_bad_file_keeps_its_last_targets(tmp_path: Path, text: str, said: str) -> None:
    """A file half written or wrong is said once, by name, and its last targets stay until it is good again."""
    path = tmp_path / "targets.json"
    reader = Reader((path,))
    write(path, '[{"targets": ["a:1"]}]')
    reader.read()
    write(path, text)
    with capture_logs() as logged:
        assert reader.read() is None
        assert reader.read() is None
    assert [(line["source"], line["kept"]) for line in logged] == [(str(path), 1)]
    assert said in logged[0]["error"]
    write(path, '[{"targets": ["a:2"]}]')
    assert addresses(reader.read()) == ["a:2"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The system's words name the file once, without a number."""
    path = tmp_path / "targets.yml"
    path.mkdir()
    with capture_logs() as logged:
        Reader((path,)).read()
    assert [line["error"] for line in logged] == [f"{path}: Is a directory"]


def test_a_file_cut_within_a_letter(tmp_path: Path) -> None:
    """A file that ends in the middle of an ü keeps its targets and is read when it is whole again."""
    path = tmp_path / "targets.yml"
    reader = Reader((path,))
    whole = "- targets: ['a:1']\n  labels: {team: süd}\n"
    write(path, whole)
    reader.read()
    path.write_bytes(whole.encode()[:-7])
    with capture_logs() as logged:
        assert reader.read() is None
    assert len(logged) == 1
    write(path, whole.replace("a:1", "a:2"))
    assert addresses(reader.read()) == ["a:2"]


def test_a_missing_file_is_no_target(tmp_path: Path) -> None:
    """Nothing there yet: no target, said once; the file is read when it comes."""
    reader = Reader((tmp_path / "later.yml",))
    with capture_logs() as logged:
        assert reader.read() == []
        assert reader.read() is None
    assert [line["event"] for line in logged] == ["no file to read targets from yet"]
    write(tmp_path / "later.yml", "- targets: ['a:1']")
    assert addresses(reader.read()) == ["a:1"]


def test_the_mechanism_tells_changes(tmp_path: Path) -> None:
    """As configured: the groups at first, and again when the file changed."""
    path = tmp_path / "t.yml"
    write(path, "- targets: ['a:1']")
    text = "scrape_configs: [{job_name: j, file_sd_configs: [{files: [t.yml], refresh_interval: 20ms}]}]"
    (mechanism,) = parse(text, "c.yml", tmp_path).scrape_configs[0].file_sd_configs
    told: list[list[str] | None] = []

    async def run() -> None:
        task = asyncio.create_task(mechanism.run(lambda groups: told.append(addresses(groups))))
        await asyncio.sleep(0.1)
        write(path, "- targets: ['a:2']")
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(run())
    assert told == [["a:1"], ["a:2"]]


def test_labels_make_the_endpoint() -> None:
    """Service, scheme and path come from labels where they are given, else from the job."""
    groups = [
        TargetGroup(targets=("a:1",)),
        TargetGroup(
            targets=("b:2",),
            labels={"service": "shop", "zone": "z", "__scheme__": "https", "__profile_path__": "/admin/pprof/"},
        ),
        TargetGroup(targets=("unix:///run/app.sock",)),
    ]
    one, two, three = resolve(groups, JobDefaults("j", "http", "/debug/pprof")).endpoints
    assert (one.target.service, str(one.url)) == ("j", "http://a:1/debug/pprof/goroutine?debug=1")
    assert (two.target.service, str(two.url)) == ("shop", "https://b:2/admin/pprof/goroutine?debug=1")
    assert two.target.labels == {"job": "j", "service": "shop", "zone": "z"}
    assert (three.socket, three.target.name) == ("/run/app.sock", "unix:///run/app.sock")


def test_one_bad_address_does_not_disturb_the_others() -> None:
    """An address that makes no URL is left out and said."""
    groups = [TargetGroup(targets=("a:1", "xn--a:2", "c:3"))]
    with capture_logs() as logged:
        found = resolve(groups, JobDefaults("j", "http", "/p"))
    assert [endpoint.target.name for endpoint in found.endpoints] == ["a:1", "c:3"]
    assert (found.dropped, found.invalid) == (0, 1)
    assert [line["target"] for line in logged] == ["xn--a:2"]


def test_labels_end_where_a_target_begins() -> None:
    """Rules see what job and group say; what begins with __ is gone after them; `target` names the target."""
    rules = [
        {"source_labels": ["__meta_pod"], "target_label": "pod"},
        {"source_labels": ["pod"], "regex": "(.+)-\\d+", "target_label": "job"},
        {"source_labels": ["pod"], "target_label": "target"},
        {"source_labels": ["__address__", "__scheme__", "__profile_path__"], "target_label": "saw"},
    ]
    job = JobDefaults("j", "https", "/p", rules=tuple(map(RelabelConfig.model_validate, rules)))
    (found,) = resolve([TargetGroup(targets=("h",), labels={"__meta_pod": "shop-7", "empty": ""})], job).endpoints
    labels = {"job": "shop", "pod": "shop-7", "target": "shop-7", "saw": "h;https;/p"}
    assert (found.target.service, found.target.name, found.target.labels) == ("shop", "shop-7", labels)
    assert str(found.url) == "https://h/p/goroutine?debug=1"


@pytest.mark.parametrize(
    ("address", "scheme", "wanted"),
    [
        ("h", "http", "h:80"),
        ("h", "https", "h:443"),
        ("[::1]", "http", "[::1]:80"),
        ("h:6060", "https", "h:6060"),
        ("unix:///run/x.sock", "http", "unix:///run/x.sock"),
    ],
)
def test_a_missing_port_is_that_of_the_scheme(address: str, scheme: str, wanted: str) -> None:
    """Whatever was found without a port, as in Prometheus."""
    (found,) = resolve([TargetGroup(targets=(address,))], JobDefaults("j", scheme, "/p")).endpoints
    assert found.target.name == wanted


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"__scrape_interval__": "soon"}, "__scrape_interval__ 'soon' is not a duration"),
        ({"__scrape_interval__": "0s"}, "__scrape_interval__ '0s' must be longer than nothing"),
        ({"__scrape_interval__": "5s"}, "__scrape_timeout__ 10s is longer than __scrape_interval__ 5s"),
        ({"__scrape_timeout__": "1m"}, "__scrape_timeout__ 1m is longer than __scrape_interval__ 15s"),
        ({"__scheme__": "ftp"}, "__scheme__ 'ftp' must be 'http' or 'https'"),
    ],
)
def test_labels_that_make_no_target(labels: dict[str, str], said: str) -> None:
    """It is left out, by name and once; the others stay."""
    resolver = TargetBuilder(JobDefaults("j", "http", "/p"))
    groups = [TargetGroup(targets=("bad:1",), labels=labels), TargetGroup(targets=("good:1",))]
    with capture_logs() as logged:
        for _ in range(2):
            found = asyncio.run(resolver.resolve(groups))
            assert ([e.target.name for e in found.endpoints], found.invalid) == (["good:1"], 1)
    assert [(line["event"], line["job"], line["target"]) for line in logged] == [("target left out", "j", "bad:1")]
    assert said in logged[0]["error"]


def test_times_of_one_target() -> None:
    """Interval and timeout may come from labels."""
    labels = {"__scrape_interval__": "1m30s", "__scrape_timeout__": "200ms"}
    one, two = resolve(
        [TargetGroup(targets=("a:1",), labels=labels), TargetGroup(targets=("b:1",))],
        JobDefaults("j", "http", "/p"),
    ).endpoints
    assert (one.interval, one.timeout) == (90.0, 0.2)
    assert (two.interval, two.timeout) == (15.0, 10.0)


def test_rules_run_once_per_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address with the same labels is not worked off again, also when its group is another object."""
    calls: list[str] = []

    def counted(labels: dict[str, str], _: Rules) -> dict[str, str]:
        calls.append(labels["__address__"])
        return labels

    monkeypatch.setattr("leakwatch.discovery.target_builder.relabel", counted)
    resolver = TargetBuilder(JobDefaults("j", "http", "/p"))

    def run(*groups: tuple[tuple[str, ...], str]) -> list[str]:
        calls.clear()
        asyncio.run(resolver.resolve([TargetGroup(targets=t, labels={"zone": zone}) for t, zone in groups]))
        return list(calls)

    assert run((("a:1", "a:2"), "x"), (("a:1",), "y")) == ["a:1", "a:2", "a:1"]
    assert run((("a:1", "a:2", "a:3"), "x"), (("a:1",), "y")) == ["a:3"]
    assert run((("a:2",), "x")) == []
    assert run((("a:1", "a:2"), "x")) == ["a:1"]


def test_many_addresses_do_not_hold_up_the_loop() -> None:
    """While thousands are worked off, others have their turn."""
    rules = tuple(
        RelabelConfig.model_validate({"source_labels": ["__address__"], "regex": f"(.*){i}", "target_label": "x"})
        for i in range(10)
    )
    group = TargetGroup(targets=tuple(f"h{i}:1" for i in range(5000)))

    async def run() -> tuple[int, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        found = await TargetBuilder(JobDefaults("j", "http", "/p", rules=rules)).resolve([group])
        task.cancel()
        return len(found.endpoints), turns

    found, turns = asyncio.run(run())
    assert found == 5000
    assert turns > 3


def test_a_thousand_mistakes_are_not_a_thousand_lines() -> None:
    """The first ten are named, the rest is a number."""
    group = TargetGroup(targets=tuple(f"h{i}/x" for i in range(1000)))
    with capture_logs() as logged:
        assert resolve([group], JobDefaults("j", "http", "/p")).invalid == 1000
    assert len(logged) == 11
    assert logged[-1]["number"] == 990
