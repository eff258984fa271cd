"""`python -m leakwatch`, which is how the container image starts it."""

import os
import signal
import sys

if os.getpid() == 1:
    # The first process of a container gets no default actions of signals: without this, a SIGTERM that comes while
    # we are still importing would be lost, and the engine would wait ten seconds and kill us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

from leakwatch.cli.main import main

main()
