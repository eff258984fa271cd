"""YAML as Prometheus reads it: what is not plainly a number or a truth is text.

PyYAML follows YAML 1.1, where `yes` is true, 010 is eight and 12:30 is 750. A `regex: yes` would be lost that way.
"""

import re
from typing import Any

import yaml

BOOL, INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"


class Loader(yaml.SafeLoader):
    """Reads booleans and whole numbers as YAML 1.2 has them."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as the class above declares it
        first: [(tag, pattern) for tag, pattern in known if tag not in {BOOL, INT}]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver(BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
Loader.add_implicit_resolver(INT, re.compile(r"(?:0|-?[1-9][0-9]*)\Z"), list("-0123456789"))


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of `text`, which know their lines; raises what PyYAML raises."""
    return yaml.compose(text, Loader=Loader)


def load(text: str) -> Any:
    """Return what `text` says; raises what PyYAML raises."""
    return yaml.load(text, Loader=Loader)  # noqa: S506  a SafeLoader by another name
