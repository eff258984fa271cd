"""Writes CycloneDX SBOMs of the wheel and of the image: `sbom.py VENV REPORT ROOT DIST`.

Runs in the builder stage, after rootfs.py. `VENV` is the virtual environment that the image contains, `REPORT`
the report of the pip that filled it, `ROOT` the root of the image and `DIST` the folder of the wheel. cyclonedx-py
describes the packages of `VENV`. This script adds their hashes, the libraries inside wheels, the npm packages,
Debian's packages and the interpreter.
"""

import json
import platform
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterable, Iterator
from email import message_from_string
from functools import partial
from hashlib import sha256
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

IMAGE_FOLDER = Path(__file__).parent
VENDORED = Path("leakwatch/web/pages/static/vendor/packages.txt")


def rows(file: Path, fields: int) -> Iterator[list[str]]:
    """Yield the fields of each line; the last field may contain blanks."""
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split(maxsplit=fields - 1)


def parse(text: bytes) -> Bom:
    """Return an SBOM in JSON as an object."""
    bom: Bom = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]  # added by a decorator of Bom
    return bom


def python_packages(venv: Path) -> tuple[Component, Bom]:
    """Return leakwatch, and an SBOM of the packages that it depends on, with leakwatch as its main component."""
    program = Path(sys.executable).with_name("cyclonedx-py")
    bom = parse(subprocess.run([program, "environment", venv], check=True, stdout=subprocess.PIPE).stdout)
    (leakwatch,) = (component for component in bom.components if component.name == "leakwatch")
    bom.components.remove(leakwatch)  # before it changes, because its hash changes too
    leakwatch.type = ComponentType.APPLICATION
    leakwatch.external_references.clear()  # the path of the wheel in this stage
    bom.metadata.component = leakwatch
    return leakwatch, bom


def add_downloads(components: Iterable[Component], report: Path) -> None:
    """Add to each package the address and the hash of the file that pip installed."""
    installed = json.loads(report.read_bytes())["install"]
    downloads = {item["metadata"]["name"]: item["download_info"] for item in installed}
    for component in components:
        download = downloads[component.name]
        reference = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(download["url"]),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=download["archive_info"]["hashes"]["sha256"])],
        )
        component.external_references.add(reference)


def add_bundled(components: Iterable[Component], venv: Path) -> None:
    """Add the libraries inside wheels, as far as a wheel has an SBOM of its own (PEP 770)."""
    by_folder = {f"{component.name}-{component.version}.dist-info": component for component in components}
    for file in venv.rglob("*.dist-info/sboms/*.json"):
        by_folder[file.parents[1].name].components.update(parse(file.read_bytes()).components)


def npm_packages() -> Iterator[Component]:
    """Yield the npm packages of the pages."""
    for name, version, integrity, licence in rows(VENDORED, 4):
        digest = b64decode(integrity.removeprefix("sha512-")).hex()
        yield Component(
            name=name,
            version=version,
            bom_ref=f"npm-{name}",
            purl=PackageURL("npm", name=name, version=version),
            licenses=[LicenseFactory().make_from_string(licence)],
            hashes=[HashType(alg=HashAlgorithm.SHA_512, content=digest)],
        )


def debian_packages(root: Path, release: str) -> Iterator[Component]:
    """Yield the Debian packages that own files of the image."""
    for file in (root / "var/lib/dpkg/status.d").iterdir():
        status = message_from_string(file.read_text())
        name, version = status["Package"], status["Version"]
        source = status.get("Source", name).split()[0]
        qualifiers = {"arch": status["Architecture"], "distro": f"debian-{release}", "upstream": source}
        yield Component(
            name=name,
            version=version,
            bom_ref=f"deb-{name}",
            purl=PackageURL("deb", "debian", name, version, qualifiers),
        )


def add_licences(components: Iterable[Component]) -> None:
    """Keep the SPDX licences that a package declares; if there are none, use licences.txt."""
    table = dict(rows(IMAGE_FOLDER / "licences.txt", 2))
    make = partial(LicenseFactory().make_from_string, license_acknowledgement=LicenseAcknowledgement.CONCLUDED)
    for component in components:
        names = [item for item in component.licenses if isinstance(item, DisjunctiveLicense) and not item.id]
        component.licenses.difference_update(names)
        if not component.licenses and component.purl:
            concluded = table.get(f"{component.purl.type}/{component.purl.name}")
            component.licenses.update([make(concluded)] if concluded else names)


def base_components(root: Path) -> list[Component]:
    """Return the components of the image that do not depend on leakwatch."""
    system = platform.freedesktop_os_release()
    name, release, version = system["ID"], system["VERSION_ID"], platform.python_version()
    python = Component(
        name="python",
        version=version,
        type=ComponentType.PLATFORM,
        bom_ref="python",
        purl=PackageURL("generic", name="python", version=version),
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )
    debian = Component(name=name, version=release, type=ComponentType.OPERATING_SYSTEM, bom_ref=name)
    components = [debian, python, *debian_packages(root, release)]
    add_licences(components)
    return components


def main(venv: Path, report: Path, root: Path, dist: Path) -> None:
    """Write the SBOM of the wheel beside it, and the SBOM of the image beside it and into the image."""
    (wheel,) = dist.glob("*.whl")
    leakwatch, bom = python_packages(venv)
    leakwatch.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=sha256(wheel.read_bytes()).hexdigest()))
    leakwatch.components.update(npm_packages())
    add_downloads(bom.components, report)
    add_bundled(bom.components, venv)
    add_licences(bom.components)
    (dist / f"{wheel.name}.cdx.json").write_text(JsonV1Dot6(bom).output_as_string())

    base = base_components(root)
    image = Component(
        name="leakwatch",
        version=leakwatch.version,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        purl=PackageURL("oci", name="leakwatch"),  # the product that the OpenVEX document names
    )
    bom.components.update([leakwatch, *base])
    bom.register_dependency(image, [leakwatch, *base])
    bom.metadata.component = image
    text = JsonV1Dot6(bom).output_as_string()
    for file in (dist / "leakwatch-image.cdx.json", root / "usr/share/sbom/leakwatch.cdx.json"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
