"""Runs workers one after another, each until it is killed, and reads what they print."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kill.world import START

MINUTE = 60.0
Key = tuple[str, str, str]
"""Name, service and function of an alert."""
Damage = Callable[[Path, random.Random], tuple[str, ...]]
"""Damages the folder of a worker that was killed; returns further arguments of the next worker."""


@dataclass(slots=True)
class Alertmanager:
    """The alerts as Alertmanager handles them: an alert that is not sent again ends at its end time."""

    active: dict[Key, dict[str, Any]] = field(default_factory=dict)
    notified: list[tuple[str, Key]] = field(default_factory=list)
    """Each alert that began to fire, or was resolved."""
    starts: dict[Key, set[float]] = field(default_factory=dict)
    """The start times that were sent of each alert."""

    def tick(self, now: float) -> None:
        """End the alerts that were not sent again in time."""
        for key, alert in [*self.active.items()]:
            if alert["ends_at"] <= now:
                del self.active[key]
                self.notified.append(("resolved", key))

    def receive(self, alert: dict[str, Any]) -> None:
        """Take an alert."""
        key = (alert["name"], alert["service"], alert["function"])
        if not alert["resolved"]:
            self.starts.setdefault(key, set()).add(alert["starts_at"])
            if key not in self.active:
                self.notified.append(("firing", key))
            self.active[key] = alert
        elif self.active.pop(key, None):
            self.notified.append(("resolved", key))


@dataclass(slots=True)
class Outcome:
    """The result of a run: open leaks by service and function, alerts, and the number of kills."""

    leaks: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    alertmanager: Alertmanager = field(default_factory=Alertmanager)
    kills: int = 0
    restored: list[int] = field(default_factory=list)
    """Targets that each worker restored at its start."""
    errors: str = ""
    """The log of the last worker."""


def run(
    folder: Path, last: int, *, kills: int = 0, every: int = 12, seed: int = 0, damage: Damage | None = None
) -> Outcome:
    """Watch the world until minute `last`; kill the worker so many times, `every` so many minutes on average."""
    outcome, chance, first = Outcome(), random.Random(seed), 0  # noqa: S311  repeatable
    arguments: tuple[str, ...] = ()
    while first < last:
        is_last = outcome.kills == kills
        until = last if is_last else first + chance.randrange(1, 2 * every)
        first = _live(folder, first, last, until, chance.random() / 10, outcome, arguments)
        if first < last:
            assert not is_last, outcome.errors
            outcome.kills += 1
            first += chance.randrange(2)  # minutes until leakwatch runs again; an alert ends after 4
            arguments = damage(folder, chance) if damage else ()
    return outcome


def _live(
    folder: Path, first: int, last: int, until: int, pause: float, outcome: Outcome, arguments: tuple[str, ...]
) -> int:
    """Run one worker; kill it `pause` seconds after the begin of minute `until`. Return the next minute."""
    command = [sys.executable, "-m", "tests.kill.worker", str(folder), str(first), str(last), *arguments]
    minute = first
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        for line in _lines(process.stdout):
            if "minute" in line:
                minute = line["minute"]
                outcome.alertmanager.tick(START + minute * MINUTE)
                if minute == until:
                    time.sleep(pause)
                    process.kill()
            elif "alert" in line:
                outcome.alertmanager.receive(line["alert"])
            elif "leaks" in line:
                outcome.leaks = {(leak["service"], leak["function"]): leak for leak in line["leaks"]}
                minute = last
            else:
                outcome.restored.append(line["restored"])
        outcome.errors = process.stderr.read()
    return minute + 1 if minute < last else last


def _lines(output: Any) -> Iterator[dict[str, Any]]:
    """Yield the lines of a worker; the last one may be incomplete."""
    for line in output:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
