"""Links from a frame to its source, by the templates of the configuration. Pure.

A link that would be broken is none: where a field of the template is not known for a frame, there is no link.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from leakwatch.leaks.ownership.go_modules import Repository, package_of, version_of, within
from leakwatch.leaks.ownership.owners import scope_of
from leakwatch.model import Frame
from leakwatch.profile.packages import is_dependency, is_std

LONGEST: Final = 2000  # characters of a link
COMMITS: Final = ("commit", "git_commit", "revision")
"""Labels of a target that say which commit it runs; the first that is there counts."""
NO_COMMIT: Final = frozenset({"unknown", "none", "dev", "devel", "(devel)"})
"""What builds say that do not know their commit."""
OF_FRAME: Final = ("file", "path", "line", "function", "package", "commit")
OF_TARGET: Final = ("build", "service")
LABEL: Final = "label."
FIELD = re.compile(r"\{([^{}]*)\}")
BEGINNING = re.compile(r"https?://[^/?#{}\s@]+/")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class LinkContext:
    """What is known of a target; `build`: of its process, "" where that is not known."""

    service: str
    labels: Mapping[str, str]
    build: str = ""

    def value(self, field: str) -> str:
        """Return the value of a field, "" where it is not known."""
        if field == "commit":
            commit = next(filter(None, map(self.labels.get, COMMITS)), "")
            commit = commit.removesuffix("-dirty").removesuffix("+dirty")
            return "" if commit.lower() in NO_COMMIT else commit
        if field.startswith(LABEL):
            return self.labels.get(field.removeprefix(LABEL), "")
        return {"service": self.service, "build": self.build}.get(field, "")


@dataclass(frozen=True, slots=True)
class LinkTemplate:
    """A URL with fields in braces."""

    parts: tuple[str, ...]
    """Text and names of fields in turn."""

    @classmethod
    def of(cls, text: str) -> "LinkTemplate":
        """Return the template that `text` is; raises ValueError."""
        if not BEGINNING.match(text):
            raise ValueError("must begin with https:// or http:// and a host that has no fields, then a slash")
        for name in FIELD.findall(text):
            label = name.removeprefix(LABEL) if name.startswith(LABEL) else ""
            if name not in {*OF_FRAME, *OF_TARGET} and not LABEL_NAME.fullmatch(label):
                known = ", ".join((*OF_FRAME, *OF_TARGET, "label.NAME"))
                raise ValueError(f"{{{name}}} is no field; there are {known}")
        rest = FIELD.sub("", text)
        if "{" in rest or "}" in rest or not rest.isprintable() or " " in rest:
            raise ValueError("has a brace, a space or a character that stands for nothing here")
        return cls(tuple(FIELD.split(text)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Their names."""
        return self.parts[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the URL with these values, "" where one is missing or would lead elsewhere."""
        found = list(self.parts)
        for at, name in zip(range(1, len(found), 2), self.fields, strict=True):
            value = values.get(name, "")
            if not value or {".", ".."} & set(value.split("/")):
                return ""
            # Slashes part what is a path; anywhere else they would lead to another one.
            found[at] = quote(
                value, safe="/" if name in {"file", "path", "package", "commit"} else "", errors="replace"
            )
        link = "".join(found)
        return link if len(link) <= LONGEST else ""


@dataclass(frozen=True, slots=True)
class LinkSource:
    """Where the code below a package is shown; `prefix` is "" for all that has no template of its own."""

    prefix: str
    template: LinkTemplate
    repositories: tuple[Repository, ...]

    def values(self, frame: Frame, frames: Sequence[Frame]) -> dict[str, str] | None:
        """Return what is known of the fields of a frame; None if it is no code of this source."""
        values = {"file": frame.file, "line": str(frame.line or ""), "function": frame.function}
        version = version_of(frame)
        for one in self.repositories:
            if path := one.path(frame, frames):
                values |= {"path": path, "package": one.package(frame, frames)}
                return values | ({"commit": version.commit(one.module)} if version else _foreign(frame))
        return None if self.prefix else {"path": "", "package": package_of(frame), **values, **_foreign(frame)}


def _foreign(frame: Frame) -> dict[str, str]:
    """Return that the commit is not known of what others wrote; that of the target is none of theirs."""
    return {"commit": ""} if is_std(frame.function) or is_dependency(frame) else {}


class Links:
    """Makes links; `templates`: package, or "" for all, -> template."""

    def __init__(
        self, templates: Mapping[str, LinkTemplate] | None = None, repositories: Sequence[Repository] = ()
    ) -> None:
        self._sources: list[LinkSource] = []
        for prefix, template in (templates or {}).items():
            above = scope_of(prefix)
            own = [one for one in repositories if not above or within(one.module, above) is not None]
            own.sort(key=lambda one: len(one.module), reverse=True)
            if above and all(one.module != above for one in own):
                own.append(Repository(above))
            self._sources.append(LinkSource(above, template, tuple(own)))
        self._sources.sort(key=lambda one: len(one.prefix), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._sources)

    def link(self, frame: Frame, frames: Sequence[Frame], facts: Iterable[LinkContext]) -> str:
        """Return where the source of a frame is shown, "" if that is not known.

        `frames`: others of its stack; `facts`: of the targets that it was seen on. Where they differ, as while a
        new version is rolled out, what most of them say counts.
        """
        for source in self._sources:
            values = source.values(frame, frames)
            if values is not None:
                names = [name for name in source.template.fields if name not in values]
                said = Counter(tuple(fact.value(name) for name in names) for fact in facts)
                most = said.most_common(1)[0][0] if said else ()
                return source.template.fill(dict(zip(names, most, strict=False)) | values)
        return ""
