"""docs/kubernetes.md: its Go code serves pprof on loopback."""

import re
import subprocess
from pathlib import Path

import httpx

from tests.support.running import free_port
from tests.support.waiting import HANG, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"
MAIN = """\
package main

import (
	"log"
	"net/http"
	"net/http/pprof"
	"time"
)

func main() {
	log.Fatal(serveProfiles())
}

"""


def test_the_code_serves_profiles_on_loopback(tmp_path: Path) -> None:
    """The function is formatted and vetted, and serves what leakwatch requests, without the command line."""
    (block,) = re.findall(r"```go\n(.*?)```", PAGE.read_text(), re.DOTALL)
    address = f"127.0.0.1:{free_port()}"
    assert "127.0.0.1:6060" in block
    (tmp_path / "go.mod").write_text("module shop\n\ngo 1.22\n")
    (tmp_path / "main.go").write_text(MAIN + block.replace("127.0.0.1:6060", address))
    subprocess.run(["go", "vet", "."], cwd=tmp_path, check=True)
    assert subprocess.run(["gofmt", "-l", "."], cwd=tmp_path, check=True, capture_output=True).stdout == b""
    subprocess.run(["go", "build", "-o", "shop", "."], cwd=tmp_path, check=True)
    with subprocess.Popen([tmp_path / "shop"]) as process:
        try:
            assert wait_for(lambda: status(address, "goroutine?debug=1") == 200)
            assert status(address, "symbol") == 200
            assert status(address, "cmdline") == 404
        finally:
            process.terminate()


def status(address: str, path: str) -> int | None:
    """Return the status of a request to pprof; None while nothing listens."""
    try:
        return httpx.get(f"http://{address}/debug/pprof/{path}", timeout=HANG).status_code
    except httpx.ConnectError:
        return None
