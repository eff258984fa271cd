"""Links from a frame to its source, by the templates of the configuration. Pure.

If the value of a field of the template is unknown for a frame, the frame has no link, because it would be broken.
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
"""Labels of a target with the commit that it runs; the first one that exists applies."""
NO_COMMIT: Final = frozenset({"unknown", "none", "dev", "devel", "(devel)"})
"""Values of builds that do not know their commit."""
OF_FRAME: Final = ("file", "path", "line", "function", "package", "commit")
OF_TARGET: Final = ("build", "service")
LABEL: Final = "label."
FIELD = re.compile(r"\{([^{}]*)\}")
EDITORS: Final = (
    "vscode",
    "vscode-insiders",
    "vscodium",
    "cursor",
    "windsurf",
    "zed",
    "goland",
    "idea",
    "jetbrains",
)
"""Schemes of the URLs with which editors open files."""
WEB = re.compile(r"https?://[^/?#{}\s@]+/")
EDITOR = re.compile(rf"(?:{'|'.join(EDITORS)})://[^/?#{{}}\s@]+[/?]")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class LinkContext:
    """Values of a target for fields; `build`: of its process, "" if unknown."""

    service: str
    labels: Mapping[str, str]
    build: str = ""

    def value(self, field: str) -> str:
        """Return the value of a field, "" if unknown."""
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
        """Parse a template; raises ValueError."""
        if not WEB.match(text) and not EDITOR.match(text):
            schemes = "https://, http:// or the scheme of an editor such as vscode://"
            raise ValueError(f"must begin with {schemes}, a host without fields, and a slash")
        for name in FIELD.findall(text):
            label = name.removeprefix(LABEL) if name.startswith(LABEL) else ""
            if name not in {*OF_FRAME, *OF_TARGET} and not LABEL_NAME.fullmatch(label):
                fields = ", ".join((*OF_FRAME, *OF_TARGET, "label.NAME"))
                raise ValueError(f"{{{name}}} is not a field; the fields are {fields}")
        rest = FIELD.sub("", text)
        if "{" in rest or "}" in rest or not rest.isprintable() or " " in rest:
            raise ValueError("has a brace, a space or an unprintable character outside of a field")
        return cls(tuple(FIELD.split(text)))

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields."""
        return self.parts[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the URL with these values, "" if a value is missing or would change the path."""
        filled = list(self.parts)
        for position, name in zip(range(1, len(filled), 2), self.fields, strict=True):
            value = values.get(name, "")
            if not value or {".", ".."} & set(value.split("/")):
                return ""
            # The slashes of a path stay; in other values they would change the path of the URL.
            if filled[position - 1].endswith("/"):
                value = value.lstrip("/")  # an absolute file would have two slashes, which editors take for a host
            safe = "/" if name in {"file", "path", "package", "commit"} else ""
            filled[position] = quote(value, safe=safe, errors="replace")
        link = "".join(filled)
        return link if len(link) <= LONGEST else ""


@dataclass(frozen=True, slots=True)
class LinkSource:
    """The template of the code below a package; `prefix`: that package, "" for all other code."""

    prefix: str
    template: LinkTemplate
    repositories: tuple[Repository, ...]

    def values(self, frame: Frame, frames: Sequence[Frame]) -> dict[str, str] | None:
        """Return the values of the fields of a frame, None if its code is not below the package."""
        values = {"file": frame.file, "line": str(frame.line or ""), "function": frame.function}
        version = version_of(frame)
        for repository in self.repositories:
            if path := repository.path(frame, frames):
                values |= {"path": path, "package": repository.package(frame, frames)}
                return values | ({"commit": version.commit(repository.module)} if version else _foreign(frame))
        return None if self.prefix else {"path": "", "package": package_of(frame), **values, **_foreign(frame)}


def _foreign(frame: Frame) -> dict[str, str]:
    """Return an empty commit for code of others, to which the commit of the target does not apply."""
    return {"commit": ""} if is_std(frame.function) or is_dependency(frame) else {}


class Links:
    """Builds links; `templates`: package -> template, the key "" is for all other code."""

    def __init__(
        self, templates: Mapping[str, LinkTemplate] | None = None, repositories: Sequence[Repository] = ()
    ) -> None:
        self._sources: list[LinkSource] = []
        for prefix, template in (templates or {}).items():
            above = scope_of(prefix)
            own = [each for each in repositories if not above or within(each.module, above) is not None]
            own.sort(key=lambda repository: len(repository.module), reverse=True)
            if above and all(repository.module != above for repository in own):
                own.append(Repository(module=above))
            self._sources.append(LinkSource(above, template, tuple(own)))
        self._sources.sort(key=lambda source: len(source.prefix), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._sources)

    def link(self, frame: Frame, frames: Sequence[Frame], contexts: Iterable[LinkContext]) -> str:
        """Return the URL of the source of a frame, "" if unknown.

        `frames`: other frames of its stack; `contexts`: of the targets with the stack. If they differ, as during
        the rollout of a new version, the most frequent values apply.
        """
        for source in self._sources:
            values = source.values(frame, frames)
            if values is not None:
                names = [name for name in source.template.fields if name not in values]
                counts = Counter(tuple(context.value(name) for name in names) for context in contexts)
                most = counts.most_common(1)[0][0] if counts else ()
                return source.template.fill(dict(zip(names, most, strict=False)) | values)
        return ""
