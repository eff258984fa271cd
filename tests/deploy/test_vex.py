"""The OpenVEX document: valid, applicable to the image, and true of the programs and libraries in the image."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.support.containers import ROOT, export, python

VEX = ROOT / "deploy/image/leakwatch.openvex.json"
REGEX = {"regcomp", "regexec", "re_compile_pattern", "re_match", "re_search", "rpmatch"}
UNUSED_FUNCTIONS = {
    "CVE-2010-4756": {"glob", "glob64", "wordexp"},
    "CVE-2018-20796": REGEX,
    "CVE-2019-9192": REGEX,
}
"""The functions of libc6 with the vulnerable code, and those that call them."""


def symbols(tar: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Return name -> exported and imported symbols of each program and library in a tar archive."""
    found = {}
    with tarfile.open(tar) as root:
        for member in root:
            content = root.extractfile(member).read() if member.isfile() else b""  # type: ignore[union-attr]  # a file
            if content.startswith(b"\x7fELF"):
                section = ELFFile(io.BytesIO(content)).get_section_by_name(".dynsym")
                assert isinstance(section, SymbolTableSection)
                imports: set[str] = set()
                exports: set[str] = set()
                for symbol in section.iter_symbols():
                    (imports if symbol["st_shndx"] == "SHN_UNDEF" else exports).add(symbol.name)
                found[member.name] = exports, imports
    return found


@pytest.mark.usefixtures("image")
def test_the_statements_apply_to_the_image() -> None:
    """The document is valid, and applies to libc6 in the image as a registry and as the SBOM identify it."""
    sbom = json.loads(python("print(open('/usr/share/sbom/leakwatch.cdx.json').read())"))
    (libc,) = (item["purl"] for item in sbom["components"] if item["name"] == "libc6")
    image = "pkg:oci/leakwatch@sha256%3Aabc?repository_url=ghcr.io/example/leakwatch"
    command = ["go", "run", "./vex", VEX, image, libc]
    statements = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT / "tests/deploy"
    ).stdout
    assert statements.splitlines() == [f"{name} not_affected" for name in UNUSED_FUNCTIONS]


@pytest.mark.usefixtures("image")
def test_the_image_does_not_use_the_vulnerable_functions(tmp_path: Path) -> None:
    """The functions of all statements are in libc, and no program or library in the image imports one."""
    export(tmp_path / "root.tar")
    binaries = symbols(tmp_path / "root.tar")
    assert len(binaries) > 20
    functions = set().union(*UNUSED_FUNCTIONS.values())
    (libc,) = (exports for name, (exports, _) in binaries.items() if name.endswith("/libc.so.6"))
    assert functions <= libc
    assert {name: imports & functions for name, (_, imports) in binaries.items() if imports & functions} == {}
