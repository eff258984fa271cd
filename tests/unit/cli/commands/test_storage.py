"""`leakwatch storage`: what it prints, and its errors."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from leakwatch.notify import saved_alerts
from leakwatch.storage.database import Database
from leakwatch.storage.rows import ALERTS, CLOCK
from tests.support.commands import output_of, run_command
from tests.support.leaking import Play, leak
from tests.support.simulated import HOUR, START
from tests.support.stored import END, leaking_service, store


def stored(folder: Path) -> Path:
    """Save two leaking services, a firing alert and one profile of the evidence."""
    play = Play()
    play.at(0, [leak()])
    values = {
        CLOCK: {"time": END + 30, "boot": "", "uptime": 0.0},
        ALERTS: saved_alerts.to_plain(play.alerts, play.rules),
    }
    target = folder / "evidence" / "shop" / "10.0.0.1%3A6060"
    target.mkdir(parents=True)
    (target / "1700000000.000.json").write_bytes(b"{}")
    (target / "1700000000.000.txt.gz").write_bytes(b"x" * 1022)
    (target / ".1700000000.000.json.bad").write_bytes(b"x")
    return store(folder, ["shop", "cart"], values=values)


def test_info_shows_what_is_stored(tmp_path: Path) -> None:
    """Version, size, times, numbers, evidence, and a table of the open leaks."""
    path = stored(tmp_path)
    lines = output_of("storage", "info", tmp_path).splitlines()
    assert lines[0].startswith(f"{path}: version 1, ")
    assert lines[0].endswith(" KiB, saved 2023-11-15 01:13:50 UTC")
    assert lines[1] == "2 services, 4 targets, 4 stacks, 2 open leaks, 1 firing alert"
    assert lines[2] == "profiles from 2023-11-14 22:13:20 UTC to 2023-11-15 01:12:20 UTC"
    assert lines[3] == f"evidence: 1 profile, 1 KiB in {tmp_path / 'evidence'}"
    rows = [line.split() for line in lines[4:] if "main.leak" in line]
    assert sorted(row[:3] for row in rows) == [["cart", "main.leak", "leaking"], ["shop", "main.leak", "leaking"]]
    assert "first seen" in "\n".join(lines)
    assert output_of("storage", "info", path).splitlines() == lines


def test_info_as_json(tmp_path: Path) -> None:
    """JSON has the same, with times in unix seconds and a list of services."""
    path = stored(tmp_path)
    document = json.loads(output_of("storage", "info", tmp_path, "--format", "json"))
    assert (document["path"], document["version"], document["saved"]) == (str(path), 1, END + 30)
    assert (document["first_profile"], document["last_profile"]) == (START, END - 60)
    assert document["firing_alerts"] == 1
    assert document["evidence"] == {"path": str(tmp_path / "evidence"), "profiles": 1, "bytes": 1024}
    cart, shop = document["services"]
    assert (cart["service"], shop["service"], shop["targets"], shop["stacks"]) == ("cart", "shop", 2, 2)
    (found,) = shop["leaks"]
    assert (found["function"], found["verdict"], found["goroutines"]) == ("main.leak", "leaking", 358)
    assert START <= found["first_seen"] <= START + HOUR


def test_info_beside_a_daemon(tmp_path: Path) -> None:
    """The folder may be in use, and its files do not change."""
    path = stored(tmp_path)
    with closing(Database.open(tmp_path, START)):
        before = path.read_bytes()
        assert "2 open leaks" in output_of("storage", "info", tmp_path)
        assert path.read_bytes() == before


def test_info_names_what_is_invalid(tmp_path: Path) -> None:
    """A service that cannot be restored is named on standard error, escaped; the others are shown."""
    valid = leaking_service("shop")
    store(tmp_path, {"\x1b[31m": replace(valid, service={"version": 99}), "shop": valid})
    completed = run_command("storage", "info", tmp_path)
    assert completed.returncode == 0
    assert b"\x1b" not in completed.stdout + completed.stderr
    assert b"cannot be restored: " in completed.stderr
    assert b"2 services, 4 targets, 2 stacks, 1 open leak, 0 firing alerts" in completed.stdout


def test_export_and_import(tmp_path: Path) -> None:
    """An exported file is imported into a folder; both commands print what they did."""
    stored(tmp_path / "a")
    file = tmp_path / "shop.db"
    line = output_of("storage", "export", tmp_path / "a", file, "--service", "s*", "--service", "shop")
    assert line.startswith(f"{file}: 1 service, ")
    assert line.endswith(" KiB\n")
    assert output_of("storage", "import", tmp_path / "b", file) == "added: shop\n"
    kept = "kept, because its state was saved later or at the same time: shop\n"
    assert output_of("storage", "import", tmp_path / "b", file) == kept
    assert output_of("storage", "import", tmp_path / "b", file, "--replace") == "replaced: shop\n"
    assert output_of("storage", "import", tmp_path / "b", tmp_path / "a") == f"added: cart\n{kept}"


def test_a_long_import_is_printed_in_short(tmp_path: Path) -> None:
    """Ten services are named, the others are counted; a file without services is reported."""
    plain = leaking_service("shop")
    store(tmp_path / "a", {f"s{number:02}": plain for number in range(12)})
    store(tmp_path / "none", [])
    output = output_of("storage", "import", tmp_path / "b", tmp_path / "a")
    assert output == "added: s00, s01, s02, s03, s04, s05, s06, s07, s08, s09 and 2 more\n"
    assert output_of("storage", "import", tmp_path / "b", tmp_path / "none") == "the file has no services\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("info", "missing"), "missing does not exist"),
        (("info", "."), "leakwatch.db does not exist"),
        (("export", "a", "a/leakwatch.db"), "a/leakwatch.db exists already"),
        (("export", "a", "new.db", "--service", "x"), "a/leakwatch.db has no service 'x'"),
        (("import", "a", "missing.db"), "missing.db does not exist"),
        (("import", "a/leakwatch.lock", "a"), "a/leakwatch.lock is not the leakwatch.db of a folder"),
    ],
)
def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], error: str) -> None:
    """An error is one line that names the file, with exit status 1."""
    store(tmp_path / "a", ["shop"])
    monkeypatch.chdir(tmp_path)
    completed = run_command("storage", *arguments)
    assert completed.returncode == 1
    assert completed.stderr.decode() == f"leakwatch: {error}\n"
    assert completed.stdout == b""


def test_import_into_a_folder_in_use(tmp_path: Path) -> None:
    """The error names the process that uses the folder."""
    store(tmp_path / "a", ["shop"])
    with closing(Database.open(tmp_path / "b", START)):
        completed = run_command("storage", "import", tmp_path / "b", tmp_path / "a")
    assert completed.returncode == 1
    assert b"b is in use by process " in completed.stderr


def test_help_has_examples() -> None:
    """The help of each command has examples."""
    assert "Show, export and import the stored state." in output_of("--help")
    for command in ("info", "export", "import"):
        shown = output_of("storage", command, "--help")
        assert f"leakwatch storage {command} /var/lib/leakwatch" in shown
