"""Set-up of the log: text on a terminal, JSON elsewhere, always on standard error.

Values may contain names from services: a megabyte of text, or control characters. They are cut and escaped.
"""

import json
import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from leakwatch.profile.escape import escaped, escaped_json

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

FIRST = ("timestamp", "level", "event")
"""The first keys of a JSON line."""
LONGEST = 4000
"""Characters of a logged value. A name from a service may have a megabyte."""


def configure(level: str, *, stream: TextIO = sys.stderr) -> None:
    """Log events of `level` and above to `stream`."""
    terminal = stream.isatty()
    render: Processor = (
        structlog.dev.ConsoleRenderer(
            pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        if terminal
        else structlog.processors.JSONRenderer(_json)
    )
    stamp = structlog.processors.TimeStamper("%H:%M:%S" if terminal else "iso", utc=not terminal)
    level_of, trace = structlog.processors.add_log_level, structlog.processors.format_exc_info
    structlog.configure(
        processors=[stamp, level_of, trace, _cut, _escaped if terminal else _ordered, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s: %(message)s", force=True)


def _json(line: EventDict, **options: Any) -> str:
    return escaped_json(json.dumps(line, ensure_ascii=False, **options))


def _cut(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    exception = line.get("exception")
    shortened = {name: _shortened(value) for name, value in line.items()}
    if isinstance(exception, str):  # the last lines of a traceback are the most important ones
        shortened["exception"] = "\n".join(str(_shortened(text)) for text in exception.split("\n"))
    return shortened


def _shortened(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
    if isinstance(value, list | tuple | set | frozenset):
        return [_shortened(item) for item in value]
    return value


def _escaped(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Escape values for a terminal; the renderer quotes only some of them. Line ends of errors stay."""
    return {name: _escaped_lines(value) if isinstance(value, str) else value for name, value in line.items()}


def _escaped_lines(text: str) -> str:
    return "\n".join(map(escaped, text.split("\n")))


def _ordered(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {**{name: line[name] for name in FIRST if name in line}, **line}
