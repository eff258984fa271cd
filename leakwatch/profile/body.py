"""Parses one body, fed in pieces, into samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from leakwatch.model import Fingerprint, Process, Sample
from leakwatch.profile import proto, text
from leakwatch.profile.stacks import Identifier

Format = Literal["text", "proto"]
"""`debug=1` or `debug=0`."""


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """Content of one body. `process`: the process that wrote it, None if the format does not identify it."""

    total: int
    samples: dict[Fingerprint, Sample]
    process: Process | None


class Body:
    """A body that is being parsed. Feeding it in pieces bounds the memory and does not block the event loop."""

    def __init__(self, parser: text.Parser | proto.Parser, identifier: Identifier) -> None:
        self._parser = parser
        self.identifier = identifier
        self._samples: dict[Fingerprint, Sample] = {}

    def feed(self, data: bytes) -> None:
        """Parse the next piece; raises ProfileError."""
        self.identifier.merge(self._parser.feed(data), self._samples)

    def steps(self) -> Iterator[None]:
        """Do most of the work of `close` in small steps; raises ProfileError."""
        if isinstance(self._parser, proto.Parser):
            yield from self._parser.steps()

    def close(self) -> ParsedBody:
        """Return the content of the body; raises ProfileError if the body is incomplete."""
        groups, parser = self._parser.close(), self._parser
        if groups:
            self.identifier.merge(groups, self._samples)
        process = parser.process if isinstance(parser, proto.Parser) else None
        return ParsedBody(parser.total or 0, self._samples, process if process and process.start else None)
