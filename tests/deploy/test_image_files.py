"""The sources of the image: lock files, Dockerfile, version and build context."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leakwatch import __version__

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "deploy" / "image"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(file: str) -> dict[str, str]:
    """Return name -> version of a lock file; each entry must have hashes."""
    entries = re.split(r"\n(?=\S)", (IMAGE / file).read_text().strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    return dict(entry.split()[0].split("==") for entry in entries)


def runtime_requirements() -> list[str]:
    """Return the requirements of leakwatch with all extras except those of development."""
    extras = PROJECT["project"]["optional-dependencies"]
    optional = [requirement for name in extras if name not in {"dev", "fuzz"} for requirement in extras[name]]
    return [*PROJECT["project"]["dependencies"], *optional]


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        ("requirements.txt", runtime_requirements()),
        ("build.txt", PROJECT["build-system"]["requires"]),
        ("sbom.txt", PROJECT["dependency-groups"]["sbom"]),
    ],
)
def test_the_lock_satisfies_the_requirements(file: str, requirements: list[str]) -> None:
    """The lock has a suitable version of each requirement; otherwise `make image-lock` must update it."""
    pinned = pins(file)
    assert requirements
    for requirement in map(Requirement, requirements):
        version = pinned.get(canonicalize_name(requirement.name), "none")
        assert version != "none", f"{file} lacks {requirement}"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{file} has {version}, not {requirement}"
        )


def test_the_image_installs_the_lock() -> None:
    """Packages from a registry are installed with their hashes, and leakwatch itself without a registry."""
    installs = [line for line in DOCKERFILE.splitlines() if re.search(r"pip (install|wheel)", line)]
    assert len(installs) == 5
    for line in installs:
        assert re.search(
            r"--require-hashes .*-r deploy/image/(build|requirements|sbom)\.txt|--no-index --no-deps", line
        )


def test_the_base_is_pinned_and_supported() -> None:
    """Each base image has a full version, of a Python that pyproject.toml lists in its classifiers."""
    bases = [base for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if base != "scratch"]
    assert bases
    for base in bases:
        version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-[a-z]+", base)
        assert version
        assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]


def test_the_version_is_current() -> None:
    """`docker build .` without arguments labels the image with the version of leakwatch."""
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE
    assert f"docker build -t leakwatch:{__version__} ." in DOCKERFILE


def test_the_build_context_is_an_allow_list() -> None:
    """.dockerignore excludes everything except listed paths, which exist."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert lines[-1] == "**/__pycache__"
    assert [line for line in lines[1:-1] if not (line[0] == "!" and (ROOT / line[1:]).exists())] == []
