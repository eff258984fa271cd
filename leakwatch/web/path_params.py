"""What stands for a name or a fingerprint in the paths of routes."""

from starlette.convertors import StringConvertor, register_url_convertor


class Anything(StringConvertor):
    """A name in a path: it may have slashes and line ends in it."""

    regex = r"(?s:.+)"


class Hash(StringConvertor):
    """A fingerprint in a path."""

    regex = "[0-9a-f]{16}"


def register() -> None:
    """Let routes say `{service:anything}` and `{stack:hash}`."""
    register_url_convertor("anything", Anything())
    register_url_convertor("hash", Hash())
