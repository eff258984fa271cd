"""Where code lies: a function in its package, the file of a frame in its repository. Pure.

The package of a function is in its name, so of its file the base name is enough: that holds for plain builds and
for those with -trimpath. Only `main` packages do not say their path; there the file must.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from leakwatch.codeowners import CodeOwners
from leakwatch.model import Frame
from leakwatch.stacks import without_brackets

VERSIONED = re.compile(r"(?:.*/pkg/mod/)?([^@]+)@(v[^/@]+)/(.+)", re.DOTALL)
"""The file of a frame from the module cache, also with -trimpath: module, version, file in it."""
PSEUDO = re.compile(r"v\d+\.\d+\.\d+-(?:.+\.)?\d{14}-([0-9a-f]{12})")
"""A version that Go made of a commit which has no tag."""
MAJOR = re.compile(r"(?:^|/)v[1-9]\d*$")
CAPITAL = re.compile(r"!([a-z])")


@dataclass(frozen=True, slots=True)
class Repository:
    """A Go module in its repository.

    `module`: its path, as go.mod has it; `directory`: where it lies in the repository, "" is the root; `root`:
    where the repository was when it was built, "" where that is not known; `owners`: whose its files are.
    """

    module: str
    directory: str = ""
    root: str = ""
    owners: CodeOwners | None = None

    def path(self, frame: Frame, frames: Sequence[Frame] = ()) -> str:
        """Return the path of a frame's file in the repository, "" where it is elsewhere or not known.

        `frames`: others of the same build.
        """
        found = version_of(frame)
        if found and within(found.module, self.module) is not None:
            return _joined(self.directory, found.directory_in(self.module), found.file)
        inside, name = within(package_of(frame), self.module), frame.file.rpartition("/")[2]
        if inside is not None and name and not name.startswith("<"):
            return _joined(self.directory, inside, name)
        if not frame.function.startswith("main."):
            return ""
        for built in filter(None, map(self._built, frames)):
            if frame.file.startswith(f"{built}/"):
                return _joined(self.directory, frame.file.removeprefix(f"{built}/"))
        root = f"{self.root.rstrip('/')}/"
        return frame.file.removeprefix(root) if self.root and frame.file.startswith(root) else ""

    def package(self, frame: Frame, frames: Sequence[Frame] = ()) -> str:
        """Return the path of a frame's package, by that of its file; "" where that is elsewhere or not known."""
        path = self.path(frame, frames)
        directory = path.rpartition("/")[0]
        inside = within(directory, self.directory) if self.directory else directory
        return _joined(self.module, inside) if path and inside is not None else ""

    def _built(self, frame: Frame) -> str:
        """Return the directory in which the module was built, "" where the frame does not tell."""
        inside = within(package_of(frame), self.module)
        if inside is None or version_of(frame):
            return ""
        end = f"/{_joined(inside, frame.file.rpartition('/')[2])}"
        return frame.file.removesuffix(end) if frame.file.endswith(end) else ""


@dataclass(frozen=True, slots=True)
class Version:
    """The file of a frame that comes out of Go's module cache."""

    module: str
    version: str
    file: str

    def directory_in(self, above: str) -> str:
        """Return where the module lies in the repository of the module `above`: Go tags it by that."""
        return MAJOR.sub("", within(self.module, above) or "")

    def commit(self, above: str) -> str:
        """Return the tag or the commit of this version in the repository of the module `above`."""
        pseudo = PSEUDO.fullmatch(self.version.removesuffix("+incompatible"))
        if pseudo:
            return pseudo[1]
        return _joined(self.directory_in(above), self.version.removesuffix("+incompatible"))


def split(function: str) -> tuple[str, str]:
    """Return the path of a function's package, and its name there: ("example.com/pool.v3", "Box.Wait.func1")."""
    function = without_brackets(function) if "[" in function else function
    dot = function.find(".", function.rfind("/") + 1)
    if dot < 0:
        return "", function
    return unquote(function[:dot]), function[dot + 1 :].replace("(*", "").replace(")", "")


def package_of(frame: Frame) -> str:
    """Return the path of a frame's package; "main" where the file does not tell the path of a main package."""
    package = split(frame.function)[0]
    directory = frame.file.rpartition("/")[0]
    if package != "main" or not directory or directory.startswith((".", "/")) or ":" in directory:
        return package
    found = version_of(frame)  # -trimpath: module and version, or the path of the package
    return _joined(found.module, found.file.rpartition("/")[0]) if found else directory


def version_of(frame: Frame) -> Version | None:
    """Return the version of the module whose file a frame has, None for what was built from a directory."""
    found = VERSIONED.fullmatch(frame.file) if "@v" in frame.file else None
    if found is None:
        return None
    cached = "/pkg/mod/" in frame.file
    module = CAPITAL.sub(lambda match: match[1].upper(), found[1]) if cached else found[1]
    return Version(module, found[2], found[3])


def scopes(package: str, name: str = "") -> Iterator[str]:
    """Yield all that a function belongs to, the closest first: itself, what it is in, its package, those above."""
    ends = [len(name), *(match.start() for match in reversed(list(re.finditer(r"[.-]", name))))]
    yield from (f"{package}.{name[:end]}" for end in ends if end)
    while package:
        yield package
        package = package.rpartition("/")[0]


def within(package: str, above: str) -> str | None:
    """Return the path of a package from the one `above` on, "" for itself, None if it is not below it."""
    if package == above:
        return ""
    return package.removeprefix(f"{above}/") if package.startswith(f"{above}/") else None


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
