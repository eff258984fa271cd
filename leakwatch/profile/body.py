"""One body on its way in, fed in pieces."""

from collections.abc import Iterator, Mapping
from typing import Literal

from leakwatch.model import Fingerprint, Process, Sample, Samples
from leakwatch.profile import proto, text
from leakwatch.profile.stacks import Identifier

Format = Literal["text", "proto"]
"""`debug=1` or `debug=0`."""


class Body:
    """One body on its way in: fed in pieces, so that a large one neither fills memory nor holds up the loop."""

    def __init__(self, parser: text.Parser | proto.Parser, identifier: Identifier) -> None:
        self._parser = parser
        self.identifier = identifier
        self._samples: dict[Fingerprint, Sample] = {}

    def feed(self, data: bytes) -> None:
        """Take in the next piece; raises ProfileError."""
        self.identifier.merge(self._parser.feed(data), self._samples)

    def steps(self) -> Iterator[None]:
        """Do in small steps what is left to do when the body is over; raises ProfileError."""
        return self._parser.steps()

    @property
    def process(self) -> Process | None:
        """Which process it comes from, None if it does not say; after it was closed."""
        process = self._parser.process if isinstance(self._parser, proto.Parser) else None
        return process if process and process.start else None

    def close(self) -> tuple[int, Samples]:
        """Return the total and the samples of the whole body; raises ProfileError if it is not whole."""
        self.identifier.merge(self._parser.close(), self._samples)
        return self._parser.total or 0, self._samples

    def learn(self, symbols: Mapping[int, str]) -> None:
        """Name the wait reasons of the samples by `symbols` of their process: address -> function."""
        self.identifier.learn(self._samples, symbols)
