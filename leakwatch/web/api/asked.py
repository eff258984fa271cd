"""What the endpoints have in common: names in paths, parameters, what OpenAPI says of errors."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.convertors import StringConvertor, register_url_convertor

from leakwatch.web.api.problems import PROBLEM, Problem
from leakwatch.web.api.source import Source


class Anything(StringConvertor):
    """A name in a path: it may have slashes and line ends in it."""

    regex = r"(?s:.+)"


class Hash(StringConvertor):
    """A fingerprint in a path."""

    regex = "[0-9a-f]{16}"


register_url_convertor("anything", Anything())
register_url_convertor("hash", Hash())


async def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source


Known = Annotated[Source, Depends(_source)]
Service = Annotated[str, Path(description="Name of a service, quoted: `shop`, or `default%2Fshop`.", min_length=1)]
Name = Annotated[str, Path(description="Name of a target, quoted: `10.0.0.1%3A6060`.", min_length=1)]
Stack = Annotated[str, Path(description="Fingerprint of a stack or site.", pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=0, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Words = Annotated[str, Query(max_length=1000, description="Text to look for, in any case; empty for all.")]
OneOf = Annotated[str, Query(max_length=10_000, description="A whole name; empty for all.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of errors."""
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"model": Problem, "content": content} for status in statuses}
