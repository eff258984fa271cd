"""Path parameters of routes: names and fingerprints."""

from starlette.convertors import StringConvertor, register_url_convertor


class NameConvertor(StringConvertor):
    """A name of a service or target, which may contain slashes and line ends."""

    regex = r"(?s:.+)"


class FingerprintConvertor(StringConvertor):
    """The fingerprint of a stack or site."""

    regex = "[0-9a-f]{16}"


def register() -> None:
    """Register the convertors of `{service:name}` and `{stack:fingerprint}` with Starlette."""
    register_url_convertor("name", NameConvertor())
    register_url_convertor("fingerprint", FingerprintConvertor())
