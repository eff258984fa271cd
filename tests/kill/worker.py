"""A process to kill: python -m tests.kill.worker FOLDER FIRST LAST [WALL_OFFSET BOOT].

It scrapes the world once a virtual minute, from minute FIRST to before LAST, and saves its state after each one.
It prints lines of JSON: each minute before it begins, the alerts, and the open leaks at the end.
"""

import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from leakwatch.clock import Clock
from leakwatch.detect.plain import Plain
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.recorder import EvidenceRecorder
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Profile, Target, Trace
from leakwatch.notify import saved_alerts
from leakwatch.notify.alerts import Alert, Alerts
from leakwatch.notify.rules import AlertRules
from leakwatch.pipeline import Pipeline
from leakwatch.storage.config import StorageConfig
from leakwatch.storage.storage import Storage
from tests.kill.world import START, Answer, answers
from tests.support.clock import ManualClock
from tests.support.rendering import counters, render
from tests.support.simulated import stack

MINUTE = 60.0
SIZE_LIMIT = 1 << 20


def say(**line: Any) -> None:
    """Print a line of JSON at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class WorldClock(ManualClock):
    """The daemon's clock in the world, where the wall clock may be wrong; `boot`: id of the boot."""

    time, read, resume, wall = Clock.time, Clock.read, Clock.resume, Clock.wall

    def __init__(self, minute: int, wall_offset: float, boot: str) -> None:
        super().__init__(START + minute * MINUTE, wall_offset)
        self._boot = boot
        self._start = self._unix() - self._uptime()

    def _uptime(self) -> float:
        return self.now - START

    def _unix(self) -> float:
        return self.now + self.wall_offset


class Notifications:
    """Alert rules and the states of alerts, as in the notifier, with a line for each alert that is sent."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._alerts = Alerts()
        self._rules = AlertRules(lambda time: time)

    def to_plain(self) -> Plain:
        """Return the states of the alerts."""
        return saved_alerts.to_plain(self._alerts, self._rules)

    def restore(self, plain: Any) -> None:
        """Continue with the states of the alerts."""
        saved_alerts.restore(plain, self._alerts, self._rules)

    def evaluate(self, time: float) -> None:
        """Evaluate the rules, and print the alerts that are due."""
        conditions = self._rules.evaluate(self._pipeline.open_leaks(), {}, time)
        for alert in self._alerts.update(conditions, time):
            say(alert=_alert(alert))


def _alert(alert: Alert) -> dict[str, Any]:
    labels = dict(alert.labels)
    return {
        "name": labels["alertname"],
        "service": labels["service"],
        "function": labels["function"],
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "resolved": alert.resolved,
    }


class Worker:
    """Everything of a daemon that has state, without the network."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.pipeline = Pipeline(DetectionSettings())
        self.notifications = Notifications(self.pipeline)
        self.evidence = EvidenceRecorder(EvidenceConfig(path=folder / "evidence"), self.pipeline, clock)
        self.storage = Storage(StorageConfig(path=folder), self.pipeline, self.notifications, clock)

    async def run(self, first: int, last: int) -> None:
        """Watch the world from minute `first` to before `last`."""
        await self.storage.start()
        self.evidence.store.start()
        say(restored=len(self.pipeline.targets), evidence=len(self.evidence.store))
        for minute in range(first, last):
            say(minute=minute)
            await self.watch(minute)
            await self.saved()
            self.clock.advance(MINUTE)
        say(leaks=[self.leak(leak.service, leak) for leak in self.pipeline.open_leaks()])

    async def watch(self, minute: int) -> None:
        """Scrape all targets, and evaluate the alert rules."""
        current = dict(answers(minute))
        for target in self.pipeline.targets.keys() - current.keys():
            self.evidence.target_removed(target)
            self.on_events(self.pipeline.remove_target(target, self.clock.time()))
        for target, answer in current.items():
            await self.scrape(target, answer)
        self.on_events(self.pipeline.expire(self.clock.time()))
        self.notifications.evaluate(self.clock.time())

    async def scrape(self, target: Target, answer: Answer) -> None:
        """Pass a profile of a target to the pipeline and to the evidence."""
        state = self.pipeline.add_target(target)
        recording = self.evidence.recorder(target).begin("text", SIZE_LIMIT, self.pipeline.leaks_on(target))
        body = self.pipeline.body("text", SIZE_LIMIT, target.service)
        feed = recording.tee(body.feed) if recording else body.feed
        for _ in feed(profile(answer)) or ():
            pass
        for _ in body.steps():
            pass
        parsed = body.close()
        time = self.clock.time()
        self.on_events(self.pipeline.observe(state, time, parsed.total, parsed.samples, answer.process))
        if recording:
            await recording.end(time, parsed.total, answer.process, {})

    def on_events(self, events: list[Event]) -> None:
        """Pass verdicts that changed to evidence and storage, as the daemon does."""
        if events:
            self.evidence.on_events(events)
            self.storage.on_events(events)

    async def saved(self) -> None:
        """Save what has changed in this minute. A kill may come at any time, also before."""
        await self.storage._save()
        await self.evidence.store.flush()

    def leak(self, service: str, leak: Any) -> dict[str, Any]:
        """Return a leak as JSON."""
        return {
            "service": service,
            "function": leak.stack.blamed.function,
            "verdict": leak.verdict.word,
            "first_seen": leak.first_seen,
            "detected_at": leak.detected_at,
        }


def profile(answer: Answer) -> bytes:
    """Return the body of an answer."""
    traces = []
    for number, (name, count) in enumerate(answer.counts.items()):
        frames = stack(name, f"main.go{name}").frames
        traces.append((Trace(frames, counters([0x100 * number + 1, 0x20, 0x30])), count))
    return render(Profile(sum(answer.counts.values()), tuple((trace, count) for trace, count in traces if count)))


async def main(folder: Path, first: int, last: int, wall_offset: float, boot: str) -> None:
    """Run a worker."""
    await Worker(folder, WorldClock(first, wall_offset, boot)).run(first, last)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gc.set_threshold(50_000, 5, 1_000)
    folder, first, last, *rest = sys.argv[1:]
    offset, boot = rest or ("0", "boot")
    asyncio.run(main(Path(folder), int(first), int(last), float(offset), boot))
