"""Runs commands of leakwatch in the test process, which is far faster than a new process."""

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import leakwatch.cli.logging  # noqa: F401  it keeps the stderr of its first import, which must not be that of a command
from leakwatch.cli.main import main

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "80"}
"""The environment of commands, whatever that of the tests is."""


def run_command(
    *arguments: str | Path, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `leakwatch` with `arguments`; return exit status and output as of a process with pipes.

    `environment`: variables besides ENVIRONMENT. The command leaves streams, variables and logging unchanged.
    """
    argv = ["leakwatch", *map(str, arguments)]
    stdout, stderr = io.BytesIO(), io.BytesIO()
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", text_stream(io.BytesIO(stdin))),
        contextlib.redirect_stdout(text_stream(stdout)),
        contextlib.redirect_stderr(text_stream(stderr)),
        mock.patch.dict(os.environ, ENVIRONMENT | environment, clear=True),
        restored_logging(),
    ):
        status = exit_status()
    return subprocess.CompletedProcess(argv, status, stdout.getvalue(), stderr.getvalue())


def output_of(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> str:
    """Return the output of a command that succeeds."""
    completed = run_command(*arguments, stdin=stdin, **environment)
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode()


class Unclosed(io.TextIOWrapper):
    """A text stream over bytes that remain readable after a command has closed it."""

    def close(self) -> None:
        """Write the remaining text."""
        self.flush()


def text_stream(stream: io.BytesIO) -> io.TextIOWrapper:
    """Return a text stream over the bytes of `stream`, as Python opens a pipe."""
    return Unclosed(stream, encoding="utf-8", write_through=True)


def exit_status() -> int:
    """Run the command line of sys.argv; return the exit status that Python would have."""
    try:
        main()
    except SystemExit as exited:
        return int(exited.code or 0)
    return 0


@contextlib.contextmanager
def restored_logging() -> Iterator[None]:
    """Restore the handlers and the level of the root logger, which commands replace."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
