"""`leakwatch run` imports only what the daemon needs."""

import subprocess
import sys
from importlib import import_module

import pytest

from leakwatch.cli.commands.run import absent

IMPORTS = """
import sys
from leakwatch.cli.commands.run import absent
with absent("pygments", "rich"):
    import leakwatch.config, leakwatch.daemon, leakwatch.cli.logging
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_absent_packages_come_back() -> None:
    """Inside the block an import fails; afterwards it returns the same module as before."""
    before = import_module("csv")
    with absent("csv"), pytest.raises(ImportError):
        import_module("csv")
    assert import_module("csv") is before


def test_a_daemon_does_not_load_what_it_does_not_use() -> None:
    """Packages of other commands and of optional features are not in the memory of a sidecar."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert loaded & {"dns", "fastapi", "jinja2", "pygments", "re2", "rich"} == set()
