"""Reads a saved file: a profile or dump as Go writes it, or a text that contains dumps and profiles.

A body that the strict parsers read completely is returned as it is. Any other text is decoded, its lines are taken
out of log formats and prefixes, and its goroutines and groups are parsed one by one. So a damaged line costs one
goroutine. Time and memory are linear in the length of the text.
"""

from leakwatch.errors import NotAProfile, ProfileError
from leakwatch.model import Profile
from leakwatch.pasted import decoding, kinds
from leakwatch.pasted.envelopes import Lines
from leakwatch.pasted.prefixes import Prefixes
from leakwatch.pasted.report import SavedFile, SavedProfile, has_waits, saved_profile
from leakwatch.pasted.scanner import Scanner
from leakwatch.pasted.section import complete
from leakwatch.pasted.shapes import HEADER
from leakwatch.profile import dump, formats, proto, text
from leakwatch.profile.cache import ParseCache

RESPONSE = b"HTTP/"
"""Beginning of a response with its headers (`curl -i`)."""


def read(body: bytes, cache: ParseCache | None = None) -> SavedFile:
    """Return the dumps and profiles in `body`; raises ProfileError."""
    cache = cache or ParseCache()
    plain, problem = formats.unzip(body)
    if not problem and plain.startswith(RESPONSE):
        _, _, content = plain.partition(b"\r\n\r\n")
        if content and formats.is_binary(content) and not decoding.utf_16(content):
            return read(content, cache)
    kinds.check(plain)
    if formats.is_binary(plain) and not decoding.utf_16(plain):
        return SavedFile((_protobuf(plain if not problem else body, cache),))
    intact = None if problem else _intact(plain, cache)
    return SavedFile((intact,)) if intact else _repaired(plain, cache, problem)


def _protobuf(body: bytes, cache: ParseCache) -> SavedProfile:
    names, is_difference, time = proto.facts(body)
    name = names[0] if len(names) == 1 else ""
    if name not in {"goroutine", "goroutineleak"}:
        raise NotAProfile(kinds.wrong(names))
    parsed = proto.parse(body, cache=cache, profile=name, is_difference=is_difference)
    return SavedProfile(
        source=parsed,
        kind="a difference of two profiles" if is_difference else "a profile",
        is_proven=name == "goroutineleak",
        is_difference=is_difference,
        time=time,
    )


def _intact(plain: bytes, cache: ParseCache) -> SavedProfile | None:
    """Return the profile or dump in `plain` if this is exactly what Go prints, else None."""
    try:
        result = _strict(plain, cache)
    except ProfileError:
        return None
    if isinstance(result, Profile):
        if b" @ 0x" in plain and not any(trace.frames for trace, _ in result.groups):
            return None
        is_proven = plain.startswith(b"goroutineleak ")
        return SavedProfile(source=result, kind="a profile", is_proven=is_proven, has_waits=has_waits(result))
    numbers = [int(match[1]) for match in HEADER.finditer(plain)]
    expected = sum(number > 0 for number in numbers)
    distinct = len({number for number in numbers if number})
    if result.truncated or result.ignored or not expected == distinct == len(result.goroutines):
        return None
    return SavedProfile(source=result, kind="a dump")


def _strict(plain: bytes, cache: ParseCache) -> Profile | dump.Dump:
    if plain.startswith(b"goroutineleak profile: total "):
        return text.parse(plain, cache, b"goroutineleak")
    return formats.read(plain, cache)


def _repaired(plain: bytes, cache: ParseCache, problem: str) -> SavedFile:
    """Return the dumps and profiles in a text; raises NotAProfile."""
    decoded, encoding = decoding.plain_text(plain)
    lines = Lines(decoded)
    prefixes = Prefixes(lines)
    scanners: dict[bytes, Scanner] = {}
    for number, line in lines:
        source, prefix, content = prefixes.split(line)
        source = source or lines.source
        scanner = scanners.get(source)
        if scanner is None:
            scanner = scanners[source] = Scanner(cache)
        scanner.feed(number, content, prefix or lines.stamp)
    for scanner in scanners.values():
        scanner.close()
    sections = complete(section for scanner in scanners.values() for section in scanner.sections)
    goroutines = [section for section in sections if section.profile in {"", "goroutine", "goroutineleak"}]
    if not goroutines:
        raise NotAProfile(kinds.describe(plain, [section.profile for section in sections]))
    if problem:
        goroutines[-1].repairs.is_cut = True
    found = tuple(dict.fromkeys((*([encoding] if encoding else ()), *lines.formats, *prefixes.formats)))
    return SavedFile(tuple(map(saved_profile, goroutines)), found)
