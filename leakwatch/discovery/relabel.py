"""`relabel_configs`: rules that rewrite the labels of a target, or drop it. Pure; semantics as in Prometheus 3.

The rules run in their order, each on what the one before left. A label that is empty is no label: reading one that
is missing gives "", writing "" removes it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from leakwatch.discovery.go_regexp import EVERYTHING, Pattern, Template, compiled, template
from leakwatch.discovery.target_group import LabelName
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Text

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LABEL_TEMPLATE = re.compile(r"(?:[a-zA-Z_]|\$\{\w+\}|\$\w)(?:\w|\$\{\w+\}|\$\w)*", re.ASCII)
"""A label name with $1, ${1} or ${name} in it; what comes out is checked for each target."""

Action = Literal[
    "replace",
    "lowercase",
    "uppercase",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
]
WRITES = {"replace", "lowercase", "uppercase", "hashmod", "keepequal", "dropequal"}
"""Those that name a target_label."""
UNUSED = {
    "lowercase": ("replacement",),
    "uppercase": ("replacement",),
    "keepequal": ("regex", "modulus", "separator", "replacement"),
    "dropequal": ("regex", "modulus", "separator", "replacement"),
    "labeldrop": ("source_labels", "target_label", "modulus", "separator", "replacement"),
    "labelkeep": ("source_labels", "target_label", "modulus", "separator", "replacement"),
}
"""Keys that an action must not have, since whoever writes them expects something else of it."""


def _regex(text: str) -> str:
    compiled(text)
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class RelabelConfig(BaseSettings):
    """One of `relabel_configs`: a rule, as in Prometheus."""

    source_labels: tuple[LabelName, ...] = ()
    """Labels whose values are joined and matched."""
    separator: Text = ";"
    """What joins them."""
    regex: Annotated[Text, AfterValidator(_regex)] = EVERYTHING
    """A regular expression of RE2 that must match all of the joined values."""
    modulus: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Of `hashmod`, which needs it."""
    target_label: str = ""
    """The label that is written."""
    replacement: Text = "$1"
    """What is written; $1 or ${name} stand for groups of `regex`."""
    action: Annotated[Action, BeforeValidator(_lower)] = "replace"
    """What is done; see [discovery](discovery.md)."""

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        action, target = self.action, self.target_label
        for key in UNUSED.get(action, ()):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} has no use with action {action!r}")
        if action == "hashmod" and not self.modulus:
            raise ValueError("action 'hashmod' needs a modulus greater than 0")
        if action in WRITES and not target:
            raise ValueError(f"action {action!r} needs a target_label")
        if action in WRITES and not _may_name(target, templates=action == "replace"):
            raise ValueError(f"target_label {target!r} is no label name")
        if action == "labelmap" and not _may_name(self.replacement, templates=True):
            raise ValueError(f"replacement {self.replacement!r} makes no label name")
        return self


def _may_name(text: str, *, templates: bool) -> bool:
    shape = LABEL_TEMPLATE if templates and "$" in text else LABEL_NAME
    return shape.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, eq=False)
class RelabelRule:
    """A rule made ready to be applied many times."""

    apply: Callable[["RelabelRule", dict[str, str], str], bool]
    sources: tuple[str, ...]
    separator: str
    pattern: Pattern
    modulus: int
    target: str
    target_template: Template
    replacement: Template


Rules = tuple[RelabelRule, ...]


def rules(configs: Iterable[RelabelConfig]) -> Rules:
    """Return the rules that `configs` describe."""
    return tuple(map(_rule, configs))


def _rule(config: RelabelConfig) -> RelabelRule:
    pattern = compiled(config.regex)
    return RelabelRule(
        ACTIONS[config.action],
        config.source_labels,
        config.separator,
        pattern,
        config.modulus,
        config.target_label,
        template(config.target_label, pattern),
        template(config.replacement, pattern),
    )


def relabel(labels: Mapping[str, str], rules: Rules) -> dict[str, str] | None:
    """Return the labels that `rules` make of `labels`, None if one of them drops the target."""
    left = {name: value for name, value in labels.items() if value}
    for rule in rules:
        source = rule.separator.join([left.get(name, "") for name in rule.sources])
        if not rule.apply(rule, left, source):
            return None
    return left


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _replace(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    groups = rule.pattern.groups(source)
    if groups is not None:
        target = rule.target_template.filled(groups)
        if LABEL_NAME.fullmatch(target):
            _set(labels, target, rule.replacement.filled(groups))
    return True


def _lowercase(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    _set(labels, rule.target, source.lower() if source.isascii() else "".join(map(_lower_letter, source)))
    return True


def _uppercase(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    _set(labels, rule.target, source.upper() if source.isascii() else "".join(map(_upper_letter, source)))
    return True


def _lower_letter(letter: str) -> str:
    """Return the one letter that Go makes of it: İ is i there, not i with a dot above."""
    return letter.lower()[:1]


def _upper_letter(letter: str) -> str:
    """Return the one letter that Go makes of it: ß stays ß there, Python makes it SS."""
    return next((one for one in (letter.upper(), letter.title()) if len(one) == 1), letter)


def _keep(rule: RelabelRule, _: dict[str, str], source: str) -> bool:
    return rule.pattern.matches(source)


def _drop(rule: RelabelRule, _: dict[str, str], source: str) -> bool:
    return not rule.pattern.matches(source)


def _keep_equal(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    return labels.get(rule.target, "") == source


def _drop_equal(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    return labels.get(rule.target, "") != source


def _hashmod(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    digest = md5(source.encode(), usedforsecurity=False).digest()
    labels[rule.target] = str(int.from_bytes(digest[8:]) % rule.modulus)
    return True


def _labelmap(rule: RelabelRule, labels: dict[str, str], _: str) -> bool:
    # By name, so that the last of two that are mapped to one is always the same.
    for name, value in sorted(labels.items()):
        groups = rule.pattern.groups(name)
        mapped = rule.replacement.filled(groups) if groups else ""
        if mapped:
            labels[mapped] = value
    return True


def _labeldrop(rule: RelabelRule, labels: dict[str, str], _: str) -> bool:
    for name in [name for name in labels if rule.pattern.matches(name)]:
        del labels[name]
    return True


def _labelkeep(rule: RelabelRule, labels: dict[str, str], _: str) -> bool:
    for name in [name for name in labels if not rule.pattern.matches(name)]:
        del labels[name]
    return True


ACTIONS: dict[Action, Callable[[RelabelRule, dict[str, str], str], bool]] = {
    "replace": _replace,
    "lowercase": _lowercase,
    "uppercase": _uppercase,
    "keep": _keep,
    "drop": _drop,
    "keepequal": _keep_equal,
    "dropequal": _drop_equal,
    "hashmod": _hashmod,
    "labelmap": _labelmap,
    "labeldrop": _labeldrop,
    "labelkeep": _labelkeep,
}
"""Each changes the labels in place and tells whether the target stays."""
