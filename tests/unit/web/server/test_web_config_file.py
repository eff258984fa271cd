"""The web configuration: what is good, what is said of each mistake, and that promtool thinks the same."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from leakwatch.errors import ConfigError
from leakwatch.web.server.tls import names
from leakwatch.web.server.web_config_file import read
from tests.support.certificates import everything

CONFIGS = Path(__file__).parents[3] / "web_configs"
EXPECTED: dict[str, str | None] = json.loads((CONFIGS / "expected.json").read_text())
"""Name of a file -> its mistake, None for a good one."""

STRICTER = {
    "request": "Python's ssl verifies every certificate it asks for",
    "require_any": "Python's ssl verifies every certificate it asks for",
    "curves": "Python's ssl can offer one curve only",
    "cipher_of_13": "Go ignores what is said of TLS 1.3",
    "no_cipher_of_12": "Go would shake hands with nobody over TLS 1.2",
    "old_version": "TLS 1.0 and 1.1 are refused",
    "versions_crossed": "Go would shake hands with nobody",
    "type_without_ca": "Go trusts every public authority then",
    "ca_not_pem": "Go ignores what is no certificate, and trusts nobody",
    "only_version": "Go serves without TLS then",
    "dear_hash": "each login would take minutes",
    "user_with_colon": "can never log in",
    "header_in_two_lines": "Go replaces the line break",
}
"""What promtool takes and we refuse, and why."""

NEWER = {"inline", "sans", "sans_of_nobody", "rate_limit"}
"""Keys that came to the exporters later than to some promtool that is still in use."""


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
    """No file without what is to be said of it."""
    assert {path.stem for path in CONFIGS.glob("*.yml")} == EXPECTED.keys()


@pytest.mark.parametrize(("name", "message"), EXPECTED.items(), ids=EXPECTED)
def test_each_file(name: str, message: str | None, folder: Path) -> None:
    """A good file is taken; a mistake is one line that names the file, the line, the key and the way out."""
    path = folder / f"{name}.yml"
    if message is None:
        assert read(path).version
        return
    with pytest.raises(ConfigError) as caught:
        read(path)
    said = str(caught.value)
    assert message.replace("{f}", str(path)).replace("{d}", str(folder)) in said
    assert "\n" not in said
    assert "hunter2" not in said
    assert "80081355" not in said


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in NEWER])
def test_promtool_thinks_the_same(name: str, folder: Path) -> None:
    """`promtool check web-config` takes what we take; what it takes and we do not is listed with its reason."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: make setup"
    done = subprocess.run(
        [promtool, "check", "web-config", folder / f"{name}.yml"], capture_output=True, check=False
    )
    assert (done.returncode == 0) == (EXPECTED[name] is None or name in STRICTER), done.stderr.decode()


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """Two mistakes are two lines."""
    (tmp_path / "w.yml").write_text("basic_auth_users: {a: b}\nhttp_server_config: {http3: true}\n")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "w.yml")
    assert [line.split(": ")[0][-2:] for line in str(caught.value).splitlines()] == [":1", ":2"]


def test_a_hash_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """${NAME} is a secret of the environment here too, and nothing shows it."""
    hashed = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
    monkeypatch.setenv("LEAKWATCH_HASH", hashed)
    (tmp_path / "w.yml").write_text("basic_auth_users: {me: '${LEAKWATCH_HASH}'}\n")
    terms = read(tmp_path / "w.yml")
    assert terms.hashes == {b"me": hashed.encode()}
    assert hashed not in repr(terms.settings) + terms.settings.model_dump_json()


def test_headers_of_a_file_replace_ours(tmp_path: Path) -> None:
    """What the file says of a header counts; empty takes it away; what it does not say stays."""
    (tmp_path / "w.yml").write_text(
        "http_server_config: {headers: {Content-Security-Policy: '', X-Frame-Options: sameorigin}}\n"
    )
    assert read(tmp_path / "w.yml").headers == [
        (b"x-frame-options", b"sameorigin"),
        (b"x-content-type-options", b"nosniff"),
    ]


def test_names_are_written_as_go_writes_them() -> None:
    """IPv6 addresses are short and in lower case; names of all kinds count; no certificate has none."""
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


def test_http2_is_taken_and_said(folder: Path) -> None:
    """A file that asks for HTTP/2 is good, since clients fall back; that we do not speak it is said."""
    assert read(folder / "http2.yml").settings.summary() == (
        "TLS from TLS12, no password; HTTP/1.1 only, http2 is not spoken"
    )
