"""Kubernetes discovery over the wire: what happens to the cluster, the API server, our rights and our tokens."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from pydantic import ValidationError
from structlog.testing import capture_logs

from leakwatch.config import parse
from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.kubernetes.discoverer import Timing
from leakwatch.discovery.kubernetes.kubeconfig import Pod
from leakwatch.discovery.kubernetes.reflector import PAGE
from leakwatch.discovery.target_group import TargetGroup
from tests.support.api_server import ApiServer, Object, endpoint_slice, plain, pod, serving, token
from tests.support.running import Daemon, eventually

QUICK = Timing(debounce=0.01, pause=0.05, longest_pause=0.2, watch=300, silence=30, answer=5)
PATIENCE = 10.0


class Finding:
    """What a configuration has found so far."""

    def __init__(self) -> None:
        self.told: list[Sequence[TargetGroup]] = []

    def addresses(self) -> list[str]:
        """Return the addresses told last."""
        return sorted(address for group in self.told[-1] for address in group.targets) if self.told else []

    async def until(self, wanted: Callable[[], object]) -> None:
        """Wait until something is true."""
        async with asyncio.timeout(PATIENCE):
            while not wanted():  # noqa: ASYNC110  what is waited for is in the server's thread as often as here
                await asyncio.sleep(0.01)

    async def finds(self, *addresses: str) -> None:
        """Wait until exactly these addresses are found; fail with those that were."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: self.addresses() == sorted(addresses))
        assert self.addresses() == sorted(addresses)


@contextlib.asynccontextmanager
async def finding(
    config: dict[str, Any], timing: Timing = QUICK, pod: Pod | None = None
) -> AsyncIterator[Finding]:
    """Run a configuration for a while."""
    found = Finding()
    settings = KubernetesConfig.model_validate({"role": "pod", **config})
    task = asyncio.create_task(settings.run(found.told.append, timing=timing, pod=pod))
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def errors(logged: Sequence[Any]) -> list[str]:
    """Return what was logged as an error."""
    return [line["error"] for line in logged if line["log_level"] == "error"]


def test_lists_once_then_watches() -> None:
    """New, changed and deleted pods are known at once, and all was listed only once."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with finding({"api_server": server.url}) as found:
            await found.finds("10.0.0.1:6060")
            server.apply("pods", pod("b", "10.0.0.2"))
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
            server.apply("pods", pod("b", "10.0.0.3"))
            await found.finds("10.0.0.1:6060", "10.0.0.3:6060")
            server.apply("pods", pod("b", "10.0.0.3", phase="Succeeded"))
            await found.finds("10.0.0.1:6060")
            server.delete("pods", "a")
            await found.finds()
        assert (len(server.lists("pods")), len(server.watches("pods"))) == (1, 1)

    with serving() as server:
        asyncio.run(run(server))


def test_what_changes_no_target_is_not_told() -> None:
    """A pod that has no address yet, or whose status says something else, is no reason to update."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with finding({"api_server": server.url}) as found:
            await found.finds("10.0.0.1:6060")
            server.apply("pods", pod("b", "", phase="Pending"))
            server.apply("pods", pod("a", "10.0.0.1"))
            server.apply("pods", pod("c", "10.0.0.3"))
            await found.finds("10.0.0.1:6060", "10.0.0.3:6060")
            assert len(found.told) == 2

    with serving() as server:
        asyncio.run(run(server))


def test_a_roll_out_is_few_updates() -> None:
    """What changes within the debounce is told together."""

    async def run(server: ApiServer) -> None:
        async with finding({"api_server": server.url}, Timing(debounce=0.5)) as found:
            await found.until(lambda: server.watches("pods"))
            for number in range(200):
                server.apply("pods", pod(f"p{number}", f"10.0.1.{number}"))
            await found.until(lambda: len(found.addresses()) == 200)
        assert len(found.told) <= 5

    with serving() as server:
        asyncio.run(run(server))


def test_a_long_list_comes_in_pages() -> None:
    """More pods than one answer holds are found all the same, each once."""

    async def run(server: ApiServer) -> None:
        for number in range(2 * PAGE + 1):
            server.apply("pods", pod(f"p{number}", f"10.{number >> 8}.{number & 255}.1"))
        async with finding({"api_server": server.url}) as found:
            await found.until(lambda: found.told)
            assert len(set(found.addresses())) == len(found.addresses()) == 2 * PAGE + 1
        assert [page.query.get("continue") for page in server.lists("pods")] == [None, str(PAGE), str(2 * PAGE)]

    with serving() as server:
        asyncio.run(run(server))


def test_a_watch_goes_on_where_it_was() -> None:
    """A connection that breaks off is taken up from the last version, which bookmarks move on; nothing is said."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with finding({"api_server": server.url}) as found:
            await found.finds("10.0.0.1:6060")
            for number in range(20):  # happens to what we do not watch
                server.apply("services", plain("services", f"s{number}"))
            await asyncio.sleep(3 * server.bookmark)
            server.drop()
            await found.until(lambda: len(server.watches("pods")) > 1)
            server.apply("pods", pod("b", "10.0.0.2"))
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
        assert len(server.lists("pods")) == 1
        first, second = (int(watch.query["resourceVersion"]) for watch in server.watches("pods")[:2])
        assert (first, second) == (2, 22)

    with serving(bookmark=0.05) as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert logged == []


def test_a_version_that_is_forgotten() -> None:
    """410 Gone: all is listed anew, and a pod that went meanwhile goes."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2"))
        async with finding({"api_server": server.url}) as found:
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
            server.stop()
            server.delete("pods", "a")
            server.forget()
            server.start()
            await found.finds("10.0.0.2:6060")
            server.apply("pods", pod("c", "10.0.0.3"))
            await found.finds("10.0.0.2:6060", "10.0.0.3:6060")
        assert len(server.lists("pods")) == 2

    with serving(bookmark=60) as server:
        asyncio.run(run(server))


def test_the_api_server_goes_and_comes_back() -> None:
    """What was found stays, it is said once for all that is watched, and once that it is back."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        names = {"names": ["shop", "one", "two", "three"]}
        async with finding({"api_server": server.url, "namespaces": names}) as found:
            await found.finds("10.0.0.1:6060")
            server.stop()
            await found.until(lambda: errors(logged))
            await asyncio.sleep(0.5)
            assert found.addresses() == ["10.0.0.1:6060"]
            server.apply("pods", pod("b", "10.0.0.2", namespace="two"))
            server.start()
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
            await found.until(lambda: len(logged) == 2)

    with serving() as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert [line["log_level"] for line in logged] == ["error", "info"]
    assert errors(logged) == [f"cannot reach the API server at {server.url}: All connection attempts failed"]


def test_an_api_server_that_comes_late() -> None:
    """Nothing is told before anything is known: what was known of the job otherwise must not be taken from it."""

    async def run(server: ApiServer) -> None:
        url = server.url
        server.stop()
        async with finding({"api_server": url}) as found:
            await found.until(lambda: errors(logged))
            assert found.told == []
            server.apply("pods", pod("a", "10.0.0.1"))
            server.start()
            await found.finds("10.0.0.1:6060")

    with serving() as server, capture_logs() as logged:
        asyncio.run(run(server))


def test_a_server_that_vanishes_without_a_word() -> None:
    """A watch on which nothing comes, not even a bookmark, is given up, and what was missed is learnt."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        timing = Timing(debounce=0.01, pause=0.05, silence=0.4)
        async with finding({"api_server": server.url}, timing) as found:
            await found.finds("10.0.0.1:6060")
            server.silent = True
            await asyncio.sleep(2 * server.bookmark)
            server.apply("pods", pod("b", "10.0.0.2"))
            await asyncio.sleep(2 * server.bookmark)
            before = len(server.watches("pods"))
            await found.until(lambda: len(server.watches("pods")) > before)
            assert found.addresses() == ["10.0.0.1:6060"]
            server.silent = False
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
        assert len(server.lists("pods")) == 1

    with serving(bookmark=0.05) as server:
        asyncio.run(run(server))


def test_a_watch_ends_by_itself() -> None:
    """The API server ends a watch when its time is over; the next one goes on."""

    async def run(server: ApiServer) -> None:
        timing = Timing(debounce=0.01, pause=0.05, watch=0.1)
        async with finding({"api_server": server.url}, timing) as found:
            await found.until(lambda: len(server.watches("pods")) > 1)
            server.apply("pods", pod("a", "10.0.0.1"))
            await found.finds("10.0.0.1:6060")
        assert {watch.query["timeoutSeconds"] for watch in server.watches("pods")} == {"1"}
        assert len(server.lists("pods")) == 1

    with serving() as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert logged == []


def test_a_namespace_that_is_denied() -> None:
    """What is missing is named with the Role that mends it, the other namespaces are found, and this one later."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2", namespace="pay"))
        async with finding({"api_server": server.url, "namespaces": {"names": ["pay", "shop"]}}) as found:
            await found.finds("10.0.0.1:6060")
            await found.until(lambda: len(server.lists("pods")) > 4)
            server.denied.clear()
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")

    with serving(denied={("list", "pods", "pay")}) as server, capture_logs() as logged:
        asyncio.run(run(server))
    refused, again = logged
    assert refused["error"].startswith("may not list pods in namespace pay: pods is forbidden: User ")
    assert refused["needs"] == (
        "a Role in namespace pay, bound to leakwatch's service account,"
        ' with rules: [{apiGroups: [""], resources: [pods], verbs: [list, watch]}]'
    )
    assert again["event"] == "discovery works again"


def test_a_watch_that_is_denied() -> None:
    """Listing alone is told too, and said once: what changes then is not seen before the right is there."""

    async def run(server: ApiServer) -> None:
        server.apply("endpointslices", endpoint_slice("s", "", [{"addresses": ["10.0.0.1"]}], [{"port": 1}]))
        async with finding({"api_server": server.url, "role": "endpointslice"}) as found:
            await found.finds("10.0.0.1:1")
            await found.until(lambda: len(server.watches("endpointslices")) > 3)
            server.delete("endpointslices", "s")
            server.denied.clear()
            await found.finds()

    with serving(denied={("watch", "endpointslices", "")}) as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert [line["log_level"] for line in logged] == ["error", "info"]
    assert logged[0]["error"].startswith("may not watch endpointslices in the whole cluster: ")
    assert (
        'a ClusterRole, bound to leakwatch\'s service account, with rules: [{apiGroups: ["discovery.k8s.io"]'
        in (logged[0]["needs"])
    )


def test_a_slice_is_not_told_before_its_pods() -> None:
    """Without the right to see pods no target comes of a slice: half its labels would make another target."""

    async def run(server: ApiServer) -> None:
        target = {"kind": "Pod", "name": "a", "namespace": "shop"}
        endpoints = [{"addresses": ["10.0.0.1"], "targetRef": target}]
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("endpointslices", endpoint_slice("s", "", endpoints, [{"port": 6060}]))
        async with finding({"api_server": server.url, "role": "endpointslice"}) as found:
            await found.until(lambda: len(server.lists("pods")) > 2)
            assert found.told == []
            server.denied.clear()
            await found.finds("10.0.0.1:6060")
            assert found.told[-1][0].labels["__meta_kubernetes_pod_name"] == "a"

    with serving(denied={("list", "pods", "")}) as server:
        asyncio.run(run(server))


def test_a_token_that_rotates(tmp_path: Path) -> None:
    """The token is read for each request; one that is not accepted is said, but never shown."""
    path, old, new = tmp_path / "token", token(), token()
    path.write_text(old)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        config = {"api_server": server.url, "authorization": {"credentials_file": str(path)}}
        async with finding(config) as found:
            await found.finds("10.0.0.1:6060")
            server.tokens = {new}
            server.drop()
            await found.until(lambda: errors(logged))
            path.write_text(new)
            server.apply("pods", pod("b", "10.0.0.2"))
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")
            path.unlink()
            server.drop()
            await found.until(lambda: len(errors(logged)) > 1)

    with serving(tokens={old}) as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert errors(logged)[0] == "the API server does not know us: Unauthorized"
    assert "cannot be read" in errors(logged)[1]
    assert not any(secret in str(logged) for secret in (old, new))


@pytest.mark.parametrize("secret", [b"hunter2\n\nhunter2", "hünter2".encode(), b"hunter2\xff"])
def test_a_token_that_is_none(secret: bytes, tmp_path: Path) -> None:
    """A token that makes no header is said without showing it; discovery goes on when there is a better one."""
    path = tmp_path / "token"
    path.write_bytes(secret)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        config = {"api_server": server.url, "authorization": {"credentials_file": str(path)}}
        async with finding(config) as found:
            await found.until(lambda: errors(logged))
            path.write_text("good")
            await found.finds("10.0.0.1:6060")

    with serving(tokens={"good"}) as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert errors(logged)[0].startswith("what makes us known to the API server")
    assert "hunter2" not in str(logged)


def refuse(server: ApiServer) -> None:
    """Answer each request with HTTP 503."""
    server.broken = True


def dawdle(server: ApiServer) -> None:
    """Answer nothing for a while."""
    server.delay = 0.5


@pytest.mark.parametrize(
    ("hinder", "said"),
    [
        (refuse, "cannot list pods in the whole cluster: HTTP 503: etcdserver: leader changed"),
        (dawdle, "cannot reach the API server at {url}: no answer within 0.2 s"),
    ],
)
def test_an_api_server_that_is_ill(hinder: Callable[[ApiServer], None], said: str) -> None:
    """It is tried again until it is well, and what ails it is said once."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with finding({"api_server": server.url}, Timing(pause=0.05, answer=0.2)) as found:
            await found.until(lambda: len(server.lists("pods")) > 2)
            server.broken, server.delay = False, 0.0
            await found.finds("10.0.0.1:6060")

    with serving() as server, capture_logs() as logged:
        hinder(server)
        asyncio.run(run(server))
    assert errors(logged) == [said.format(url=server.url)]


def test_something_that_is_no_api_server() -> None:
    """An answer that makes no sense is quoted, with what to check."""

    async def run(url: str) -> None:
        async with finding({"api_server": url}) as found:
            await found.until(lambda: errors(logged))

    with serving() as server, capture_logs() as logged:
        asyncio.run(run(f"{server.url}/elsewhere"))
    assert errors(logged)[0].startswith("cannot list pods in the whole cluster: the server could not find")
    assert logged[0]["needs"] == "an API server at this URL that serves v1"


def test_an_object_that_cannot_be_read() -> None:
    """One object of a shape nobody knows is left out by name; it takes no other with it, listed or watched."""

    def strange(name: str) -> Object:
        return pod(name, "10.0.0.9", containers=[{"name": "x", "ports": [{"containerPort": "http"}]}])

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", strange("listed"))
        async with finding({"api_server": server.url}) as found:
            await found.finds("10.0.0.1:6060")
            server.apply("pods", strange("watched"))
            server.apply("pods", pod("b", "10.0.0.2"))
            await found.finds("10.0.0.1:6060", "10.0.0.2:6060")

    with serving() as server, capture_logs() as logged:
        asyncio.run(run(server))
    assert [line["object"] for line in logged] == ["shop/listed", "shop/watched"]
    assert logged[0]["error"] == "spec.containers.0.ports.0.containerPort: must be a whole number"


@pytest.fixture
def tls(tmp_path: Path) -> tuple[trustme.CA, ssl.SSLContext]:
    """Make a CA, and the context of a server that it vouches for."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    return ca, context


def test_in_a_cluster(tls: tuple[trustme.CA, ssl.SSLContext], tmp_path: Path) -> None:
    """The service account of our pod gives server, CA, token and namespace; a new token is taken as it comes."""
    secret = token()
    (tmp_path / "token").write_text(secret)
    (tmp_path / "namespace").write_text("pay\n")

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2", namespace="pay"))
        server.apply("pods", pod("c", "10.0.0.3", namespace="other"))
        environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
        namespaces = {"own_namespace": True, "names": ["other", "pay"]}
        async with finding({"namespaces": namespaces}, pod=Pod(environment, tmp_path)) as found:
            await found.finds("10.0.0.2:6060", "10.0.0.3:6060")

    with serving(context=tls[1], tokens={secret}) as server:
        asyncio.run(run(server))
    assert {asked.namespace for asked in server.asked} == {"other", "pay"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "not in a cluster, KUBERNETES_SERVICE_HOST is not set: needs api_server or kubeconfig_file"),
        (
            {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"},
            "the pod has no service account: '{folder}/token' is not a file",
        ),
    ],
)
def test_not_in_a_cluster(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    """What is missing is said once, and looked for again."""

    async def run() -> None:
        async with finding({}, pod=Pod(environment, tmp_path)):
            await asyncio.sleep(0.5)

    with capture_logs() as logged:
        asyncio.run(run())
    assert errors(logged) == [said.format(folder=tmp_path)]


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """Write a kubeconfig with one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "x"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def encoded(data: bytes) -> str:
    """Return data as a kubeconfig holds it."""
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("way", ["token", "token file", "certificate"])
def test_a_kubeconfig(way: str, tls: tuple[trustme.CA, ssl.SSLContext], tmp_path: Path) -> None:
    """Server, CA and user of the current context, from files beside it or from what it holds itself."""
    ca, context = tls
    secret = token()
    (tmp_path / "the-token").write_text(secret)
    mine = ca.issue_cert("me@example.com")
    users = {
        "token": {"token": secret},
        "token file": {"tokenFile": "the-token"},
        "certificate": {
            "client-certificate-data": encoded(mine.cert_chain_pems[0].bytes()),
            "client-key-data": encoded(mine.private_key_pem.bytes()),
        },
    }
    if way == "certificate":
        context.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(context)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        inline = {"certificate-authority-data": encoded(ca.cert_pem.bytes())}
        trust = {"certificate-authority": "ca.crt"} if way == "token file" else inline
        path = kubeconfig(tmp_path / "config", {"server": server.url, **trust}, users[way])
        async with finding({"kubeconfig_file": str(path)}) as found:
            await found.finds("10.0.0.1:6060")

    with serving(context=context, tokens=None if way == "certificate" else {secret}) as server:
        asyncio.run(run(server))


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": "h:1"}, {}, "'h:1' must be a URL such as https://10.0.0.1:6443"),
        ({}, {}, "clusters.c.cluster.server: is missing"),
        ({"server": "https://h"}, {"exec": {"command": "aws"}}, "known by exec, which is not supported"),
        ({"server": "https://h"}, {"auth-provider": {"name": "gcp"}}, "known by auth-provider, which is not"),
        ({"server": "https://h", "certificate-authority": "none"}, {}, "/none' is not a file"),
        ({"server": "https://h", "certificate-authority-data": "!"}, {}, "Only base64 data is allowed"),
        ({"server": "https://h", "certificate-authority-data": "AAAA"}, {}, "tls_config: /proc/self/fd/"),
        ({"server": "https://h"}, {"client-certificate-data": "AAAA"}, "needs both cert_file and key_file"),
    ],
)
def test_bad_kubeconfigs(cluster: dict[str, Any], user: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A kubeconfig that cannot be used is found when the configuration is read, with what is wrong with it."""
    path = kubeconfig(tmp_path / "config", cluster, user)
    with pytest.raises(ValidationError) as caught:
        KubernetesConfig.model_validate({"role": "pod", "kubeconfig_file": str(path)})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "while parsing a flow node"),
        ("", "top level: must be a mapping"),
        ("{clusters: []}", "says no current context; known here: none"),
        (
            "{current-context: a, contexts: [{name: b, context: {cluster: c}}]}",
            "has no context 'a'; known here: b",
        ),
        ("{current-context: a, contexts: [{name: a, context: {cluster: c}}]}", "has no cluster 'c'"),
    ],
)
def test_kubeconfigs_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    """Something else than a kubeconfig is named with its place."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ValidationError) as caught:
        KubernetesConfig.model_validate({"role": "pod", "kubeconfig_file": str(path)})
    assert f"{path}: " in str(caught.value)
    assert said in str(caught.value)


def test_the_daemon_follows_the_cluster(
    leakwatch: Callable[..., Daemon], start: Callable[..., str], tmp_path: Path
) -> None:
    """A pod with a real Go service is scraped as soon as it is there, and no more when it is gone."""
    port = int(start("healthy", "-period", "40s").rpartition(":")[2])
    ports = [{"name": "pprof", "containerPort": port}]
    config = tmp_path / "c.yml"
    with serving() as server:
        config.write_text(
            "scrape_configs:\n"
            f"  - {{job_name: shop, kubernetes_sd_configs: [{{role: pod, api_server: '{server.url}'}}]}}\n"
        )
        assert parse(config.read_text(), "c.yml", tmp_path).scrape_configs[0].mechanisms()
        daemon = leakwatch("--config", config)
        assert eventually(lambda: daemon.get("/-/ready").status_code == 200)
        server.apply("pods", pod("a", "127.0.0.1", containers=[{"name": "app", "ports": ports}]))
        assert eventually(lambda: daemon.series("leakwatch_up")) == [
            ({"service": "shop", "target": f"127.0.0.1:{port}"}, 1.0)
        ]
        server.delete("pods", "a")
        assert eventually(lambda: not daemon.series("leakwatch_up"))
