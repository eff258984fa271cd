"""Reads the lines of one goroutine of a dump, and returns them as Go prints them.

Indentation, argument words and blank lines do not matter. A broken line is joined with the next. A line of a log
between two calls is omitted. A call that cannot be read makes the goroutine damaged.
"""

from typing import Final

from leakwatch.pasted import shapes

MAX_PIECES: Final = 40
"""Lines into which one line may be broken."""
MAX_NOISE: Final = 50
"""Other lines between a call and its place."""
UNKNOWN_PLACE: Final = b":0"
ROOTS: Final = frozenset((b"main.main", b"runtime.main", b"runtime.goexit"))
PUNCTUATION: Final = b"[](){}.,;`*_=- \t"
CGO: Final = 17
"""The goroutine that C code calls; it does not have a creator."""


class GoroutineReader:
    """One goroutine. `line`: the number of its first line in the file."""

    def __init__(self, header: shapes.Header, line: int) -> None:
        self.number = header.number
        self.is_tentative = header.is_tentative
        self.line = line
        self.damaged = header.is_damaged
        self.damaged_line = 0
        """Number of the line that cannot be read, 0 if unknown."""
        self.closed = False
        """Whether further lines do not belong to the goroutine."""
        self.joined = 0
        """Number of broken lines that were joined."""
        self.noise = 0
        """Number of omitted lines between its calls."""
        self.missing_places = 0
        self.first_call = b""
        self.last_call = b""
        self.has_creator = False
        self._out = [header.text]
        self._pieces: list[bytes] = []
        """The beginning of a broken line."""
        self._pieces_line = 0
        self._call = b""
        """The call or creator that needs a place."""
        self._waited = 0
        self._omitted = 0
        """Other lines since the last line of the goroutine."""
        self._has_place = False
        """Whether the previous line is a place."""
        self._is_spaced = False
        """Whether a blank line follows each line."""

    @property
    def has_root(self) -> bool:
        """Whether the outermost call is known."""
        is_root = self.last_call in ROOTS or b".init" in self.last_call or self.number in {0, CGO}
        return self.has_creator or is_root or not self.last_call

    @property
    def is_empty(self) -> bool:
        """Whether no call was read."""
        return not self.first_call and not self.has_creator and not self.damaged

    def feed(self, line: bytes, number: int) -> None:
        """Read line `number` without its indentation."""
        if self.closed:
            return
        was_damaged, begin = self.damaged, self._pieces_line or number
        had_place, self._has_place = self._has_place, False
        if not (line and had_place and self._place_rest(line)):
            self._feed(line)
        self._pieces_line = begin if self._pieces else 0
        if self.damaged and not was_damaged:
            self.damaged_line = begin

    def _feed(self, line: bytes) -> None:
        if not line:
            self._blank()
        elif len(self._pieces) > MAX_PIECES or self._waited > MAX_NOISE:
            self.damaged = self.closed = True
        elif line.startswith(shapes.PROCESS_END):
            self.closed = True
        elif (
            (self._pieces and self._continues(line)) or (self._call and self._place(line)) or self._complete(line)
        ):
            return
        elif self._is_beginning(line):
            self._pieces.append(line)
        else:
            self.damaged = self.damaged or bool(shapes.place(line) and not self._call and not self.has_creator)
            self._omit(line)

    def close(self, *, is_last: bool) -> bytes:
        """Return the goroutine as Go prints it; `is_last`: whether the text ends here."""
        self.damaged = self.damaged or bool(self._pieces and not is_last and b"(" in self._pieces[0])
        if is_last and (self._call or self._pieces):
            self.damaged = True
        elif self._call:
            self._emit_place(UNKNOWN_PLACE)
        if self.is_empty:
            self._out.append(b"\t" + shapes.NO_STACK)
        if not self.has_root:
            self._out.append(b"...additional frames elided...")
        return b"\n".join(self._out) + b"\n\n"

    def _blank(self) -> None:
        if len(self._out) == 1 and not self._call and not self._pieces:
            self._is_spaced = True
        elif not self._is_spaced and not self._call and not self._pieces:
            self.closed = True

    def _continues(self, line: bytes) -> bool:
        """Return whether `line` continues the broken line, or completes it."""
        begin = b"".join(self._pieces)
        candidates = (begin + line, begin + b" " + line)
        is_open = b"(" in begin and begin.count(b"(") > begin.count(b")")
        is_part = shapes.ARGUMENT_PART.fullmatch(line) or shapes.call(candidates[0])
        if is_open and not is_part and not self._is_beginning(candidates[0]):
            self.damaged = True
        self._pieces = []
        for candidate in candidates:
            if not self.damaged and (self._place(candidate) or self._complete(candidate)):
                self.joined += 1
                return True
        if is_open or self._is_beginning(candidates[0]):
            self._pieces = [begin, line] if not self.damaged else []
            return not self.damaged
        self._omit(begin)
        return False

    def _omit(self, line: bytes) -> None:
        """Count a line that is not part of the goroutine, if further lines of the goroutine follow."""
        self._omitted += bool(line.strip(PUNCTUATION))
        self._waited += bool(self._call)

    def _place(self, line: bytes) -> bool:
        text = shapes.place(line) if self._call else b""
        if text:
            self._emit_place(text)
            self._follow()
        return bool(text)

    def _place_rest(self, line: bytes) -> bool:
        """Read the rest of a broken place."""
        match = shapes.PLACE_REST.fullmatch(line)
        if match is None:
            return False
        if line[len(match[1]) :].lstrip().startswith(b"+") or match[1] == line:
            self._out[-1] += match[1]
        self.joined += 1
        self._has_place = match[1] != line
        return True

    def _follow(self) -> None:
        """Count the omitted lines: the goroutine continues after them."""
        self.noise += self._omitted
        self._omitted = 0

    def _emit_place(self, text: bytes) -> None:
        self.missing_places += text == UNKNOWN_PLACE
        self._out.append(b"\t" + text)
        self._has_place = text != UNKNOWN_PLACE
        self._call = b""
        self._waited = 0

    def _complete(self, line: bytes) -> bool:
        """Read a line that is neither a place nor broken; return whether it is part of a dump."""
        if shapes.ELIDED.fullmatch(line):
            self._out.append(line)
        elif line.startswith(shapes.NO_STACK):
            self._out.append(b"\t" + line)
        elif line.startswith(shapes.NON_GO):
            self._out.append(b"non-Go function at pc=0")
        elif line.startswith(b"pc=0x"):
            pass
        elif line.startswith(shapes.ANCESTOR) and line.endswith(b"]:"):
            self._finish_call()
            self._out.append(line)
        elif text := shapes.creator(line):
            self._finish_call()
            self._call = shapes.CREATED_BY + text
            self._out.append(self._call)
            self.has_creator = True
        elif name := shapes.call(line):
            self._finish_call()
            self._call = name
            self._out.append(name + b"(...)")
            self.first_call = self.first_call or name
            self.last_call = name
        else:
            return False
        self._follow()
        return True

    def _finish_call(self) -> None:
        if self._call:
            self._emit_place(UNKNOWN_PLACE)

    def _is_beginning(self, line: bytes) -> bool:
        """Return whether `line` may be the beginning of a broken line."""
        if line.startswith(shapes.CREATED_BY):
            return True
        if self._call and shapes.PLACE_BEGIN.fullmatch(line) and b"/" in line:
            return True
        name, mark, arguments = line.partition(b"(")
        while mark and arguments.startswith(b"*"):
            more, mark, arguments = arguments.partition(b"(")
            name += b"(" + more
        if not shapes.NAME_BEGIN.fullmatch(name.replace(b"(", b"").replace(b")", b"")):
            return False
        if not mark:
            return b"/" in name or b"." in name.rstrip(b".")
        return b"." in name and shapes.ARGUMENT_PART.fullmatch(arguments) is not None
