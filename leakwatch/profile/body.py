"""Parses one body, fed in pieces, into samples."""

from collections.abc import Iterator, Mapping
from typing import Literal

from leakwatch.model import Fingerprint, Process, Sample, Samples
from leakwatch.profile import proto, text
from leakwatch.profile.stacks import Identifier

Format = Literal["text", "proto"]
"""`debug=1` or `debug=0`."""


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
        return self._parser.steps()

    @property
    def process(self) -> Process | None:
        """The process that wrote the body, None if the format does not identify it. Valid after `close`."""
        process = self._parser.process if isinstance(self._parser, proto.Parser) else None
        return process if process and process.start else None

    def close(self) -> tuple[int, Samples]:
        """Return the total and the samples of the body; raises ProfileError if the body is incomplete."""
        self.identifier.merge(self._parser.close(), self._samples)
        return self._parser.total or 0, self._samples

    def set_wait_reasons(self, symbols: Mapping[int, str]) -> None:
        """Set the wait reasons of the samples; `symbols`: address -> function of their process."""
        self.identifier.set_wait_reasons(self._samples, symbols)
