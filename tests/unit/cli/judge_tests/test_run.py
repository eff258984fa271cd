"""`leakwatch test`: output, messages and exit statuses."""

from pathlib import Path

from junitparser import JUnitXml

from tests.support.commands import output_of, run_command

LEAK = """\
tests:
  - name: A leak of 600 per hour is found within two hours
    for: 2h
    interval: 30s
    series:
      - stack: main.leak
        counts: 2+600/h
    expect:
      - {at: 2h, verdict: leaking, rate: 590..610}
      - never: suspected
        before: 30m
"""
WRONG = """\
tests:
  - name: The first expectation is met
    for: 2h
    interval: 30s
    series:
      - stack: main.leak
        counts: 2+600/h
    expect:
      - {at: 2h, verdict: leaking}
      - {at: 2h, function: main.leak, verdict: leaking, rate: 500..550}
"""


def write(folder: Path, **files: str) -> list[Path]:
    """Write files of tests; return their paths."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.yml")
        paths[-1].write_text(text)
    return paths


def test_success(tmp_path: Path) -> None:
    """Each file has a line, each of its tests too, and the last line has the numbers."""
    (path,) = write(tmp_path, leak=LEAK)
    assert output_of("test", path).splitlines() == [
        str(path),
        "  SUCCESS  A leak of 600 per hour is found within two hours",
        "1 test: 1 succeeded, 0 failed",
    ]


def test_failure(tmp_path: Path) -> None:
    """A failing test prints why, and the exit status is 1."""
    leak, wrong = write(tmp_path, leak=LEAK, wrong=WRONG)
    completed = run_command("test", leak, wrong)
    lines = completed.stdout.decode().splitlines()
    assert (completed.returncode, completed.stderr) == (1, b"")
    assert lines[2:6] == [
        str(wrong),
        "  FAILED   The first expectation is met",
        f"    {wrong}:10",
        "      expected  at 2h main.leak: leaking, rate 500..550",
    ]
    assert lines[6].startswith("      got       rate +600/h (")
    verdicts = [line.removeprefix("      verdicts").split()[1] for line in lines[7:-1]]
    assert verdicts == ["normal", "suspected", "leaking"]
    assert lines[-1] == "2 tests: 1 succeeded, 1 failed"


def test_an_invalid_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """The messages of invalid files are on standard error, the other files are played; the exit status is 2."""
    paths = write(tmp_path, invalid="tests:\n  - nam: x\n", leak=LEAK)
    completed = run_command("test", paths[0], tmp_path / "missing.yml", paths[1])
    assert completed.returncode == 2
    assert completed.stdout.decode().endswith("1 test: 1 succeeded, 0 failed\n")
    errors = completed.stderr.decode().splitlines()
    assert f"leakwatch: {paths[0]}:2: unknown key 'tests[0].nam'; did you mean 'name'?" in errors
    assert f"leakwatch: {tmp_path / 'missing.yml'}: No such file or directory" in errors


def test_expectations_need_a_series(tmp_path: Path) -> None:
    """A misspelled function would never leak, so it is an error."""
    (path,) = write(tmp_path, wrong=WRONG.replace("function: main.leak", "function: main.leek"))
    completed = run_command("test", path)
    assert completed.returncode == 2
    message = f"{path}:10: function 'main.leek' matches no series; their functions are main.leak"
    assert completed.stderr.decode() == f"leakwatch: {message}\n"


def test_configuration_files(tmp_path: Path) -> None:
    """A file names its configuration file, --config replaces it, and an invalid one is an error."""
    (tmp_path / "ignore.yml").write_text("ignore: [{function: main.leak}]\n")
    (tmp_path / "owners.yml").write_text("owners: {main.: storage}\n")
    ignored = LEAK.replace("verdict: leaking, rate: 590..610", "verdict: ignored")
    (path,) = write(tmp_path, ignored=f"config: ignore.yml\n{ignored}")
    assert "SUCCESS" in output_of("test", path)
    completed = run_command("test", path, "--config", tmp_path / "owners.yml")
    assert completed.returncode == 1
    assert "      got       leaking\n" in completed.stdout.decode()
    owned = LEAK.replace("verdict: leaking", "verdict: leaking, owner: storage")
    (path,) = write(tmp_path, owned=owned)
    assert "SUCCESS" in output_of("test", path, "-c", tmp_path / "owners.yml")
    (tmp_path / "ignore.yml").write_text("ignored: []\n")
    (path,) = write(tmp_path, ignored=f"config: ignore.yml\n{ignored}")
    assert run_command("test", path).returncode == 2
    assert run_command("test", path, "-c", tmp_path / "ignore.yml").returncode == 1


def test_own_causes(tmp_path: Path) -> None:
    """The causes of a configuration file explain the leaks of tests."""
    (tmp_path / "causes.yml").write_text("""\
causes:
  - id: own-cache
    kind: object
    title: Caches are never closed
    explanation: Each cache starts a goroutine.
    fix: Close the cache.
    match: [{functions: ["cache.(*Cache).refresh*"]}]
""")
    (tmp_path / "leakwatch.yml").write_text("causes: [causes.yml]\n")
    text = LEAK.replace("main.leak", "cache.(*Cache).refresh").replace("leaking,", "leaking, cause: own-cache,")
    (path,) = write(tmp_path, cause=text)
    assert "SUCCESS" in output_of("test", path, "-c", tmp_path / "leakwatch.yml")
    assert "cause unknown" in run_command("test", path).stdout.decode()


def test_junit(tmp_path: Path) -> None:
    """A file is a suite, a test is a case, and the text of a failure is that of the other format."""
    leak, wrong = write(tmp_path, leak=LEAK, wrong=WRONG)
    completed = run_command("test", leak, wrong, "--format", "junit")
    assert completed.returncode == 1
    junit = JUnitXml.fromstring(completed.stdout)
    assert [(suite.name, suite.tests, suite.failures) for suite in junit] == [
        (str(leak), 1, 0),
        (str(wrong), 1, 1),
    ]
    (passed,), (failed,) = junit
    assert (passed.name, passed.result) == ("A leak of 600 per hour is found within two hours", [])
    (failure,) = failed.result
    assert failure.message.startswith("at 2h main.leak: leaking, rate 500..550; got rate +600/h (")
    shown = run_command("test", wrong).stdout.decode().splitlines()[2:-1]
    assert failure.text.splitlines() == [line.removeprefix("    ") for line in shown]


def test_help() -> None:
    """The help has examples and the exit statuses."""
    text = output_of("test", "--help")
    assert "leakwatch test judge/*.yml --config leakwatch.yml" in text
    assert "Exit status: 0 all tests succeeded, 1 a test failed, 2 a file is invalid." in " ".join(text.split())
