"""Checks passwords against bcrypt hashes in a thread, within a limit of CPU time."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping

import bcrypt

from leakwatch.clock import thread_cpu_seconds

LENGTH = 72
"""Bytes of a password that bcrypt reads; htpasswd and Go ignore the rest too."""
WAITING = 5
"""Checks that may wait for their turn; a further check raises PasswordChecksBusy."""
SHARE = 0.25
"""Of one core that wrong passwords may cost."""
CACHED = 1000


class PasswordChecksBusy(Exception):  # noqa: N818  a state, not an error
    """Too many passwords wait for a check."""


class Passwords:
    """Checks one password at a time, and caches valid ones, so that a scrape pays for bcrypt once.

    The cache has keyed hashes only. The key ends with the process. A new hash of the user invalidates the entry.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._cache: dict[bytes, None] = {}
        self._turn = asyncio.Semaphore()
        self._waiting = 0

    async def are_valid(self, hashes: Mapping[bytes, bytes], user: bytes, password: bytes) -> bool:
        """Return whether the password of `user` is right. An unknown user takes equally long.

        Raise PasswordChecksBusy if too many checks wait.
        """
        exists = user in hashes
        expected = hashes[user] if exists else self._stand_in(list(hashes.values()), user)
        password = password[:LENGTH]
        digest = self._digest(expected + len(user).to_bytes(4, "big") + user + password)
        if exists and digest in self._cache:
            return True
        if self._waiting >= WAITING:
            raise PasswordChecksBusy
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        return await self._check(digest, expected, password, exists=exists)

    async def _check(self, digest: bytes, expected: bytes, password: bytes, *, exists: bool) -> bool:
        """Check a password, then release the turn; after a wrong password, release it with a delay."""
        valid = exists and digest in self._cache  # another request checked the same password in the meantime
        pause = 0.0
        try:
            if not valid:
                matches, seconds = await asyncio.to_thread(_matches, password, expected)
                valid = matches and exists
                pause = 0.0 if valid else seconds * (1 / SHARE - 1)
        finally:
            asyncio.get_running_loop().call_later(pause, self._turn.release)
        if valid:
            self._cache[digest] = None
            if len(self._cache) > CACHED:
                del self._cache[next(iter(self._cache))]
        return valid

    def _stand_in(self, hashes: list[bytes], user: bytes) -> bytes:
        """Return the hash of another user for an unknown user: always the same, so that time reveals nothing."""
        return hashes[int.from_bytes(self._digest(user)) % len(hashes)]

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self._key, digest_size=32).digest()


def _matches(password: bytes, hashed: bytes) -> tuple[bool, float]:
    """Return whether the password has this hash, and the CPU seconds of the check."""
    start = thread_cpu_seconds()
    return bcrypt.checkpw(password, hashed), thread_cpu_seconds() - start
