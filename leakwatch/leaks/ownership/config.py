"""Settings of owners and source links: `owners`, `codeowners` and `links`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PrivateAttr, WithJsonSchema, field_validator, model_validator

from leakwatch.errors import ConfigError, redacted
from leakwatch.leaks.ownership.codeowners import CodeOwners, parse
from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.owners import scope_of
from leakwatch.leaks.ownership.source_links import FIELD, WEB, Links, LinkTemplate
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigFile, ConfigFolder, public_url

LARGEST = 3 << 20
"""Bytes of a CODEOWNERS file, as on GitHub."""


def _unique(teams: dict[str, str]) -> dict[str, str]:
    prefixes: dict[str, str] = {}
    for prefix in teams:
        other = prefixes.setdefault(scope_of(prefix), prefix)
        if other != prefix:
            raise ValueError(f"{other!r} and {prefix!r} are the same key")
    return teams


Teams = Annotated[dict[str, str], AfterValidator(_unique)]
"""Package (or a parent of it), type or function -> team."""


class CodeownersConfig(BaseSettings):
    """One of `codeowners`: the CODEOWNERS file of a repository, and its Go module."""

    file: ConfigFile
    """Path of the CODEOWNERS file, which is read at the start and at each reload."""
    module: Annotated[str, Field(min_length=1)]
    """Path of the module, as in go.mod."""
    directory: str = ""
    """Directory of the module in the repository."""
    root: str = ""
    """Directory of the repository at build time; required for main packages that are built without -trimpath."""
    _owners: CodeOwners = PrivateAttr(default_factory=CodeOwners)

    @field_validator("module", "directory")
    @classmethod
    def _relative(cls, text: str) -> str:
        text = text.removeprefix("./").rstrip("/")
        if text.startswith("/") or "@" in text or {".", ".."} & set(text.split("/")):
            raise ValueError("must be a path without / at its beginning, .. or @")
        return text

    @model_validator(mode="after")
    def _read(self) -> Self:
        self._owners = read(self.file)
        return self

    def repository(self) -> Repository:
        """Return the repository."""
        return Repository(module=self.module, directory=self.directory, root=self.root, owners=self._owners)


def read(path: Path) -> CodeOwners:
    """Return the rules of a CODEOWNERS file; raises ValueError with file and line."""
    try:
        with path.open("rb") as file:
            body = file.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ValueError(f"{path}: is larger than {LARGEST >> 20} MB")
        return parse(body.decode(), str(path))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _check_template(text: str) -> None:
    """Raise ValueError, which quotes the template, if it is invalid."""
    try:
        LinkTemplate.of(text)
    except ValueError as error:
        raise ValueError(f"{redacted(text)!r} {error}") from error


Sources = Annotated[
    dict[str, str],
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}
    ),
]


class LinksConfig(BaseSettings):
    """`links`: links from a leak to its source, Alertmanager and a dashboard, and directories with the source."""

    source: Sources = Field(default_factory=dict)
    """Module or prefix of modules -> URL template. A single text, or the key "", applies to all other code."""
    alertmanager: (
        Annotated[str, AfterValidator(public_url("https://alertmanager.example.com", "pages"))] | None
    ) = None
    """URL of Alertmanager for browsers. The page of a leak then links to a new silence for its alert."""
    dashboard: str = ""
    """URL of a dashboard, with {service} in place of the name of the service. Alerts link to it."""
    checkout: dict[str, ConfigFolder] = Field(default_factory=dict)
    """Module -> directory of its go.mod on this machine. The page of a leak then shows the lines of its source."""

    @field_validator("source", mode="before")
    @classmethod
    def _single(cls, value: Any) -> Any:
        return {"": value} if isinstance(value, str) else value

    @field_validator("source")
    @classmethod
    def _templates(cls, value: dict[str, str]) -> dict[str, str]:
        for text in _unique(value).values():
            _check_template(text)
        return value

    @field_validator("dashboard")
    @classmethod
    def _dashboard_template(cls, text: str) -> str:
        if others := set(FIELD.findall(text)) - {"service"}:
            raise ValueError(f"{{{min(others)}}} is not a field of a dashboard; its only field is {{service}}")
        if text and not WEB.match(text):
            problem = "must begin with https:// or http://, a host without fields, and a slash"
            raise ValueError(f"{redacted(text)!r} {problem}")
        if text:
            _check_template(text)
        return text

    @property
    def needs_module(self) -> bool:
        """Whether the template for all other code has the path in the repository."""
        return "" in self.source and "path" in LinkTemplate.of(self.source[""]).fields

    def links(self, repositories: Sequence[Repository]) -> Links:
        """Return the source links; `repositories`: the configured ones."""
        return Links({prefix: LinkTemplate.of(text) for prefix, text in self.source.items()}, repositories)
