"""Entry point of `python -m leakwatch`, which the container image runs."""

import os
import signal
import sys

if os.getpid() == 1:
    # The first process of a container has no default actions for signals. Without a handler, a SIGTERM during the
    # imports would be lost, and the container engine would send SIGKILL 10 s later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

from leakwatch.cli.main import main

main()
