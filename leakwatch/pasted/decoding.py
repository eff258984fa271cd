"""Decodes saved text: UTF-16, ends of lines, colours of terminals, HTML."""

import codecs
import html
import re
from typing import Final

UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
SAMPLE: Final = 400
"""Bytes by which UTF-16 without a byte order mark is recognized."""
COLOUR: Final = re.compile(rb"\x1b\[[0-9;?]{0,32}[A-Za-z]")
LINE_END: Final = re.compile(rb"\r+\n?")
NEW_LINE_TAG: Final = re.compile(rb"<(?:br ?/?|/p|/div|/h[1-6]|/li|/tr)>\n?")
TAG: Final = re.compile(
    rb"</?(?:pre|code|p|div|span|tt|samp|kbd|h[1-6]|strong|em|font|u|s|ul|ol|details|summary|section|article|head|title|blockquote|html|body|a|b|i|td|tr|li|table)\b[^<>]{0,200}>"
)
JIRA: Final = re.compile(rb"\{(?:code|noformat|quote)(?::[^{}\n]{0,80})?\}")
ENTITY: Final = re.compile(rb"&(?:lt|gt|amp|quot|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,6});")
INVISIBLE: Final = re.compile(rb"\xc2\xad|\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0|\xef\xbb\xbf")
"""Characters without width: soft hyphen, zero-width space, marks of direction, word joiner, byte order mark."""
SPACE: Final = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe2\x81\x9f|\xe3\x80\x80")
"""No-break, thin and wide spaces."""
LINE_SEPARATOR: Final = re.compile(rb"\xe2\x80[\xa8\xa9]|\xc2\x85|[\x0b\x0c]\n?")


def utf_16(body: bytes) -> str:
    """Return the name of the encoding of `body` if it is UTF-16, else ""."""
    encoding = UTF_16.get(body[:2])
    if encoding:
        return encoding
    sample = body[:SAMPLE]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[first::2], sample[1 - first :: 2]
        if len(zeros) >= 8 and not zeros.strip(b"\0") and 0 not in others:
            return name
    return ""


def plain_text(body: bytes) -> tuple[bytes, str]:
    """Return `body` as UTF-8 with line feeds and without HTML, and what it was: "UTF-16", "HTML" or ""."""
    name = ""
    if encoding := utf_16(body):
        body, name = body.decode(encoding, "replace").encode(), "UTF-16"
    body = LINE_SEPARATOR.sub(b"\n", INVISIBLE.sub(b"", body))
    if b"\x1b" in body:
        body = COLOUR.sub(b"", body)
    if b"\r" in body:
        body = LINE_END.sub(b"\n", body)
    if b"<pre" in body or b"</" in body or b"<br" in body:
        body, name = TAG.sub(b"", NEW_LINE_TAG.sub(b"\n", body)), name or "HTML"
    if b"{code" in body or b"{noformat" in body or b"{quote" in body:
        body = JIRA.sub(b"", body)
    if ENTITY.search(body):
        text = html.unescape(body.decode("utf-8", "surrogateescape"))
        body, name = text.encode("utf-8", "surrogateescape"), name or "HTML"
    return SPACE.sub(b" ", body), name
