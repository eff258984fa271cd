"""A real browser for tests, with checks for errors, requests to other servers, accessibility and width."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.waiting import HANG

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
PATIENCE = HANG * 1000
"""Milliseconds after which a wait is a hang."""
PHONE = 400
"""Pixels of a small screen."""

expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser; a machine without Chromium fails here, loudly."""
    path = shutil.which("chromium")
    assert path, "there is no chromium; make setup installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A window on the pages at `url`, as a context manager that fails at its end if an error occurred.

    `allowed`: what a message of the console may have in it.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        scheme: Literal["light", "dark"] = "light",
        width: int = 1280,
        scripts: bool = True,
        allowed: str = "nothing",
    ) -> None:
        self._allowed = allowed
        self.wrong: list[str] = []
        self._url = url
        self.context: BrowserContext = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._asked)

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, failed: object, *_: object) -> None:
        self.context.close()
        if failed is None:
            assert self.wrong == []

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and self._allowed not in message.text:
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        ours, theirs = urlsplit(self._url), urlsplit(request.url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            self.wrong.append(f"request to {request.url}")


def hard_to_use(page: Page) -> list[str]:
    """Return what axe-core finds on a page that is moderate or worse, with the elements."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in {"moderate", "serious", "critical"}
    ]


def too_wide(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide
