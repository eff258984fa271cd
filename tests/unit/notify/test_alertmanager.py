"""The client of one Alertmanager: requests, and the reaction to each wrong response."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from leakwatch.discovery.target_group import TargetGroup
from leakwatch.http.client import Tls
from leakwatch.model import Target, TargetHealth
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.notify.alerts import Alert
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.notifier import addresses
from leakwatch.notify.queue import AlertQueue
from tests.support.alertmanagers import ACCEPTED, Answer, Receiver, Reopened, receiving
from tests.support.answering import answering, endless
from tests.support.clock import HANG, ManualClock, until
from tests.support.leaking import START, Play, leak

REFUSED: Answer = (400, "application/json", b'"invalid label set"')


class Sending:
    """A client of one address, in virtual time."""

    def __init__(self, address: str, **settings: Any) -> None:
        self.clock = ManualClock(wall_offset=7)
        config = AlertmanagerConfig.model_validate({"static_configs": [{"targets": [address]}], **settings})
        client = Reopened(Tls(config.tls_config, secure=config.scheme == "https"), timeout=config.timeout)
        self.queue = AlertQueue()
        self.client = AlertmanagerClient(
            next(addresses([TargetGroup(targets=(address,))], config)),
            config,
            client,
            self.queue,
            self.clock,
        )

    def after(self, seconds: float, *alerts: Alert) -> list[dict[str, Any]]:
        """Advance the clock, queue alerts and send; return the log."""
        self.clock.advance(seconds)

        async def run() -> None:
            self.client.enqueue(alerts)
            await self.client.send_queued()
            await self.client.close()

        with capture_logs() as lines:
            asyncio.run(run())
        return [dict(line) for line in lines]


def alerts(*functions: str, at: float = 0.0) -> list[Alert]:
    """Return the alerts that are sent when these functions leak."""
    return Play().at(at, [leak(function=function) for function in functions])


def functions(posted: list[Any]) -> list[str]:
    """Return the functions of the alerts in one request."""
    return [alert["labels"]["function"] for alert in posted]


def test_the_request_has_the_format_of_alertmanager() -> None:
    """Times are the wall clock's. External labels are added and do not replace labels of the alert."""
    (alert,) = alerts("main.f")
    with receiving() as receiver:
        sending = Sending(receiver.address, path_prefix="/am/")
        sending.client.external_labels = {"cluster": "east", "service": "wrong"}
        assert sending.after(0, alert) == []
    assert receiver.paths == ["/am/api/v2/alerts"]
    assert receiver.headers[0]["Content-Type"] == "application/json"
    ((posted,),) = receiver.posted
    assert posted["labels"] == {**dict(alert.labels), "cluster": "east"}
    assert posted["annotations"] == alert.annotations
    assert posted["generatorURL"] == alert.generator_url
    assert (posted["startsAt"], posted["endsAt"]) == (
        "2023-11-14T22:13:27.000+00:00",
        "2023-11-14T22:28:27.000+00:00",
    )


def test_batches() -> None:
    """A request has at most 64 alerts, the longest queued first; all requests follow at once."""
    many = alerts(*(f"main.f{i}" for i in range(150)))
    with receiving() as receiver:
        sending = Sending(receiver.address)
        sending.after(0, *many)
    assert [len(posted) for posted in receiver.posted] == [64, 64, 22]
    assert [f for posted in receiver.posted for f in functions(posted)] == [f"main.f{i}" for i in range(150)]
    assert (sending.queue.sent, len(sending.queue)) == (150, 0)


def test_authorization_is_sent(tmp_path: Path) -> None:
    """Each request has the configured headers; a secret is read from its file for each request."""
    (tmp_path / "token").write_text("one")
    with receiving() as receiver:
        sending = Sending(receiver.address, authorization={"credentials_file": tmp_path / "token"})
        sending.after(0, *alerts("main.f"))
        (tmp_path / "token").write_text("two")
        sending.after(60, *alerts("main.f"))
        (tmp_path / "token").unlink()
        (line,) = sending.after(60, *alerts("main.f"))
    assert [headers["Authorization"] for headers in receiver.headers] == ["Bearer one", "Bearer two"]
    assert line["error"] == "No such file or directory"


def test_an_outage_leaves_the_latest_of_each_alert() -> None:
    """Ten minutes of failures are 20 to 30 requests; after the outage the current form of each alert is sent."""
    play = Play()
    with receiving((503, "text/plain", b"starting")) as receiver:
        sending = Sending(receiver.address)
        lines: list[dict[str, Any]] = []
        for second in range(0, 600, 5):
            leaks = [leak(goroutines=100 + second), leak(function="main.short")]
            lines += sending.after(5 if second else 0, *play.at(second, leaks[: 2 if second < 100 else 1]))
        assert 20 <= len(receiver.posted) <= 30
        assert [(line["error"], line["queued"]) for line in lines] == [("HTTP 503: 'starting'", 2)]
        receiver.posted.clear()
        receiver.answer = lambda _: ACCEPTED
        (again,) = sending.after(30)
        assert again["event"] == "alerts are delivered again"
    ((firing, resolved),) = receiver.posted
    assert "640" in firing["annotations"]["summary"]
    assert "2023-11-14T22:2" in resolved["endsAt"]
    assert (sending.queue.sent, len(sending.queue)) == (2, 0)


def refusing(function: str, answer: Answer = REFUSED) -> Callable[[Any], Answer]:
    """Return a function that refuses requests with an alert of `function`."""
    return lambda posted: answer if function in functions(posted) else ACCEPTED


@pytest.mark.parametrize(
    "answer",
    [
        REFUSED,
        (
            422,
            "application/json; charset=utf-8",
            b'{"code":601,"message":"generatorURL in body must be of type uri"}',
        ),
        (413, "text/html", b"<h1>413 Request Entity Too Large</h1>"),
    ],
    ids=["400", "422", "413"],
)
def test_a_refused_alert_is_dropped(answer: Answer) -> None:
    """The others are sent one by one; the refused alert is logged with the response and not sent for an hour."""
    three = alerts("main.a", "main.bad", "main.c")
    with receiving(refusing("main.bad", answer)) as receiver:
        sending = Sending(receiver.address)
        (line,) = sending.after(0, *three)
        assert [functions(posted) for posted in receiver.posted] == [
            ["main.a", "main.bad", "main.c"],
            ["main.a"],
            ["main.bad"],
            ["main.c"],
        ]
        assert (line["log_level"], line["function"], line["service"]) == ("error", "main.bad", "shop")
        assert answer[2].decode()[:40] in line["error"]
        receiver.posted.clear()
        for _ in range(59):
            assert sending.after(60, *three) == []
        assert {f for posted in receiver.posted for f in functions(posted)} == {"main.a", "main.c"}
        assert len(receiver.posted) == 59
        assert len(sending.after(70, *three)) == 1
    assert (sending.queue.dropped, sending.queue.failed, len(sending.queue)) == (2, 0, 0)


def test_a_failure_while_alerts_are_sent_one_by_one() -> None:
    """Alerts that were not delivered stay queued, and none is dropped."""
    answers = iter([REFUSED, ACCEPTED, (500, "text/plain", b"oh"), ACCEPTED])
    with receiving(lambda _: next(answers)) as receiver:
        sending = Sending(receiver.address)
        (line,) = sending.after(0, *alerts("main.a", "main.b", "main.c"))
        assert line["error"] == "HTTP 500: 'oh'"
        sending.after(2)
    assert functions(receiver.posted[-1]) == ["main.b", "main.c"]
    assert (sending.queue.sent, sending.queue.dropped, len(sending.queue)) == (3, 0, 0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, "text/plain", b"broken\nmore"), "HTTP 500: 'broken'"),
        ((500, "", b""), "HTTP 500"),
        ((404, "text/plain", b"404 page not found"), "HTTP 404: '404 page not found'"),
        ((401, "application/json", b'{"error":"no"}'), 'HTTP 401: \'{"error":"no"}\''),
        (
            (400, "text/plain", b"Client sent an HTTP request to an HTTPS server."),
            "HTTP 400: 'Client sent an HTTP ",
        ),
        ((400, "text/html", b"<h1>" + b"x" * 5000), "HTTP 400: '<h1>xxx"),
        (
            (200, "text/html; charset=utf-8", b"<title>Log in"),
            "HTTP 200: '<title>Log in': not an Alertmanager",
        ),
        ((302, "/login?state=hunter2", b""), "HTTP 302: redirects to http://localhost"),
        (
            (307, "http://me:hunter2@elsewhere.example/x?token=hunter2", b""),
            "redirects to another host, http://elsewhere.example/x?**********: not followed",
        ),
        ((308, "/api/v2/alerts", b""), "redirects more than 3 times"),
    ],
    ids=["500", "empty", "404", "401", "TLS server", "long", "login page", "302", "elsewhere", "loop"],
)
def test_after_a_wrong_response_the_alert_stays_queued(answer: Answer, message: str) -> None:
    """The error is logged once, shortened; the alert is delivered after the first right response."""
    with receiving(answer) as receiver:
        sending = Sending(receiver.address)
        (line,) = sending.after(0, *alerts("main.f"))
        assert line["error"].startswith(message)
        assert len(line["error"]) < 250
        assert "hunter2" not in line["error"]
        assert sending.after(5) == []
        assert (sending.queue.sent, sending.queue.failed, len(sending.queue)) == (0, 2, 1)
        receiver.answer = lambda _: ACCEPTED
        sending.after(5)
    assert (sending.queue.sent, len(sending.queue)) == (1, 0)


def test_a_redirect_within_the_host_is_followed() -> None:
    """307 and 308 within the host are followed unless `follow_redirects` is false."""
    redirect: Answer = (308, "/moved/alerts", b"")
    answers = iter([redirect, ACCEPTED, redirect])
    with receiving(lambda _: next(answers)) as receiver:
        sending = Sending(receiver.address)
        assert sending.after(0, *alerts("main.f")) == []
        assert receiver.paths == ["/api/v2/alerts", "/moved/alerts"]
        assert receiver.posted[0] == receiver.posted[1]
        stubborn = Sending(receiver.address, follow_redirects=False)
        (line,) = stubborn.after(0, *alerts("main.f"))
    assert line["error"].startswith("HTTP 308: redirects to ")


def test_a_refused_connection_is_logged() -> None:
    """The error has the words of the operating system."""
    with receiving() as receiver:
        address = receiver.address
    (line,) = Sending(address).after(0, *alerts("main.f"))
    assert line["error"] == "Connection refused"


@pytest.fixture
def hanging() -> Iterator[Receiver]:
    """Run a receiver that does not answer before the end of the test."""
    released = threading.Event()

    def answer(_: Any) -> Answer:
        released.wait(HANG)
        return ACCEPTED

    with receiving(answer) as receiver:
        yield receiver
        released.set()


def test_a_request_has_a_timeout(hanging: Receiver) -> None:
    """A request without a response fails after `timeout`."""
    (line,) = Sending(hanging.address, timeout="200ms").after(0, *alerts("main.f"))
    assert line["error"] == "no response within 0.2 s"


def test_only_the_beginning_of_a_response_is_read() -> None:
    """A response without an end does not stop the client."""
    with answering(endless(b"x" * 1000)) as server:
        sending = Sending(server.url.removeprefix("http://"), timeout=f"{HANG:.0f}s")
        assert sending.after(0, *alerts("main.f")) == []
        assert sending.queue.sent == 1


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the TLS context of a server for localhost, and the file of its CA."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, tmp_path / "ca.pem"


def test_tls(tls: tuple[ssl.SSLContext, Path]) -> None:
    """Alerts are sent to a trusted Alertmanager; for an untrusted one an error is logged and nothing is sent."""
    context, ca = tls
    with receiving(ACCEPTED, context) as receiver:
        (line,) = Sending(receiver.address, scheme="https").after(0, *alerts("main.f"))
        assert "certificate verify failed" in line["error"]
        assert receiver.posted == []
        trusting = Sending(receiver.address, scheme="https", tls_config={"ca_file": ca})
        assert trusting.after(0, *alerts("main.f")) == []
        assert len(receiver.posted) == 1


def test_a_slow_alertmanager_does_not_delay_another(hanging: Receiver) -> None:
    """Each Alertmanager has a task of its own."""

    async def run(quick: Receiver) -> None:
        slow, client = (Sending(each.address, timeout=f"{2 * HANG:.0f}s").client for each in (hanging, quick))
        tasks = []
        for each in (slow, client):
            each.enqueue(alerts("main.f"))
            tasks.append(asyncio.create_task(each.run()))
        await until(lambda: hanging.posted and client.queue.sent)
        assert slow.queue.sent == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, slow.close(), client.close(), return_exceptions=True)

    with receiving() as quick:
        asyncio.run(run(quick))


def test_run_sends_again_after_a_pause() -> None:
    """After a failure `run` sleeps until the end of the pause; after a success it waits for the next alert."""
    answers: Iterator[Answer] = iter([(503, "", b""), (503, "", b""), ACCEPTED, ACCEPTED])

    async def run(sending: Sending) -> None:
        task = asyncio.create_task(sending.client.run())
        sending.client.enqueue(alerts("main.a"))
        for pause in (1, 2):
            await sending.clock.sleeping()
            assert sending.queue.pause(sending.clock.time()) == pause
            sending.clock.advance(pause)
        await until(lambda: sending.queue.sent == 1)
        sending.client.enqueue(alerts("main.b"))
        await until(lambda: sending.queue.sent == 2)
        task.cancel()
        await sending.client.close()

    with receiving(lambda _: next(answers)) as receiver:
        asyncio.run(run(Sending(receiver.address)))
    assert [functions(posted) for posted in receiver.posted] == [["main.a"]] * 3 + [["main.b"]]


def test_an_internal_error_does_not_end_run() -> None:
    """The error is logged, and the alert is sent after a pause."""
    attempts = iter(["broken"])
    (alert,) = alerts("main.f")

    def annotations() -> Mapping[str, str]:
        if next(attempts, None):
            raise RuntimeError
        return alert.annotations

    async def run(sending: Sending) -> None:
        task = asyncio.create_task(sending.client.run())
        sending.client.enqueue([replace(alert, make_annotations=annotations)])
        await sending.clock.sleeping()
        sending.clock.advance(1)
        await until(lambda: sending.queue.sent == 1)
        task.cancel()
        await sending.client.close()

    with receiving() as receiver, capture_logs() as lines:
        asyncio.run(run(Sending(receiver.address)))
    assert [line["event"] for line in lines] == ["internal error while sending alerts"]


def test_any_characters_of_a_function_name_are_sent() -> None:
    """Quotes, control characters and non-ASCII letters arrive unchanged."""
    strange = 'main."q"\\d{}$.*\u2028\x07é…'
    with receiving() as receiver:
        Sending(receiver.address).after(0, *alerts(strange))
    assert functions(receiver.posted[0]) == [strange]


def test_alerts_of_targets_that_are_down_have_no_stack() -> None:
    """The alert is sent like any other."""
    health: Mapping[Target, TargetHealth] = {
        Target("shop", "a:1"): TargetHealth(up=False, reason="tls", since=START - 400)
    }
    with receiving() as receiver:
        Sending(receiver.address).after(0, *Play().at(0, (), health))
    assert receiver.posted[0][0]["labels"]["alertname"] == "LeakwatchTargetDown"
    assert json.dumps(receiver.posted[0][0]["annotations"]).count("stack") == 0
