"""One daemon: how it is started, where it runs, and the sessions that the load opens on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

PERIOD = 1800
"""Seconds of one swing of the load."""

CONFIGS = Path(__file__).parent / "configs"

Sessions = dict[str, object]
"""Sessions of one kind on one daemon: the keys of `Plan` in load/main.go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a daemon runs: the folder of all and its own, its ports, and the address of the load's server."""

    folder: Path
    home: Path
    port: int
    programs: Path
    backend: str

    @property
    def profile(self) -> int:
        """The port for profiles."""
        return self.port + 1

    @property
    def peers(self) -> int:
        """The port for other daemons of the kind."""
        return self.port + 2

    @property
    def address(self) -> str:
        """The main address."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The main address as a URL."""
        return f"http://{self.address}"

    def config(self, name: str, target: str = "") -> str:
        """Write a file of `configs` with this place filled in, and return its path."""
        path = self.home / (target or name)
        names = ("folder", "home", "port", "profile", "peers", "backend")
        path.write_text(
            Template((CONFIGS / name).read_text()).substitute({each: getattr(self, each) for each in names})
        )
        return str(path)

    def program(self, name: str, of_debian: str) -> str:
        """Return the program `name` of the folder of programs if it is there, else that of Debian."""
        own = self.programs / name
        return str(own) if own.exists() else of_debian


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One daemon: `command` starts it, `profiles` is the address of its pprof."""

    name: str
    command: list[str]
    profiles: str
    sessions: list[Sessions]
    environment: dict[str, str] = field(default_factory=dict)


Make = Callable[[str, Place], Daemon]


def swing(name: str, kind: str, url: str, levels: tuple[int, int], life: float, **more: object) -> Sessions:
    """Return healthy sessions, of which the number swings between two levels; `life`: their mean, in seconds."""
    low, high = levels
    bounds = {"Low": low, "High": high, "Life": life, "Period": PERIOD}
    return {"Name": name, "Kind": kind, "URL": url, **bounds, **more}
