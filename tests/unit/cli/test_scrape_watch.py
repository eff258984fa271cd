"""`leakwatch scrape --watch` in a pipe, with a simulated service in virtual time."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from leakwatch.clock import Lag
from leakwatch.errors import LeakwatchError
from tests.support.virtual_service import VirtualService, invoke
from tests.support.virtual_time import VirtualClock, VirtualLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> VirtualLoop:
    """Return the event loop of the command, with a virtual clock."""
    loop = VirtualLoop()
    monkeypatch.setattr("leakwatch.cli.scrape_session.Clock", lambda: VirtualClock(loop))
    monkeypatch.setattr("leakwatch.cli.scrape_session.Lag", lambda: Lag(Path("no schedstat")))  # that time is real
    return loop


def leaking(seconds: float) -> Mapping[str, int]:
    """Return a steady stack and a leak of 4 per second."""
    return {"Worker": 9, "Leak": 1 + int(4 * seconds)}


def test_tables_in_a_pipe(loop: VirtualLoop) -> None:
    """Each scrape prints a plain table, with the growing stack first, its change and, once known, its growth."""
    service = VirtualService(leaking)
    result = invoke(loop, [service], "scrape", "--watch", service.url, "--for", "30s")
    assert result.exit_code == 0
    tables = result.stdout.split("goroutines   change")[1:]
    assert service.requests - 1 <= len(tables) <= service.requests
    assert "\x1b" not in result.stdout
    for table in tables[1:]:
        assert table.index("main.Leak") < table.index("main.Worker")
    row = re.compile(r"^ +(\d+) +\+(\d+) +(\S+) .*main\.Leak", re.MULTILINE)
    assert not row.search(tables[0])
    ((count, change, per_minute),) = row.findall(tables[-1])
    assert int(count) == 1 + int(change)
    assert float(per_minute) == pytest.approx(240, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["file.txt"], "--watch needs the URL of a service"),
        (["http://x:1", "--format", "json"], "it cannot be combined with --by or --format"),
        (["http://x:1", "--for", "x"], "--for: 'x' is not a duration"),
        (["http://127.0.0.1:1", "--timeout", "5s"], "127.0.0.1:1: Connection refused"),
    ],
    ids=["file", "format", "for", "down"],
)
def test_an_invalid_live_table(loop: VirtualLoop, arguments: list[str], message: str) -> None:
    """The command raises an error that names the cause."""
    with pytest.raises(LeakwatchError, match=re.escape(message)):
        invoke(loop, [], "scrape", "--watch", *arguments)
    loop.close()
