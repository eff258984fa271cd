"""The cache of a plugin's credential: shared runs, expiry, rejection, and pauses after failures."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leakwatch.discovery.kubernetes.credential_cache import EXPIRY_MARGIN, RETRY_PAUSE, CredentialCache
from leakwatch.discovery.kubernetes.exec_plugin import ExecCredential
from tests.support.credential_plugins import TOKEN, echo, output, plugin


class Time:
    """A time that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def cached(folder: Path, test: Callable[[CredentialCache, Time, Callable[[], int]], Any], commands: str) -> None:
    """Run a test with a cache, its time, and the number of runs of a plugin with these commands."""
    time = Time()

    def runs() -> int:
        return len((folder / "runs").read_text().splitlines())

    async def run() -> None:
        cache = CredentialCache(plugin(folder, f"echo run >> {folder}/runs\n{commands}"), time)
        await test(cache, time, runs)

    asyncio.run(run())


def test_concurrent_requests_share_one_run(tmp_path: Path) -> None:
    """Concurrent requests for a credential run the plugin once."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        credentials = await asyncio.gather(*(cache.get() for _ in range(5)))
        time.now = 1e9
        assert {credential.token for credential in [*credentials, await cache.get()]} == {"x"}
        assert runs() == 1

    cached(tmp_path, test, f"echo '{TOKEN}'")


def test_a_credential_is_renewed_before_its_expiry(tmp_path: Path) -> None:
    """The plugin runs again `EXPIRY_MARGIN` seconds before the expiry."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        numbers = []
        for time.now in (0.0, 3600.0 - EXPIRY_MARGIN, 3601.0 - EXPIRY_MARGIN):
            await cache.get()
            numbers.append(runs())
        assert numbers == [1, 1, 2]

    cached(tmp_path, test, echo(output({"token": "x", "expirationTimestamp": "1970-01-01T01:00:00Z"})))


def test_a_rejected_credential_is_replaced(tmp_path: Path) -> None:
    """The rejection of a credential that was already replaced has no effect."""

    async def test(cache: CredentialCache, _: Time, runs: Callable[[], int]) -> None:
        first = await cache.get()
        cache.reject(first)
        second = await cache.get()
        cache.reject(first)
        assert await cache.get() is second
        assert runs() == 2

    cached(tmp_path, test, f"echo '{TOKEN}'")


def test_a_failing_plugin_pauses(tmp_path: Path) -> None:
    """For `RETRY_PAUSE` seconds after a failure, the plugin does not run, and requests get the same error."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        attempts = await asyncio.gather(*(cache.get() for _ in range(5)), return_exceptions=True)
        assert {str(attempt) for attempt in attempts} == {str(attempts[0])}
        assert "exit status 7" in str(attempts[0])
        assert runs() == 1
        time.now = RETRY_PAUSE
        (tmp_path / "works").touch()
        assert isinstance(await cache.get(), ExecCredential)

    cached(tmp_path, test, f"[ -e {tmp_path}/works ] || exit 7; echo '{TOKEN}'")
