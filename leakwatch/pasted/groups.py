"""Reads the lines of the groups of debug=1, and returns them as Go prints them."""

from typing import Final

from leakwatch.pasted import shapes

MAX_PIECES: Final = 20


class GroupReader:
    """One group of `count` goroutines. `line`: the number of its first line in the file."""

    def __init__(self, count: int, counters: bytes, line: int) -> None:
        self.count = count
        self.line = line
        self.damaged = False
        self.joined = 0
        self._counters = counters.split()
        self._labels = b""
        self._frames: list[bytes] = []
        self._pieces: list[bytes] = []

    @property
    def has_lost_calls(self) -> bool:
        """Whether the group has addresses but no calls. Go prints few such groups."""
        return bool(self._counters) and not self._frames and not self.damaged

    def feed(self, line: bytes) -> bool:
        """Read a line without indentation; return whether it belongs to the group."""
        if self._frames and not self._pieces and self._extends_frame(line):
            return True
        if self._pieces:
            begin = b"".join(self._pieces)
            candidates = (begin + line, begin + b" " + line)
            if any(self._complete(candidate) for candidate in candidates[:: -1 if begin.endswith(b",") else 1]):
                self._pieces = []
                self.joined += 1
                return True
            if len(self._pieces) < MAX_PIECES and not shapes.FRAME.fullmatch(line):
                self._pieces.append(line)
                return True
            self._pieces, self.damaged = [], True
        if not self._frames and not self._labels and shapes.COUNTERS.fullmatch(line):
            self._add_counters(line)
        elif not self._complete(line):
            if shapes.FRAME_BEGIN.fullmatch(line) or shapes.LABELS_BEGIN.fullmatch(line):
                self._pieces.append(line)
                return True
            self.damaged = self.damaged or shapes.COMMENT.match(line) is not None
            return False
        return True

    def close(self) -> bytes:
        """Return the group as Go prints it."""
        self.damaged = self.damaged or bool(self._pieces)
        counters = b"".join(b" " + counter for counter in self._counters)
        lines = [b"%d @%s" % (self.count, counters)]
        lines += [b"# labels: " + self._labels] if self._labels else []
        return b"\n".join((*lines, *self._frames)) + b"\n\n"

    def _add_counters(self, line: bytes) -> None:
        """Add the addresses of a line to the previous ones, of which the last may be broken."""
        first, *others = line.split()
        is_whole = not self._counters or shapes.COUNTER.fullmatch(self._counters[-1]) is not None
        if is_whole and first.startswith(b"0x"):
            self._counters.append(first)
        else:
            self._counters[-1:] = [b"".join(self._counters[-1:]) + first]
        self._counters += others
        self.joined += 1

    def _complete(self, line: bytes) -> bool:
        """Read a line with labels or a frame; return whether it is complete."""
        match = shapes.LABELS.fullmatch(line)
        if match is not None:
            self._labels = match[1]
        return match is not None or self._frame(line)

    def _extends_frame(self, line: bytes) -> bool:
        """Read the rest of a frame of which the beginning is valid: its function, or digits of its line."""
        frame = self._frames[-1]
        if b":" not in frame and shapes.SYMBOL.match(line):
            self._pieces = [self._frames.pop() + b"\t"]
            return self.feed(line)
        if line.isdigit() and shapes.FRAME.fullmatch(frame + line):
            self._frames[-1] += line
            self.joined += 1
            return True
        return False

    def _frame(self, line: bytes) -> bool:
        match = shapes.FRAME.fullmatch(line)
        if match is not None:
            self._frames.append(b"#\t" + b"\t".join(cell for cell in match.groups() if cell))
        return match is not None
