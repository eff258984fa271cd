"""Telling one Alertmanager: what is sent, what is due, and what follows from each wrong answer."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from alertmanagers import TAKEN, Answer, Receiver, Reopened, receiving
from answering import answering, endless
from leaking import START, Play, leak
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from leakwatch.discovery.target_group import TargetGroup
from leakwatch.http.client import Tls
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.notify.alerts import Alert
from leakwatch.notify.config import AlertmanagerConfig
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.notify.notifier import addresses
from leakwatch.notify.queue import AlertQueue

REFUSED: Answer = (400, "application/json", b'"invalid label set"')


class Sending:
    """A sender to one address, and a clock in our hands."""

    def __init__(self, address: str, **settings: Any) -> None:
        self.now = START
        config = AlertmanagerConfig.model_validate({"static_configs": [{"targets": [address]}], **settings})
        client = Reopened(Tls(config.tls_config, secure=config.scheme == "https"), timeout=config.timeout)
        self.outbox = AlertQueue()
        self.sender = AlertmanagerClient(
            next(addresses([TargetGroup(targets=(address,))], config)),
            config,
            client,
            self.outbox,
            lambda: self.now,
            lambda moment: moment + 7,
        )

    def after(self, seconds: float, *alerts: Alert) -> list[dict[str, Any]]:
        """Let time pass, make alerts due and send; return what was logged."""
        self.now += seconds

        async def run() -> None:
            self.sender.tell(alerts)
            await self.sender.work()
            await self.sender.close()

        with capture_logs() as logged:
            asyncio.run(run())
        return [dict(line) for line in logged]


def alerts(*functions: str, at: float = 0.0) -> list[Alert]:
    """Return what is sent when these functions leak."""
    return Play().at(at, [leak(function=function) for function in functions])


def functions(posted: list[Any]) -> list[str]:
    """Return the functions of the alerts in one request."""
    return [alert["labels"]["function"] for alert in posted]


def test_what_is_posted() -> None:
    """Alertmanager's API v2, with times by the wall clock, and external labels that do not replace ours."""
    (alert,) = alerts("main.f")
    with receiving() as receiver:
        sending = Sending(receiver.address, path_prefix="/am/")
        sending.sender.external = {"cluster": "east", "service": "wrong"}
        assert sending.after(0, alert) == []
    assert receiver.paths == ["/am/api/v2/alerts"]
    assert receiver.headers[0]["Content-Type"] == "application/json"
    ((posted,),) = receiver.posted
    assert posted["labels"] == {**dict(alert.labels), "cluster": "east"}
    assert posted["annotations"] == alert.annotations
    assert posted["generatorURL"] == alert.url
    assert (posted["startsAt"], posted["endsAt"]) == (
        "2023-11-14T22:13:27.000+00:00",
        "2023-11-14T22:17:27.000+00:00",
    )


def test_batches() -> None:
    """At most 64 alerts in one request, all of them in one go, the longest due first."""
    many = alerts(*(f"main.f{i}" for i in range(150)))
    with receiving() as receiver:
        sending = Sending(receiver.address)
        sending.after(0, *many)
    assert [len(posted) for posted in receiver.posted] == [64, 64, 22]
    assert [f for posted in receiver.posted for f in functions(posted)] == [f"main.f{i}" for i in range(150)]
    assert (sending.outbox.sent, len(sending.outbox)) == (150, 0)


def test_authorization_is_sent(tmp_path: Path) -> None:
    """Headers and secrets are those of the configuration, read anew each time."""
    (tmp_path / "token").write_text("one")
    with receiving() as receiver:
        sending = Sending(receiver.address, authorization={"credentials_file": tmp_path / "token"})
        sending.after(0, *alerts("main.f"))
        (tmp_path / "token").write_text("two")
        sending.after(60, *alerts("main.f"))
        (tmp_path / "token").unlink()
        (logged,) = sending.after(60, *alerts("main.f"))
    assert [headers["Authorization"] for headers in receiver.headers] == ["Bearer one", "Bearer two"]
    assert logged["error"] == "No such file or directory"


def test_an_outage_leaves_the_latest_of_each_alert() -> None:
    """Ten minutes without an answer are a few attempts, further and further apart; then it is told what holds."""
    play = Play()
    with receiving((503, "text/plain", b"starting")) as receiver:
        sending = Sending(receiver.address)
        logged: list[dict[str, Any]] = []
        for second in range(0, 600, 5):
            leaks = [leak(goroutines=100 + second), leak(function="main.short")]
            logged += sending.after(5 if second else 0, *play.at(second, leaks[: 2 if second < 100 else 1]))
        assert 20 <= len(receiver.posted) <= 30
        assert [(line["error"], line["due"]) for line in logged] == [("HTTP 503: 'starting'", 2)]
        receiver.posted.clear()
        receiver.answer = lambda _: TAKEN
        (again,) = sending.after(30)
        assert again["event"] == "alerts are delivered again"
    ((firing, resolved),) = receiver.posted
    assert "640" in firing["annotations"]["summary"]
    assert "2023-11-14T22:2" in resolved["endsAt"]
    assert (sending.outbox.sent, len(sending.outbox)) == (2, 0)


def test_pauses_grow_and_end() -> None:
    """A second after the first failure, half a minute at most; none any more after a success."""
    outbox, pauses = AlertQueue(), []
    (alert,) = alerts("main.f")
    now = START
    for _ in range(8):
        outbox.put([alert], now)
        assert outbox.batch(now) == [alert]
        outbox.failed_at(now, [alert])
        assert outbox.batch(now) == []
        pauses.append(outbox.pause(now))
        now += pauses[-1] or 0
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    outbox.delivered([alert])
    assert outbox.pause(now) is None
    outbox.put([alert], now)
    outbox.failed_at(now, [alert])
    assert outbox.pause(now) == 1


def test_a_long_outage_grows_no_queue() -> None:
    """A week of leaks that come and go while it is away leaves those of the last quarter of an hour due."""
    play, outbox = Play(), AlertQueue()
    most = 0
    for minute in range(7 * 24 * 60):
        time = START + 60 * minute
        outbox.put(play.at(60 * minute, [leak(function=f"main.f{minute // 10}")]), time)
        outbox.failed_at(time, [])
        most = max(most, len(outbox))
    assert most <= 5


def test_what_comes_meanwhile_stays_due() -> None:
    """An alert that changed while its older form was under way is delivered too."""
    play, outbox = Play(), AlertQueue()
    (first,) = play.at(0, [leak()])
    outbox.put([first], START)
    sent = outbox.batch(START)
    (second,) = play.at(1, [leak(Verdict.PROVEN)])
    outbox.put([second], START + 1)
    outbox.delivered(sent)
    assert outbox.batch(START + 1) == [second]


def refusing(function: str, answer: Answer = REFUSED) -> Callable[[Any], Answer]:
    """Refuse every request that has an alert of `function`."""
    return lambda posted: answer if function in functions(posted) else TAKEN


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
def test_a_bad_alert_is_found_and_dropped(answer: Answer) -> None:
    """The others arrive one by one, the bad one is named with what was said, and not tried again for an hour."""
    all_of_them = alerts("main.a", "main.bad", "main.c")
    with receiving(refusing("main.bad", answer)) as receiver:
        sending = Sending(receiver.address)
        (logged,) = sending.after(0, *all_of_them)
        assert [functions(posted) for posted in receiver.posted] == [
            ["main.a", "main.bad", "main.c"],
            ["main.a"],
            ["main.bad"],
            ["main.c"],
        ]
        assert (logged["log_level"], logged["function"], logged["service"]) == ("error", "main.bad", "shop")
        assert answer[2].decode()[:40] in logged["error"]
        receiver.posted.clear()
        for _ in range(59):
            assert sending.after(60, *all_of_them) == []
        assert {f for posted in receiver.posted for f in functions(posted)} == {"main.a", "main.c"}
        assert len(receiver.posted) == 59
        assert len(sending.after(70, *all_of_them)) == 1
    assert (sending.outbox.dropped, sending.outbox.failed, len(sending.outbox)) == (2, 0, 0)


def test_a_failure_while_looking_for_the_bad_one() -> None:
    """What has not arrived yet stays due, and nothing is dropped without reason."""
    answers = iter([REFUSED, TAKEN, (500, "text/plain", b"oh"), TAKEN])
    with receiving(lambda _: next(answers)) as receiver:
        sending = Sending(receiver.address)
        (logged,) = sending.after(0, *alerts("main.a", "main.b", "main.c"))
        assert logged["error"] == "HTTP 500: 'oh'"
        sending.after(2)
    assert functions(receiver.posted[-1]) == ["main.b", "main.c"]
    assert (sending.outbox.sent, sending.outbox.dropped, len(sending.outbox)) == (3, 0, 0)


@pytest.mark.parametrize(
    ("answer", "said"),
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
            "HTTP 200: '<title>Log in': this is no Alertmanager",
        ),
        ((302, "/login", b""), "HTTP 302: redirects to http://localhost"),
        (
            (307, "http://elsewhere.example/api/v2/alerts", b""),
            "redirects to another host, http://elsewhere.example",
        ),
        ((308, "/api/v2/alerts", b""), "redirects more than 3 times"),
    ],
    ids=["500", "empty", "404", "401", "TLS server", "long", "login page", "302", "elsewhere", "loop"],
)
def test_wrong_answers_keep_the_alert_due(answer: Answer, said: str) -> None:
    """Each is named once, shortened, and the alert arrives when the answer is right; nothing is dropped."""
    with receiving(answer) as receiver:
        sending = Sending(receiver.address)
        (logged,) = sending.after(0, *alerts("main.f"))
        assert logged["error"].startswith(said)
        assert len(logged["error"]) < 250
        assert sending.after(5) == []
        assert (sending.outbox.sent, sending.outbox.failed, len(sending.outbox)) == (0, 2, 1)
        receiver.answer = lambda _: TAKEN
        sending.after(5)
    assert (sending.outbox.sent, len(sending.outbox)) == (1, 0)


def test_a_redirect_within_the_host_is_followed() -> None:
    """307 and 308 ask for the same request elsewhere on the host; `follow_redirects: false` forbids it."""
    moved: list[str] = []

    def answer(_: Any) -> Answer:
        moved.append("")
        return (308, "/moved/alerts", b"") if len(moved) % 2 else TAKEN

    with receiving(answer) as receiver:
        sending = Sending(receiver.address)
        assert sending.after(0, *alerts("main.f")) == []
        assert receiver.paths == ["/api/v2/alerts", "/moved/alerts"]
        assert receiver.posted[0] == receiver.posted[1]
        stubborn = Sending(receiver.address, follow_redirects=False)
        (logged,) = stubborn.after(0, *alerts("main.f"))
    assert logged["error"].startswith("HTTP 308: redirects to ")


def test_nobody_there() -> None:
    """A refused connection is said in the system's words."""
    with receiving() as receiver:
        address = receiver.address
    (logged,) = Sending(address).after(0, *alerts("main.f"))
    assert logged["error"] == "Connection refused"


def hang(_: Any) -> Answer:
    """Answer too late."""
    time.sleep(3)
    return TAKEN


def test_no_answer_and_one_without_end() -> None:
    """Who hangs is given up after the timeout; who never stops talking has said enough."""
    with receiving(hang) as receiver:
        (logged,) = Sending(receiver.address, timeout="200ms").after(0, *alerts("main.f"))
    assert logged["error"] == "no answer within 0.2 s"
    with answering(endless(b"x" * 1000)) as server:
        sending = Sending(server.url.removeprefix("http://"), timeout="5s")
        assert sending.after(0, *alerts("main.f")) == []
        assert sending.outbox.sent == 1


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server for localhost needs, and the file that says to trust it."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, tmp_path / "ca.pem"


def test_tls(tls: tuple[ssl.SSLContext, Path]) -> None:
    """A trusted Alertmanager is told by https; one that is not trusted is named, and nothing is sent to it."""
    context, ca = tls
    with receiving(TAKEN, context) as receiver:
        (logged,) = Sending(receiver.address, scheme="https").after(0, *alerts("main.f"))
        assert "certificate verify failed" in logged["error"]
        assert receiver.posted == []
        trusting = Sending(receiver.address, scheme="https", tls_config={"ca_file": ca})
        assert trusting.after(0, *alerts("main.f")) == []
        assert len(receiver.posted) == 1


def test_the_slow_does_not_delay_the_quick() -> None:
    """Each Alertmanager has its own task: one that hangs holds up nobody."""
    answered = asyncio.Event()

    async def run(hanging: Receiver, quick: Receiver) -> None:
        loop = asyncio.get_running_loop()

        def answer(_: Any) -> Answer:
            loop.call_soon_threadsafe(answered.set)
            return TAKEN

        quick.answer = answer
        tasks = []
        for receiver in (hanging, quick):
            sender = Sending(receiver.address).sender
            sender.tell(alerts("main.f"))
            tasks.append(asyncio.create_task(sender.run()))
        async with asyncio.timeout(2.5):
            await answered.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with receiving(hang) as hanging, receiving() as quick:
        asyncio.run(run(hanging, quick))


def test_metrics_of_deliveries() -> None:
    """Alerts sent, failed, dropped and due, and how long requests took, per Alertmanager, from the start on."""
    answers = iter([(500, "", b""), TAKEN, REFUSED])
    registry = CollectorRegistry()
    with receiving(lambda _: next(answers)) as receiver:
        sending = Sending(receiver.address)
        registry.register(NotificationCollector({sending.sender.address.name: sending.sender}))
        labels = {"alertmanager": f"http://{receiver.address}/api/v2/alerts"}

        def values() -> list[float | None]:
            names = ("sent_total", "failed_total", "dropped_total", "due", "latency_seconds_count")
            return [registry.get_sample_value(f"leakwatch_notifications_{name}", labels) for name in names]

        assert values() == [0, 0, 0, 0, 0]
        sending.after(0, *alerts("main.a", "main.b"))
        assert values() == [0, 2, 0, 2, 1]
        sending.after(1)
        assert values() == [2, 2, 0, 0, 2]
        sending.after(60, *alerts("main.c"))
        assert values() == [2, 2, 1, 0, 3]
    assert registry.get_sample_value("leakwatch_alertmanagers_discovered") == 1


def test_names_of_any_letters_arrive() -> None:
    """What a program calls its functions is sent as it is, quotes and all."""
    strange = 'main."q"\\d{}$.*\u2028\x07é…'
    with receiving() as receiver:
        Sending(receiver.address).after(0, *alerts(strange))
    assert functions(receiver.posted[0]) == [strange]


def test_down_targets_are_told_too() -> None:
    """They go the same way, without a stack."""
    health: Mapping[Target, TargetHealth] = {
        Target("shop", "a:1"): TargetHealth(up=False, reason="tls", since=START - 400)
    }
    with receiving() as receiver:
        Sending(receiver.address).after(0, *Play().at(0, (), health))
    assert receiver.posted[0][0]["labels"]["alertname"] == "LeakwatchTargetDown"
    assert json.dumps(receiver.posted[0][0]["annotations"]).count("stack") == 0
