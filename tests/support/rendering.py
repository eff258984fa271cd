"""Renders profiles as Go prints them: the other half of the round trip, and the source of test bodies."""

from leakwatch.model import Profile, Trace
from leakwatch.profile.text import UNKNOWN


def render(profile: Profile) -> bytes:
    """Return `profile` as the text of debug=1; addresses come from the traces' counters."""
    lines = [b"goroutine profile: total %d" % profile.total]
    for trace, count in profile.groups:
        lines.append(b"%d @%s" % (count, trace.counters))
        if trace.labels:
            pairs = b", ".join(b"%s:%s" % (_quoted(key), _quoted(value)) for key, value in trace.labels)
            lines.append(b"# labels: {%s}" % pairs)
        lines += _frames(trace)
        lines.append(b"")
    return b"\n".join(lines) + b"\n"


def counters(addresses: list[int]) -> bytes:
    """Return the counters of a trace with frames at `addresses`."""
    return b"".join(b" %#x" % (address + 1) for address in addresses)


def _frames(trace: Trace) -> list[bytes]:
    end = None if trace.truncated else -1  # runtime.goexit, which is not shown
    shown = trace.counters.split()[:end][-len(trace.frames) :] if trace.frames else []
    addresses = [int(counter, 16) - 1 for counter in shown]
    lines = []
    for address, frame in zip(addresses, trace.frames, strict=True):
        if frame is UNKNOWN:
            lines.append(b"#\t%#x" % address)
        else:
            place = (address, frame.function.encode(), frame.file.encode(), frame.line)
            lines.append(b"#\t%#x\t%s+0x1\t\t%s:%d" % place)
    return lines


def _quoted(text: str) -> bytes:
    return b'"%s"' % "".join(map(_escaped, text)).encode("utf-8", "surrogatepass")


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
