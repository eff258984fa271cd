"""From target groups to endpoints: default labels, relabel rules, and labels that make an endpoint."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from structlog.testing import capture_logs

from leakwatch.discovery.relabel import RelabelConfig, Rules
from leakwatch.discovery.target_builder import RelabeledTargets, TargetBuilder, TargetDefaults
from leakwatch.discovery.target_group import TargetGroup


def defaults(scheme: str = "http", path: str = "/p", rules: Sequence[RelabelConfig] = ()) -> TargetDefaults:
    """Return the defaults of a job `j`."""
    return TargetDefaults(job="j", scheme=scheme, path=path, rules=tuple(rules))


def build(groups: Sequence[TargetGroup], job: TargetDefaults) -> RelabeledTargets:
    """Return the targets of one job."""
    return asyncio.run(TargetBuilder(job).build(groups))


def test_labels_make_the_endpoint() -> None:
    """Service, scheme and path come from labels, by default from the job."""
    groups = [
        TargetGroup(targets=("a:1",)),
        TargetGroup(
            targets=("b:2",),
            labels={"service": "shop", "zone": "z", "__scheme__": "https", "__profile_path__": "/admin/pprof/"},
        ),
        TargetGroup(targets=("unix:///run/app.sock",)),
    ]
    first, second, third = build(groups, defaults(path="/debug/pprof")).endpoints
    assert (first.target.service, str(first.url)) == ("j", "http://a:1/debug/pprof/goroutine?debug=1")
    assert (second.target.service, str(second.url)) == ("shop", "https://b:2/admin/pprof/goroutine?debug=1")
    assert second.target.labels == {"job": "j", "service": "shop", "zone": "z"}
    assert (third.socket, third.target.name) == ("/run/app.sock", "unix:///run/app.sock")


def test_an_invalid_address_does_not_affect_the_others() -> None:
    """An address that is not part of a valid URL is left out, counted and logged."""
    groups = [TargetGroup(targets=("a:1", "xn--a:2", "c:3"))]
    with capture_logs() as log:
        targets = build(groups, defaults())
    assert [endpoint.target.name for endpoint in targets.endpoints] == ["a:1", "c:3"]
    assert (targets.dropped, targets.invalid) == (0, 1)
    assert [line["target"] for line in log] == ["xn--a:2"]


def test_labels_before_and_after_rules() -> None:
    """Rules see the labels of job and group. Labels with __ are removed later; `target` names the target."""
    rules = [
        {"source_labels": ["__meta_pod"], "target_label": "pod"},
        {"source_labels": ["pod"], "regex": "(.+)-\\d+", "target_label": "job"},
        {"source_labels": ["pod"], "target_label": "target"},
        {"source_labels": ["__address__", "__scheme__", "__profile_path__"], "target_label": "saw"},
    ]
    job = defaults("https", rules=[RelabelConfig.model_validate(rule) for rule in rules])
    group = TargetGroup(targets=("h",), labels={"__meta_pod": "shop-7", "empty": ""})
    (endpoint,) = build([group], job).endpoints
    labels = {"job": "shop", "pod": "shop-7", "target": "shop-7", "saw": "h;https;/p"}
    assert (endpoint.target.service, endpoint.target.name, endpoint.target.labels) == ("shop", "shop-7", labels)
    assert str(endpoint.url) == "https://h/p/goroutine?debug=1"


@pytest.mark.parametrize(
    ("address", "scheme", "name"),
    [
        ("h", "http", "h:80"),
        ("h", "https", "h:443"),
        ("[::1]", "http", "[::1]:80"),
        ("h:6060", "https", "h:6060"),
        ("unix:///run/x.sock", "http", "unix:///run/x.sock"),
    ],
)
def test_the_default_port_is_that_of_the_scheme(address: str, scheme: str, name: str) -> None:
    """An address without a port gets the port of its scheme, as in Prometheus."""
    (endpoint,) = build([TargetGroup(targets=(address,))], defaults(scheme)).endpoints
    assert endpoint.target.name == name


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"__scrape_interval__": "soon"}, "__scrape_interval__ 'soon' is "),
        ({"__scrape_interval__": "0s"}, "__scrape_interval__ '0s' must be greater than 0"),
        ({"__scrape_interval__": "5s"}, "__scrape_timeout__ 10s is longer than __scrape_interval__ 5s"),
        ({"__scrape_timeout__": "1m"}, "__scrape_timeout__ 1m is longer than __scrape_interval__ 15s"),
        ({"__scheme__": "ftp"}, "__scheme__ 'ftp' must be 'http' or 'https'"),
    ],
)
def test_invalid_labels(labels: dict[str, str], message: str) -> None:
    """The target is left out and logged once; the other targets stay."""
    builder = TargetBuilder(defaults())
    groups = [TargetGroup(targets=("bad:1",), labels=labels), TargetGroup(targets=("good:1",))]
    with capture_logs() as log:
        for _ in range(2):
            targets = asyncio.run(builder.build(groups))
            assert ([e.target.name for e in targets.endpoints], targets.invalid) == (["good:1"], 1)
    assert [(line["event"], line["job"], line["target"]) for line in log] == [("target left out", "j", "bad:1")]
    assert message in log[0]["error"]


def test_times_of_one_target() -> None:
    """Interval and timeout come from labels, by default from the job."""
    labels = {"__scrape_interval__": "1m30s", "__scrape_timeout__": "200ms"}
    groups = [TargetGroup(targets=("a:1",), labels=labels), TargetGroup(targets=("b:1",))]
    first, second = build(groups, defaults()).endpoints
    assert (first.interval, first.timeout) == (90.0, 0.2)
    assert (second.interval, second.timeout) == (15.0, 10.0)


def test_query_parameters() -> None:
    """As in Prometheus, the first value is a label that groups and rules can change; the other values stay."""
    job = TargetDefaults(
        job="j",
        scheme="http",
        path="/p",
        params={"authKey": ["a b+c"], "x": ["1", "2"], "none": []},
        rules=(
            RelabelConfig.model_validate(
                {"regex": "__tmp_(.+)", "replacement": "__param_$1", "action": "labelmap"}
            ),
        ),
    )
    groups = [
        TargetGroup(targets=("a:1",)),
        TargetGroup(targets=("b:1",), labels={"__param_x": "9", "__tmp_tenant": "ü"}),
        TargetGroup(targets=("c:1",), labels={"__param_debug": "2"}),
    ]
    with capture_logs() as log:
        targets = build(groups, job)
    first, second = targets.endpoints
    assert first.url.params.multi_items() == [("debug", "1"), ("authKey", "a b+c"), ("x", "1"), ("x", "2")]
    assert second.url.params.multi_items()[1:] == [("authKey", "a b+c"), ("x", "9"), ("x", "2"), ("tenant", "ü")]
    assert log[0]["error"] == "__param_debug: leakwatch sets this parameter"
    assert dict(httpx.URL(first.shown_profile_url).params) == {"authKey": "hidden", "x": "hidden"}
    assert dict(httpx.URL(first.shown_url).params) == {"debug": "1", "authKey": "hidden", "x": "hidden"}


def test_rules_run_once_per_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules do not run again for the same address with equal labels, even in another group object."""
    calls: list[str] = []

    def counted(labels: dict[str, str], _: Rules) -> dict[str, str]:
        calls.append(labels["__address__"])
        return labels

    monkeypatch.setattr("leakwatch.discovery.target_builder.relabel", counted)
    builder = TargetBuilder(defaults())

    def run(*groups: tuple[tuple[str, ...], str]) -> list[str]:
        calls.clear()
        asyncio.run(builder.build([TargetGroup(targets=t, labels={"zone": zone}) for t, zone in groups]))
        return list(calls)

    assert run((("a:1", "a:2"), "x"), (("a:1",), "y")) == ["a:1", "a:2", "a:1"]
    assert run((("a:1", "a:2", "a:3"), "x"), (("a:1",), "y")) == ["a:3"]
    assert run((("a:2",), "x")) == []
    assert run((("a:1", "a:2"), "x")) == ["a:1"]


def test_many_addresses_do_not_block_the_event_loop() -> None:
    """Other tasks run while thousands of addresses are processed."""
    rules = tuple(
        RelabelConfig.model_validate({"source_labels": ["__address__"], "regex": f"(.*){i}", "target_label": "x"})
        for i in range(10)
    )
    group = TargetGroup(targets=tuple(f"h{i}:1" for i in range(5000)))

    async def run() -> tuple[int, int]:
        turns = 0

        async def other_task() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other_task())
        targets = await TargetBuilder(defaults(rules=rules)).build([group])
        task.cancel()
        return len(targets.endpoints), turns

    number, turns = asyncio.run(run())
    assert number == 5000
    assert turns > 3


def test_the_number_of_logged_addresses_is_limited() -> None:
    """The first ten invalid addresses are logged, and the number of the others."""
    group = TargetGroup(targets=tuple(f"h{i}/x" for i in range(1000)))
    with capture_logs() as log:
        assert build([group], defaults()).invalid == 1000
    assert len(log) == 11
    assert log[-1]["number"] == 990
