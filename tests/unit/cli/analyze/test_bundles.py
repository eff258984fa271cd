"""Recordings of other tools: targets and times in folders and archives of debug bundles."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from leakwatch.cli import archives
from leakwatch.cli.analyze.bundles import find_bundles, is_profile, time_in
from leakwatch.cli.analyze.folders import find_all
from leakwatch.errors import ConfigError
from leakwatch.profile.stacks import Identifier
from tests.support.commands import output_of, run_command

PROFILES = Path(__file__).parents[3] / "profiles"
PROTOBUF = (PROFILES / "1.27" / "goroutine.debug0.pb.gz").read_bytes()
DUMP = (PROFILES / "1.27" / "goroutine.debug2.txt").read_bytes()
DAY = 1743066480
"""2025-03-27 09:08:00 UTC."""
NAMES = "goroutine_dump.2025-03-27T09_%02d_00.000.double_since_last_dump.000000133.txt"


def group(count: int) -> bytes:
    """Return a profile as debug=1 with one stack."""
    return b"goroutine profile: total %d\n%d @ 0x2\n#\t0x1\tmain.leak+0x1\t/src/main.go:3\n\n" % (count, count)


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, with a time of 2020, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_577_836_800, 1_577_836_800))
    return folder


def tar(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Return a .tar.gz of files."""
    path = folder / "bundle.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_577_836_800
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Return a .zip of files."""
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return path


BUNDLES: Mapping[str, tuple[Mapping[str, bytes], Mapping[str, list[float]], str]] = {
    "consul debug": (
        {f"{DAY + i}/{name}": group(i + 1) for i in (0, 60) for name in ("goroutine.prof", "heap.prof")},
        {"": [DAY, DAY + 60]},
        "the names of folders",
    ),
    "vault debug": (
        {f"2025-03-27T09-{8 + i:02}-00Z/goroutine.prof": group(i + 1) for i in range(3)},
        {"": [DAY, DAY + 60, DAY + 120]},
        "the names of folders",
    ),
    "nomad operator debug": (
        {
            f"{target}/{name}_0000.{suffix}": content
            for target in ("server/leader", "client/a1")
            for name, suffix, content in (("goroutine", "prof", PROTOBUF), ("goroutine-debug2", "txt", DUMP))
        },
        {"client/a1": [1795218953.0], "server/leader": [1795218953.0]},
        "the contents",
    ),
    "cockroach debug zip": (
        {f"nodes/{node}/{NAMES % minute}": DUMP for node in (1, 2) for minute in (8, 18)},
        {"nodes/1": [DAY, DAY + 600], "nodes/2": [DAY, DAY + 600]},
        "the names of files",
    ),
    "go tool pprof": (
        {
            f"pprof.{name}.001.pb.gz": PROTOBUF
            for name in ("shop.goroutine", "shop.alloc_objects", "web.goroutine")
        },
        {"shop": [1795218953.0], "web": [1795218953.0]},
        "the contents",
    ),
    "times of files": ({"a/goroutines.txt": group(3)}, {"a": [1_577_836_800]}, "the times of files"),
    "other names": ({"gl/all1.txt": group(3)}, {"gl": [1_577_836_800]}, "the times of files"),
}


@pytest.mark.parametrize("pack", [written, tar, zipped])
@pytest.mark.parametrize("name", BUNDLES)
def test_targets_and_times(name: str, pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path) -> None:
    """Folders and archives of each tool have the same targets and times, and the reason is reported."""
    files, expected, origin = BUNDLES[name]
    path = pack(tmp_path / "bundle" if pack is written else tmp_path, files)
    warnings: list[str] = []
    with archives.unpacked([path]) as folders:
        recordings = find_all(folders, Identifier(), warnings.append)
        found = {recording.targets[0].target.name: recording.times for recording in recordings}
        assert {target: [int(time) for time in times] for target, times in found.items()} == {
            target or "bundle": [int(time) for time in times] for target, times in expected.items()
        }
        assert all(observation for recording in recordings for observation in recording.observations())
    assert sum(f"with times from {origin}" in warning for warning in warnings) == len(expected)
    assert not any(folder.exists() for folder in folders if folder != path)


def test_names() -> None:
    """Profiles are recognized by their names, and times in these."""
    names = (
        "goroutine.prof",
        "goroutine_0001.prof",
        "goroutines.txt.gz",
        "stacks.txt",
        "pprof.x.goroutine.001.pb.gz",
    )
    assert all(map(is_profile, names))
    assert not any(map(is_profile, ("heap.prof", "main.go", "1743066480.txt", "pprof.x.cpu.001.pb.gz")))
    assert [time_in(name) for name in ("1743066480", "2025-03-27T09-08-00Z", "20250327_090800", "x")] == [
        *[DAY] * 3,
        None,
    ]
    assert time_in("2025-13-27T09-08-00Z") is None


def test_a_log_with_several_dumps_is_a_series(tmp_path: Path) -> None:
    """Dumps in a log with timestamps have these times. Without times, `diff` compares the first with the last."""
    dumps = [
        b"goroutine 1 [select]:\nmain.f()\n\t/x.go:1 +0x1\n",
        b"goroutine 1 [select]:\nmain.g()\n\t/x.go:1 +0x1\n",
    ]
    log = tmp_path / "shop.log"
    lines = [
        b"2025-03-27T09:%02d:00Z %s\n" % (8 + i, line)
        for i, dump in enumerate(dumps)
        for line in dump.splitlines()
    ]
    log.write_bytes(b"".join(lines))
    warnings: list[str] = []
    (bundle,) = find_bundles(tmp_path, warnings.append, [log])
    assert [profile.time for profile in bundle.profiles] == [DAY, DAY + 60]
    assert "with times from the log lines" in bundle.description
    assert "1m later: 1 stack grew by 1 (1 new), 1 stack shrank by 1 (1 gone)" in output_of("diff", log)
    log.write_bytes(b"".join(dumps))
    assert find_bundles(tmp_path, warnings.append, [log]) == []
    assert "2 of its 2 dumps have no time and are left out; `leakwatch diff " in warnings[-1]
    done = run_command("diff", log)
    assert b"comparing the first and the last of 2 dumps" in done.stderr
    assert b"total 0: 1 stack grew by 1 (1 new), 1 stack shrank by 1 (1 gone)" in done.stdout


def test_diff_of_an_archive(tmp_path: Path) -> None:
    """`diff ARCHIVE` compares its first profile with its last; an archive of several targets is an error."""
    path = tar(tmp_path, {f"{DAY + 60 * i}/goroutine.prof": group(3 + i) for i in range(3)})
    printed = output_of("diff", path)
    assert f"--- {path}/{DAY}/goroutine.prof  3 goroutines in 1 stack, 2025-03-27 09:08:00 UTC" in printed
    assert "total +2, 2m later: 1 stack grew by 2" in printed
    path = tar(tmp_path, {f"{name}/goroutine.prof": group(1) for name in "ab"})
    assert b"has 2 targets (a, b): give the folder of one" in run_command("diff", path).stderr


@pytest.mark.parametrize("names", [("goroutine.txt",), ("goroutine-1.txt", "goroutine-2.txt")])
def test_diff_of_one_profile(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A profile is not compared with itself, also if another has the same time."""
    done = run_command("diff", str(zipped(tmp_path, {name: group(5) for name in names})))
    assert done.returncode == 2
    assert b"has only one profile, or several with the same time: pass two files" in done.stderr


def test_analyze_an_archive(tmp_path: Path) -> None:
    """`analyze ARCHIVE` judges a leak in the profiles of a bundle, and reports the target on standard error."""
    path = tar(tmp_path, {f"{DAY + 60 * i}/goroutine.prof": group(3 + 5 * i) for i in range(60)})
    done = run_command("analyze", path, "--format", "json")
    assert b"took bundle/bundle as a target: 60 profiles named goroutine.prof" in done.stderr
    assert json.loads(done.stdout)["leaks"][0]["function"] == "main.leak"


def test_pasted_bodies_with_own_names(tmp_path: Path) -> None:
    """A body named by its time is repaired if nothing is missing. One with several dumps is left out."""
    bodies = {
        f"{DAY}.txt": DUMP.replace(b"\n\n", b"\n"),
        f"{DAY + 1}.txt": b"```\n" + group(5) + b"```\n",
        f"{DAY + 2}.txt": DUMP + DUMP,
        f"{DAY + 3}.txt": group(5).replace(b"total 5", b"total 7"),
    }
    warnings: list[str] = []
    (recording,) = find_all([written(tmp_path / "shop", bodies)], Identifier(), warnings.append)
    assert [each.total if each else None for each in recording.observations()] == [183, 5, None, None]
    assert "the file has 2, of 183, 183 goroutines" in warnings[0]
    assert "total 7, but the counts of the groups add up to 5" in warnings[1]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_bounds(
    pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sizes and the number of files of an archive are limited; names cannot leave the folder."""
    path = pack(tmp_path, {"../../goroutine.txt": group(1), "/a/../goroutine.txt": bytes(1 << 20)})
    with archives.unpacked([path]) as (folder,):
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.txt"))
    assert names == ["a/goroutine.txt", "goroutine.txt"]
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
    assert "have more than" in run_command("analyze", path).stderr.decode()
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    assert "has more than 1 files" in run_command("analyze", path).stderr.decode()
    if pack is tar:
        monkeypatch.setattr(archives, "MAX_READ", 10_000)
        assert "expands to more than" in run_command("analyze", path).stderr.decode()


def test_damaged_archives(tmp_path: Path) -> None:
    """An archive without a profile, and one that ends early, are errors."""
    path = tar(tmp_path, {"a/main.go": b"x"})
    assert b"has no file that may be a goroutine profile" in run_command("analyze", path).stderr
    path = tar(tmp_path, {"a/goroutine.txt": os.urandom(100_000)})
    path.write_bytes(path.read_bytes()[:50_000])
    assert b"leakwatch: " in run_command("analyze", path).stderr


def dated(path: Path, date: bytes) -> Path:
    """Write a zip with a profile that has these bytes as its date."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("goroutine.prof", "goroutine profile: total 1\n")
    body = bytearray(path.read_bytes())
    entry = body.index(b"PK\x01\x02")
    body[entry + 14 : entry + 16] = date
    path.write_bytes(body)
    return path


def test_dates_of_a_zip(tmp_path: Path) -> None:
    """A zip without times is unpacked; a date that does not exist is an error that names the file."""
    assert archives.unpack(dated(tmp_path / "a.zip", b"\0\0"), tmp_path, lambda _: True) == 1
    with pytest.raises(ConfigError, match=r"b\.zip: month must be in 1\.\.12"):
        archives.unpack(dated(tmp_path / "b.zip", b"\xff\xff"), tmp_path, lambda _: True)
