"""Discovery by HTTP: what is asked, what is taken, and what keeps the last list."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from leakwatch.discovery.http import HttpConfig, parse
from leakwatch.discovery.status import DiscoveryStatus, current
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import DiscoveryError
from tests.support.answering import Answer, Server, answering, endless, http
from tests.support.running import until

JSON = "Content-Type: application/json"
LIST = json.dumps([{"targets": ["a:1", "a:2"], "labels": {"service": "shop"}}, {"targets": ["b"]}]).encode()


def config(server: Server, **more: Any) -> HttpConfig:
    """Return the configuration that asks `server` for /list often."""
    return HttpConfig.model_validate({"url": f"{server.url}/list", "refresh_interval": "50ms", **more})


def follow(
    settings: HttpConfig, steps: Callable[[list[list[TargetGroup]], DiscoveryStatus], Any]
) -> tuple[list[list[TargetGroup]], DiscoveryStatus]:
    """Run the mechanism until `steps` is true of what it told and how it fares."""
    told: list[list[TargetGroup]] = []
    progress = DiscoveryStatus("j", "http", lambda: 7.0)

    async def run() -> None:
        current.set(progress)
        task = asyncio.create_task(settings.run(lambda groups: told.append(list(groups))))
        await until(lambda: steps(told, progress))
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())
    return told, progress


def test_a_list_is_taken_once() -> None:
    """Groups get __meta_url; the same list is no news; the server hears who asks, for what and how often."""
    with answering(http(LIST, "200 OK", JSON)) as server:
        settings = config(server, authorization={"credentials": "x"})
        told, progress = follow(settings, lambda told, _: told and len(server.requests) > 2)
        heads = [head.decode().lower() for head in server.requests]
        url = f"{server.url}/list"
    assert told == [
        [
            TargetGroup(targets=("a:1", "a:2"), labels={"service": "shop", "__meta_url": url}),
            TargetGroup(targets=("b",), labels={"__meta_url": url}),
        ]
    ]
    assert (progress.failures, progress.succeeded) == (0, 7.0)
    for line in (
        "get /list ",
        "accept: application/json",
        "x-prometheus-refresh-interval-seconds: 0.05\r",
        "user-agent: leakwatch/",
        "authorization: bearer x",
    ):
        assert all(line in head for head in heads)


BAD: list[tuple[Answer, str]] = [
    (http(b"gone", "503 Unavailable", JSON), "status: HTTP 503 for /list: 'gone'"),
    (http(LIST, "200 OK", "Content-Type: text/html"), "Content-Type 'text/html', application/json is needed"),
    (http(LIST), "Content-Type '', application/json is needed"),
    (http(b'[{"targets"', "200 OK", JSON), "Invalid JSON"),
    (http(LIST, "200 OK", JSON, length=len(LIST) + 9), "truncated: the connection closed"),
    (http(b"", "302 Found", "Location: http://elsewhere.test/"), "redirects to another host"),
    (endless(b" " * 9000, 0.0, JSON), "too_large: the body is larger than 20000 bytes (body_size_limit)"),
    (lambda _, connection: connection.close(), "connection: "),
]


@pytest.mark.parametrize(("answer", "said"), BAD, ids=[said.partition(":")[0] for _, said in BAD])
def test_a_server_that_fails_keeps_its_last_list(answer: Answer, said: str) -> None:
    """Each reason is said once, with what stays; the list is followed again when the server is well."""
    with answering(http(LIST, "200 OK", JSON)) as server, capture_logs() as logged:

        def steps(told: list[list[TargetGroup]], progress: DiscoveryStatus) -> bool:
            if told and server.answer is not answer and progress.failures == 0:
                server.answer = answer
            if progress.failures > 2:
                server.answer = http(
                    b'[{"targets": ["c:1"]}]', "200 OK", JSON + ' ; Charset="UTF-8"'.replace(" ;", ";")
                )
            return len(told) > 1

        told, progress = follow(config(server, body_size_limit="20000B"), steps)
        shown = f"{server.url}/list"
    assert [group.targets for group in told[-1]] == [("c:1",)]
    failures = [line for line in logged if line["log_level"] == "error"]
    assert [(line["kept"], line["source"], line["job"], line["mechanism"]) for line in failures] == [
        (3, shown, "j", "http")
    ]
    assert said in failures[0]["error"]
    assert [line["event"] for line in logged if line["log_level"] == "info"] == ["discovery works again"]
    assert progress.succeeded == 7.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "must be a list"),
        ('"x"', "must be a list, found 'x'"),
        ("[null]", "[0]: must be a mapping of keys"),
        ('[{"targets": ["a:1"]}, {"targets": "a:1"}]', "[1].targets: must be a list, found 'a:1'"),
        ('[{"targets": ["a:1", 5]}]', "[0].targets[1]: must be text, found '5'"),
        ('[{"targets": [], "labels": {"a": true}}]', "[0].labels.a: must be text, found 'True'"),
        ('[{"targets": [], "labels": {"a-b": "x"}}]', "'a-b' is no label name"),
        ('[{"targets": [], "label": {}}]', "[0].label: is not a valid key"),
        ('[{"labels": {}}]', "[0].targets: is missing"),
        ('[{"targets": ["\\ud800"]}]', "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
    ],
)
def test_a_list_of_the_wrong_kind(text: str, said: str) -> None:
    """Index, key and value are named."""
    with pytest.raises(DiscoveryError) as caught:
        parse(text.encode(), "http://x/")
    assert said in str(caught.value)


def test_empty_lists() -> None:
    """No groups, and the null that Go programs write for an empty list, are no mistake."""
    assert parse(b"[]", "http://x/") == []
    assert parse(b'[{"targets": null, "labels": null}]', "u") == [
        TargetGroup(targets=(), labels={"__meta_url": "u"})
    ]


def test_a_list_of_100000() -> None:
    """Taken as any other, and the loop goes on meanwhile."""
    body = json.dumps([{"targets": [f"h{i}:1"], "labels": {"i": str(i)}} for i in range(100_000)]).encode()
    with answering(http(body, "200 OK", JSON)) as server:
        told, progress = follow(
            config(server, refresh_interval="30s"), lambda told, progress: told or progress.failures
        )
    assert progress.failures == 0
    assert len(told[0]) == 100_000
    assert told[0][-1].targets == ("h99999:1",)


def test_secrets_are_not_said() -> None:
    """A token in the query of the URL is in no log line."""
    with answering(http(b"", "500 Oops", JSON)) as server, capture_logs() as logged:
        settings = HttpConfig.model_validate(
            {"url": f"{server.url}/list?token=hunter2", "refresh_interval": "50ms"}
        )
        follow(settings, lambda _, progress: progress.failures)
    assert logged
    assert "hunter2" not in str(logged)
