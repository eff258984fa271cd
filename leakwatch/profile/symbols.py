"""Requests and parses `/debug/pprof/symbol`, which names the functions at some addresses of a process.

    symbol?0x416e36+0x417c91        request: a plain plus; the address of a call is its program counter - 1
    num_symbols: 1                  response: 0 if the program has no names
    0x416e36 runtime.chansend1      one line for each address that has a name, in the order of the request

A file `symbol` beside recorded bodies has the same lines, and names the functions that the text bodies hide.
"""

import re
from collections.abc import Iterable, Mapping

from leakwatch.errors import MalformedProfile, NotAProfile, quote
from leakwatch.profile.quoting import decode

HEADER = re.compile(rb"num_symbols: \d+")
LINE = re.compile(rb"0x([0-9a-f]{1,16}) (\S.*)")
MAX_LINES = 1_000
"""Largest number of names. leakwatch requests up to 101, and up to 300 per process."""


def query(addresses: Iterable[int]) -> bytes:
    """Return the query of the URL for `addresses`."""
    return b"+".join(b"%#x" % address for address in addresses)


def encode(names: Mapping[int, str]) -> bytes:
    """Return `names`, address -> function, in the format of a response; an empty name is omitted."""
    lines = (b"%#x %s\n" % (address, name.encode()) for address, name in sorted(names.items()) if name)
    return b"num_symbols: 1\n" + b"".join(lines)


def parse(body: bytes) -> dict[int, str]:
    """Return address -> function; raises NotAProfile and MalformedProfile."""
    names: dict[int, str] = {}
    if body.count(b"\n") > MAX_LINES:
        raise MalformedProfile(f"expected at most {MAX_LINES} lines, found {quote(body)}")
    for number, line in enumerate(body.splitlines(), 1):
        if HEADER.fullmatch(line) or not line:
            continue
        match = LINE.fullmatch(line)
        if match is None and not names:
            raise NotAProfile(f"not a response of /symbol: the body starts with {quote(body.lstrip())}")
        if match is None:
            raise MalformedProfile(f"line {number}: expected `address function`, found {quote(line)}")
        names[int(match[1], 16)] = decode(match[2])
    return names
