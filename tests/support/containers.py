"""Containers of our image as they are deployed: read-only root, no capabilities, no new privileges."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leakwatch import __version__
from tests.support.waiting import HANG, wait_for

ROOT = Path(__file__).parents[2]
IMAGE = f"localhost/leakwatch:{__version__}"

RUN = (
    *("podman", "--runtime=runc", "run", "--pull=never", "--read-only", "--cap-drop=ALL"),
    "--security-opt=no-new-privileges",
    "--no-healthcheck",  # podman's timers need systemd; tests run the check themselves
    *(
        "--ulimit=nofile=4096:4096",
        "--ulimit=nproc=2048:2048",
    ),  # podman's defaults are more than some machines allow
)


def build() -> None:
    """Build the image, or find that it is built; a machine without the tools fails here, loudly."""
    subprocess.run([ROOT / "deploy/image/build.sh", "buildah"], check=True, cwd=ROOT)


def shop(folder: Path) -> Path:
    """Return a folder to build the demo's image from: its last stage only, since the first needs a base."""
    service = ROOT / "deploy/demo/service"
    last = (service / "Dockerfile").read_text().partition("\n\n")[2]
    assert last.startswith("FROM scratch\nCOPY --from=builder /shop /shop\n")
    folder.mkdir()
    (folder / "Dockerfile").write_text(last.replace("--from=builder /shop", "shop"))
    command = ["go", "build", "-trimpath", "-o", f"{folder}/shop", "."]
    subprocess.run(command, check=True, cwd=service, env=os.environ | {"CGO_ENABLED": "0"})
    return folder


def podman(*arguments: str | Path) -> str:
    """Return what podman prints; raises CalledProcessError."""
    return subprocess.run(["podman", *arguments], check=True, capture_output=True, text=True).stdout


def once(
    *arguments: str | Path, options: tuple[str, ...] = (), network: str = "none"
) -> subprocess.CompletedProcess[str]:
    """Run a container to its end; return its output."""
    command = [*RUN, "--rm", f"--network={network}", *options, IMAGE, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def python(code: str) -> str:
    """Return what a piece of Python prints inside the image."""
    done = once("-c", code, options=("--entrypoint=python3",))
    assert done.returncode == 0, done.stderr
    return done.stdout


def export(file: Path) -> None:
    """Write the files of the image to a tar archive."""
    name = podman("create", "--pull=never", IMAGE).strip()
    try:
        podman("export", f"--output={file}", name)
    finally:
        podman("rm", "--volumes", name)


def image_config() -> dict[str, Any]:
    """Return the configuration of the image, as `podman inspect` prints it."""
    found: list[dict[str, Any]] = json.loads(podman("image", "inspect", IMAGE))
    return found[0]


class Container:
    """A container that runs in the background."""

    def __init__(self, name: str) -> None:
        self.name = name

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(
            ["podman", "--runtime=runc", "exec", self.name, *command], check=False, capture_output=True, text=True
        )

    def log(self) -> str:
        """Return what it has written so far."""
        command = ["podman", "logs", self.name]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    def handles(self, number: signal.Signals) -> bool:
        """Return whether its first process has a handler for a signal."""
        pid = podman("inspect", "--format={{.State.Pid}}", self.name).strip()
        status = Path(f"/proc/{pid}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\t(\w+)$", status, re.MULTILINE)
        return bool(int(caught, 16) >> number - 1 & 1)

    def stop(self) -> int:
        """Ask it to end, as engines do; return its exit status."""
        podman("--runtime=runc", "stop", f"--time={HANG:.0f}", self.name)
        return int(podman("inspect", "--format={{.State.ExitCode}}", self.name))


@contextmanager
def container(*arguments: str | Path, options: tuple[str, ...] = (), network: str = "none") -> Iterator[Container]:
    """Run leakwatch in a container for a while."""
    name = f"leakwatch-test-{os.getpid()}"
    command = [*RUN, "--detach", f"--name={name}", f"--network={network}", *options, IMAGE, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield Container(name)
    finally:
        command = ["podman", "--runtime=runc", "rm", "--force", "--volumes", "--time=1", name]
        # On a busy machine, a container may still run a second after it was killed.
        wait_for(lambda: subprocess.run(command, check=False, capture_output=True).returncode == 0)
