"""Checks passwords against bcrypt hashes, without holding up the loop and without burning the machine."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping

import bcrypt

from leakwatch.clock import thread_cpu_seconds

LENGTH = 72
"""Bytes of a password that bcrypt looks at; htpasswd and Go leave the rest aside too."""
WAITING = 5
"""Checks that may wait for their turn; one more is sent away."""
SHARE = 0.25
"""Of one core that wrong passwords may cost."""
KNOWN = 1000


class Busy(Exception):  # noqa: N818  it is a state, not a mistake
    """Too many passwords wait to be checked."""


class Passwords:
    """Remembers what was right, so that a scrape pays for bcrypt once; one check runs at a time, in a thread.

    What was right is kept as a hash with a key that dies with the process, and only as long as the user's hash
    stays the same.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, None] = {}
        self._turn = asyncio.Semaphore()
        self._waiting = 0

    async def admits(self, hashes: Mapping[bytes, bytes], user: bytes, password: bytes) -> bool:
        """Tell whether it is the password of `user`, who may be nobody: that takes as long. Raises Busy."""
        exists = user in hashes
        wanted = hashes[user] if exists else self._stand_in(list(hashes.values()), user)
        password = password[:LENGTH]
        mark = self._digest(wanted + len(user).to_bytes(4, "big") + user + password)
        if exists and mark in self._known:
            return True
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        return await self._check(mark, wanted, password, exists=exists)

    async def _check(self, mark: bytes, wanted: bytes, password: bytes, *, exists: bool) -> bool:
        """Check while it is our turn; after a wrong password the next turn comes later."""
        right = exists and mark in self._known  # the same was asked while we waited
        pause = 0.0
        try:
            if not right:
                matches, seconds = await asyncio.to_thread(_matches, password, wanted)
                right = matches and exists
                pause = 0.0 if right else seconds * (1 / SHARE - 1)
        finally:
            asyncio.get_running_loop().call_later(pause, self._turn.release)
        if right:
            self._known[mark] = None
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return right

    def _stand_in(self, hashes: list[bytes], user: bytes) -> bytes:
        """Return somebody's hash for a user who does not exist, always the same, so that time tells nothing."""
        return hashes[int.from_bytes(self._digest(user)) % len(hashes)]

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self._key, digest_size=32).digest()


def _matches(password: bytes, hashed: bytes) -> tuple[bool, float]:
    """Return whether they belong together, and the seconds of a core that it took."""
    begun = thread_cpu_seconds()
    return bcrypt.checkpw(password, hashed), thread_cpu_seconds() - begun
