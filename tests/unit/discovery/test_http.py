"""Discovery by HTTP: requests, valid responses, and failures after which the last groups stay."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from leakwatch.discovery.http import HttpConfig, parse
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import DiscoveryError
from tests.support.answering import Answer, Server, answering, endless, http
from tests.support.clock import ManualClock, until

JSON = "Content-Type: application/json"
LIST = json.dumps([{"targets": ["a:1", "a:2"], "labels": {"service": "shop"}}, {"targets": ["b"]}]).encode()


def config(server: Server, **more: Any) -> HttpConfig:
    """Return a configuration with the list of `server`."""
    return HttpConfig.model_validate({"url": f"{server.url}/list", **more})


Updates = list[list[TargetGroup]]


def run(
    settings: HttpConfig, is_done: Callable[[Updates, DiscoveryStatus], Any]
) -> tuple[Updates, DiscoveryStatus]:
    """Run a discoverer until `is_done`, with refresh intervals that pass at once; return updates and status."""
    updates: Updates = []
    clock = ManualClock()
    status = DiscoveryStatus("j", "http", lambda: 7.0)

    def step() -> bool:
        clock.advance(settings.refresh_interval)
        return bool(is_done(updates, status))

    async def discover() -> None:
        discoverer = settings.discoverer(status, clock)
        task = asyncio.create_task(discoverer.run(lambda groups: updates.append(list(groups))))
        await until(step)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(discover())
    return updates, status


def test_a_list_without_changes_causes_one_update() -> None:
    """Groups get __meta_url. Requests have the headers of Prometheus's protocol and of the configuration."""
    with answering(http(LIST, "200 OK", JSON)) as server:
        settings = config(server, authorization={"credentials": "x"})
        updates, status = run(settings, lambda updates, _: updates and len(server.requests) > 2)
        heads = [head.decode().lower() for head in server.requests]
        url = f"{server.url}/list"
    assert updates == [
        [
            TargetGroup(targets=("a:1", "a:2"), labels={"service": "shop", "__meta_url": url}),
            TargetGroup(targets=("b",), labels={"__meta_url": url}),
        ]
    ]
    assert (status.failures, status.succeeded) == (0, 7.0)
    for line in (
        "get /list ",
        "accept: application/json",
        "x-prometheus-refresh-interval-seconds: 60\r",
        "user-agent: leakwatch/",
        "authorization: bearer x",
    ):
        assert all(line in head for head in heads)


BAD: list[tuple[Answer, str]] = [
    (http(b"gone", "503 Unavailable", JSON), "status: HTTP 503 for /list: 'gone'"),
    (http(LIST, "200 OK", "Content-Type: text/html"), "Content-Type 'text/html', not application/json"),
    (http(LIST), "Content-Type '', not application/json"),
    (http(b'[{"targets"', "200 OK", JSON), "Invalid JSON"),
    (http(LIST, "200 OK", JSON, length=len(LIST) + 9), "truncated: the connection closed"),
    (http(b"", "302 Found", "Location: http://elsewhere.test/"), "redirects to another host"),
    (endless(b" " * 9000, 0.0, JSON), "too_large: the body is larger than 20000 bytes (body_size_limit)"),
    (lambda _, connection: connection.close(), "connection: "),
]


@pytest.mark.parametrize(("answer", "message"), BAD, ids=[message.partition(":")[0] for _, message in BAD])
def test_the_last_groups_of_a_failing_server_stay(answer: Answer, message: str) -> None:
    """Each error is logged once, with the number of targets that stay. A valid list replaces the groups."""
    with answering(http(LIST, "200 OK", JSON)) as server, capture_logs() as log:

        def is_done(updates: Updates, status: DiscoveryStatus) -> bool:
            if updates and server.answer is not answer and status.failures == 0:
                server.answer = answer
            if status.failures > 2:
                content_type = 'Content-Type: application/json; Charset="UTF-8"'
                server.answer = http(b'[{"targets": ["c:1"]}]', "200 OK", content_type)
            return len(updates) > 1

        updates, status = run(config(server, body_size_limit="20000B"), is_done)
        source = f"{server.url}/list"
    assert [group.targets for group in updates[-1]] == [("c:1",)]
    failures = [line for line in log if line["log_level"] == "error"]
    assert {(line["kept"], line["source"], line["job"], line["mechanism"]) for line in failures} == {
        (3, source, "j", "http")
    }
    # On a busy machine, a response may arrive without the beginning of its body, which the message quotes.
    assert any(message in line["error"] for line in failures)
    # The server may close a connection that is in use, which is a second kind of error.
    kinds = {line["error"].partition(": '")[0] for line in failures}
    assert len([kind for kind in kinds if not kind.startswith("connection: ")]) <= 1
    assert len({line["error"] for line in failures}) == len(failures)
    assert [line["event"] for line in log if line["log_level"] == "info"] == ["discovery works again"]
    assert status.succeeded == 7.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "must be a list"),
        ('"x"', "must be a list, found 'x'"),
        ("[null]", "[0]: must be a mapping of keys"),
        ('[{"targets": ["a:1"]}, {"targets": "a:1"}]', "[1].targets: must be a list, found 'a:1'"),
        ('[{"targets": ["a:1", 5]}]', "[0].targets[1]: must be text, found '5'"),
        ('[{"targets": [], "labels": {"a": true}}]', "[0].labels.a: must be text, found 'True'"),
        ('[{"targets": [], "labels": {"a-b": "x"}}]', "'a-b' is not a label name"),
        ('[{"targets": [], "label": {}}]', "[0].label: "),
        ('[{"labels": {}}]', "[0].targets: is missing"),
        ('[{"targets": ["\\ud800"]}]', "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
    ],
)
def test_invalid_lists(text: str, message: str) -> None:
    """The error names index, key and value."""
    with pytest.raises(DiscoveryError) as caught:
        parse(text.encode(), "http://x/")
    assert message in str(caught.value)


def test_empty_lists() -> None:
    """An empty list is valid, and so is the null that Go programs write for it."""
    assert parse(b"[]", "http://x/") == []
    assert parse(b'[{"targets": null, "labels": null}]', "u") == [
        TargetGroup(targets=(), labels={"__meta_url": "u"})
    ]


def test_a_list_of_100000_groups() -> None:
    """A long list is parsed like any other."""
    body = json.dumps([{"targets": [f"h{i}:1"], "labels": {"i": str(i)}} for i in range(100_000)]).encode()
    with answering(http(body, "200 OK", JSON)) as server:
        updates, status = run(config(server), lambda updates, status: updates or status.failures)
    assert status.failures == 0
    assert len(updates[0]) == 100_000
    assert updates[0][-1].targets == ("h99999:1",)


def test_secrets_are_not_logged() -> None:
    """The log does not contain a token in the query of the URL."""
    with answering(http(b"", "500 Oops", JSON)) as server, capture_logs() as log:
        settings = HttpConfig.model_validate({"url": f"{server.url}/list?token=hunter2"})
        run(settings, lambda _, status: status.failures)
    assert log
    assert "hunter2" not in str(log)
