"""Ways in which people change a dump or a profile when they copy, log or save it. Each loses no information."""

import html
import json
import re
from collections.abc import Callable
from typing import Final

Mangle = Callable[[bytes], bytes]


def each_line(change: Callable[[int, bytes], bytes]) -> Mangle:
    """Return a function that changes each line; `change`: from its number and text."""

    def mangle(body: bytes) -> bytes:
        lines = body.removesuffix(b"\n").split(b"\n")
        return b"".join(change(number, line) + b"\n" for number, line in enumerate(lines))

    return mangle


def _objects(wrap: Callable[[str], object]) -> Mangle:
    """Return a function that writes one JSON object per line."""
    return each_line(lambda _, line: json.dumps(wrap(line.decode())).encode())


def _cri(number: int, line: bytes) -> bytes:
    prefix = b"2025-11-29T14:44:00.%09dZ stderr " % number
    if len(line) < 40:
        return prefix + b"F " + line
    return prefix + b"P " + line[:30] + b"\n" + prefix + b"F " + line[30:]


def wrapped(width: int) -> Mangle:
    """Return a function that breaks lines after `width` bytes."""
    return each_line(lambda _, line: b"\n".join(line[i : i + width] for i in range(0, max(len(line), 1), width)))


def _page(body: bytes) -> bytes:
    return b"<html><body><pre>" + html.escape(body.decode()).replace("+", "&#43;").encode() + b"</pre></body>"


PREFIXES: Final[dict[str, Mangle]] = {
    "spaces": each_line(lambda _, line: b"    " + line),
    "tab": each_line(lambda _, line: b"\t" + line),
    "quotation": each_line(lambda _, line: b"> " + line),
    "stripped quotation": each_line(lambda _, line: (b"> " + line).rstrip()),
    "nested quotation": each_line(lambda _, line: b"> > " + line),
    "comment": each_line(lambda _, line: b"// " + line),
    "journald": each_line(lambda i, line: b"Nov 29 14:%02d:00 host shop[123]: " % (i % 60) + line),
    "journald ISO": each_line(lambda i, line: b"2025-11-29T14:%02d:00+0100 host shop[123]: " % (i % 60) + line),
    "syslog": each_line(lambda i, line: b"<13>1 2025-11-29T14:44:00.%06dZ host shop 123 - - " % i + line),
    "compose": each_line(lambda _, line: b"shop-1  | " + line),
    "coloured compose": each_line(lambda _, line: b"\x1b[36mshop-1  | \x1b[0m" + line),
    "swarm": each_line(lambda _, line: b"shop_web.1.x8s7d6@node-1    | " + line),
    "kubectl": each_line(lambda i, line: b"2025-11-29T14:44:00.%09dZ " % (i * 1000) + line),
    "kubectl prefix": each_line(lambda _, line: b"[pod/shop-5f6d8c-abcde/shop] " + line),
    "stern": each_line(lambda _, line: b"shop-5f6d8c-abcde shop " + line),
    "CRI": each_line(_cri),
    "logcat": each_line(lambda _, line: b"E/Go      (12527): " + line),
    "logcat with threads": each_line(
        lambda i, line: b"11-29 14:44:00.%03d 12527 12540 E Go  : " % (i % 999) + line
    ),
    "klog": each_line(lambda i, line: b"E1129 14:44:00.%06d   12345 main.go:77] " % i + line),
    "log": each_line(lambda i, line: b"2025/11/29 14:44:%02d " % (i % 60) + line),
    "CloudWatch": each_line(lambda _, line: b"2025-11-29T14:44:00.123Z\t" + line),
    "GitHub Actions": each_line(lambda i, line: b"test\tRun go test\t2025-11-29T14:44:00.%07dZ " % i + line),
    "grep -n": each_line(lambda i, line: b"shop.log:%d:" % i + line),
    "list": each_line(lambda _, line: b"- " + line),
    "diff": each_line(lambda _, line: b"+" + line),
    "CSV": each_line(lambda _, line: b'"' + line.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'),
    "logfmt": each_line(lambda _, line: b"level=error msg=" + json.dumps(line.decode()).encode() + b" a=b"),
    "log with level": each_line(lambda i, line: b"ERROR: 2025-11-29 14:44:00,%03d " % (i % 999) + line),
}
OTHERS: Final[dict[str, Mangle]] = {
    "spaces for tabs": lambda body: body.replace(b"\t", b"        "),
    "no-break spaces": lambda body: body.replace(b"\t", b"\xc2\xa0 \xc2\xa0 "),
    "only no-break spaces": lambda body: body.replace(b" ", b"\xc2\xa0"),
    "lost indentation": lambda body: body.replace(b"\n\t", b"\n"),
    "CRLF": lambda body: body.replace(b"\n", b"\r\n"),
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "UTF-16 big-endian": lambda body: b"\xfe\xff" + body.decode().encode("utf-16-be"),
    "UTF-16 without mark": lambda body: body.decode().encode("utf-16-le"),
    "no blank lines": lambda body: re.sub(rb"\n\n+", b"\n", body),
    "double-spaced": lambda body: body.replace(b"\n", b"\n\n"),
    "last newline": lambda body: body.rstrip(),
    "trailing spaces": each_line(lambda _, line: line + b"   "),
    "fence": lambda body: b"Here:\n```go\n" + body.rstrip() + b"\n```\nplease help, main.foo(x) hangs\n",
    "page": _page,
    "br": lambda body: b"<p>" + body.replace(b"\n", b"<br>\n"),
    "Jira": lambda body: b"{noformat}\n" + body.rstrip() + b"{noformat}\n",
    "bold": lambda body: b"**" + body.rstrip() + b"**\n",
    "curl -i": lambda body: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body,
    "go test -json": _objects(lambda line: {"Action": "output", "Package": "p", "Output": line + "\n"}),
    "Docker's json-file": _objects(lambda line: {"log": line + "\n", "stream": "stderr", "time": "x"}),
    "Fluentd": _objects(lambda line: {"log": line, "kubernetes": {"pod": "x"}}),
    "JSON in JSON": _objects(lambda line: {"log": json.dumps({"msg": line}) + "\n", "stream": "stderr"}),
    "journald JSON": _objects(lambda line: {"MESSAGE": line, "_PID": "12"}),
    "zap": lambda body: b'{"msg":"a"}\n' + json.dumps({"msg": "x", "dump": body.decode()}).encode() + b"\n",
    "pretty JSON": lambda body: json.dumps({"a": {"stack": body.decode()}}, indent=2).encode(),
    "logrus": lambda body: b"level=info msg=" + json.dumps(f"BEGIN\n{body.decode()}\nEND").encode() + b' a="b"\n',
    "after a log": lambda body: b"2025/11/29 14:44:00 INFO request served path=/ status=200\n" * 20_000 + body,
    "log lines between": each_line(
        lambda i, line: line + b'\ntime="2025" level=info msg="GET /foo (200)"' if i % 13 == 5 else line
    ),
}
DUMPS: Final[dict[str, Mangle]] = {
    "panic": lambda body: b"panic: boom\n\n" + body + b"exit status 2\n",
    "SIGQUIT": lambda body: b"x\nSIGQUIT: quit\nPC=0x4 m=0 sigcode=0\n\n" + body + b"\nrax   0x0\nrbx  0x5\n",
    "go test": lambda body: b"=== RUN X\npanic: test timed out after 1s\n\n" + body + b"FAIL\tshop\t1.02s\nFAIL\n",
    "prose": lambda body: b"I saw goroutine 18 [chan send] and\nmain.f(x) hangs.\n\n" + body + b"\nfoo.Bar(1)\n",
    "broken lines": wrapped(80),
}
ALL: Final = PREFIXES | OTHERS
