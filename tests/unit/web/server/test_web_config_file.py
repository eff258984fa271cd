"""The web configuration file: valid files, the message for each invalid file, and the same results as promtool."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from leakwatch.errors import ConfigError
from leakwatch.web.server.tls import names
from leakwatch.web.server.web_config_file import WebFile, read
from tests.support.certificates import everything

CONFIGS = Path(__file__).parents[3] / "web_configs"
EXPECTED: dict[str, str | None] = json.loads((CONFIGS / "expected.json").read_text())
"""Name of a file -> its error, None for a valid file."""

STRICTER = {
    "request": "Python's ssl verifies every certificate it asks for",
    "require_any": "Python's ssl verifies every certificate it asks for",
    "curves": "Python's ssl can offer one curve only",
    "cipher_of_13": "Go ignores cipher suites of TLS 1.3",
    "no_cipher_of_12": "no client could connect to Go with TLS 1.2",
    "old_version": "TLS 1.0 and 1.1 are refused",
    "versions_crossed": "no client could connect to Go",
    "type_without_ca": "Go trusts every public authority then",
    "ca_not_pem": "Go ignores text that is not a certificate, and trusts no client",
    "only_version": "Go serves without TLS then",
    "dear_hash": "each login would take minutes",
    "user_with_colon": "can never log in",
    "header_in_two_lines": "Go replaces the line break",
}
"""Files that promtool accepts and leakwatch rejects, with the reason."""

NEWER = {"inline", "sans", "sans_of_nobody", "rate_limit"}
"""Keys that some versions of promtool in use do not have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy all files beside the certificates that they name."""
    folder = tmp_path_factory.mktemp("web")
    everything(folder)
    inline = {"@CERT": "server.pem", "@KEY": "server.key", "@CA": "ca.pem"}
    for path in CONFIGS.glob("*.yml"):
        text = path.read_text()
        for mark, name in inline.items():
            text = text.replace(
                mark, "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines())
            )
        (folder / path.name).write_text(text)
    return folder


def test_every_file_is_expected() -> None:
    """Each file has its expected result."""
    assert {path.stem for path in CONFIGS.glob("*.yml")} == EXPECTED.keys()


@pytest.mark.parametrize(("name", "message"), EXPECTED.items(), ids=EXPECTED)
def test_each_file(name: str, message: str | None, folder: Path) -> None:
    """A valid file is accepted; an error is one line with the file, the line, the key and the fix."""
    path = folder / f"{name}.yml"
    if message is None:
        assert read(path).version
        return
    with pytest.raises(ConfigError) as caught:
        read(path)
    error = str(caught.value)
    assert message.replace("{f}", str(path)).replace("{d}", str(folder)) in error
    assert "\n" not in error
    assert "hunter2" not in error
    assert "80081355" not in error


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in NEWER])
def test_promtool_has_the_same_result(name: str, folder: Path) -> None:
    """`promtool check web-config` accepts the same files, except for a list of differences with their reasons."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: make setup"
    done = subprocess.run(
        [promtool, "check", "web-config", folder / f"{name}.yml"], capture_output=True, check=False
    )
    assert (done.returncode == 0) == (EXPECTED[name] is None or name in STRICTER), done.stderr.decode()


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """Two errors are two lines."""
    (tmp_path / "w.yml").write_text("basic_auth_users: {a: b}\nhttp_server_config: {http3: true}\n")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "w.yml")
    assert [line.split(": ")[0][-2:] for line in str(caught.value).splitlines()] == [":1", ":2"]


def test_a_hash_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """${NAME} is replaced from the environment, and the value is never shown."""
    hashed = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
    monkeypatch.setenv("LEAKWATCH_HASH", hashed)
    (tmp_path / "w.yml").write_text("basic_auth_users: {me: '${LEAKWATCH_HASH}'}\n")
    policy = read(tmp_path / "w.yml")
    assert policy.hashes == {b"me": hashed.encode()}
    assert hashed not in repr(policy.settings) + policy.settings.model_dump_json()


def test_headers_of_a_file(tmp_path: Path) -> None:
    """A header of the file replaces the default, an empty header removes it, and other defaults stay."""
    (tmp_path / "w.yml").write_text(
        "http_server_config: {headers: {Content-Security-Policy: '', X-Frame-Options: sameorigin}}\n"
    )
    assert read(tmp_path / "w.yml").headers == [
        (b"x-frame-options", b"sameorigin"),
        (b"x-content-type-options", b"nosniff"),
    ]


def test_names_are_written_as_go_writes_them() -> None:
    """IPv6 addresses are short and in lower case; names of all kinds count."""
    peer = {
        "subjectAltName": (
            ("DNS", "a.example.com"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1"),
            ("email", "a@example.com"),
            ("URI", "spiffe://example.com/a"),
        )
    }
    assert names(peer) == {"a.example.com", "2001:db8::1", "a@example.com", "spiffe://example.com/a"}
    assert names(None) == set()


def test_http2_is_accepted(folder: Path) -> None:
    """A file with http2 is valid, because clients fall back; the summary states that HTTP/2 is not supported."""
    assert read(folder / "http2.yml").settings.summary() == (
        "TLS from TLS12, no password; HTTP/1.1 only, http2 is not supported"
    )


def test_a_change_that_names_an_impossible_file(tmp_path: Path) -> None:
    """A running server keeps the old configuration if a file name is longer than the system permits."""
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {headers: {X-Frame-Options: sameorigin}}\n")
    file = WebFile(path)
    before = file.policy()
    path.write_text(f"tls_server_config: {{cert_file: {'c' * 300}, key_file: k}}\n")
    assert file.policy() is before
    assert "is not a file" in file.error


def test_a_system_error_is_an_invalid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error of the system while the settings are validated is an error of the file."""

    def fail(_: str) -> bool:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: c, key_file: k}\n")
    monkeypatch.setattr(os.path, "isfile", fail)
    with pytest.raises(ConfigError, match=r"web\.yml: .*Permission denied"):
        read(path)
