"""Stored bodies for tests, and their records."""

from leakwatch.evidence.record import Kind, Record, RecordedLeak
from leakwatch.model import Verdict
from tests.support.simulated import START

STACK = "0123456789abcdef"


def record(
    service: str = "shop",
    target: str = "10.0.0.1:6060",
    *,
    at: float = START,
    kinds: tuple[Kind, ...] = ("leaking",),
    size: int = 100,
    verdict: Verdict = Verdict.LEAKING,
    growth: float = 60.0,
    start: str = "0x1",
) -> Record:
    """Return the record of a body with one leak."""
    leak = RecordedLeak(
        stack=STACK,
        function="main.leak",
        wait="select",
        verdict=verdict.word,
        growth_per_hour=growth,
        goroutines=5,
    )
    return Record(
        service=service,
        target=target,
        time=at,
        kinds=kinds,
        format="text",
        bytes=size,
        goroutines=7,
        start=start,
        leaks=(leak,),
    )


def parts(size: int = 100) -> dict[str, bytes]:
    """Return the parts of a body of `size` bytes."""
    return {".txt.gz": bytes(size)}


def many_labels(number: int) -> bytes:
    """Return a text body of `number` goroutines with different labels."""
    groups = (
        b'1 @ 0x11 0x21\n# labels: {"request":"secret-%d", "tenant":"t\\"}, {%d"}\n#\t0x10\tmain.f+0x1\ta.go:7\n\n'
        % (i, i)
        for i in range(number)
    )
    return b"goroutine profile: total %d\n" % number + b"".join(groups)
