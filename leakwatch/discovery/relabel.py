"""`relabel_configs`: rules that rewrite the labels of a target or drop the target. Pure.

The semantics are those of Prometheus 3. The rules run in order, each on the result of the previous rule. An empty
label is a missing label: reading a missing label gives "", and writing "" removes the label.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from leakwatch.discovery.go_regexp import MATCH_ALL, Pattern, Replacement, compile_pattern, parse_replacement
from leakwatch.discovery.target_group import LabelName
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Text

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LABEL_TEMPLATE = re.compile(r"(?:[a-zA-Z_]|\$\{\w+\}|\$\w)(?:\w|\$\{\w+\}|\$\w)*", re.ASCII)
"""A label name with $1, ${1} or ${name} in it; the expanded name is checked for each target."""

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
WRITING_ACTIONS = {"replace", "lowercase", "uppercase", "hashmod", "keepequal", "dropequal"}
"""Actions that write target_label."""
UNUSED_KEYS = {
    "lowercase": ("replacement",),
    "uppercase": ("replacement",),
    "keepequal": ("regex", "modulus", "separator", "replacement"),
    "dropequal": ("regex", "modulus", "separator", "replacement"),
    "labeldrop": ("source_labels", "target_label", "modulus", "separator", "replacement"),
    "labelkeep": ("source_labels", "target_label", "modulus", "separator", "replacement"),
}
"""Keys that have no effect with an action. They are rejected, because their author expects an effect."""


def _regex(text: str) -> str:
    compile_pattern(text)
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class RelabelConfig(BaseSettings):
    """A relabel rule, as in Prometheus."""

    source_labels: tuple[LabelName, ...] = ()
    """Labels. Their values are joined, and matched against `regex`."""
    separator: Text = ";"
    """Text between the joined values."""
    regex: Annotated[Text, AfterValidator(_regex)] = MATCH_ALL
    """An RE2 regular expression that must match the whole of the joined values."""
    modulus: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Modulus of `hashmod`, which requires it."""
    target_label: str = ""
    """The label that the rule writes."""
    replacement: Text = "$1"
    """The value that the rule writes; $1 or ${name} refer to groups of `regex`."""
    action: Annotated[Action, BeforeValidator(_lower)] = "replace"
    """The action of the rule; see [discovery](discovery.md)."""

    @model_validator(mode="after")
    def _keys_fit_action(self) -> Self:
        action, target = self.action, self.target_label
        for key in UNUSED_KEYS.get(action, ()):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} has no use with action {action!r}")
        if action == "hashmod" and not self.modulus:
            raise ValueError("action 'hashmod' needs a modulus greater than 0")
        if action in WRITING_ACTIONS and not target:
            raise ValueError(f"action {action!r} needs a target_label")
        if action in WRITING_ACTIONS and not _can_be_label_name(target, templates=action == "replace"):
            raise ValueError(f"target_label {target!r} is not a label name")
        if action == "labelmap" and not _can_be_label_name(self.replacement, templates=True):
            raise ValueError(f"replacement {self.replacement!r} does not make a label name")
        return self


def _can_be_label_name(text: str, *, templates: bool) -> bool:
    pattern = LABEL_TEMPLATE if templates and "$" in text else LABEL_NAME
    return pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelabelRule:
    """A rule with its pattern and replacements compiled."""

    apply: Callable[["RelabelRule", dict[str, str], str], bool]
    """The action."""
    source_labels: tuple[str, ...]
    separator: str
    pattern: Pattern
    modulus: int
    target_label: str
    target_template: Replacement
    """`target_label` with references to groups."""
    replacement: Replacement


Rules = tuple[RelabelRule, ...]


def rules(configs: Iterable[RelabelConfig]) -> Rules:
    """Compile `configs`."""
    return tuple(map(_rule, configs))


def _rule(config: RelabelConfig) -> RelabelRule:
    pattern = compile_pattern(config.regex)
    return RelabelRule(
        apply=ACTIONS[config.action],
        source_labels=config.source_labels,
        separator=config.separator,
        pattern=pattern,
        modulus=config.modulus,
        target_label=config.target_label,
        target_template=parse_replacement(config.target_label, pattern),
        replacement=parse_replacement(config.replacement, pattern),
    )


def relabel(labels: Mapping[str, str], rules: Rules) -> dict[str, str] | None:
    """Apply `rules` to a copy of `labels`. Return the result, or None if a rule drops the target."""
    result, drop = _apply(labels, rules)
    return result if drop is None else None


def dropping_rule(labels: Mapping[str, str], rules: Rules) -> "Drop | None":
    """Return the rule that drops the target, None if no rule does."""
    return _apply(labels, rules)[1]


def _apply(labels: Mapping[str, str], rules: Rules) -> "tuple[dict[str, str], Drop | None]":
    result = {name: value for name, value in labels.items() if value}
    for number, rule in enumerate(rules):
        source = rule.separator.join([result.get(name, "") for name in rule.source_labels])
        if not rule.apply(rule, result, source):
            return result, Drop(number, source)
    return result, None


@dataclass(frozen=True, slots=True)
class Drop:
    """The index of the rule that dropped a target, and the joined values of its source labels."""

    rule: int
    source: str


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _replace(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    groups = rule.pattern.groups(source)
    if groups is not None:
        target_label = rule.target_template.expand(groups)
        if LABEL_NAME.fullmatch(target_label):
            _set(labels, target_label, rule.replacement.expand(groups))
    return True


def _lowercase(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    _set(labels, rule.target_label, source.lower() if source.isascii() else "".join(map(_lower_letter, source)))
    return True


def _uppercase(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    _set(labels, rule.target_label, source.upper() if source.isascii() else "".join(map(_upper_letter, source)))
    return True


def _lower_letter(letter: str) -> str:
    """Return the single letter that Go returns: i for İ. Python returns i with a combining dot."""
    return letter.lower()[:1]


def _upper_letter(letter: str) -> str:
    """Return the single letter that Go returns: ß for ß. Python returns SS."""
    return next((upper for upper in (letter.upper(), letter.title()) if len(upper) == 1), letter)


def _keep(rule: RelabelRule, _: dict[str, str], source: str) -> bool:
    return rule.pattern.matches(source)


def _drop(rule: RelabelRule, _: dict[str, str], source: str) -> bool:
    return not rule.pattern.matches(source)


def _keep_equal(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    return labels.get(rule.target_label, "") == source


def _drop_equal(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    return labels.get(rule.target_label, "") != source


def _hashmod(rule: RelabelRule, labels: dict[str, str], source: str) -> bool:
    digest = md5(source.encode(), usedforsecurity=False).digest()
    labels[rule.target_label] = str(int.from_bytes(digest[8:]) % rule.modulus)
    return True


def _labelmap(rule: RelabelRule, labels: dict[str, str], _: str) -> bool:
    # Sorted by name, so that the result does not depend on the order of the labels if two map to the same name.
    for name, value in sorted(labels.items()):
        groups = rule.pattern.groups(name)
        mapped_name = rule.replacement.expand(groups) if groups else ""
        if mapped_name:
            labels[mapped_name] = value
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
"""Each changes the labels in place and returns whether the target stays."""
