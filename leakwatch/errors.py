"""Every error that leakwatch raises on purpose, named by what the one who catches it should do.

- LeakwatchError
  - ConfigError             the user mends a file or a flag; the old configuration stays in force
    - UsageError            it is the command line that is wrong
  - DiscoveryError          a place where targets are found could not be asked; its last targets stay
  - ScrapeError             this scrape failed, the next one may not; `reason` is one of REASONS
    - ProfileError          an answer came, but no whole profile
      - NotAProfile         another format or page: another parser may try
      - TruncatedProfile    the body ends early: counts would be too low
      - MalformedProfile    the format is right, a line is not
  - EvidenceError           this body is not kept, or cannot be read again
  - DeliveryError           these alerts have not arrived, the next attempt may succeed
    - RefusedError          Alertmanager cannot take one of them as it is: no attempt will succeed
  - UnknownError            what a reader asks for is not there, or no more
"""

import re
from typing import ClassVar, Literal, get_args

Reason = Literal["timeout", "connection", "tls", "status", "too_large", "not_a_profile", "truncated", "malformed"]
REASONS: tuple[Reason, ...] = get_args(Reason)

QUOTE_LIMIT = 120


def quote(text: str | bytes) -> str:
    """Return `text` on one line, at most QUOTE_LIMIT characters long and in quotes, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * QUOTE_LIMIT].decode("utf-8", "backslashreplace")
    shown = text[:QUOTE_LIMIT]
    return repr(shown) + ("..." if len(text) > len(shown) else "")


def without_user(url: str) -> str:
    """Return `url` without the user and password in it, to be shown."""
    return re.sub(r"//[^/@]*@", "//", url)


class LeakwatchError(Exception):
    """Base of all errors that leakwatch raises on purpose."""


class ConfigError(LeakwatchError):
    """A file or a flag cannot be used as it is; the message names the place and quotes the text."""


class UsageError(ConfigError):
    """The command line cannot be used as it is."""


class DiscoveryError(LeakwatchError):
    """A place where targets are found gave no answer that can be used."""


class QueryError(LeakwatchError):
    """A Prometheus API gave no answer; the message names it and quotes what came instead."""


class ScrapeError(LeakwatchError):
    """A scrape failed for `reason`; `charged`: whether the target worked, or may have worked, for the request."""

    def __init__(self, reason: Reason, message: str, *, charged: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.charged = charged


class ProfileError(ScrapeError):
    """A body is no whole profile; each subclass has its own reason."""

    kind: ClassVar[Reason]

    def __init__(self, message: str) -> None:
        super().__init__(self.kind, message)


class NotAProfile(ProfileError):  # noqa: N818  it says what the body is, as a reader would
    """The body is something else: a page, another profile, nothing."""

    kind: ClassVar[Reason] = "not_a_profile"


class TruncatedProfile(ProfileError):  # noqa: N818  see NotAProfile
    """The body ends before the profile does."""

    kind: ClassVar[Reason] = "truncated"


class MalformedProfile(ProfileError):  # noqa: N818  see NotAProfile
    """A line does not fit the format; the message names its number and quotes it."""

    kind: ClassVar[Reason] = "malformed"


class EvidenceError(LeakwatchError):
    """A body cannot be kept, or what was kept of it cannot be used."""


class DeliveryError(LeakwatchError):
    """Alerts could not be delivered now."""


class RefusedError(DeliveryError):
    """Alertmanager said that something is wrong with the alerts themselves."""


class UnknownError(LeakwatchError):
    """There is no such leak, stack, target or service; `told_as`: the leak that tells it now, "" if none does."""

    def __init__(self, message: str, told_as: str = "") -> None:
        super().__init__(message)
        self.told_as = told_as
