"""Parses and formats durations and sizes as Prometheus writes them."""

import re

DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
SECONDS = (365 * 86400, 7 * 86400, 86400, 3600, 60, 1, 0.001)
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTPE])i?)?B?", re.IGNORECASE)
PREFIXES = ("", "K", "M", "G", "T", "P", "E")


def parse_duration(text: str) -> float:
    """Return the seconds of `text` ("15s", "1h30m", "200ms"); raises ValueError."""
    match = DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration; write for example 15s, 5m, 1h30m or 200ms")
    return sum(int(number) * unit for number, unit in zip(match.groups(), SECONDS, strict=True) if number)


def format_duration(seconds: float) -> str:
    """Return `seconds` in the two largest units: "45s", "2h10m", "3d4h"."""
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f}ms"
    rest = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        number, rest = divmod(rest, unit)
        if number or parts:
            parts.append((number, name))
    return "".join(f"{number}{name}" for number, name in parts[:2] if number)


def exact_duration(seconds: float) -> str:
    """Return `seconds` exactly, as Prometheus prints them: "1m30s", "1h". Inverse of `parse_duration`."""
    rest = round(seconds * 1000)
    parts = []
    for unit, name in zip(SECONDS, ["y", "w", "d", "h", "m", "s", "ms"], strict=True):
        size = round(unit * 1000)
        if name in {"y", "w"} and rest % size:  # 90d, not 12w6d
            continue
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{name}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Return the bytes of `text` ("64MB", "512Mi"; powers of 1024, as in Prometheus); raises ValueError."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 512KB or 64MB")
    return int(float(match[1]) * 1024 ** PREFIXES.index((match[2] or "").upper()))


def format_size(size: float) -> str:
    """Return a number of bytes with three significant digits: "812 B", "2.25 KiB", "512 MiB"."""
    unit = 0
    while float(f"{size:.3g}") >= 1000 and unit < len(PREFIXES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{float(f'{size:.3g}'):g} {PREFIXES[unit]}{'iB' if unit else 'B'}"


def exact_size(size: int) -> str:
    """Return a number of bytes in the largest exact unit: "64MB". Inverse of `parse_size`."""
    power = 0
    while size and size % 1024 == 0 and power < len(PREFIXES) - 1:
        size, power = size // 1024, power + 1
    return f"{size}{PREFIXES[power]}B"
