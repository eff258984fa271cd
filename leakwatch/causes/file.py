"""Files of causes: the shipped catalogue, and those of users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, field_validator, model_validator

from leakwatch.causes.model import OWN_CODE, Cause, FixedIn, Kind, StackPattern
from leakwatch.errors import ConfigError, quote
from leakwatch.profile.wait_reason import REASONS
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.file import read_settings
from leakwatch.settings.globs import any_of
from leakwatch.settings.messages import line_number
from leakwatch.settings.types import Listed, NotEmpty
from leakwatch.settings.yaml_file import load_yaml

LEAST_LETTERS: Final = 4  # in a pattern: "run" would match functions of many libraries
KINDS: Final[tuple[Kind, ...]] = ("object", "call", "wait")
BASIS: Final = 1.5  # rank of an object that libraries are built on: between calls and waits


Alternatives = Annotated[tuple[str, ...], Listed, NotEmpty]
"""One pattern, or a list of which one must match."""
Text = Annotated[str, Field(min_length=1)]


class StackPatternConfig(BaseSettings):
    """A pattern of one stack."""

    functions: Annotated[tuple[Alternatives, ...], NotEmpty]
    """Functions from the innermost to the outermost: globs, or `<own code>`. Other frames may lie between them."""
    wait: Annotated[tuple[str, ...], Listed] = ()
    """Wait reasons in the words of debug=2; without any, all match."""
    leaf: bool = False
    """The first function must be the innermost one outside package sync."""
    root: bool = False
    """The last function must be the outermost one, which was started with `go`."""
    direct: bool = False
    """All frames inside own code belong to the standard library."""
    without: Annotated[tuple[str, ...], Listed] = ()
    """Functions that must not be in the stack."""
    ratio: tuple[float, float] = (0.0, float("inf"))
    """For partners: smallest and largest number of goroutines, as a multiple of the matched stack."""

    @field_validator("functions")
    @classmethod
    def _is_specific(cls, functions: tuple[Alternatives, ...]) -> tuple[Alternatives, ...]:
        for pattern in (pattern for alternatives in functions for pattern in alternatives):
            if pattern != OWN_CODE and sum(map(str.isalnum, pattern)) < LEAST_LETTERS:
                raise ValueError(
                    f"{quote(pattern)} matches nearly everything; it needs at least {LEAST_LETTERS} letters"
                )
        return functions

    @field_validator("wait")
    @classmethod
    def _is_known(cls, waits: tuple[str, ...]) -> tuple[str, ...]:
        for wait in waits:
            if wait not in REASONS:
                raise ValueError(f"{quote(wait)} is not a wait reason; valid are: {', '.join(sorted(REASONS))}")
        return waits

    @field_validator("ratio")
    @classmethod
    def _is_range(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        low, high = ratio
        if not 0 <= low <= high or not high:  # NaN fails as well
            raise ValueError("must be the smallest and the largest multiple, such as [0.5, 2]")
        return ratio

    def pattern(self) -> StackPattern:
        """Return the pattern."""
        return StackPattern(
            functions=tuple(None if OWN_CODE in names else any_of(names) for names in self.functions),
            waits=frozenset(self.wait),
            leaf=self.leaf,
            root=self.root,
            direct=self.direct,
            without=any_of(self.without) if self.without else None,
            ratio=self.ratio,
        )

    @property
    def letters(self) -> int:
        """Number of letters of the patterns, a measure of how specific they are."""
        return sum(max(map(len, names)) for names in self.functions if OWN_CODE not in names)


class FixedInConfig(BaseSettings):
    """The version of a module that fixes a cause."""

    version: Text
    reference: str = ""


class CauseConfig(BaseSettings):
    """One cause."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    kind: Kind
    title: Annotated[str, Field(min_length=1, max_length=120)]
    """The defect, in a few words."""
    explanation: Text
    """Why the goroutines stay."""
    look_for: tuple[str, ...] = ()
    """Calls that create what leaks."""
    fix: Text
    """The change to make, in one sentence."""
    code: str = ""
    """Lines of Go that fix it."""
    fixed_in: dict[str, FixedInConfig] = Field(default_factory=dict)
    """Module -> version that fixes the cause."""
    references: tuple[Annotated[str, Field(pattern="^https?://")], ...] = ()
    goroutineleak: bool = False
    """Whether Go's leak profile can report these goroutines."""
    match: Annotated[tuple[StackPatternConfig, ...], NotEmpty]
    """Patterns of which one stack of the leak must match one."""
    partners: tuple[StackPatternConfig, ...] = ()
    """Patterns that other stacks of the leak must match."""
    absent: tuple[StackPatternConfig, ...] = ()
    """Patterns that no stack of the leak may match."""
    unless_own_code: bool = False
    """Whether a stack of own code in the leak rules the cause out."""
    basis: bool = False
    """Whether other libraries are built on this one, so that their causes come first."""

    @model_validator(mode="after")
    def _is_recognisable(self) -> Self:
        for pattern in self.match:
            if self.kind != "wait" and not pattern.letters:
                raise ValueError(f"needs a function other than {OWN_CODE}, or the kind wait")
            if self.kind == "wait" and not pattern.wait:
                raise ValueError("needs a wait reason, because it is of the kind wait")
        return self

    def cause(self) -> Cause:
        """Return the cause."""
        tier = BASIS if self.basis else KINDS.index(self.kind)
        letters = max(pattern.letters for pattern in self.match) + 100 * len(self.partners)
        return Cause(
            id=self.id,
            kind=self.kind,
            title=self.title,
            explanation=" ".join(self.explanation.split()),
            look_for=self.look_for,
            fix=" ".join(self.fix.split()),
            code=self.code.rstrip("\n"),
            fixed_in={name: FixedIn(fixed.version, fixed.reference) for name, fixed in self.fixed_in.items()},
            references=self.references,
            goroutineleak=self.goroutineleak,
            match=tuple(pattern.pattern() for pattern in self.match),
            partners=tuple(pattern.pattern() for pattern in self.partners),
            absent=tuple(pattern.pattern() for pattern in self.absent),
            unless_own_code=self.unless_own_code,
            is_basis=self.basis,
            rank=tier - letters / 1e4,
        )


class CauseFile(BaseSettings):
    """A file of causes, of one library or one shape of code."""

    causes: Annotated[tuple[CauseConfig, ...], NotEmpty]


def load_shipped(path: Path) -> object:
    """Return the content of a file that leakwatch ships, without the lines that errors name.

    Tests read these files as strictly as those of users.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 20 times as fast, and not in every build of PyYAML
    return yaml.load(path.read_bytes(), loader)  # noqa: S506  both loaders are safe


def read_causes(path: Path, taken: Mapping[str, str]) -> dict[str, Cause]:
    """Return the causes in a file, by id; raises ConfigError with file and line.

    `taken`: id -> file, of the causes that are read already.
    """
    causes: dict[str, Cause] = {}
    for number, config in enumerate(read_settings(path, CauseFile).causes):
        if config.id in causes or config.id in taken:
            line = line_number(("causes", number, "id"), load_yaml(path.read_text(), str(path))[0])
            raise ConfigError(f"{path}:{line}: id {quote(config.id)} is already in {taken.get(config.id, path)}")
        causes[config.id] = config.cause()
    return causes
