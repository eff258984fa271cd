"""Passwords: who is let in, what it costs, and what nobody can learn from the time it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from leakwatch.web.server.passwords import WAITING, Busy, Passwords
from tests.support.certificates import hashed

ONE, TWO = hashed("one").encode(), hashed("two").encode()
HASHES = {b"a": ONE, b"b": TWO}
Found = TypeVar("Found")


def run(what: Callable[[Passwords], Awaitable[Found]]) -> Found:
    """Run one scene with a new checker."""

    async def scene() -> Found:
        return await what(Passwords())

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
def test_who_is_let_in(user: bytes, password: bytes, right: bool) -> None:
    """Only the password of that very user is right, the second time too."""

    async def twice(passwords: Passwords) -> list[bool]:
        return [await passwords.admits(HASHES, user, password) for _ in range(2)]

    assert run(twice) == [right, right]


def test_what_bcrypt_does_not_look_at() -> None:
    """Of a long password the first 72 bytes count, as for htpasswd and Go."""
    long = "x" * 80

    async def scene(passwords: Passwords) -> list[bool]:
        hashes = {b"a": hashed(long[:72]).encode()}
        return [await passwords.admits(hashes, b"a", word.encode()) for word in (long, long[:72], long[:71])]

    assert run(scene) == [True, True, False]


def test_what_was_right_is_forgotten_with_its_hash() -> None:
    """A new hash, or a user who has gone, counts at once; also where two users share a hash."""

    async def scene(passwords: Passwords) -> list[bool]:
        both = {b"a": ONE, b"b": ONE}
        return [
            await passwords.admits(both, b"a", b"one"),
            await passwords.admits({b"b": ONE}, b"a", b"one"),
            await passwords.admits({b"a": TWO}, b"a", b"one"),
            await passwords.admits({b"a": TWO}, b"a", b"two"),
        ]

    assert run(scene) == [True, False, False, True]


def test_no_password_is_kept() -> None:
    """What is remembered is neither the password nor the same in another process."""

    async def scene(passwords: Passwords) -> bytes:
        assert await passwords.admits(HASHES, b"a", b"one")
        (known,) = passwords._known
        return known

    first, second = run(scene), run(scene)
    assert b"one" not in first
    assert first != second


def test_nobody_takes_as_long_as_somebody() -> None:
    """A wrong password costs a user who exists as much as one who does not; a right one costs it once."""
    dear = {b"a": hashed("one", 9).encode()}

    async def took(passwords: Passwords, user: bytes, password: bytes) -> float:
        begun = time.perf_counter()
        await passwords.admits(dear, user, password)
        return time.perf_counter() - begun

    async def scene(passwords: Passwords) -> tuple[float, float, float]:
        wrong, nobody = [], []
        for _ in range(5):
            await asyncio.sleep(0.2)  # the turn after a wrong one comes later; that is no part of the check
            wrong.append(await took(passwords, b"a", b"two"))
            await asyncio.sleep(0.2)
            nobody.append(await took(passwords, b"c", b"two"))
        await passwords.admits(dear, b"a", b"one")
        return min(wrong), min(nobody), await took(passwords, b"a", b"one")

    wrong, nobody, known = run(scene)
    assert wrong / 2 < nobody < wrong * 2
    assert known < wrong / 10


def test_a_flood_waits_or_is_sent_away() -> None:
    """One check runs at a time, some wait, the others are told at once; who is known waits for nobody."""

    async def scene(passwords: Passwords) -> None:
        assert await passwords.admits(HASHES, b"a", b"one")
        flood = [asyncio.ensure_future(passwords.admits(HASHES, b"a", b"%d" % number)) for number in range(30)]
        await asyncio.sleep(0)
        assert passwords._waiting <= WAITING
        assert await passwords.admits(HASHES, b"a", b"one")
        found = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(answer, Busy) for answer in found) >= 30 - WAITING - 1
        assert {answer for answer in found if not isinstance(answer, BaseException)} == {False}
        assert passwords._waiting == 0
        assert await passwords.admits(HASHES, b"b", b"two")

    run(scene)


def test_the_same_password_at_once_is_checked_once() -> None:
    """Ten requests that come together pay for one check."""

    async def scene(passwords: Passwords) -> int:
        together = [passwords.admits(HASHES, b"a", b"one") for _ in range(WAITING)]
        assert await asyncio.gather(*together) == [True] * WAITING
        return len(passwords._known)

    assert run(scene) == 1
