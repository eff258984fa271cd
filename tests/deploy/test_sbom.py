"""The SBOMs that the build writes: valid CycloneDX, complete, and with allowed licences only."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import ExpressionError, get_spdx_licensing
from packaging.utils import canonicalize_name

from leakwatch import __version__
from tests.support.containers import ROOT, python

Document = dict[str, Any]

DIST = ROOT / "dist"
WHEEL = f"leakwatch-{__version__}-py3-none-any.whl"
SPDX = get_spdx_licensing()
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "PSF-2.0", "Python-2.0.1"),
    *("Unicode-3.0", "Unicode-DFS-2016", "Zlib", "blessing", "bzip2-1.0.6"),
    "Apache-2.0 WITH LLVM-exception",
    # Copyleft that does not extend to programs that use the library.
    *("LGPL-2.1-or-later", "MPL-2.0", "GPL-3.0-or-later WITH GCC-exception-3.1"),
}


@pytest.fixture(scope="module")
def wheel_sbom(image: None) -> Document:  # noqa: ARG001  the build writes it
    """Return the SBOM of the wheel."""
    document: Document = json.loads((DIST / f"{WHEEL}.cdx.json").read_text())
    return document


@pytest.fixture(scope="module")
def image_sbom(image: None) -> Document:  # noqa: ARG001  the build writes it
    """Return the SBOM that the image contains."""
    document: Document = json.loads(python("print(open('/usr/share/sbom/leakwatch.cdx.json').read())"))
    return document


def components(parent: Document) -> Iterator[Document]:
    """Yield all components below a document or a component."""
    for component in parent.get("components", []):
        yield component
        yield from components(component)


def versions(document: Document, kind: str) -> set[str]:
    """Return "name==version" of the top-level components with this type of package URL."""
    found = document["components"]
    return {
        f"{item['name']}=={item['version']}" for item in found if item.get("purl", "").startswith(f"pkg:{kind}/")
    }


def lock() -> dict[str, str]:
    """Return "name==version" -> entry of the lock file of the image."""
    entries = re.split(r"\n(?=\S)", (ROOT / "deploy/image/requirements.txt").read_text().strip())
    return {entry.split()[0]: entry for entry in entries}


def canonical(names: set[str]) -> set[str]:
    """Return "name==version" with the names as lock files spell them."""
    return {f"{canonicalize_name(name)}=={version}" for name, version in (item.split("==") for item in names)}


def expression(component: Document) -> str:
    """Return the licences of a component as one SPDX expression; a name that SPDX does not list stays a name."""
    stated = [
        item.get("expression") or item["license"].get("id") or item["license"]["name"]
        for item in component.get("licenses", [])
    ]
    return " AND ".join(f"({item})" for item in stated)


def is_allowed(licence: str) -> bool:
    """Return whether the terms of an SPDX expression can be met with allowed licences."""

    def holds(node: Any) -> bool:
        if isinstance(node, SPDX.OR):
            return any(map(holds, node.args))
        if isinstance(node, SPDX.AND):
            return all(map(holds, node.args))
        return str(node) in ALLOWED

    try:
        return bool(licence) and holds(SPDX.parse(licence, validate=True))
    except ExpressionError:
        return False


def test_the_sboms_are_valid(wheel_sbom: Document, image_sbom: Document) -> None:
    """Both SBOMs follow the schema of CycloneDX 1.6 strictly, and the image contains the SBOM in dist/."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for document in (wheel_sbom, image_sbom):
        assert validator.validate_str(json.dumps(document)) is None
    assert json.loads((DIST / "leakwatch-image.cdx.json").read_text()) == image_sbom


def test_the_sbom_of_the_wheel_describes_the_wheel(wheel_sbom: Document) -> None:
    """It has the hash of the wheel, the npm packages in the wheel, and the pinned dependencies."""
    described = wheel_sbom["metadata"]["component"]
    assert (described["name"], described["version"]) == ("leakwatch", __version__)
    assert described["hashes"] == [{"alg": "SHA-256", "content": sha256((DIST / WHEEL).read_bytes()).hexdigest()}]
    vendored = (ROOT / "leakwatch/web/pages/static/vendor/packages.txt").read_text()
    assert versions(described, "npm") == {
        "==".join(line.split()[:2]) for line in vendored.splitlines() if line[0] != "#"
    }
    assert canonical(versions(wheel_sbom, "pypi")) == lock().keys()


def test_each_python_package_has_a_pinned_hash(image_sbom: Document) -> None:
    """The file that pip installed has a hash that the lock file lists."""
    pinned = lock()
    packages = [item for item in image_sbom["components"] if item.get("purl", "").startswith("pkg:pypi/")]
    assert len(packages) == len(pinned)
    for package in packages:
        references = [item for item in package["externalReferences"] if "hashes" in item]
        assert [item["type"] for item in references] == ["distribution"]
        entry = pinned[f"{canonicalize_name(package['name'])}=={package['version']}"]
        assert f"--hash=sha256:{references[0]['hashes'][0]['content']}" in entry


def test_the_sbom_of_the_image_lists_what_the_image_contains(image_sbom: Document) -> None:
    """The packages of Python and of Debian, the interpreter and the release of Debian are those in the image."""
    code = """
import email, json, pathlib, platform
from importlib.metadata import distributions
packages = [email.message_from_bytes(p.read_bytes()) for p in pathlib.Path("/var/lib/dpkg/status.d").iterdir()]
print(json.dumps({
    "pypi": [f"{item.name}=={item.version}" for item in distributions()],
    "deb": [f"{item['Package']}=={item['Version']}" for item in packages],
    "python": platform.python_version(),
    "debian": platform.freedesktop_os_release()["VERSION_ID"],
}))
"""
    contents = json.loads(python(code))
    leakwatch = f"leakwatch=={__version__}"
    assert versions(image_sbom, "pypi") == {*contents["pypi"]} - {leakwatch}
    assert versions(image_sbom, "deb") == {*contents["deb"]}
    assert any(name.startswith("libc6==") for name in contents["deb"])
    named = {item["name"]: item["version"] for item in image_sbom["components"]}
    assert (named["python"], named["debian"]) == (contents["python"], contents["debian"])
    assert named["leakwatch"] == __version__


def test_the_licences_are_allowed(image_sbom: Document) -> None:
    """Each component has a known SPDX licence that is allowed, also the libraries inside wheels."""
    licences = {
        item["purl"] if "purl" in item else item["name"]: expression(item)
        for item in components(image_sbom)
        if item["type"] != "operating-system"
    }
    assert len(licences) > 150
    assert {name: licence for name, licence in licences.items() if not is_allowed(licence)} == {}


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("GPL-3.0-or-later", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("License :: OSI Approved :: BSD License", False),
        ("", False),
    ],
)
def test_an_unknown_licence_is_not_allowed(licence: str, allowed: bool) -> None:
    """A licence that is missing, unknown or not in the list is not allowed; of alternatives, one must be."""
    assert is_allowed(licence) is allowed
