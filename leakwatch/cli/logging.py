"""Set-up of the log: text on a terminal, JSON elsewhere, always on standard error."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

FIRST = ("timestamp", "level", "event")
"""The first keys of a JSON line."""


def configure(level: str, *, stream: TextIO = sys.stderr) -> None:
    """Log events of `level` and above to `stream`."""
    terminal = stream.isatty()
    render: Processor = (
        structlog.dev.ConsoleRenderer(
            pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        if terminal
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    stamp = structlog.processors.TimeStamper("%H:%M:%S" if terminal else "iso", utc=not terminal)
    level_of, trace = structlog.processors.add_log_level, structlog.processors.format_exc_info
    structlog.configure(
        processors=[stamp, level_of, trace, *(() if terminal else (_ordered,)), render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s: %(message)s", force=True)


def _ordered(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {**{name: line[name] for name in FIRST if name in line}, **line}
