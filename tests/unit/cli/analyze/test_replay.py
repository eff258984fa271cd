"""`leakwatch analyze`: folders of bodies and CSV files, judged as the daemon does."""

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.errors import ConfigError, UsageError
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import pprof
from tests.support.rendering import counters, render

RECORDED = Path(__file__).parents[3] / "profiles" / "1.27"
START = 1_760_000_000

LONGEST = "the longest stretch without a gap is"


def run(*arguments: object) -> tuple[int, str, list[str]]:
    """Return exit status, standard output and the lines on standard error."""
    result = CliRunner().invoke(app, ["analyze", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr.splitlines()


def judged(*arguments: object, status: int = 0) -> dict[str, Any]:
    """Return the JSON output."""
    code, out, _ = run(*arguments, "--format", "json")
    assert code == status
    answer: dict[str, Any] = json.loads(out)
    return answer


def body(counts: Mapping[str, int]) -> Profile:
    """Return a profile of stacks `main.<name>` called by main.main."""
    traces = [
        (
            Trace(
                (Frame(f"main.{name}", f"/src/{name}.go", 7), Frame("main.main", "/src/main.go", 3)),
                counters([0x100 * i + 1, 0x20, 0x30]),
            ),
            count,
        )
        for i, (name, count) in enumerate(counts.items(), 1)
    ]
    return Profile(sum(counts.values()), tuple(traces))


def record(folder: Path, minutes: int = 60, step: int = 15, rate: float = 4.0) -> Path:
    """Save bodies of a service that leaks `rate` goroutines per minute, every `step` seconds, as curl does."""
    folder.mkdir(parents=True)
    for at in range(0, minutes * 60 + 1, step):
        counts = {"leak": 3 + int(at * rate / 60), "worker": 20, "busy": 5 + at // step * 7 % 5}
        (folder / f"{START + at}.txt").write_bytes(render(body(counts)))
    return folder


def test_a_folder_of_profiles(tmp_path: Path) -> None:
    """An hour of bodies gives the leak with function, line, rate, start and reason."""
    answer = judged(record(tmp_path / "shop"))
    assert answer["targets"] == [
        {"service": "shop", "target": "shop", "profiles": 241, "skipped": 0, "first": START, "last": START + 3600}
    ]
    assert answer["block"] == 150
    (leak,) = answer["leaks"]
    assert (leak["function"], leak["file"], leak["line"]) == ("main.leak", "/src/leak.go", 7)
    assert (leak["service"], leak["targets"], leak["verdict"]) == ("shop", ["shop"], "leaking")
    assert leak["growth_per_hour_low"] <= 240 <= leak["growth_per_hour_high"]
    assert leak["growth_per_hour"] == pytest.approx(240, rel=0.05)
    assert START <= leak["first_seen"] <= START + 600
    assert START < leak["detected_at"] <= START + 3600
    assert leak["goroutines"] == 243
    assert [frame["function"] for frame in leak["frames"]] == ["main.leak", "main.main"]
    status, out, said = run(tmp_path / "shop")
    assert status == 0
    assert said == []
    assert "241 profiles of 1 target over 1h; judged in blocks of 2m30s, because the recording is short" in out
    assert "LEAKING  main.leak  /src/leak.go:7" in out
    assert "without departures" in out


def test_services_and_targets_are_named_after_folders(tmp_path: Path) -> None:
    """A folder of targets is a service. Targets with equal names and overlapping times are renamed."""
    for service, target in (("shop", "a"), ("shop", "b"), ("mail", "c")):
        record(tmp_path / "all" / service / target, 40)
    named = [(t["service"], t["target"]) for t in judged(tmp_path / "all")["targets"]]
    assert sorted(named) == [("mail", "c"), ("shop", "a"), ("shop", "b")]
    named = [(t["service"], t["target"]) for t in judged(tmp_path / "all" / "shop")["targets"]]
    assert named == [("shop", "a"), ("shop", "b")]
    code, out, said = run(tmp_path / "all/shop/a", tmp_path / "all/shop/a", "--format", "json")
    assert code == 0
    assert [t["target"] for t in json.loads(out)["targets"]] == ["a", "a (2)"]
    assert said == ["leakwatch: two targets are named 'a': one is now 'a (2)'"]
    one = sorted((tmp_path / "all/shop/a").iterdir())
    assert judged(*one)["targets"][0]["profiles"] == len(one)


def test_files_in_the_wrong_folder(tmp_path: Path) -> None:
    """Files beside folders of targets, folders beside bodies, and bodies too deep are left out by name."""
    root = tmp_path / "all"
    record(root / "shop" / "a", 40)
    (root / "notes.md").write_text("hello")
    (root / "shop" / "notes.md").write_text("hello")
    record(root / "mail", 40)
    record(root / "mail" / "old", 10)
    record(root / "west" / "pay" / "b", 10)
    status, out, said = run(root, "--format", "json")
    assert status == 0
    named = [(t["service"], t["target"]) for t in json.loads(out)["targets"]]
    assert sorted(named) == [("all", "mail"), ("shop", "a")]
    assert [line.removeprefix(f"leakwatch: {root}/") for line in said] == [
        f"notes.md: left out: folders lie beside it, so {root} is not a target",
        f"mail/old: left out: bodies lie beside it, so {root}/mail is one target",
        f"shop/notes.md: left out: folders lie beside it, so {root}/shop is not a target",
        f"west/pay/b: left out: too deep: a service ({root}/west) contains targets, and a target bodies",
    ]


def test_invalid_bodies(tmp_path: Path) -> None:
    """A truncated body, a web page, other files and a repeated time are reported; the leak is found."""
    folder = record(tmp_path / "shop")
    whole = (folder / f"{START + 900}.txt").read_bytes()
    (folder / f"{START + 900}.txt").write_bytes(whole[:-40])
    (folder / f"{START + 915}.txt").write_bytes(b"<html>busy</html>")
    (folder / f"{START + 930}.pb.gz").write_bytes(pprof.encode(body({"leak": 9})))
    (folder / "notes.md").write_text("hello")
    (folder / "symbol").write_text("")
    (folder / ".hidden").write_text("")
    (folder / f"{START + 945}.txt").unlink()
    status, out, said = run(folder, "--format", "json")
    assert status == 0
    answer = json.loads(out)
    assert answer["targets"][0]["skipped"] == 3
    assert answer["targets"][0]["profiles"] == 238
    assert answer["leaks"][0]["function"] == "main.leak"
    cut = "'5 @ 0x302 0x21 0x31\\n#\\t0x301\\tmain.busy+0x1\\t\\t/src/busy.go:'"
    assert [line.partition(": ")[2].removeprefix(f"{folder}/") for line in said] == [
        f"{START + 930}.txt: left out: it has the same time as {START + 930}.pb.gz",
        "notes.md: left out: its name is not <unix seconds>.txt or .pb.gz",
        f"{START + 900}.txt: line 10: the body ends within a group: {cut}",
        f"{START + 915}.txt: not a goroutine profile: the body starts with '<html>busy</html>'",
    ]


def test_text_and_protobuf_mixed(tmp_path: Path) -> None:
    """Bodies of both formats, gzipped or not, are one recording. Protobuf gives text its wait reason."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    text, proto = RECORDED / "goroutine.debug1.txt", RECORDED / "goroutine.debug0.pb.gz"
    for i in range(4):
        shutil.copy(proto if i % 2 else text, folder / f"{START + i}.{'pb.gz' if i % 2 else 'txt'}")
    (folder / f"{START + 9}.5.txt.gz").write_bytes(gzip.compress(text.read_bytes()))
    (folder / f"{START + 10}.pb").write_bytes(gzip.decompress(proto.read_bytes()))
    answer = judged(folder, status=2)
    assert (answer["targets"][0]["profiles"], answer["targets"][0]["skipped"]) == (6, 0)
    assert answer["targets"][0]["last"] == START + 10


def test_symbols_beside_bodies(tmp_path: Path) -> None:
    """A recorded response of /symbol gives text its wait reasons; an invalid file is reported and ignored."""
    folder = record(tmp_path / "shop")
    (leak,) = judged(folder)["leaks"]
    assert leak["wait"] == ""
    for file in folder.glob("*.txt"):  # the leak's goroutines are parked by a hidden call before the visible one
        file.write_bytes(file.read_bytes().replace(b" @ 0x102 ", b" @ 0x901 0x902 0x102 "))
    hidden = min(folder.glob("*.txt")).read_bytes()
    assert b" @ 0x901 0x902 0x102 " in hidden
    (folder / "symbol").write_text("num_symbols: 1\n0x901 runtime.chansend1\n")
    (leak,) = judged(folder)["leaks"]
    assert leak["wait"] == "chan send"
    (folder / "symbol").rename(folder / "symbol.txt")
    assert judged(folder)["leaks"] == [leak]
    (folder / "symbol.txt").write_text("<html>no</html>")
    status, out, said = run(folder, "--format", "json")
    assert (status, json.loads(out)["leaks"][0]["wait"]) == (0, "")
    message = "not a response of /symbol: the body starts with '<html>no</html>'"
    assert said == [f"leakwatch: {folder}/symbol.txt: left out: {message}"]


def test_dumps_are_counted(tmp_path: Path) -> None:
    """Full dumps are bodies too. A truncated dump is left out, because it would look like departures."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    body = (RECORDED / "goroutine.debug2.txt").read_bytes()
    for i in range(3):
        (folder / f"{START + i}.txt").write_bytes(body)
    (folder / f"{START + 9}.txt").write_bytes(body[:60_000])
    status, _, said = run(folder)
    assert f"leakwatch: {folder}/{START + 9}.txt: the dump ends early, after 46 goroutines" in said
    target = judged(folder, status=status)["targets"][0]
    assert (target["profiles"], target["skipped"]) == (3, 1)


def test_nothing_to_judge(tmp_path: Path) -> None:
    """An empty folder, a single profile and an invalid body exit with 2 and a reason; a missing path with 1."""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty)[::2] == (2, [f"leakwatch: {empty}: empty", "leakwatch: nothing could be read"])
    (empty / "1.txt").write_text("nothing")
    assert run(empty)[0] == 2
    (empty / "2.txt").write_bytes(render(body({"a": 1})))
    assert run(empty)[2][-1] == "leakwatch: empty: not judged: it has only one profile"


CSV = "time,target,stack,count\n"


def table(path: Path, counts: Callable[[float], Mapping[str, int]], hours: float, step: int = 60) -> Path:
    """Save counts of target a as CSV, every `step` seconds; `counts`: hours since the start -> count by stack."""
    rows = (
        f"{START + at},a,main.go{stack};main.{stack},{count}\n"
        for at in range(0, int(hours * 3600), step)
        for stack, count in counts(at / 3600).items()
    )
    path.write_text(CSV + "".join(rows))
    return path


def test_csv(tmp_path: Path) -> None:
    """Rows and columns may have any order. A stack without a row is zero. Each target is its own service."""
    rows = [
        f"{START + i * 15},{name},main.main;main.{stack},{count}\n"
        for i in range(1600)
        for name in "ab"
        for stack, count in (("leak", i // 4 if name == "a" else 5), ("worker", 7))
    ]
    path = tmp_path / "counts.csv"
    path.write_text(CSV + "".join(reversed(rows)))
    answer = judged(path)
    assert answer["block"] == 300
    assert [(t["service"], t["target"], t["profiles"]) for t in answer["targets"]] == [
        ("b", "b", 1600),
        ("a", "a", 1600),
    ]
    (leak,) = answer["leaks"]
    assert (leak["service"], leak["function"], leak["goroutines"]) == ("a", "main.leak", 399)
    assert leak["growth_per_hour"] == pytest.approx(60, rel=0.05)
    assert [frame["function"] for frame in leak["frames"]] == ["main.leak", "main.main"]
    path.write_text(
        "count,stack,service,target,time\n" + f"1,main.f,shop,a,{START}\n1,main.f,shop,b,{START + 9}\n"
    )
    targets = judged(path, status=2)["targets"]
    assert [(t["service"], t["target"]) for t in targets] == [("shop", "a"), ("shop", "b")]


def test_invalid_rows_of_a_csv(tmp_path: Path) -> None:
    """Each invalid row is reported by line and left out. Repeated counts of a stack are added and reported."""
    path = tmp_path / "c.csv"
    good = [f"{START + i},a,main.f,3\n" for i in range(3)]
    path.write_text(
        CSV + good[0] + "soon,a,main.f,3\n" + f"{START},a,main.f,-1\n" + f"{START},a,main.f,1.5\n" + "1,a\n\n"
        f"{START},,main.f,1\n{START},a,,1\n"
        + good[1]
        + good[1]
        + good[2]
        + f"nan,a,main.f,3\n{START},a,main.f,1e99\n"
    )
    _, out, said = run(path, "--format", "json")
    assert json.loads(out)["targets"][0]["profiles"] == 3
    assert [line.removeprefix(f"leakwatch: {path}:") for line in said] == [
        "3: time 'soon' is not a unix time in seconds: row left out",
        "4: count '-1' is not a number of goroutines: row left out",
        "5: count '1.5' is not a number of goroutines: row left out",
        "6: too few columns: row left out",
        "8: no target: row left out",
        "9: no stack: row left out",
        "13: time 'nan' is not a unix time in seconds: row left out",
        "14: count '1e99' is not a number of goroutines: row left out",
        f" a has two counts of one stack at {START + 1}: added",
        f"leakwatch: a: not judged: {LONGEST} 2s, but 8 blocks of 1s in a row are needed",
    ]
    path.write_text("time,target,stack,count,count\n")
    with pytest.raises(ConfigError, match="column count appears twice"):
        run(path)
    path.write_text("when,what\n1,2\n")
    assert CliRunner().invoke(app, ["analyze", str(path)]).exit_code == 1


def test_a_quote_that_is_not_closed(tmp_path: Path) -> None:
    """An unbalanced quote, or a comma without quotes, affects only its own row."""
    path = table(tmp_path / "c.csv", lambda hours: {"leak": 3 + int(hours * 120), "busy": 5}, 8)
    lines = path.read_text().splitlines(keepends=True)
    lines[99:99] = [f'{START},a,"main.main;main.oops,5\n', f"{START},a,main.f[int,main.T],5\n"]
    lines[101:101] = [f'{START},a,"main.f[int,main.T]",5\n', f'{START},a,"main"f,5\n', f"{START},a,main.g,5,\n"]
    path.write_text("".join(lines))
    status, out, said = run(path, "--format", "json")
    assert status == 0
    answer = json.loads(out)
    assert (answer["targets"][0]["profiles"], answer["leaks"][0]["function"]) == (480, "main.leak")
    assert [line.removeprefix(f"leakwatch: {path}:") for line in said] == [
        f"100: the quotes of '{START},a,\"main.main;main.oops,5' do not match: row left out",
        "101: too many columns; a name with a comma needs quotes: row left out",
        f"103: the quotes of '{START},a,\"main\"f,5' do not match: row left out",
    ]
    path.write_text('"time,target,stack,count\n')
    assert CliRunner().invoke(app, ["analyze", str(path)]).exit_code == 1


@pytest.mark.parametrize(
    ("factor", "unit"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")]
)
def test_times_in_another_unit(tmp_path: Path, factor: int, unit: str) -> None:
    """For times in milliseconds or finer, in a column or a name, the message names the unit."""
    path = tmp_path / "c.csv"
    path.write_text(CSV + f"{START * factor},a,main.f,3\n")
    said = f"time '{START * factor}' is in {unit}, not in seconds"
    nothing = "leakwatch: nothing could be read"
    assert run(path)[::2] == (2, [f"leakwatch: {path}:2: {said}: row left out", nothing])
    folder = tmp_path / "shop"
    folder.mkdir()
    saved = folder / f"{START * factor}.txt"
    saved.write_bytes(render(body({"a": 1})))
    assert run(folder)[::2] == (2, [f"leakwatch: {saved}: left out: {said}", nothing])


def test_the_latest_time(tmp_path: Path) -> None:
    """A time in the year 9999 is valid, a time in the year 10000 is not."""
    last = 253_402_300_799
    path = table(tmp_path / "c.csv", lambda hours: {"leak": 3 + int(hours * 60), "busy": 5}, 8)
    path.write_text(path.read_text().replace(f"{START // 10**5}", f"{last // 10**5 - 1}"))
    assert "began 9999-12-3" in run(path)[1]
    path.write_text(CSV + f"{last},a,main.f,3\n{last + 1},a,main.f,3\n")
    assert f"time '{last + 1}' is in milliseconds" in run(path)[2][0]


def test_recordings_of_one_name(tmp_path: Path) -> None:
    """Recordings with equal names are one target if they follow each other, and two if they overlap."""

    def save(name: str, start: int, first: int) -> Path:
        path = tmp_path / name
        counts = ((start + i * 60, first + i) for i in range(240))
        path.write_text(CSV + "".join(f"{at},a,main.leak,{n}\n{at},a,main.busy,5\n" for at, n in counts))
        return path

    monday, tuesday = save("mon.csv", START, 3), save("tue.csv", START + 240 * 60, 243)
    status, out, said = run(monday, tuesday, "--format", "json")
    assert (status, said) == (0, [])
    assert [(x["targets"], x["goroutines"]) for x in json.loads(out)["leaks"]] == [(["a"], 482)]
    overlapping = save("other.csv", START + 7, 1000)
    status, out, said = run(monday, overlapping, "--format", "json")
    assert (status, said) == (0, ["leakwatch: two targets are named 'a': one is now 'a (2)'"])
    assert [(x["targets"], x["goroutines"]) for x in json.loads(out)["leaks"]] == [(["a", "a (2)"], 1481)]


def test_pods_that_follow_one_another(tmp_path: Path) -> None:
    """A target that ends before its service is removed: its goroutines no longer count, its leak stays."""
    rows = [
        f"{START + pod * 6 * 3600 + i * 60},shop,pod{pod},main.go{stack};main.{stack},{count}\n"
        for pod in range(4)
        for i in range(6 * 60)
        for stack, count in (("leak", 3 + i), ("busy", 5), ("first", 3 + i if pod == 0 else 0))
    ]
    path = tmp_path / "c.csv"
    path.write_text("time,service,target,stack,count\n" + "".join(rows))
    status, out, said = run(path, "--format", "json")
    leaks = {leak["function"]: leak for leak in json.loads(out)["leaks"]}
    assert (status, said, sorted(leaks)) == (0, [], ["main.first", "main.leak"])
    assert leaks["main.leak"]["goroutines"] == 362
    assert leaks["main.leak"]["growth_per_hour"] == pytest.approx(60, rel=0.05)
    assert leaks["main.first"]["verdict"] == "leaking"


def test_warnings_are_limited(tmp_path: Path) -> None:
    """After the first twenty, warnings are counted."""
    path = tmp_path / "c.csv"
    path.write_text(CSV + "x,a,main.f,3\n" * 100)
    _, _, said = run(path)
    assert len(said) == 22
    assert said[20] == "leakwatch: and 80 more of this kind"


def test_gaps_do_not_hide_or_make_a_leak(tmp_path: Path) -> None:
    """With a fifth of the bodies missing, the leak is the same, and no other stack is reported."""
    folder = record(tmp_path / "shop", 180, 15, rate=2)
    for i, path in enumerate(sorted(folder.iterdir())):
        if i % 5 == 3:
            path.unlink()
    (leak,) = judged(folder)["leaks"]
    assert leak["function"] == "main.leak"
    assert leak["growth_per_hour"] == pytest.approx(120, rel=0.1)


@pytest.mark.parametrize("stray", [0, 9_999_999_999, START - 40 * 86400])
def test_a_stray_time(tmp_path: Path, stray: int) -> None:
    """A row far from the others in time is reported as a gap; the leaks are the same as without it."""
    path = table(tmp_path / "c.csv", lambda hours: {"leak": 3 + int(hours * 60), "busy": 5}, 8)
    alone = judged(path)
    path.write_text(path.read_text() + f"{stray},a,main.gobusy;main.busy,5\n")
    status, out, said = run(path, "--format", "json")
    answer = json.loads(out)
    assert (status, answer["block"]) == (0, 300)
    assert [(x["function"], x["detected_at"]) for x in answer["leaks"]] == [
        (x["function"], x["detected_at"]) for x in alone["leaks"]
    ]
    assert len(said) == 1
    assert said[0].startswith("leakwatch: a: no profiles for ")


def test_a_gap_of_a_month(tmp_path: Path) -> None:
    """Two recordings of one target, a month apart, are judged in blocks of 5 minutes; the gap is reported."""
    folder = record(tmp_path / "shop", 240, 60, rate=1)
    for i in range(240):
        at = START + 30 * 86400 + i * 60
        (folder / f"{at}.txt").write_bytes(render(body({"leak": 3, "late": 3 + i, "worker": 20})))
    status, out, said = run(folder, "--format", "json")
    answer = json.loads(out)
    assert (status, answer["block"]) == (0, 300)
    assert sorted(leak["function"] for leak in answer["leaks"]) == ["main.late", "main.leak"]
    assert said == ["leakwatch: shop: no profiles for 29d20h after 2025-10-09 12:53:20 UTC"]


def test_profiles_in_bursts(tmp_path: Path) -> None:
    """Four profiles within a minute, every hour, are a sparse recording without gaps."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for at in (START + hour * 3600 + second for hour in range(60) for second in range(0, 60, 15)):
        (folder / f"{at}.txt").write_bytes(render(body({"leak": 3 + (at - START) // 180, "busy": 5})))
    status, out, said = run(folder, "--format", "json")
    answer = json.loads(out)
    assert (status, answer["block"]) == (0, 3555)
    assert [line for line in said if "no profiles for" in line] == []
    assert [leak["function"] for leak in answer["leaks"]] == ["main.leak"]


def test_a_sparse_recording_has_longer_blocks(tmp_path: Path) -> None:
    """One profile every half hour for three days is judged in blocks of half an hour."""
    answer = judged(record(tmp_path / "shop", 3 * 24 * 60, 1800, rate=0.2))
    assert answer["block"] == 1800
    assert [leak["function"] for leak in answer["leaks"]] == ["main.leak"]


def test_labels_do_not_hide_a_leak(tmp_path: Path) -> None:
    """Groups that differ only in a request id are one stack."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for i in range(241):
        frames = (Frame("main.leak", "/src/leak.go", 7), Frame("main.main", "/src/main.go", 3))
        groups = tuple(
            (Trace(frames, counters([1, 2, 3]), labels=(("request", f"{n}"),)), 1) for n in range(3 + i)
        )
        (folder / f"{START + 15 * i}.txt").write_bytes(render(Profile(len(groups), groups)))
    (leak,) = judged(folder)["leaks"]
    assert (leak["verdict"], leak["goroutines"]) == ("leaking", 243)


def test_ignored_leaks_and_owners(tmp_path: Path) -> None:
    """A configuration file gives owners and rules. An unused rule is reported. --fail-on exits with 1."""
    folder = record(tmp_path / "shop")
    config = tmp_path / "leakwatch.yml"
    jobs = "scrape_configs: [{job_name: x, static_configs: [{targets: ['x:1']}]}]\n"
    config.write_text(jobs + "owners: {main.: ingest}\nignore: [{function: main.nothing}]\n")
    status, out, said = run(folder, "-c", config, "--fail-on", "leaking", "--format", "json")
    assert status == 1
    assert json.loads(out)["leaks"][0]["owner"] == "ingest"
    assert said == ["leakwatch: ignore: function 'main.nothing' matches no stack"]
    config.write_text(jobs + "ignore: [{file: /src/leak.go, at_most: 500}]\n")
    status, out, said = run(folder, "-c", config, "--fail-on", "leaking")
    assert (status, said) == (0, [])
    assert out.splitlines()[-2:] == [
        "No stack leaks, except ignored ones:",
        "1 leak ignored by the rule for file '/src/leak.go'",
    ]


def test_detection_of_a_configuration(tmp_path: Path) -> None:
    """A file with only `detection` gives own code and block; --block overrides it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for i in range(241):
        frames = (
            Frame("corp.example/lib.wait", "/go/pkg/mod/corp.example/lib@v1.0.0/lib.go", 3),
            Frame("main.leak", "/src/leak.go", 7),
        )
        group = Trace(frames, counters([1, 2, 3])), 3 + i
        (folder / f"{START + 15 * i}.txt").write_bytes(render(Profile(3 + i, (group,))))
    config = tmp_path / "leakwatch.yml"
    config.write_text("detection: {own_code: [corp.example/]}\n")
    assert judged(folder)["leaks"][0]["function"] == "main.leak"
    answer = judged(folder, "-c", config)
    assert (answer["leaks"][0]["function"], answer["block"]) == ("corp.example/lib.wait", 150)
    config.write_text("detection: {block: 2m}\n")
    assert judged(folder, "-c", config)["block"] == 120
    assert run(folder, "-c", config)[1].splitlines()[0].endswith("judged in blocks of 2m")
    assert judged(folder, "-c", config, "--block", "1m")["block"] == 60
    rows = [f"{START + i * 15},a,main.leak;time.Sleep,{i}\n" for i in range(241)]
    (tmp_path / "c.csv").write_text(CSV + "".join(rows))
    config.write_text("detection: {own_code: [time.]}\n")
    assert judged(tmp_path / "c.csv", "-c", config)["leaks"][0]["function"] == "time.Sleep"


@pytest.mark.parametrize("block", ["1h", "100d"])
def test_too_short_for_a_block(tmp_path: Path, block: str) -> None:
    """If no target has 8 blocks in a row, the status is 2, with the reason."""
    path = table(tmp_path / "c.csv", lambda hours: {"leak": 3 + int(hours * 60), "busy": 5}, 8)
    status, out, said = run(path, "--block", block)
    assert (status, said) == (
        2,
        [f"leakwatch: a: not judged: {LONGEST} 7h59m, but 8 blocks of {block} in a row are needed"],
    )
    assert out.splitlines() == [f"480 profiles of 1 target over 7h59m; not judged in blocks of {block}"]


def test_stretches_too_short_for_a_block(tmp_path: Path) -> None:
    """If gaps separate the profiles, the reason names the longest stretch without a gap."""
    for begin in (START, START + 86_400, START + 2 * 86_400):
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        for i in range(20):
            (folder / f"{begin + i * (30 if begin > START else 15)}.txt").write_bytes(render(body({"leak": 3})))
    status, _, said = run(folder, "--block", "5m")
    why = "the longest stretch without a gap is 9m30s, but 8 blocks of 5m in a row are needed"
    assert (status, said[-1]) == (2, f"leakwatch: shop: not judged: {why}")


def test_too_few_profiles(tmp_path: Path) -> None:
    """Two profiles, or eight far apart, cannot be judged; nine can."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for i, count in enumerate([3, 50_000, *range(50_001, 50_007)]):
        (folder / f"{START + i * 600}.txt").write_bytes(render(body({"leak": count})))
        if i == 1:
            assert run(folder)[::2] == (
                2,
                [f"leakwatch: shop: not judged: {LONGEST} 10m, but 8 blocks of 10m in a row are needed"],
            )
    assert run(folder)[0] == 2
    (folder / f"{START + 4800}.txt").write_bytes(render(body({"leak": 50_010})))
    status, _, said = run(folder)
    assert status == 0
    few = "blocks of 10m hold fewer than 3 profiles of 1 target"
    assert said == [f"leakwatch: {few}: only stacks without departures could be judged there"]


@pytest.mark.parametrize("block", ["1ms", "1s", "10s"])
def test_a_block_shorter_than_the_steps(tmp_path: Path, block: str) -> None:
    """A block that most profiles skip is rejected, with a block that is long enough."""
    path = table(tmp_path / "c.csv", lambda hours: {"leak": 3 + int(hours * 60)}, 8)
    with pytest.raises(UsageError, match=f"blocks of {block} .* profiles 1m apart; 5m is long enough"):
        run(path, "--block", block)


def test_one_target_of_two_can_be_judged(tmp_path: Path) -> None:
    """An unjudged target is reported, and the result is limited to the judged one."""
    record(tmp_path / "shop" / "a", 240, 60, rate=0)
    record(tmp_path / "shop" / "b", 20, 60)
    status, out, said = run(tmp_path / "shop")
    assert (status, out.splitlines()[-1]) == (0, "No stack leaks on the 1 of 2 targets that could be judged.")
    assert said == [f"leakwatch: shop/b: not judged: {LONGEST} 20m, but 8 blocks of 5m in a row are needed"]


def test_more_stacks_than_the_limit(tmp_path: Path) -> None:
    """Stacks beyond series_limit are not judged; their number is reported, and the limit can be raised."""
    counts = {f"f{i}": 100 + i for i in range(30)}
    path = table(tmp_path / "c.csv", lambda hours: counts | {"leak": 3 + int(hours * 60)}, 4)
    config = tmp_path / "leakwatch.yml"
    config.write_text("detection: {series_limit: 20}\n")
    status, out, said = run(path, "-c", config)
    assert (status, out.splitlines()[-1]) == (0, "No stack leaks.")
    assert said == [
        "leakwatch: a: the smallest of its stacks, up to 11, were not judged: detection.series_limit is 20"
    ]
    config.write_text("detection: {series_limit: 50}\n")
    assert [leak["function"] for leak in judged(path, "-c", config)["leaks"]] == ["main.leak"]


def test_processes_that_answer_in_turn(tmp_path: Path) -> None:
    """Bodies of two processes in turn, as behind a load balancer, cannot be judged."""

    def counts(hours: float) -> Mapping[str, int]:
        minute = round(hours * 60)
        return {f"f{i}": (50 if minute % 2 else 5) + minute // 2 % 3 for i in range(9)}

    path = table(tmp_path / "c.csv", counts, 8)
    status, _, said = run(path)
    assert status == 2
    assert "restarted" in said[0]


def test_a_block_that_is_given(tmp_path: Path) -> None:
    """--block scales every window; an invalid value is rejected."""
    folder = record(tmp_path / "shop")
    assert judged(folder, "--block", "1m")["block"] == 60
    assert run(folder, "--block", "1m")[1].splitlines()[0].endswith("judged in blocks of 1m")
    result = CliRunner().invoke(app, ["analyze", str(folder), "--block", "soon"])
    assert result.exit_code == 1


def test_of_two_stacks_in_step_one_recovers(tmp_path: Path) -> None:
    """If reader and writer leak in step and the writer recovers, the reader is still reported."""
    pairs = 2 + np.cumsum(np.random.default_rng(9).exponential(1 / 60, 5000))

    def counts(hours: float) -> Mapping[str, int]:
        readers = int(np.searchsorted(pairs, hours))
        writers = readers if hours < 8 else readers - int(np.searchsorted(pairs, hours - 0.02))
        return {"reader": 3 + readers, "writer": writers, "busy": 5}

    leaks = judged(table(tmp_path / "c.csv", counts, 16))["leaks"]
    assert ("main.reader", "leaking", "leaking") in [(x["function"], x["verdict"], x["now"]) for x in leaks]
