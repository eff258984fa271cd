"""Access to the API server: kubeconfigs, credential plugins, and the service account of leakwatch's pod."""

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from pydantic import ValidationError
from structlog.testing import capture_logs

from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.kubernetes.kubeconfig import ServiceAccount
from tests.support.api_server import ApiServer, pod, serving, token
from tests.support.kubernetes_discovery import discovering, errors

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
EXPIRY = 1_000_000.0
EXPIRY_TIMESTAMP = datetime.fromtimestamp(EXPIRY, UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    """Create a CA, with its certificate in ca.crt."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    return ca


@pytest.fixture
def tls(ca: trustme.CA) -> ssl.SSLContext:
    """Create the TLS context of an API server with a certificate of the CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_in_a_cluster(tls: ssl.SSLContext, tmp_path: Path) -> None:
    """The service account of the pod gives the address, the CA, the token and the namespace."""
    secret = token()
    (tmp_path / "token").write_text(secret)
    (tmp_path / "namespace").write_text("pay\n")

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2", namespace="pay"))
        server.apply("pods", pod("c", "10.0.0.3", namespace="other"))
        environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
        namespaces = {"own_namespace": True, "names": ["other", "pay"]}
        account = ServiceAccount(environment, tmp_path)
        async with discovering({"namespaces": namespaces}, account=account) as discovery:
            await discovery.finds("10.0.0.2:6060", "10.0.0.3:6060")

    with serving(context=tls, tokens={secret}) as server:
        asyncio.run(run(server))
    assert {request.namespace for request in server.requests} == {"other", "pay"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "not in a cluster, KUBERNETES_SERVICE_HOST is not set: needs api_server or kubeconfig_file"),
        (
            {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"},
            "the pod has no service account: '{folder}/token' is",
        ),
    ],
)
def test_outside_a_cluster(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    """Without a service account, the failure is counted, logged once, and retried."""

    async def run() -> None:
        async with discovering({}, account=ServiceAccount(environment, tmp_path)) as discovery:
            await discovery.retries(3)
            assert discovery.status.failures >= 3

    with capture_logs() as log:
        asyncio.run(run())
    (error,) = errors(log)
    assert error.startswith(message.format(folder=tmp_path))


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """Write a kubeconfig with one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "x"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}, {"name": "other", "user": {"exec": {"interactiveMode": "Always"}}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def encoded(data: bytes) -> str:
    """Return data in base64."""
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("credentials", ["token", "token file", "certificate"])
def test_a_kubeconfig(credentials: str, ca: trustme.CA, tls: ssl.SSLContext, tmp_path: Path) -> None:
    """Address, CA and credentials of the current context come from the kubeconfig or the files that it names."""
    secret = token()
    (tmp_path / "the-token").write_text(secret)
    certificate = ca.issue_cert("me@example.com")
    users: dict[str, dict[str, Any]] = {
        "token": {"token": secret, "exec": {"command": "/nowhere/plugin", **EXEC}},
        "token file": {"tokenFile": "the-token"},
        "certificate": {
            "client-certificate-data": encoded(certificate.cert_chain_pems[0].bytes()),
            "client-key-data": encoded(certificate.private_key_pem.bytes()),
        },
    }
    if credentials == "certificate":
        tls.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(tls)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        inline = {"certificate-authority-data": encoded(ca.cert_pem.bytes())}
        trust = {"certificate-authority": "ca.crt"} if credentials == "token file" else inline
        path = kubeconfig(tmp_path / "config", {"server": server.url, **trust}, users[credentials])
        async with discovering({"kubeconfig_file": str(path)}) as discovery:
            await discovery.finds("10.0.0.1:6060")

    with serving(context=tls, tokens=None if credentials == "certificate" else {secret}) as server:
        asyncio.run(run(server))


class Plugin:
    """A credential plugin in `folder`: a shell script that prints a file, and records its calls."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output.json"
        self._calls = folder / "calls"
        path = folder / "plugin"
        path.write_text(f"#!/bin/sh\necho call >> '{self._calls}'\ncat '{self._output}'\n")
        path.chmod(0o755)

    def returns(self, **status: str) -> None:
        """Let the plugin return this status."""
        document = {"apiVersion": EXEC["apiVersion"], "kind": "ExecCredential", "status": status}
        new = self._output.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(self._output)

    def calls(self) -> int:
        """Return the number of calls."""
        return len(self._calls.read_text().splitlines()) if self._calls.exists() else 0

    def kubeconfig(self, server: ApiServer) -> Path:
        """Write a kubeconfig that uses the plugin."""
        cluster = {"server": server.url, "certificate-authority": "ca.crt"}
        return kubeconfig(self._output.parent / "config", cluster, {"exec": {"command": "./plugin", **EXEC}})


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Create a credential plugin."""
    return Plugin(tmp_path)


@pytest.mark.usefixtures("ca")
def test_one_plugin_run_for_all_reflectors(plugin: Plugin, tls: ssl.SSLContext) -> None:
    """The three reflectors of role endpointslice share the token of one run."""
    secret = token()
    plugin.returns(token=secret)

    async def run(server: ApiServer) -> None:
        config = {"role": "endpointslice", "kubeconfig_file": str(plugin.kubeconfig(server))}
        async with discovering(config) as discovery:
            await discovery.until(lambda: discovery.updates)
            await discovery.until(lambda: {request.verb for request in server.requests} == {"list", "watch"})

    with serving(context=tls, tokens={secret}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert plugin.calls() == 1
    assert log == []


@pytest.mark.usefixtures("ca")
def test_a_token_that_expires(plugin: Plugin, tls: ssl.SSLContext) -> None:
    """The plugin runs again before its token expires, and nothing is logged."""
    old, new = token(), token()

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"kubeconfig_file": str(plugin.kubeconfig(server))}) as discovery:
            await discovery.until(lambda: server.watches("pods"))
            server.drop_connections()
            await discovery.until(lambda: len(server.watches("pods")) > 1)
            assert plugin.calls() == 1
            plugin.returns(token=new)
            discovery.clock.advance(EXPIRY - 5 - discovery.clock.now)
            server.drop_connections()
            await discovery.until(lambda: len(server.watches("pods")) > 2)
            headers = [request.headers["Authorization"] for request in server.watches("pods")]
            assert headers[-1] == f"Bearer {new}"
            assert {f"Bearer {old}"} == set(headers[:-1])

    plugin.returns(token=old, expirationTimestamp=EXPIRY_TIMESTAMP)
    with serving(context=tls, tokens={old, new}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert plugin.calls() == 2
    assert log == []


@pytest.mark.usefixtures("ca")
def test_a_token_that_is_rejected(plugin: Plugin, tls: ssl.SSLContext) -> None:
    """After a 401 the plugin runs again at once. If its new token is rejected as well, the error is logged."""
    old, new, bad = token(), token(), token()
    plugin.returns(token=old)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"kubeconfig_file": str(plugin.kubeconfig(server))}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            plugin.returns(token=new)
            server.tokens = {new}
            server.drop_connections()
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            assert (plugin.calls(), log) == (2, [])
            plugin.returns(token=bad)
            server.tokens = {old}
            server.drop_connections()
            await discovery.until(lambda: errors(log))
            plugin.returns(token=old)
            server.apply("pods", pod("c", "10.0.0.3"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060", "10.0.0.3:6060")

    with serving(context=tls, tokens={old}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert errors(log) == ["the API server rejected the credentials: Unauthorized"]


def test_certificates_of_a_plugin(plugin: Plugin, ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """The plugin's client certificate is used, and a new certificate after its expiry, over a new connection."""
    tls.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(tls)

    def returns_certificate(name: str, **status: str) -> None:
        certificate = ca.issue_cert(name)
        key = certificate.private_key_pem.bytes().decode()
        chain = certificate.cert_chain_pems[0].bytes().decode()
        plugin.returns(clientCertificateData=chain, clientKeyData=key, **status)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"kubeconfig_file": str(plugin.kubeconfig(server))}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            returns_certificate("two@example.com")
            discovery.clock.advance(EXPIRY)
            server.drop_connections()
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            assert server.client_names() == {"one@example.com", "two@example.com"}

    returns_certificate("one@example.com", expirationTimestamp=EXPIRY_TIMESTAMP)
    with serving(context=tls) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert plugin.calls() == 2
    assert log == []


@pytest.mark.usefixtures("ca")
def test_a_plugin_that_fails(plugin: Plugin, tls: ssl.SSLContext) -> None:
    """The error names kubeconfig and plugin, and is logged once. Discovery continues when the plugin works."""
    secret = token()

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        path = plugin.kubeconfig(server)
        async with discovering({"kubeconfig_file": str(path)}) as discovery:
            await discovery.until(lambda: errors(log))
            await discovery.retries()
            plugin.returns(token=secret)
            await discovery.finds("10.0.0.1:6060")
        (error,) = errors(log)
        assert error.startswith(
            f"no credentials for the API server: {path}: credential plugin '{path.parent}/plugin' failed with exit"
            " status 1, stderr: "
        )
        assert "No such file or directory" in error

    with serving(context=tls, tokens={secret}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert [line["log_level"] for line in log] == ["error", "info"]


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "h:1"}, {}, "'h:1' must be a URL such as https://10.0.0.1:6443"),
        ({}, {}, "clusters.c.cluster.server: is missing"),
        ({"server": "https://h"}, {"auth-provider": {"name": "gcp"}}, "auth-provider is not supported: use exec"),
        ({"server": "https://h", "certificate-authority": "none"}, {}, "/none' is"),
        ({"server": "https://h", "certificate-authority-data": "!"}, {}, "Only base64 data is allowed"),
        ({"server": "https://h", "certificate-authority-data": "AAAA"}, {}, "tls_config: /proc/self/fd/"),
        ({"server": "https://h"}, {"client-certificate-data": "AAAA"}, "needs both cert_file and key_file"),
        ({"server": "https://h"}, {"exec": {"command": "aws"}}, "exec.apiVersion: is missing"),
        ({"server": "https://h"}, {"exec": EXEC}, "exec.command: is missing"),
        ({"server": "https://h"}, {"exec": {**EXEC, "command": ""}}, "exec.command: must not be empty"),
        ({"server": "https://h"}, {"exec": {**EXEC, "command": "a", "env": [{}]}}, "exec.env.0.name: is missing"),
        (
            {"server": "https://h"},
            {"exec": {"command": "a", "apiVersion": "client.authentication.k8s.io/v1"}},
            "exec: interactiveMode is missing, which client.authentication.k8s.io/v1 requires",
        ),
        (
            {"server": "https://h"},
            {"exec": {"command": "a", "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
            "exec.apiVersion: must be 'client.authentication.k8s.io/v1' or 'client.authentication.k8s.io/v1beta1'",
        ),
        (
            {"server": "https://h"},
            {"exec": {**EXEC, "command": "a", "interactiveMode": "Always"}},
            "exec: interactiveMode Always needs a terminal, which leakwatch does not have",
        ),
    ],
)
def test_invalid_kubeconfigs(cluster: dict[str, Any], user: dict[str, Any], message: str, tmp_path: Path) -> None:
    """An invalid kubeconfig makes the configuration invalid; the error names the file and the key."""
    path = kubeconfig(tmp_path / "config", cluster, user)
    with pytest.raises(ValidationError) as caught:
        KubernetesConfig.model_validate({"role": "pod", "kubeconfig_file": str(path)})
    assert f"{path}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected the node content"),
        ("", "top level: must be a mapping"),
        ("{clusters: []}", "does not set current-context; it has: none"),
        (
            "{current-context: a, contexts: [{name: b, context: {cluster: c}}]}",
            "does not contain context 'a'; it has: b",
        ),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: c}}]}",
            "does not contain cluster 'c'; it has: none",
        ),
    ],
)
def test_files_other_than_kubeconfigs(text: str, message: str, tmp_path: Path) -> None:
    """A file that is not a kubeconfig is named in the error."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ValidationError) as caught:
        KubernetesConfig.model_validate({"role": "pod", "kubeconfig_file": str(path)})
    assert f"{path}:" in str(caught.value)
    assert message in str(caught.value)
