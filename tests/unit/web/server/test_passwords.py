"""Passwords: which are valid, the cost of a check, and that the time of a check reveals nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from leakwatch.web.server.passwords import WAITING, PasswordChecksBusy, Passwords
from tests.support.certificates import hashed

ONE, TWO = hashed("one").encode(), hashed("two").encode()
HASHES = {b"a": ONE, b"b": TWO}
Result = TypeVar("Result")


def run(play: Callable[[Passwords], Awaitable[Result]]) -> Result:
    """Run one scene with a new instance."""

    async def scene() -> Result:
        return await play(Passwords())

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("user", "password", "right"),
    [
        (b"a", b"one", True),
        (b"b", b"two", True),
        (b"a", b"two", False),
        (b"a", b"", False),
        (b"c", b"one", False),
        (b"c", b"two", False),
        (b"", b"", False),
        (b"a", b"one\0two", False),
        (b"\xff", b"\xff", False),
    ],
)
def test_valid_passwords(user: bytes, password: bytes, right: bool) -> None:
    """Only the password of the same user is valid, also at the second check."""

    async def twice(passwords: Passwords) -> list[bool]:
        return [await passwords.are_valid(HASHES, user, password) for _ in range(2)]

    assert run(twice) == [right, right]


def test_only_72_bytes_count() -> None:
    """Only the first 72 bytes of a password count, as in htpasswd and Go."""
    long = "x" * 80

    async def scene(passwords: Passwords) -> list[bool]:
        hashes = {b"a": hashed(long[:72]).encode()}
        return [await passwords.are_valid(hashes, b"a", word.encode()) for word in (long, long[:72], long[:71])]

    assert run(scene) == [True, True, False]


def test_a_new_hash_invalidates_the_cache() -> None:
    """A new hash or a removed user takes effect at once, also if two users share a hash."""

    async def scene(passwords: Passwords) -> list[bool]:
        both = {b"a": ONE, b"b": ONE}
        return [
            await passwords.are_valid(both, b"a", b"one"),
            await passwords.are_valid({b"b": ONE}, b"a", b"one"),
            await passwords.are_valid({b"a": TWO}, b"a", b"one"),
            await passwords.are_valid({b"a": TWO}, b"a", b"two"),
        ]

    assert run(scene) == [True, False, False, True]


def test_the_cache_has_no_password() -> None:
    """The cache has keyed hashes, which differ between processes."""

    async def scene(passwords: Passwords) -> bytes:
        assert await passwords.are_valid(HASHES, b"a", b"one")
        (digest,) = passwords._cache
        return digest

    first, second = run(scene), run(scene)
    assert b"one" not in first
    assert first != second


def test_an_unknown_user_takes_as_long() -> None:
    """A wrong password costs the same CPU time for an unknown user; a valid password costs it once."""
    hashes = {b"a": hashed("one", 9).encode()}

    async def cost(passwords: Passwords, user: bytes, password: bytes) -> float:
        start = time.process_time()  # does not count the wait for the turn, or other processes
        await passwords.are_valid(hashes, user, password)
        return time.process_time() - start

    async def scene(passwords: Passwords) -> tuple[float, float, float]:
        wrong, unknown = [], []
        for _ in range(5):
            wrong.append(await cost(passwords, b"a", b"two"))
            unknown.append(await cost(passwords, b"c", b"two"))
        await passwords.are_valid(hashes, b"a", b"one")
        return min(wrong), min(unknown), await cost(passwords, b"a", b"one")

    wrong, unknown, cached = run(scene)
    assert wrong / 2 < unknown < wrong * 2
    assert cached < wrong / 10


def test_a_flood_of_checks() -> None:
    """One check runs at a time, some wait, others fail at once; a cached password does not wait."""

    async def scene(passwords: Passwords) -> None:
        assert await passwords.are_valid(HASHES, b"a", b"one")
        flood = [asyncio.ensure_future(passwords.are_valid(HASHES, b"a", b"%d" % number)) for number in range(30)]
        await asyncio.sleep(0)
        assert passwords._waiting <= WAITING
        assert await passwords.are_valid(HASHES, b"a", b"one")
        results = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(answer, PasswordChecksBusy) for answer in results) >= 30 - WAITING - 1
        assert {answer for answer in results if not isinstance(answer, BaseException)} == {False}
        assert passwords._waiting == 0
        assert await passwords.are_valid(HASHES, b"b", b"two")

    run(scene)


def test_the_same_password_at_once_is_checked_once() -> None:
    """Several requests at once with the same password cost one check."""

    async def scene(passwords: Passwords) -> int:
        together = [passwords.are_valid(HASHES, b"a", b"one") for _ in range(WAITING)]
        assert await asyncio.gather(*together) == [True] * WAITING
        return len(passwords._cache)

    assert run(scene) == 1
