"""What the image is built from: the lock, the Dockerfile, the version."""

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
    """Return name -> version of a lock, each of which has hashes."""
    entries = re.split(r"\n(?=\S)", (IMAGE / file).read_text().strip())
    found = dict(entry.split()[0].split("==") for entry in entries)
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    return found


def asked() -> list[str]:
    """Return what leakwatch needs with all extras but that of its developers."""
    extras = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(r for name in extras if name != "dev" for r in extras[name])]


@pytest.mark.parametrize(
    ("file", "requirements"), [("requirements.txt", asked()), ("build.txt", PROJECT["build-system"]["requires"])]
)
def test_the_lock_has_what_is_asked_for(file: str, requirements: list[str]) -> None:
    """Where this fails, pyproject.toml has changed since: `make image-lock`."""
    pinned = pins(file)
    assert requirements
    for requirement in map(Requirement, requirements):
        version = pinned.get(canonicalize_name(requirement.name), "none")
        assert version != "none", f"{file} lacks {requirement}"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{file} has {version}, not {requirement}"
        )


def test_the_image_installs_the_lock() -> None:
    """Each install from a registry is by hash; what is our own comes without any registry."""
    installs = [line for line in DOCKERFILE.splitlines() if re.search(r"pip (install|wheel)", line)]
    assert len(installs) == 4
    for line in installs:
        assert re.search(
            r"--require-hashes .*-r deploy/image/(build|requirements)\.txt|--no-index --no-deps", line
        )


def test_the_base_is_pinned_and_supported() -> None:
    """All stages that come from elsewhere name a full version, of a Python that we say we run on."""
    bases = [base for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if base != "scratch"]
    assert bases
    for base in bases:
        found = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-[a-z]+", base)
        assert found
        assert f"Programming Language :: Python :: {found[1]}" in PROJECT["project"]["classifiers"]


def test_the_version_is_ours() -> None:
    """A plain `docker build .` labels the image with the version it has."""
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE
    assert f"docker build -t leakwatch:{__version__} ." in DOCKERFILE


def test_the_context_is_what_the_image_needs() -> None:
    """Nothing gets into a build by accident: all that is sent is named, and exists."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert lines[-1] == "**/__pycache__"
    assert [line for line in lines[1:-1] if not (line[0] == "!" and (ROOT / line[1:]).exists())] == []
