"""The log: JSON or text for a terminal; names from services can neither flood it nor control the terminal."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from leakwatch.cli.logging import LONGEST, configure

HOSTILE = "down\x1b[31mRED\x9b5m\u202etxet\nsecond"


class Stream(io.StringIO):
    """The standard error of a process, with or without a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self.terminal


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore the configuration of the log."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logged(*, terminal: bool, **values: object) -> str:
    """Return the text of an event that is logged as a warning."""
    stream = Stream(terminal=terminal)
    configure("info", stream=stream)
    structlog.get_logger().warning("an event", **values)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["service", "event_"])
@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.replace("\n", ""), "down\x1b[31mRED"])
def test_a_terminal_gets_no_control_characters(name: str, text: str) -> None:
    """A value reaches a terminal escaped, also if the renderer would not quote it."""
    line = logged(terminal=True, **{name: text})
    own_styles = logged(terminal=True, **{name: "x"}).count("\x1b")
    assert line.count("\x1b") == own_styles
    assert not {"\x9b", "\u202e"} & set(line)
    assert r"down\x1b[31mRED" in line.replace("\\\\", "\\")


def test_json_is_readable_and_safe() -> None:
    """A line of JSON has the value, with control characters and bidirectional overrides as JSON escapes."""
    line = logged(terminal=False, service=HOSTILE, owner="süd 🐍")
    assert json.loads(line)["service"] == HOSTILE
    assert "süd 🐍" in line
    assert line.removesuffix("\n").isprintable()


@pytest.mark.parametrize("terminal", [False, True])
def test_long_values_are_cut(terminal: bool) -> None:
    """A function with a name of a megabyte makes a line of some kilobytes."""
    name = "x" * 1_000_000
    line = logged(terminal=terminal, function=name, reason=f"{name} grows", hosts=[name])
    assert 3 * LONGEST <= len(line) < 4 * LONGEST
    assert line.count("…") == 3


@pytest.mark.parametrize("terminal", [False, True])
def test_tracebacks_are_complete(terminal: bool) -> None:
    """A traceback stays whole, except for long lines."""
    error = ValueError("x" * 1_000_000 + "\n" + "y\n" * LONGEST + "end \x1b[31m")
    line = logged(terminal=terminal, exc_info=error)
    assert "ValueError: xxx" in line
    assert "end " in line
    assert len(line) < 10 * LONGEST
    assert "\x1b[31m" not in line.replace("\x1b[31m\x1b[1m", "")
