"""Saved dumps of other parsers: gostackparse and goleak have the same goroutines."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from leakwatch.pasted.reader import read
from leakwatch.profile.dump import Dump
from leakwatch.profile.goroutine import Goroutine

GOSTACKPARSE = "github.com/DataDog/gostackparse@v0.7.0"
GOLEAK = "go.uber.org/goleak@v1.3.0"
PANIC = {"panic": "runtime.gopanic"}
HEADER = re.compile(rb"^goroutine [1-9]\d* \[", re.MULTILINE)


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of the modules, which the go command downloads."""
    folder = tmp_path_factory.mktemp("peers")
    (folder / "go.mod").write_text("module peers\n")
    command = ["go", "mod", "download", "-json", GOSTACKPARSE, GOLEAK]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    documents = json.loads("[" + done.stdout.replace("\n}\n{", "\n},\n{") + "]")
    return {f"{document['Path']}@{document['Version']}": Path(document["Dir"]) for document in documents}


def goroutines(body: bytes) -> tuple[list[Goroutine], int]:
    """Return the goroutines of a saved dump, and the number of those that were skipped."""
    profiles = read(body).profiles
    dumps = [profile.source for profile in profiles if isinstance(profile.source, Dump)]
    return [each for dump in dumps for each in dump.goroutines], sum(profile.skipped for profile in profiles)


def test_gostackparse_has_the_same_goroutines(fetch: dict[str, Path]) -> None:
    """Numbers, functions and creators agree; a goroutine that gostackparse rejects is read or reported."""
    compared = 0
    for golden in sorted((fetch[GOSTACKPARSE] / "test-fixtures").glob("*.golden.json")):
        expected = json.loads(golden.read_text())
        body = golden.with_name(golden.name.replace(".golden.json", ".txt")).read_bytes()
        if not body:
            continue
        found, skipped = goroutines(body)
        assert len(found) + skipped == len(HEADER.findall(body))
        by_number = {each.number: each for each in found}
        for peer in expected["Goroutines"] or ():
            each = by_number[peer["ID"]]
            functions = {PANIC.get(frame["Func"], frame["Func"]) for frame in peer["Stack"] or ()}
            assert [f.function for f in each.trace.frames if f.function not in functions] == []
            creator = (peer["CreatedBy"] or {}).get("Func")
            assert (each.creator.function if each.creator else None) == creator
            compared += 1
    assert compared > 20


def test_goleak_has_as_many_goroutines(fetch: dict[str, Path]) -> None:
    """Each dump in the test data of goleak is read completely."""
    dumps = sorted(fetch[GOLEAK].glob("**/testdata/*.txt"))
    assert dumps
    for file in dumps:
        body = file.read_bytes()
        found, skipped = goroutines(body)
        assert (len(found), skipped) == (len(HEADER.findall(body)), 0)
