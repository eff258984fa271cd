"""Programs on a terminal, as a person runs them."""

import contextlib
import os
import pty
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path


def children(pid: int) -> set[int]:
    """Return the processes that this one started and that still run."""
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


class Terminal:
    """A program on a terminal of its own, 80 columns wide."""

    def __init__(self, command: Sequence[str | Path], **environment: str) -> None:
        self.master, slave = pty.openpty()
        subprocess.run(["stty", "cols", "80", "rows", "40"], stdin=slave, check=True)
        words = ["setsid", "--ctty", *command]
        env = {**os.environ, "TERM": "xterm", **environment}
        self.popen = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        os.set_blocking(self.master, False)
        self._said = b""

    def said(self) -> str:
        """Return all that was shown so far, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw().decode("utf-8", "replace"))

    def raw(self) -> bytes:
        """Return all bytes that came so far."""
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self._said += data
        return self._said

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """Leave nothing behind, even when the test has failed."""
        for pid in {*children(self.popen.pid), self.popen.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait()
        if self.master >= 0:
            self.hang_up()
