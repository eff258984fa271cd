"""Credential plugins: how they are run, the credentials that they return, and the cache of the credentials."""

import asyncio
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from leakwatch.discovery.kubernetes import exec_plugin
from leakwatch.discovery.kubernetes.exec_plugin import (
    MAX_OUTPUT,
    CredentialCache,
    ExecConfig,
    ExecCredential,
    ExecPlugin,
)
from leakwatch.discovery.kubernetes.kubeconfig import read_kubeconfig
from leakwatch.errors import DiscoveryError
from leakwatch.http.settings import TlsConfig
from tests.support.running import until

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def output(status: dict[str, str], api_version: str = V1) -> str:
    """Return the output of a plugin with this status."""
    return json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})


TOKEN = output({"token": "x"})


def echo(text: str) -> str:
    """Return the shell command that prints a text."""
    return f"printf %s {shlex.quote(text)}"


def script(path: Path, commands: str) -> None:
    """Write a shell script."""
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def plugin(folder: Path, commands: str = "", *, timeout: float = 300.0, **settings: Any) -> ExecPlugin:
    """Return a plugin that runs shell commands."""
    script(folder / "plugin", commands)
    config = {"apiVersion": V1, "interactiveMode": "Never", "command": "./plugin", **settings}
    return ExecPlugin(
        kubeconfig=folder / "config",
        config=ExecConfig.model_validate(config),
        cluster={"server": "https://k8s"},
        tls_config=TlsConfig(),
        timeout=timeout,
    )


def printing(folder: Path, text: str, **settings: Any) -> ExecPlugin:
    """Return a plugin that prints a text."""
    return plugin(folder, echo(text), **settings)


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_a_token(api_version: str, tmp_path: Path) -> None:
    """The token becomes a header, and the expiry unix seconds."""
    text = output({"token": "hunter2", "expirationTimestamp": "1970-01-01T01:00:00+01:00"}, api_version)
    credential = asyncio.run(printing(tmp_path, text, apiVersion=api_version).run())
    assert credential.headers() == [("Authorization", "Bearer hunter2")]
    assert (credential.expires, credential.tls_context) == (0.0, None)


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


class Time:
    """A time that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def cached(folder: Path, test: Callable[[CredentialCache, Time, Callable[[], int]], Any], commands: str) -> None:
    """Run a test with a cache, its time, and the number of runs of a plugin with these commands."""
    time = Time()

    def runs() -> int:
        return len((folder / "runs").read_text().splitlines())

    async def run() -> None:
        cache = CredentialCache(plugin(folder, f"echo run >> {folder}/runs\n{commands}"), time)
        await test(cache, time, runs)

    asyncio.run(run())


def test_concurrent_requests_share_one_run(tmp_path: Path) -> None:
    """Concurrent requests for a credential run the plugin once."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        credentials = await asyncio.gather(*(cache.get() for _ in range(5)))
        time.now = 1e9
        assert {credential.token for credential in [*credentials, await cache.get()]} == {"x"}
        assert runs() == 1

    cached(tmp_path, test, f"echo '{TOKEN}'")


def test_a_credential_is_renewed_before_its_expiry(tmp_path: Path) -> None:
    """The plugin runs again `EXPIRY_MARGIN` seconds before the expiry."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        numbers = []
        for time.now in (0.0, 3600.0 - exec_plugin.EXPIRY_MARGIN, 3601.0 - exec_plugin.EXPIRY_MARGIN):
            await cache.get()
            numbers.append(runs())
        assert numbers == [1, 1, 2]

    cached(tmp_path, test, echo(output({"token": "x", "expirationTimestamp": "1970-01-01T01:00:00Z"})))


def test_a_rejected_credential_is_replaced(tmp_path: Path) -> None:
    """The rejection of a credential that was already replaced has no effect."""

    async def test(cache: CredentialCache, _: Time, runs: Callable[[], int]) -> None:
        first = await cache.get()
        cache.reject(first)
        second = await cache.get()
        cache.reject(first)
        assert await cache.get() is second
        assert runs() == 2

    cached(tmp_path, test, f"echo '{TOKEN}'")


def test_a_failing_plugin_pauses(tmp_path: Path) -> None:
    """For `RETRY_PAUSE` seconds after a failure, the plugin does not run, and requests get the same error."""

    async def test(cache: CredentialCache, time: Time, runs: Callable[[], int]) -> None:
        attempts = await asyncio.gather(*(cache.get() for _ in range(5)), return_exceptions=True)
        assert {str(attempt) for attempt in attempts} == {str(attempts[0])}
        assert "exit status 7" in str(attempts[0])
        assert runs() == 1
        time.now = exec_plugin.RETRY_PAUSE
        (tmp_path / "works").touch()
        assert isinstance(await cache.get(), ExecCredential)

    cached(tmp_path, test, f"[ -e {tmp_path}/works ] || exit 7; echo '{TOKEN}'")
