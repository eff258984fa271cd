"""Reads YAML into plain values, and remembers the lines. Errors name the file and the line.

Booleans and integers follow YAML 1.2, as in Prometheus. PyYAML follows YAML 1.1, where `yes` is true, 010 is eight
and 12:30 is 750.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from leakwatch.errors import ConfigError

BOOL, INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
MAX_REPEATED = 100_000
"""Values that aliases may repeat in one file. 300 bytes of nested aliases can stand for 10^9 values."""
QUOTED_TOKEN = re.compile(r"(alias|anchor|tag|handle) (['\"]).*\2")
"""A token with * & or ! that a message of PyYAML quotes; it may be a password that is missing its quotes."""


class YamlLoader(yaml.SafeLoader):
    """A SafeLoader that reads booleans and integers as YAML 1.2 does."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as the base class declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in {BOOL, INT}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; raises ConstructorError, also for a scalar such as `!!int x`."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:
            raise yaml.constructor.ConstructorError(
                None, None, "the value is not valid for its type", node.start_mark
            ) from error


YamlLoader.add_implicit_resolver(BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
YamlLoader.add_implicit_resolver(INT, re.compile(r"(?:0|-?[1-9][0-9]*)\Z"), list("-0123456789"))


def load_yaml(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a text, which have the lines, and its data; raises ConfigError. `name`: of its file."""
    try:
        loader = YamlLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_aliases(node, name)
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = QUOTED_TOKEN.sub(r"\1", error.problem or error.context or "")
        raise ConfigError(f"{name}:{mark.line + 1 if mark else 1}: {problem}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {' '.join(str(error).split())}") from error


def _check_aliases(root: yaml.Node, name: str) -> None:
    """Raise ConfigError if aliases repeat too many values, before anything walks through all repetitions."""
    sizes: dict[int, float] = {}

    def size(node: yaml.Node) -> float:
        """Return the number of nodes in a node with all aliases resolved; infinite within the node itself."""
        if id(node) not in sizes:
            sizes[id(node)] = math.inf
            sizes[id(node)] = total = 1 + sum(map(size, children(node)))
            if total > len(sizes) + MAX_REPEATED:
                what = "a value within itself" if math.isinf(total) else f"more than {MAX_REPEATED} values"
                raise ConfigError(f"{name}:{node.start_mark.line + 1}: aliases (*name) repeat {what}")
        return sizes[id(node)]

    size(root)


def nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Yield each node once, also if aliases repeat it, in the order of the file."""
    waiting, seen = [root] if root else [], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting += reversed([*children(node)])


def children(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the keys and values of a mapping, or the items of a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
