"""Parses one body, fed in pieces, into samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from leakwatch.errors import ScrapeError
from leakwatch.model import Fingerprint, Process, Sample
from leakwatch.profile import proto, text
from leakwatch.profile.label_counts import LabelTally
from leakwatch.profile.limits import MAX_STACKS
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.text import Group

Format = Literal["text", "proto"]
"""`debug=1` or `debug=0`."""


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """Content of one body. `process`: the process that wrote it, None if the format does not identify it."""

    total: int
    samples: dict[Fingerprint, Sample]
    process: Process | None


class Body:
    """A body that is being parsed. Feeding it in pieces bounds the memory."""

    def __init__(self, parser: text.Parser | proto.Parser, identifier: Identifier) -> None:
        self._parser = parser
        self.labels: LabelTally | None = None
        """Counts labels meanwhile, None if no stack needs it."""
        self.identifier = identifier
        self._samples: dict[Fingerprint, Sample] = {}
        self._end: Iterator[None] | None = None
        """The work of `close`, None before it begins. An iterator that never runs would keep the body alive, in a
        cycle of references: a target with 64 MB of strings took 120 MB more at each scrape, up to 689 MB."""

    def feed(self, data: bytes) -> Iterator[None]:
        """Parse the next piece in small steps, between which other tasks can run; raises ScrapeError."""
        return self._merged(self._parser.feed_steps(data))

    def steps(self) -> Iterator[None]:
        """Do most of the work of `close` in small steps; raises ScrapeError."""
        if self._end is None:
            self._end = self._merged(self._parser.close_steps())
        return self._end

    def close(self) -> ParsedBody:
        """Return the content of the body; raises ScrapeError if the body is incomplete."""
        for _ in self.steps():
            pass
        parser = self._parser
        process = parser.process if isinstance(parser, proto.Parser) else None
        return ParsedBody(parser.total or 0, self._samples, process if process and process.start else None)

    def _merged(self, steps: Iterator[list[Group]]) -> Iterator[None]:
        for groups in steps:
            self.identifier.merge(groups, self._samples)
            if self.labels is not None:
                self.labels.add(groups, self.identifier)
            if len(self._samples) > MAX_STACKS:
                raise ScrapeError("too_large", f"the body has more than {MAX_STACKS} different stacks")
            yield
