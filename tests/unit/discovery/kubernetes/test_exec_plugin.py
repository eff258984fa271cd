"""Credential plugins: how they are run, and the credentials that they return."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
import trustme

from leakwatch.discovery.kubernetes.exec_plugin import MAX_OUTPUT
from leakwatch.discovery.kubernetes.kubeconfig import read_kubeconfig
from leakwatch.errors import DiscoveryError
from tests.support.clock import until
from tests.support.credential_plugins import TOKEN, V1, V1BETA1, echo, output, plugin, printing, script


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_a_token(api_version: str, tmp_path: Path) -> None:
    """The token becomes a header, and the expiry unix seconds."""
    text = output({"token": "hunter2", "expirationTimestamp": "1970-01-01T01:00:00+01:00"}, api_version)
    credential = asyncio.run(printing(tmp_path, text, apiVersion=api_version).run())
    assert credential.headers() == [("Authorization", "Bearer hunter2")]
    assert (credential.expires, credential.tls_context) == (0.0, None)


def test_null_is_missing(tmp_path: Path) -> None:
    """Null in the kubeconfig and in the output of the plugin means that the key is missing."""
    text = '{"token": "x", "clientCertificateData": null, "clientKeyData": null, "expirationTimestamp": null}'
    text = f'{{"apiVersion": "{V1}", "spec": null, "status": {text}}}'
    nulls = dict.fromkeys(("args", "env", "installHint", "provideClusterInfo"))
    credential = asyncio.run(printing(tmp_path, text, **nulls).run())
    assert (credential.token, credential.expires) == ("x", None)


def test_a_client_certificate(tmp_path: Path) -> None:
    """Certificate and key become a TLS context, and no file is left open."""
    certificate = trustme.CA().issue_cert("me@example.com")
    chain = certificate.cert_chain_pems[0].bytes().decode()
    key = certificate.private_key_pem.bytes().decode()
    text = output({"clientCertificateData": chain, "clientKeyData": key})
    before = set(Path("/proc/self/fd").iterdir())
    credential = asyncio.run(printing(tmp_path, text).run())
    assert credential.tls_context
    assert (credential.headers(), credential.expires) == ([], None)
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_arguments_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin gets arguments without a shell, the variables of leakwatch and the kubeconfig, and no input."""
    monkeypatch.setenv("FROM_LEAKWATCH", "1")
    commands = f"""
    printf '%s\\n' "$@" "$FROM_LEAKWATCH" "$FROM_KUBECONFIG" "$(cat)" > {tmp_path}/seen
    printf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info
    printf %s '{TOKEN}'"""
    variables = [{"name": "FROM_KUBECONFIG", "value": "2"}]
    asyncio.run(plugin(tmp_path, commands, args=["get token", "$HOME; *"], env=variables).run())
    assert (tmp_path / "seen").read_text() == "get token\n$HOME; *\n1\n2\n\n"
    info = {"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert json.loads((tmp_path / "info").read_text()) == info


def test_cluster_information(tmp_path: Path) -> None:
    """With provideClusterInfo, the plugin gets the cluster of the kubeconfig, with its CA and its extension."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    script(
        tmp_path / "plugin",
        f"printf %s \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/info; printf %s '{TOKEN}'",
    )
    cluster = {
        "server": "https://k8s:6443",
        "certificate-authority": "ca.crt",
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy",
        "extensions": [
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}},
            {"name": "other", "extension": {}},
        ],
    }
    settings = {
        "apiVersion": V1,
        "command": "./plugin",
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,
        "args": None,
    }
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"exec": settings}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(document))
    access = read_kubeconfig(path)
    assert access.plugin
    asyncio.run(access.plugin.run())
    info = json.loads((tmp_path / "info").read_text())["spec"]["cluster"]
    assert info.pop("certificate-authority-data")
    assert info == {
        "server": "https://k8s:6443",
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy",
        "config": {"audience": "a"},
    }


def test_a_command_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without a slash is found in PATH, not in the folder of the kubeconfig."""
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "plugin", echo(output({"token": "right"})))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    credential = asyncio.run(printing(tmp_path, output({"token": "wrong"}), command="plugin").run())
    assert credential.headers() == [("Authorization", "Bearer right")]


INVALID: list[tuple[str, str]] = [
    ("echo no session >&2; exit 3", "failed with exit status 3, stderr: 'no session'"),
    ("kill -9 $$", "was ended by signal 9, stderr: ''"),
    ("exit 1", "failed with exit status 1, stderr: ''"),
    ("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", "xxx'..."),
    ("", "wrote invalid output: stdout: Invalid JSON: "),
    ("echo hunter2", "wrote invalid output: stdout: Invalid JSON: "),
    ("echo [1]", "wrote invalid output: stdout: "),
    ("""echo '{"status": {"token": "hunter2"}}'""", "wrote invalid output: apiVersion: is missing"),
    (echo(output({"token": "hunter2"}, V1BETA1)), f"returned apiVersion '{V1BETA1}', the kubeconfig has {V1}"),
    (f"""echo '{{"apiVersion": "{V1}"}}'""", "wrote invalid output: status: is missing"),
    (echo(output({})), "wrote invalid output: status: contains neither a token nor a certificate"),
    (echo(output({"clientKeyData": "hunter2"})), "status: needs both clientCertificateData and clientKeyData"),
    (
        echo(output({"clientKeyData": "hunter2", "clientCertificateData": "hunter2"})),
        "returned an invalid client certificate or key: ",
    ),
    (echo(output({"token": "hunter2 ü"})), "status: the token is not one line of printable ASCII"),
    (echo(output({"token": "hunter2", "expirationTimestamp": "soon"})), "status.expirationTimestamp: "),
    (f"head -c {MAX_OUTPUT + 1} /dev/zero", f"wrote more than {MAX_OUTPUT} bytes to stdout"),
]


@pytest.mark.parametrize(("commands", "message"), INVALID)
def test_failures(commands: str, message: str, tmp_path: Path) -> None:
    """The error names kubeconfig and plugin, quotes stderr, and never quotes stdout, which has secrets."""
    with pytest.raises(DiscoveryError) as caught:
        asyncio.run(plugin(tmp_path, commands).run())
    plugin_name, error = str(caught.value).split("/plugin' ", 1)
    assert plugin_name == f"{tmp_path}/config: credential plugin '{tmp_path}"
    assert message in error
    assert len(error) < 500
    assert "hunter2" not in error


def test_a_missing_plugin(tmp_path: Path) -> None:
    """The error has the install hint of the kubeconfig."""
    missing = plugin(
        tmp_path, command="leakwatch-missing-plugin", installHint="Install it:\n\n  brew install it\n"
    )
    with pytest.raises(DiscoveryError) as caught:
        asyncio.run(missing.run())
    assert str(caught.value) == (
        f"{tmp_path}/config: credential plugin 'leakwatch-missing-plugin' cannot be started: No such file or"
        " directory; Install it: brew install it"
    )


def is_running(path: Path) -> bool:
    """Return whether the process with the id in a file runs."""
    try:
        state = Path(f"/proc/{path.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


HANGING = "sleep 1000 & echo $! > {0}/child.new; mv {0}/child.new {0}/child; wait"


def test_a_plugin_that_hangs(tmp_path: Path) -> None:
    """After the timeout, the plugin and its children are killed."""
    hanging = plugin(tmp_path, HANGING.format(tmp_path), timeout=1.0)

    async def run() -> None:
        with pytest.raises(DiscoveryError, match=r"did not end within 1 s$"):
            await hanging.run()
        await until(lambda: not is_running(tmp_path / "child"))

    asyncio.run(run())


def test_a_child_that_leaves_the_process_group(tmp_path: Path) -> None:
    """A child in another process group survives, but discovery does not wait for it."""
    hanging = plugin(tmp_path, f"setsid {HANGING.format(tmp_path)[:-6]}", timeout=1.0)

    async def run() -> None:
        with pytest.raises(DiscoveryError, match=r"did not end within 1 s$"):
            await hanging.run()

    asyncio.run(run())
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("turns", range(0, 24, 3))
def test_cancellation_of_the_start(turns: int, tmp_path: Path) -> None:
    """If discovery stops while the plugin is started, the plugin and its children are killed."""

    async def run() -> None:
        task = asyncio.create_task(plugin(tmp_path, HANGING.format(tmp_path)).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not is_running(tmp_path / "child"))

    asyncio.run(run())


def test_cancellation(tmp_path: Path) -> None:
    """If discovery stops while the plugin runs, the plugin and its children are killed."""

    async def run() -> None:
        task = asyncio.create_task(plugin(tmp_path, HANGING.format(tmp_path)).run())
        await until((tmp_path / "child").exists)
        assert is_running(tmp_path / "child")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not is_running(tmp_path / "child"))

    asyncio.run(run())
