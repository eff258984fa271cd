"""Errors that leakwatch raises on purpose.

- LeakwatchError
  - ConfigError             a file or an option is invalid; the previous configuration stays in force
    - UsageError            the command line is invalid
  - DiscoveryError          a discoverer failed; its last targets stay
  - QueryError              a query to a Prometheus API failed
  - ScrapeError             a scrape failed, the next may succeed; `reason` is one of REASONS
    - ProfileError          the body is not a complete profile
      - NotAProfile         the body has another format; another parser may try
      - TruncatedProfile    the body ends early, so counts would be too low
      - MalformedProfile    the format is right, but a line is invalid
  - FetcherClosed           the fetcher was closed meanwhile: the request has neither a result nor an error
  - StateError              a plain value is not a valid state; the state in use stays
  - StorageError            the stored state cannot be read or written; leakwatch continues in memory
    - StorageInUseError     another process saves its state there
  - EvidenceError           a profile cannot be stored, or a stored one cannot be read
  - DeliveryError           alerts were not delivered; the next attempt may succeed
    - RejectedError         Alertmanager rejected an alert; another attempt would fail too
  - NotFoundError           a leak, stack, target, service or profile does not exist, or no longer exists
"""

import re
from typing import ClassVar, Literal, get_args

Reason = Literal["timeout", "connection", "tls", "status", "too_large", "not_a_profile", "truncated", "malformed"]
REASONS: tuple[Reason, ...] = get_args(Reason)

QUOTE_LIMIT = 120
MASK = "**********"
"""Shown in place of a secret, as by pydantic."""
QUERY = re.compile(r"(?s)(?<!\()([?#]).+")
"""The query and fragment of a URL; `(?P<name>` of a regular expression is none."""
NAMED_QUERY = re.compile(r"(?s)(?<!\()(\?)[^=]*=.*")


def quote(text: str | bytes) -> str:
    """Return the first QUOTE_LIMIT characters of `text` in quotes and on one line, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * QUOTE_LIMIT].decode("utf-8", "backslashreplace")
    return repr(text[:QUOTE_LIMIT]) + ("..." if len(text) > QUOTE_LIMIT else "")


def without_credentials(url: str) -> str:
    """Return `url` without user and password, for messages and pages."""
    return re.sub(r"//[^/?#\s]*@", "//", url)


def redacted(text: str) -> str:
    """Return an invalid value, which may be a URL or an address, without user, password, query and keys in PEM."""
    if "\n" in text.strip():
        return MASK
    user, at, host = text.rpartition("@")
    if user:
        scheme, separator, _ = user.rpartition("://")
        text = f"{scheme}{separator}{MASK}{at}{host}"
    return (QUERY if "/" in text else NAMED_QUERY).sub(rf"\1{MASK}", text)


class LeakwatchError(Exception):
    """Base of all errors that leakwatch raises on purpose."""


class ConfigError(LeakwatchError):
    """A file or an option is invalid; the message names the place and quotes the text."""


class UsageError(ConfigError):
    """The command line is invalid."""


class DiscoveryError(LeakwatchError):
    """A discoverer could not get valid target groups."""


class QueryError(LeakwatchError):
    """A query to a Prometheus API failed; the message names the API and quotes its response."""


class ScrapeError(LeakwatchError):
    """A scrape failed for `reason`; `charged`: whether the request may have cost the target CPU time.

    `body_bytes`: size of the part of the body that arrived; `status`: of the HTTP response, if it is the reason.
    """

    def __init__(self, reason: Reason, message: str, *, charged: bool = True, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.charged = charged
        self.body_bytes = 0


class FetcherClosed(LeakwatchError):  # noqa: N818  it is not an error of the target
    """A fetcher was closed before the response was complete, because its target was removed or replaced."""


class ProfileError(ScrapeError):
    """A body is not a complete profile; each subclass has its own reason."""

    kind: ClassVar[Reason]

    def __init__(self, message: str) -> None:
        super().__init__(self.kind, message)


class NotAProfile(ProfileError):  # noqa: N818  the name describes the body
    """The body is a page, another kind of profile, or empty."""

    kind: ClassVar[Reason] = "not_a_profile"


class TruncatedProfile(ProfileError):  # noqa: N818  see NotAProfile
    """The body ends before the profile is complete."""

    kind: ClassVar[Reason] = "truncated"


class MalformedProfile(ProfileError):  # noqa: N818  see NotAProfile
    """A line is invalid; the message has its number and quotes it."""

    kind: ClassVar[Reason] = "malformed"


class StateError(LeakwatchError):
    """A plain value is not a valid state; the message names its place."""


class StorageError(LeakwatchError):
    """The stored state cannot be read or written; the message names the file or folder."""


class StorageInUseError(StorageError):
    """Another process saves its state in the folder."""


class EvidenceError(LeakwatchError):
    """A body cannot be stored, or a stored body cannot be read."""


class DeliveryError(LeakwatchError):
    """Alerts could not be delivered."""


class RejectedError(DeliveryError):
    """Alertmanager responded that an alert is invalid."""


class NotFoundError(LeakwatchError):
    """A requested leak, stack, target, service or profile does not exist.

    `reported_as`: id of the leak that represents the requested one, or "".
    """

    def __init__(self, message: str, reported_as: str = "") -> None:
        super().__init__(message)
        self.reported_as = reported_as
