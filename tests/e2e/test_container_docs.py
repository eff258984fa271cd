"""docs/container.md: every command in it is run, by podman under the name of docker."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from leakwatch import __version__
from tests.support.containers import ROOT, RUN, Container, podman, shop
from tests.support.waiting import wait_for

SECTIONS = dict(
    part.split("\n", 1) for part in (ROOT / "docs/container.md").read_text().removeprefix("# ").split("\n## ")
)
PREFIX = f"test-{os.getpid()}-"

DOCKER = f"""#!/usr/bin/env bash
# docker, for the commands of the page: podman, without a network of its own to publish ports of
set -euo pipefail
verb=$1
shift
case "$verb $*" in
  "build -t leakwatch:{__version__} .") exec deploy/image/build.sh buildah ;;
  "build -t shop:0.1.0 deploy/demo/service") exec podman build --quiet --tag shop:0.1.0 "${{0%/*}}/shop" ;;
  run*)
    arguments=()
    [[ $* == *--network* ]] || arguments=(--network none)
    while [ "$#" -gt 0 ]; do
      case $1 in
        -p) shift ;;
        *) arguments+=("$1") ;;
      esac
      shift
    done
    exec {" ".join(word for word in RUN if word not in ("--read-only", "--cap-drop=ALL"))} "${{arguments[@]}}" ;;
  exec* | kill* | stop*) exec podman --runtime=runc "$verb" "$@" ;;
  *) echo "what is docker $verb?" >&2; exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH with podman as docker; the shop is built here, since its first stage needs a base image."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    shop(folder / "shop")
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    for name in podman("ps", "--all", f"--filter=name={PREFIX}", "--format={{.Names}}").split()[::-1]:
        podman("--runtime=runc", "rm", "--force", "--volumes", "--time=1", name)
    for name in podman("volume", "ls", f"--filter=name={PREFIX}", "--format={{.Name}}").split():
        podman("volume", "rm", name)


def run(section: str, path: str) -> str:
    """Run the commands of a section; return what they print. Containers and volumes get names of their own."""
    blocks = re.findall(r"^```sh\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert blocks
    name = re.compile(r"(--name |container:|exec |HUP |stop |-v )(?=(?:shop|leakwatch)\b)")
    script = name.sub(rf"\1{PREFIX}", "".join(blocks))
    command = ["bash", "-euc", script]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_describes_the_build(path: str) -> None:
    """The first command builds the image."""
    run("leakwatch in a container", path)
    assert podman("image", "exists", f"leakwatch:{__version__}") == ""


def test_beside_one_service(path: str) -> None:
    """The sidecar reaches a service that listens for its own pod only."""
    look = run("Beside one service", path)
    assert "main.customer" in look or "main.(*shop)" in look
    leakwatch = Container(f"{PREFIX}leakwatch")
    wait_for(lambda: "target is up" in leakwatch.log())
    assert '"service": "shop"' in leakwatch.log()


def test_for_many_services(path: str) -> None:
    """A mounted configuration is found, and the container ends by itself: the engine need not kill it."""
    run("For many services", path)
    assert podman("inspect", "--format={{.State.ExitCode}}", f"{PREFIX}leakwatch").strip() == "0"


def test_the_page_is_run_from_end_to_end() -> None:
    """No other section has commands but the one that test_compose.py reads."""
    with_commands = [title for title, text in SECTIONS.items() if "```" in text]
    compose = "With Prometheus and Alertmanager"
    assert with_commands == ["leakwatch in a container", "Beside one service", "For many services", compose]
    command = "docker compose -f deploy/compose/compose.yml up --build"
    assert f"```sh\n{command}\n```" in SECTIONS[compose]
    assert f"#   {command}\n" in (ROOT / "deploy/compose/compose.yml").read_text()
    assert "docker build -t shop:0.1.0 deploy/demo/service" in SECTIONS["Beside one service"]
