"""Takes docs/images/*.png of the pages: `make pictures`.

Runs `leakwatch run` beside the service of the demo (three processes, of which two leak) and a target that is down,
until the leak is reported. It takes about three minutes and needs Go and Chromium. Times and counts differ between
two runs, so `make docs` does not take pictures.
"""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = ROOT / "docs" / "images"
HEALTHY: Final = 20.0  # seconds before the leak begins
MORE: Final = 60.0  # seconds between the verdict and the pictures
PATIENCE: Final = 600.0  # seconds
COLOURS: Final = 128
CONFIG: Final = """
global: {{scrape_interval: 800ms, scrape_timeout: 800ms, scrape_cost_limit: 1}}
detection: {{block: 4s}}
owners: {{example.com/shop/pipeline: team-ingest}}
links: {{source: "https://git.example.com/{{file}}#L{{line}}", alertmanager: "https://alertmanager.example.com"}}
scrape_configs:
  - {{job_name: shop, memory_limit: 32MB, static_configs: [{{targets: ["{0}", "{1}"]}}]}}
  - {{job_name: billing, static_configs: [{{targets: ["{2}", "127.0.0.1:1"]}}]}}
"""


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the end of the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own programs
        try:
            yield process
        finally:
            process.terminate()


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line of the output of a process."""
    if process.stdout is None:
        raise AssertionError("the output is not captured")
    return process.stdout.readline()


def free_address() -> str:
    """Return a loopback address with a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def leak_path(url: str) -> str:
    """Return the path of the leak once it is reported; raise TimeoutError."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for leak in httpx.get(f"{url}/api/v1/leaks", params={"verdict": "leaking"}).json()["leaks"]:
            return f"leaks/{leak['id']}"
        time.sleep(1)
    raise TimeoutError(f"no leak within {PATIENCE:g} s")


def take(
    browser: Browser, url: str, path: str, name: str, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    """Save the picture of a page in one theme."""
    width, height = size
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(f"{url}/{path}")
    page.get_by_text("live", exact=True).wait_for()
    page.wait_for_timeout(1000)  # the plots draw the first answer
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file)
    context.close()
    with Image.open(file) as picture:  # a page has few colours: a third of the size
        picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)


def take_all(url: str, leak: str, target: str) -> None:
    """Save all pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = {"overview": "", "leak": leak, "target": f"targets/shop/{target}", "status": "status"}
        for name, path in pages.items():
            take(browser, url, path, f"{name}-light", "light", (1280, 1160))
            take(browser, url, path, f"{name}-dark", "dark", (1280, 1160))
            take(browser, url, path, f"{name}-phone", "light", (390, 844))
        browser.close()


def services(stack: ExitStack, program: Path, number: int) -> Sequence[str]:
    """Start instances of the demo's service; return their addresses."""
    lines = [first_line(stack.enter_context(running(program))) for _ in range(number)]
    return [re.findall(r"[\d.]+:\d+", line)[0] for line in lines]


def main() -> None:
    """Run everything and take the pictures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program, config, address = folder / "shop", folder / "leakwatch.yml", free_address()
        source = ROOT / "deploy" / "demo" / "service"
        subprocess.run(["go", "build", "-trimpath", "-o", program, "."], cwd=source, check=True)  # noqa: S603, S607  Go from PATH
        targets = services(stack, program, 3)
        config.write_text(CONFIG.format(*targets))
        command = (sys.executable, "-m", "leakwatch", "run", "--config", config, "--listen", address)
        stack.enter_context(running(*command, "--log-level", "error"))
        time.sleep(HEALTHY)
        for target in targets[:2]:
            httpx.post(f"http://{target}/leak", params={"rate": 2}).raise_for_status()
        leak = leak_path(f"http://{address}")
        time.sleep(MORE)
        take_all(f"http://{address}", leak, targets[0])


if __name__ == "__main__":
    main()
