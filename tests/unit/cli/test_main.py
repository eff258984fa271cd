"""The command line: output, error messages and exit statuses."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import pprof
from tests.support.answering import answering, http
from tests.support.commands import output_of, run_command

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests" / "profiles" / "1.27" / "goroutine.debug1.txt"
DUMP = RECORDED.with_name("goroutine.debug2.txt")
BODY = RECORDED.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["rules"], 0), (["scrape", "missing.txt"], 1), (["scrape", "x", "--limit", "-1"], 2)],
    ids=["success", "failure", "invalid command line"],
)
def test_the_process_exits_like_the_command(arguments: list[str], status: int) -> None:
    """`python -m leakwatch` has the exit status, the output and the messages of a command in the test process."""
    process = subprocess.run([sys.executable, "-m", "leakwatch", *arguments], capture_output=True, check=False)
    command = run_command(*arguments)
    assert process.returncode == command.returncode == status
    assert (process.stdout, process.stderr) == (command.stdout, command.stderr)


def test_help_has_examples() -> None:
    """The help of every command has an example."""
    listed = output_of("--help")
    names = (
        "run",
        "check-config",
        "check-web-config",
        "config-schema",
        "rules",
        "scrape",
        "diff",
        "check",
        "test",
        "demo",
    )
    for command in names:
        assert command in listed
        shown = output_of(command, "--help")
        assert command == "config-schema" or "Examples:" in shown or command == "rules"
        assert "leakwatch " + command in shown


def test_scrape_a_file() -> None:
    """The table has count, fingerprint, wait reason, function, position and origin of each stack."""
    assert "31 more; --limit 0 shows all\n" in output_of("scrape", RECORDED)
    hidden = "3 goroutines that a healthy process has are hidden, in 3 stacks; --limit 0 shows all\n"
    assert hidden in output_of("scrape", RECORDED.parents[1] / "causes" / "http-body-not-closed.txt")
    table = output_of("scrape", RECORDED, "--limit", "0")
    assert "183 goroutines in 60 stacks, 1 without frames" in table
    assert "main.mutexLock" in table
    assert "sync.Mutex.Lock" in table
    assert "/src/zoo/" in table


def test_json_has_no_control_characters(tmp_path: Path) -> None:
    """A name from a service cannot control the terminal that shows JSON; the JSON has the whole name."""
    name = "main.f\u202e\x9b31m\x7füç"
    (tmp_path / "body.txt").write_text(
        f"goroutine profile: total 1\n1 @ 0x1\n#\t0x1\t{name}+0x1\t/src/main.go:1\n", "utf-8"
    )
    text = output_of("scrape", tmp_path / "body.txt", "--format", "json")
    assert "üç" in text
    assert text.replace("\n", "").isprintable()
    assert json.loads(text)["groups"][0]["stacks"][0]["function"] == name


def test_scrape_a_dump(tmp_path: Path) -> None:
    """A full dump also has waiting times and creators; a truncated dump is reported."""
    table = output_of("scrape", DUMP, "--limit", "0")
    assert "183 goroutines in 63 stacks, 1 without frames\n" in table
    assert re.search(r"goroutines +stack +wait +oldest +median +function +created by\n", table)
    lines = table.splitlines()
    run, at, more = lines[next(i for i, line in enumerate(lines) if "main.(*S).run" in line) :][:3]
    assert re.fullmatch(
        r" +9 +\w{16} +chan receive +1m +1m +main\.\(\*S\)\.run +main\.registerKinds\.func\d+", run
    )
    assert re.fullmatch(r" +/src/zoo/main.go:124 +/src/zoo/main.go:\d+", at)
    assert more.strip() == "and 2 more"
    (tmp_path / "cut.txt").write_bytes(DUMP.read_bytes()[:60_000])
    assert "46 goroutines in 19 stacks; the dump is truncated" in output_of("scrape", tmp_path / "cut.txt")
    assert json.loads(output_of("scrape", tmp_path / "cut.txt", "--format", "json"))["truncated"]


def test_a_dump_as_json() -> None:
    """Each stack of a dump has ages, states and creators. A stack of a profile has no such keys."""
    groups = json.loads(output_of("scrape", DUMP, "--by", "site", "--format", "json"))["groups"]
    (run,) = next(group for group in groups if group["key"] == "main.(*S).run")["stacks"]
    assert run["ages"] == {"known": 9, "oldest_minutes": 1, "median_minutes": 1}
    assert run["states"] == {"chan receive": 9}
    assert [(creator["goroutines"], creator["line"] > 0) for creator in run["created_by"]] == [(3, True)] * 3
    assert "ages" not in json.loads(output_of("scrape", RECORDED, "--format", "json"))["groups"][0]["stacks"][0]


def test_a_dump_in_other_formats() -> None:
    """All formats and groupings of profiles work with dumps."""
    assert (
        sum(int(line.rpartition(" ")[2]) for line in output_of("scrape", DUMP, "--format", "folded").splitlines())
        == 183
    )
    assert re.search(r" +100 +\d+ +chan receive\n", output_of("scrape", DUMP, "--by", "reason"))
    assert run_command("scrape", DUMP, "--format", "pprof").stdout.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("by", ["stack", "site"])
def test_scrape_on_a_narrow_terminal(by: str) -> None:
    """On 80 columns every line fits, and no name is wrapped within a word."""
    command = f"stty cols 80; {sys.executable} -m leakwatch scrape {RECORDED} --limit 0 --by {by}"
    done = subprocess.run(["script", "-qc", command, "/dev/null"], capture_output=True, text=True, check=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("inner.Block" in line for line in lines)  # of example.com/zoo.v2/sub.d
    assert any("http.(*persistConn).writeLoop" in line for line in lines)
    if by == "stack":
        assert any("inner.go:4" in line for line in lines)


def test_a_profile_has_origins() -> None:
    """A profile has the function that each goroutine was started in. Only a full dump has the creator."""
    table = output_of("scrape", RECORDED)
    assert re.search(r"function +started in\n", table)
    assert re.search(r"main\.\S+ +main\.\S+\n", table)


def test_scrape_a_service() -> None:
    """A URL or host:port is scraped."""
    with answering(http(BODY)) as server:
        assert "183 goroutines in 60 stacks" in output_of("scrape", server.url)
        assert "183 goroutines in 60 stacks" in output_of("scrape", server.url.removeprefix("http://"))


def test_a_file_named_like_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing file takes precedence over host:port."""
    monkeypatch.chdir(tmp_path)
    Path("127.0.0.1:1").write_bytes(BODY)
    assert "183 goroutines in 60 stacks" in output_of("scrape", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("by", "expected"), [("site", "main.chanRecv"), ("origin", "runtime.main"), ("reason", "sleep")]
)
def test_groupings(by: str, expected: str) -> None:
    """Grouped by site, origin or wait reason, the counts still add up."""
    assert expected in output_of("scrape", RECORDED, "--by", by, "--limit", "0")
    groups = json.loads(output_of("scrape", RECORDED, "--by", by, "--format", "json"))
    total = sum(group["goroutines"] for group in groups["groups"])
    assert groups["goroutines"] == total  # one has not run yet, and has no frames
    assert expected in {group["key"] for group in groups["groups"]}


def test_folded_stacks() -> None:
    """A folded stack has its functions, root first, joined by semicolons, and its count."""
    lines = output_of("scrape", RECORDED, "--format", "folded").splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == 183
    assert "main.registerKinds.func7.1;main.mutexLock;" in "\n".join(lines)


def test_pprof_opens_it(tmp_path: Path) -> None:
    """`go tool pprof` reads the output of `--format pprof` with every goroutine and name."""
    done = run_command("scrape", RECORDED, "--format", "pprof")
    (tmp_path / "p.pb.gz").write_bytes(done.stdout)
    top = subprocess.run(
        ["go", "tool", "pprof", "-top", "-nodecount=500", tmp_path / "p.pb.gz"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Type: goroutine" in top
    assert "of 183 total" in top
    assert "main.mutexLock" in top


def test_pasted_and_packed_bodies(tmp_path: Path) -> None:
    """Text from a browser, from standard input, and gzipped bodies are read."""
    (tmp_path / "pasted.txt").write_bytes(BODY.replace(b"\t", b"  ").replace(b"\n", b"\r\n").strip())
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(BODY))
    assert "183 goroutines in 60 stacks" in output_of("scrape", tmp_path / "pasted.txt")
    assert "183 goroutines in 60 stacks" in output_of("scrape", tmp_path / "packed.txt.gz")
    assert "183 goroutines in 60 stacks" in output_of("scrape", "-", stdin=BODY)


def test_how_a_file_was_read(tmp_path: Path) -> None:
    """One line on standard error, and the key `read` of the JSON, state what was repaired and skipped."""
    damaged = DUMP.read_bytes().replace(b"main.registerKinds", b"x\ny(", 1)
    (tmp_path / "log.txt").write_bytes(b"".join(b"> " + line + b"\n" for line in damaged.splitlines()))
    done = run_command("scrape", tmp_path / "log.txt", "--format", "json")
    document = json.loads(done.stdout)
    (message,) = done.stderr.decode().splitlines()
    assert message == f"leakwatch: {tmp_path}/log.txt: {document['read']['message']}"
    assert document["read"]["message"].startswith(
        "read 182 goroutines from a dump in a quotation; skipped 1 damaged"
    )
    assert document["read"] | {"message": ""} == {
        "kind": "a dump",
        "formats": ["a quotation"],
        "message": "",
        "skipped": 1,
        "part_of": None,
        "dump": 1,
        "dumps": 1,
    }


def test_several_dumps_in_a_file(tmp_path: Path) -> None:
    """The last dump is shown; --dump shows others, or all."""
    file = tmp_path / "dumps.txt"
    file.write_bytes(
        b"".join(b"goroutine 1 [select]:\nmain.%s()\n\t/x.go:1 +0x1\n\n" % name for name in (b"f", b"g"))
    )
    done = run_command("scrape", file)
    assert b"dump 2 of 2: 1 goroutine in 1 stack\n" in done.stdout
    assert b"the file has 2, of 1, 1 goroutines: this is number 2 (--dump N or --dump all" in done.stderr
    assert "main.f" in output_of("scrape", file, "--dump", "1")
    assert "main.f" in output_of("scrape", file, "--dump", "all")
    dumps = json.loads(output_of("scrape", file, "--dump", "all", "--format", "json"))["dumps"]
    assert [dump["groups"][0]["stacks"][0]["function"] for dump in dumps] == ["main.f", "main.g"]
    for arguments in (["--dump", "3"], ["--dump", "x"], ["--dump", "all", "--format", "folded"]):
        assert run_command("scrape", file, *arguments).returncode == 2


def test_proven_goroutines_in_every_format(tmp_path: Path) -> None:
    """Leaked goroutines are marked in table, groups, JSON, folded stacks and pprof."""
    file = tmp_path / "leaked.txt"
    dump = "".join(
        f"goroutine {number} [chan send{mark}]:\nmain.send()\n\t/x.go:1 +0x1\ncreated by main.f\n\t/x.go:9\n\n"
        for number, mark in ((5, " (leaked)"), (6, " (leaked)"), (7, ""))
    )
    file.write_text(dump)
    assert "3 goroutines in 1 stack; Go's runtime proves that 2 leak\n" in output_of("scrape", file)
    assert re.search(r" +3 +2 +1 +chan send\n", output_of("scrape", file, "--by", "reason"))
    document = json.loads(output_of("scrape", file, "--format", "json"))
    assert (document["proven"], document["groups"][0]["stacks"][0]["proven"]) == (2, 2)
    assert output_of("scrape", file, "--format", "folded") == "main.send 1\nmain.send;(proven) 2\n"
    assert b"goroutine_leak" in gzip.decompress(run_command("scrape", file, "--format", "pprof").stdout)
    profile = RECORDED.with_name("goroutineleak.debug1.txt")
    assert "Go's runtime proves that" in output_of("scrape", profile)
    assert "Go's runtime proves that" in output_of("scrape", RECORDED.with_name("goroutineleak.debug0.pb.gz"))


def test_a_difference_of_two_profiles(tmp_path: Path) -> None:
    """Negative counts, as `go tool pprof -base` writes them, are printed as `diff` prints changes."""
    groups = [
        (Trace((Frame("main.grows"),)), 5),
        (Trace((Frame("main.shrinks"),)), -3),
        (Trace((Frame("main.f"),)), 0),
    ]
    file = tmp_path / "base.pb.gz"
    file.write_bytes(pprof.encode(Profile(0, tuple((trace, count % 2**64) for trace, count in groups))))
    done = run_command("scrape", file)
    assert b"this is a difference of two profiles: counts are changes" in done.stderr
    assert b"total +2: 1 stack grew by 5 (1 new), 1 stack shrank by 3 (1 gone)" in done.stdout
    assert json.loads(output_of("scrape", file, "--format", "json"))["change"] == 2
    assert run_command("scrape", file, "--format", "pprof").returncode == 2
    assert b"this is already a difference" in run_command("diff", file, RECORDED).stderr


def test_missing_wait_reasons_are_reported_once(tmp_path: Path) -> None:
    """A saved debug=1 has no wait reasons; a message states how to get them, unless a symbol file has them."""
    body = tmp_path / "a.txt"
    body.write_bytes(BODY)
    hint = b"debug=1 does not have wait reasons: save debug=0 or debug=2 instead"
    assert run_command("diff", body, body).stderr.count(hint) == 1
    (tmp_path / "a.symbol").write_bytes(RECORDED.with_name("symbol.txt").read_bytes())
    assert hint not in run_command("scrape", body).stderr
    assert hint not in run_command("scrape", DUMP).stderr


def test_rules_are_those_that_are_tested() -> None:
    """`leakwatch rules` prints the files that promtool tests."""
    folder = ROOT / "deploy" / "prometheus"
    assert output_of("rules") == (folder / "leakwatch.rules.yml").read_text()
    assert output_of("rules", "--recording") == (folder / "leakwatch.recording.yml").read_text()


def test_schema_is_json() -> None:
    """`leakwatch config-schema` is one JSON document."""
    assert json.loads(output_of("config-schema"))["title"] == "Config"


def test_check_config() -> None:
    """A valid file is confirmed. An invalid file exits with 1, and its errors are printed."""
    done = run_command("check-config", ROOT / "tests" / "configs" / "unknown_key.yml")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("leakwatch: ")
    assert "did you mean 'scrape_interval'?" in done.stderr.decode()
    assert "good: 4 scrape_configs, 2 static targets, " in output_of(
        "check-config", ROOT / "config" / "leakwatch.yml"
    )


def test_check_config_summarises(tmp_path: Path) -> None:
    """The summary counts jobs, targets, discoverers, Alertmanagers and ignore rules."""
    file = tmp_path / "leakwatch.yml"
    file.write_text(
        "scrape_configs: [{job_name: a, file_sd_configs: [{files: [x.json]}]},"
        " {job_name: b, static_configs: [{targets: ['b:1', 'c:1']}], file_sd_configs: [{files: [y.json]}]}]\n"
        "alerting: {alertmanagers: [{static_configs: [{targets: ['a:9093']}]}]}\n"
        "ignore: [{function: main.x}]\nwarm_from: {url: 'http://p:9090'}\n"
    )
    assert output_of("check-config", file).endswith(
        "good: 2 scrape_configs, 2 static targets, 2 file_sd_configs, 1 alertmanagers, 1 ignore rules, warm_from\n"
    )


def missing(tmp_path: Path) -> str:
    """Return the path of a file that does not exist."""
    return str(tmp_path / "none.txt")


def html(tmp_path: Path) -> str:
    """Return the path of a web page."""
    (tmp_path / "page.txt").write_text("<!doctype html><title>x</title>")
    return str(tmp_path / "page.txt")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda _: "http://127.0.0.1:1", "http://127.0.0.1:1: Connection refused"),
        (missing, "/none.txt: No such file or directory\n"),
        (lambda _: "127.0.0.1:1", "127.0.0.1:1: Connection refused\n"),
        (html, "not a goroutine profile: this is a page of HTML without a dump; leakwatch reads"),
        (lambda _: "http://xn--a", "invalid URL"),
        (lambda _: "http://user:hunter2@127.0.0.1:1", "http://127.0.0.1:1: Connection refused"),
    ],
    ids=["refused", "missing", "no scheme", "html", "idna", "secret"],
)
def test_a_scrape_that_fails(tmp_path: Path, source: Callable[[Path], str], message: str) -> None:
    """An error is one line on standard error that names the source, with status 1 and no traceback."""
    done = run_command("scrape", source(tmp_path))
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert "hunter2" not in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--target", "127.0.0.1"], "target '127.0.0.1': '127.0.0.1' must be host:port"),
        (["run", "--target", "=http://x:1"], "target '=http://x:1': there is no service before the ="),
        (["run", "--target", "a:1", "--target", "a:1"], "--target: job_name 'a:1' is used twice"),
        (["run", "--target", "http://x:1", "--listen", "x"], "--listen: 'x' must be host:port"),
        (["scrape", "ftp://x"], "target 'ftp://x': must be 'http' or 'https'"),
        (["scrape", "http://[::1"], "target 'http://[::1': "),
        (["scrape", "http://127.0.0.1:99999"], "must be host:port"),
        (["scrape", "http://127.0.0.1:abc"], "must be host:port"),
        (["scrape", "x", "--timeout", "nan"], "--timeout: 'nan' is not a duration"),
        (["scrape", "x", "--timeout", "0s"], "--timeout 0: must be"),
        (["scrape", "x", "--timeout", "10"], "--timeout: '10' is not a duration; write for example 15s"),
        (["scrape", "x", "--limit", "-1"], "--limit -1: must be 0 or more"),
        (["demo", "--rate", "0"], "--rate 0: must be a number greater than 0"),
        (["demo", "--rate", "-1"], "--rate -1: must be"),
        (["demo", "--rate", "nan"], "--rate nan: must be"),
        (["demo", "--listen", "x"], "--listen: 'x' must be host:port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_invalid_command_line(arguments: list[str], message: str) -> None:
    """An invalid command line exits with 2, and one line names the option and its value."""
    done = run_command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == b""


@pytest.mark.parametrize("command", [["scrape", RECORDED], ["rules"], ["--help"]], ids=["scrape", "rules", "help"])
def test_output_that_cannot_be_written(command: list[str | Path]) -> None:
    """A full disk is reported in one line, with status 1."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "leakwatch", *command], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"leakwatch: cannot write the output: No space left on device\n"


def test_help_does_not_cut_descriptions() -> None:
    """On 80 columns no description in the list of commands is cut."""
    assert "..." not in output_of("--help").partition("Commands:")[2]


def test_a_pattern_that_matches_no_file(tmp_path: Path) -> None:
    """A pattern of file_sd_configs without a file is a warning that names job and pattern; the status is 0."""
    (tmp_path / "found.json").write_text("[]")
    (tmp_path / "c.yml").write_text(
        "scrape_configs: [{job_name: fleet, file_sd_configs: [{files: [found.json, 'no/*.json', './f*.json']}]}]"
    )
    done = run_command("check-config", tmp_path / "c.yml")
    assert done.returncode == 0
    assert done.stderr.decode() == (
        f"leakwatch: {tmp_path}/c.yml: warning: job fleet: file_sd_configs: {tmp_path}/no/*.json matches no file\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["scrape", "x", "--format", "xml"],
            "'--format': 'xml' is not one of 'table', 'json', 'folded', 'pprof'.",
        ),
        (["scrape", "x", "--limit", "x"], "'--limit': must be a valid integer"),
    ],
)
def test_values_that_typer_rejects(arguments: list[str], message: str) -> None:
    """The message names the option, without the prefix of the library that checks it."""
    done = run_command(*arguments)
    assert done.returncode == 2
    assert f"Error: Invalid value for {message}" in done.stderr.decode()


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("localhost", "; for a service, add its port: localhost:6060"),
        ("10.0.0.1", "; for a service, add its port: 10.0.0.1:6060"),
        ("old.txt", ""),
        ("a/b", ""),
    ],
)
def test_a_host_without_a_port(source: str, hint: str) -> None:
    """A name that can be a host gets a hint at its port."""
    done = run_command("scrape", source)
    assert done.stderr.decode() == f"leakwatch: {source}: No such file or directory{hint}\n"


def test_an_empty_configuration(tmp_path: Path) -> None:
    """A file without targets is invalid, unless the command line has a target."""
    (tmp_path / "c.yml").write_text("scrape_configs: []")
    for command in (["check-config"], ["run", "--config"]):
        done = run_command(*command, tmp_path / "c.yml")
        assert done.returncode == 1
        assert b"nothing to watch" in done.stderr


def test_a_closed_pipe() -> None:
    """`leakwatch rules | head -1` ends without a traceback."""
    command = f"{sys.executable} -m leakwatch rules | head -1"
    piped = subprocess.run(command, shell=True, capture_output=True, check=True)  # noqa: S602  a pipe
    assert b"Traceback" not in piped.stderr


def test_the_shell_completes_commands_and_options() -> None:
    """The completion script completes commands, options and values."""
    program = Path(sys.executable).parent / "leakwatch"

    def complete(words: str, at: int) -> list[str]:
        completion = {"_LEAKWATCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        env = {"PATH": "/usr/bin:/bin", **completion}
        return subprocess.run([program], capture_output=True, text=True, check=True, env=env).stdout.split()

    assert complete("leakwatch d", 1) == ["demo", "diff", "discover"]
    assert {"--for", "--format"} <= set(complete("leakwatch check --fo", 2))
    assert complete("leakwatch check --format j", 3) == ["json", "junit"]
    in_bash = f"{program} --show-completion; exit $?"  # the last command alone would take the shell's place
    shown = subprocess.run(["bash", "-c", in_bash], capture_output=True, text=True, check=True)
    assert "_LEAKWATCH_COMPLETE=complete_bash" in shown.stdout
