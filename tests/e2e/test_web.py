"""`--web.config.file` against the real daemon: TLS, client certificates, passwords, and their rotation."""

import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.support.certificates import client, everything, hashed, server
from tests.support.running import Daemon, Process, get
from tests.support.waiting import HANG, wait_for

Run = Callable[..., Daemon]

TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
TARGET = ("--target", "http://127.0.0.1:1")
GETS = ("/", "/metrics", "/-/healthy", "/-/ready")
SECURITY = {"x-content-type-options": "nosniff", "x-frame-options": "deny"}


def users(**passwords: str) -> str:
    """Return `basic_auth_users` with cheap hashes."""
    return "basic_auth_users:\n" + "".join(f"  {name}: {hashed(word)}\n" for name, word in passwords.items())


def ask(
    daemon: Daemon, path: str = "/-/healthy", verify: ssl.SSLContext | bool = True, **named: Any
) -> httpx.Response:
    """Ask once, on a connection of its own."""
    with httpx.Client(verify=verify, trust_env=False, timeout=HANG) as http:
        return http.request(named.pop("method", "GET"), daemon.url + path, **named)


def serial(daemon: Daemon, context: ssl.SSLContext) -> str:
    """Return the serial number of the certificate that a new connection sees."""
    address = ("127.0.0.1", int(daemon.url.rpartition(":")[2]))
    with (
        socket.create_connection(address, 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        return str((wrapped.getpeercert() or {})["serialNumber"])


def in_force(daemon: Daemon, **named: Any) -> float:
    """Return 1 if the daemon reports that the web configuration is in force, else 0."""
    found = re.search(
        r"^leakwatch_web_config_last_reload_successful (\S+)$", ask(daemon, "/metrics", **named).text, re.MULTILINE
    )
    assert found
    return float(found[1])


def said(daemon: Daemon, event: str) -> list[str]:
    """Return the errors of the events of this name."""
    return [e.get("error", "") for e in daemon.events() if e["event"].startswith(event)]


BAD = "web configuration is invalid"


def test_tls_from_12_on(leakwatch: Run, tmp_path: Path) -> None:
    """TLS 1.2 and 1.3 are spoken, 1.1 and plain HTTP are not."""
    ca = everything(tmp_path)
    (tmp_path / "web.yml").write_text(TLS)
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    assert daemon.url.startswith("https://127.0.0.1:")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client(ca)
        context.minimum_version = context.maximum_version = version
        assert ask(daemon, verify=context).text == "leakwatch is healthy.\n"
    old = client(ca)
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError, match=r"EOF|ALERT"):  # from the server: we would have spoken it
        ask(daemon, verify=old)
    with pytest.raises(httpx.RemoteProtocolError):
        get(daemon.url.replace("https", "http"))


@pytest.mark.parametrize(
    ("text", "let_in"),
    [
        (TLS, {"none", "ours", "ours by another name", "theirs"}),
        (f"{TLS}  client_auth_type: NoClientCert\n", {"none", "ours", "ours by another name", "theirs"}),
        (
            f"{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n",
            {"none", "ours", "ours by another name"},
        ),
        (MUTUAL, {"ours", "ours by another name"}),
        (f"{MUTUAL}  client_allowed_sans: [prometheus.example.com]\n", {"ours"}),
    ],
    ids=["default", "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert", "sans"],
)
def test_client_certificates(text: str, let_in: set[str], leakwatch: Run, tmp_path: Path) -> None:
    """Each type accepts the clients that Go accepts: without, with a valid, with another's certificate."""
    ca = everything(tmp_path)
    (tmp_path / "web.yml").write_text(text)
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    clients = {
        "none": client(ca),
        "ours": client(ca, ca.issue_cert("prometheus.example.com")),
        "ours by another name": client(ca, ca.issue_cert("other.example.com")),
        "theirs": client(ca, trustme.CA().issue_cert("prometheus.example.com")),
    }
    found = set()
    for name, context in clients.items():
        try:
            if ask(daemon, verify=context).status_code == 200:
                found.add(name)
        except httpx.TransportError:
            continue
    assert found == let_in
    refused = [e["names"] for e in daemon.events() if "client_allowed_sans" in e["event"]]
    assert refused == ([["other.example.com"]] if "sans: " in text else [])


def test_an_intermediate_authority_is_enough(leakwatch: Run, tmp_path: Path) -> None:
    """As in Go, an authority in client_ca_file is trusted, even if another authority signed it."""
    ca = everything(tmp_path)
    team = ca.create_child_ca()
    team.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "web.yml").write_text(MUTUAL)
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    assert ask(daemon, verify=client(ca, team.issue_cert("a"))).status_code == 200
    with pytest.raises(httpx.TransportError):
        ask(daemon, verify=client(ca, ca.issue_cert("a")))


def test_passwords(leakwatch: Run, tmp_path: Path) -> None:
    """Every path wants the password, also those that are not there; only the right one is let in."""
    (tmp_path / "web.yml").write_text(users(me="right", you="z:ü"))
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    for path in (*GETS, "/nowhere", "/-/reload"):
        refused = ask(daemon, path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="leakwatch"'
        assert refused.headers.items() >= SECURITY.items()
    wrong = [("me", "wrong"), ("me", ""), ("nobody", "right"), ("", ""), ("me", "right "), ("you", "right")]
    assert {ask(daemon, auth=pair).status_code for pair in wrong} == {401}
    odd = ["Bearer right", "Basic", "Basic !", "Basic bWU=", "Basic bWU6cmlnaHQ=x", "bWU6cmlnaHQ="]
    assert {ask(daemon, headers={"Authorization": value}).status_code for value in odd} == {401}
    assert ask(daemon, headers={"Authorization": "basic bWU6cmlnaHQ="}).status_code == 200
    assert ask(daemon, auth=("you", "z:ü")).status_code == 200
    assert [ask(daemon, path, auth=("me", "right")).status_code for path in GETS] == [200] * 4
    assert ask(daemon, "/nowhere", auth=("me", "right")).status_code == 404
    assert "right" not in "".join(daemon.said)


def test_answers_are_guarded_without_a_file_too(leakwatch: Run) -> None:
    """Every answer has the security headers, none the server's name; HEAD works; reload wants POST or PUT."""
    daemon = leakwatch(*TARGET)
    for path in (*GETS, "/nowhere"):
        full, head = ask(daemon, path), ask(daemon, path, method="HEAD")
        assert full.headers.items() >= SECURITY.items()
        assert "server" not in full.headers
        assert (head.status_code, head.content) == (full.status_code, b"")
        assert head.headers.keys() == full.headers.keys()
    assert ask(daemon, "/-/reload").status_code == 405
    assert ask(daemon, "/-/reload", method="PUT").status_code in {200, 500}
    assert "leakwatch_web_config" not in ask(daemon, "/metrics").text


def test_certificates_and_users_rotate(leakwatch: Run, tmp_path: Path) -> None:
    """New connections see a new certificate and new requests new users, without a restart or a reload."""
    ca = everything(tmp_path)
    web = tmp_path / "web.yml"
    web.write_text(TLS + users(me="one"))
    daemon = leakwatch(*TARGET, "--web.config.file", web)
    context = client(ca)
    with httpx.Client(verify=context, trust_env=False, timeout=HANG, base_url=daemon.url) as kept:
        assert kept.get("/", auth=("me", "one")).status_code == 200
        first = serial(daemon, context)
        assert serial(daemon, context) == first
        server(tmp_path, ca)
        assert serial(daemon, context) != first
        assert in_force(daemon, verify=context, auth=("me", "one")) == 1
        web.write_text(TLS + users(me="two", you="three"))
        assert kept.get("/", auth=("me", "one")).status_code == 401
        assert kept.get("/", auth=("me", "two")).status_code == 200
        assert kept.get("/", auth=("you", "three")).status_code == 200
        web.write_text(TLS + users(you="three"))
        assert kept.get("/", auth=("me", "two")).status_code == 401
    # Certificate and key are two files: who looks between the two writes is right to complain.
    assert [line for line in said(daemon, BAD) if "KEY_VALUES_MISMATCH" not in line] == []


def test_an_authority_rotates(leakwatch: Run, tmp_path: Path) -> None:
    """A client of a removed authority is refused, also on a resumed session."""
    ca, other = everything(tmp_path), trustme.CA()
    (tmp_path / "web.yml").write_text(MUTUAL)
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    ours, theirs = client(ca, ca.issue_cert("a")), client(ca, other.issue_cert("a"))
    ours.maximum_version = ssl.TLSVersion.TLSv1_2
    address = ("127.0.0.1", int(daemon.url.rpartition(":")[2]))
    with socket.create_connection(address) as raw, ours.wrap_socket(raw, server_hostname="localhost") as first:
        session = first.session
    with (
        socket.create_connection(address) as raw,
        ours.wrap_socket(raw, server_hostname="localhost", session=session) as again,
    ):
        assert again.session_reused
    other.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert ask(daemon, verify=theirs).status_code == 200
    with socket.create_connection(address) as raw, pytest.raises(OSError):  # noqa: PT011  an alert or a reset
        ours.wrap_socket(raw, server_hostname="localhost", session=session)


def put(path: Path, text: str) -> None:
    """Write a file as one step: a running leakwatch reads it whenever it likes."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def bad_key(folder: Path) -> str:
    """Do half of a rotation: the key does not fit the certificate."""
    (folder / "server.key").write_bytes((folder / "ca.key").read_bytes())
    return "key values mismatch"


def no_certificate(folder: Path) -> str:
    """Take the certificate away."""
    (folder / "server.pem").unlink()
    return "is not a file"


def bad_key_name(folder: Path) -> str:
    """Misspell a key."""
    put(folder / "web.yml", TLS.replace("cert_file", "cert_fiel"))
    return "web.yml:2: unknown key 'tls_server_config.cert_fiel'; did you mean 'cert_file'?"


def plain_password(folder: Path) -> str:
    """Write a password in the clear."""
    put(folder / "web.yml", f"{TLS}basic_auth_users: {{me: hunter2}}\n")
    return "web.yml:4: basic_auth_users.*: is not a bcrypt hash"


def no_tls(folder: Path) -> str:
    """Take TLS away."""
    put(folder / "web.yml", "basic_auth_users: {}\n")
    return "tls_server_config can be added or removed only by a restart"


@pytest.mark.parametrize("spoil", [bad_key, no_certificate, bad_key_name, plain_password, no_tls])
def test_a_bad_change_keeps_the_old_terms(spoil: Callable[[Path], str], leakwatch: Run, tmp_path: Path) -> None:
    """The old configuration stays, the error is logged once and shown in a metric; a valid one applies at once."""
    ca = everything(tmp_path)
    web = tmp_path / "web.yml"
    web.write_text(TLS + users(me="one"))
    daemon = leakwatch(*TARGET, "--web.config.file", web)
    named: dict[str, Any] = {"verify": client(ca), "auth": ("me", "one")}
    assert in_force(daemon, **named) == 1
    before = serial(daemon, named["verify"])
    message = spoil(tmp_path)
    for _ in range(3):
        assert in_force(daemon, **named) == 0
        assert serial(daemon, named["verify"]) == before
    (error,) = said(daemon, BAD)
    assert message in error
    assert "hunter2" not in "".join(daemon.said)
    web.write_text(TLS + users(me="one"))
    server(tmp_path, ca)
    assert in_force(daemon, **named) == 1
    assert serial(daemon, named["verify"]) != before
    assert said(daemon, "web configuration changed")


def test_tls_does_not_come_while_running(leakwatch: Run, tmp_path: Path) -> None:
    """A server of plain HTTP stays one, and reports that TLS needs a restart."""
    everything(tmp_path)
    (tmp_path / "web.yml").write_text("")
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    (tmp_path / "web.yml").write_text(TLS)
    assert in_force(daemon) == 0
    assert "can be added or removed only by a restart" in said(daemon, BAD)[0]


def test_links_are_followed(leakwatch: Run, tmp_path: Path) -> None:
    """A rotation as Kubernetes does it, by turning a link to a folder, is seen."""
    ca = everything(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        server(tmp_path / name, ca)
    (tmp_path / "now").symlink_to("one")
    (tmp_path / "web.yml").write_text(TLS.replace("server.", "now/server."))
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    first = serial(daemon, client(ca))
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "now")
    assert serial(daemon, client(ca)) != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("basic_auth_users: {me: hunter2}\n", "1: basic_auth_users.*: is not a bcrypt hash"),
        ("basic_auth_user: {}\n", "1: unknown key 'basic_auth_user'; did you mean 'basic_auth_users'?"),
    ],
)
def test_a_bad_file_at_the_start(text: str, message: str, tmp_path: Path) -> None:
    """It stops us before we listen, with one line and status 1."""
    (tmp_path / "web.yml").write_text(text)
    command = [sys.executable, "-m", "leakwatch", "run", *TARGET, "--listen", "127.0.0.1:0"]
    process = Process([*command, "--web.config.file", tmp_path / "web.yml"])
    assert process.popen.wait(HANG) == 1
    process.stop()
    (line,) = process.said
    assert f"web.yml:{message}" in line
    assert "hunter2" not in line


def test_many_wrong_passwords(leakwatch: Run, tmp_path: Path) -> None:
    """A flood of wrong passwords is sent away while who was let in before is still answered."""
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{me: '{hashed('right', 10)}'}}\n")
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    assert ask(daemon, auth=("me", "right")).status_code == 200
    answers: list[int] = []

    def attack(number: int) -> None:
        answers.append(ask(daemon, auth=("me", f"wrong{number}")).status_code)

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    wait_for(lambda: 429 in answers)
    assert {ask(daemon, "/metrics", auth=("me", "right")).status_code for _ in range(5)} == {200}
    for thread in threads:
        thread.join()
    assert set(answers) == {401, 429}


def test_it_stops_in_time(leakwatch: Run, tmp_path: Path) -> None:
    """With TLS, a connection that is kept open and one that never shakes hands, SIGTERM ends it all the same."""
    ca = everything(tmp_path)
    (tmp_path / "web.yml").write_text(TLS)
    daemon = leakwatch(*TARGET, "--web.config.file", tmp_path / "web.yml")
    address = ("127.0.0.1", int(daemon.url.rpartition(":")[2]))
    with (
        socket.create_connection(address),
        httpx.Client(verify=client(ca), trust_env=False, timeout=HANG, base_url=daemon.url) as kept,
    ):
        assert kept.get("/").status_code == 200
        daemon.popen.send_signal(signal.SIGTERM)
        assert daemon.popen.wait(HANG) == 0
