"""A process that is killed again and again ends with the same leaks and alerts as one that is not."""

import os
import random
from pathlib import Path

import pytest

from leakwatch.evidence.disk import Disk
from leakwatch.storage.database import FILE
from tests.kill.compare import differences
from tests.kill.run import run

MINUTES = 240
KILLS = 12
"""`make kills` kills 50 times."""


def test_kills_at_random_change_nothing(tmp_path: Path) -> None:
    """Leaks, first-seen times, alerts and their start times are those of a process that was not killed."""
    steady, killed = run(tmp_path / "steady", MINUTES), run(tmp_path / "killed", MINUTES, kills=KILLS, seed=1)
    assert killed.kills == KILLS
    assert len(steady.leaks) >= 3
    assert differences(steady, killed) == []
    invalid: list[str] = []
    assert Disk(tmp_path / "killed" / "evidence").load(lambda path, error: invalid.append(f"{path}: {error}"))
    assert invalid == []


def damage(folder: Path, chance: random.Random) -> tuple[str, ...]:
    """Damage the state at random, or set the wall clock of the next boot a day ahead or back."""
    database = folder / FILE
    kind = chance.choice(["truncated", "overwritten", "no log", "clock ahead", "clock back", "evidence"])
    if kind == "truncated":
        os.truncate(database, database.stat().st_size // 2)
    elif kind == "overwritten":
        with database.open("r+b") as file:
            file.seek(database.stat().st_size // 3)
            file.write(os.urandom(20_000))
    elif kind == "no log":
        for path in folder.glob(f"{FILE}-*"):
            path.unlink()
    elif kind == "evidence":
        for path in [*folder.glob("evidence/*/*/*.gz")][:3]:
            os.truncate(path, 10)
    days = {"clock ahead": 1, "clock back": -1}.get(kind, 0)
    return (str(86400.0 * days), f"boot{chance.random()}")


@pytest.mark.parametrize("seed", [1, 2])
def test_damage_never_stops_leakwatch(tmp_path: Path, seed: int) -> None:
    """Whatever happens to its files and its clock, leakwatch starts, and finds leaks again."""
    outcome = run(tmp_path, MINUTES, kills=8, every=8, seed=seed, damage=damage)
    assert outcome.kills == 8
    assert len(outcome.restored) == 9
    assert ("service0", "main.leak") in outcome.leaks
    Disk(tmp_path / "evidence").load(lambda _, __: None)
