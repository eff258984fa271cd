"""Kubernetes discovery against an API server: changes of the cluster, failures, missing permissions."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from leakwatch.discovery.kubernetes.reflector import PAGE_LIMIT, WatchTiming
from tests.support.api_server import ApiServer, Object, endpoint_slice, plain, pod, serving, token
from tests.support.clock import HANG
from tests.support.kubernetes_discovery import discovering, errors


def test_lists_once_then_watches() -> None:
    """New, changed and deleted pods cause an update each, and the pods are listed only once."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            server.apply("pods", pod("b", "10.0.0.3"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.3:6060")
            server.apply("pods", pod("b", "10.0.0.3", phase="Succeeded"))
            await discovery.finds("10.0.0.1:6060")
            server.delete("pods", "a")
            await discovery.finds()
        assert (len(server.lists("pods")), len(server.watches("pods"))) == (1, 1)

    with serving() as server:
        asyncio.run(run(server))


def test_a_change_without_effect_on_targets_causes_no_update() -> None:
    """A pod without an address, and a pod with the same labels as before, do not change the targets."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.apply("pods", pod("b", "", phase="Pending"))
            server.apply("pods", pod("a", "10.0.0.1"))
            server.apply("pods", pod("c", "10.0.0.3"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.3:6060")
            assert len(discovery.updates) == 2

    with serving() as server:
        asyncio.run(run(server))


def test_updates_are_debounced() -> None:
    """There is at most one update per debounce interval, however many pods a rollout changes."""
    timing = WatchTiming(debounce=60, idle_timeout=HANG, response_timeout=HANG)

    async def run(server: ApiServer) -> None:
        async with discovering({"api_server": server.url}, timing) as discovery:
            await discovery.until(lambda: server.watches("pods"))
            start = discovery.clock.now
            for number in range(200):
                server.apply("pods", pod(f"p{number}", f"10.0.1.{number}"))
            await discovery.until(lambda: len(discovery.addresses()) == 200)
            assert len(discovery.updates) <= 2 + (discovery.clock.now - start) / 60

    with serving() as server:
        asyncio.run(run(server))


def test_a_long_list_has_pages() -> None:
    """If there are more pods than fit on a page, each pod is found once."""

    async def run(server: ApiServer) -> None:
        for number in range(2 * PAGE_LIMIT + 1):
            server.apply("pods", pod(f"p{number}", f"10.{number >> 8}.{number & 255}.1"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.until(lambda: discovery.updates)
            addresses = discovery.addresses()
            assert len(set(addresses)) == len(addresses) == 2 * PAGE_LIMIT + 1
        tokens = [page.query.get("continue") for page in server.lists("pods")]
        assert tokens == [None, str(PAGE_LIMIT), str(2 * PAGE_LIMIT)]

    with serving() as server:
        asyncio.run(run(server))


def test_a_watch_continues_at_its_version() -> None:
    """After a lost connection, the watch continues at the version of the last bookmark; nothing is logged."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            for number in range(20):  # changes of a resource that is not watched
                server.apply("services", plain("services", f"s{number}"))
            await discovery.until(lambda: ("pods", 22) in server.bookmarks)
            server.drop_connections()
            await discovery.until(lambda: len(server.watches("pods")) > 1)
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
        assert len(server.lists("pods")) == 1
        first, second = (int(watch.query["resourceVersion"]) for watch in server.watches("pods")[:2])
        assert (first, second) == (2, 22)

    with serving(bookmark=0.05) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert log == []


def test_an_expired_version() -> None:
    """After 410 Gone the pods are listed again, and pods that were deleted meanwhile are removed."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            server.stop()
            server.delete("pods", "a")
            server.expire_versions()
            server.start()
            await discovery.finds("10.0.0.2:6060")
            server.apply("pods", pod("c", "10.0.0.3"))
            await discovery.finds("10.0.0.2:6060", "10.0.0.3:6060")
        assert len(server.lists("pods")) == 2

    with serving(bookmark=60) as server:
        asyncio.run(run(server))


def test_an_outage_of_the_api_server() -> None:
    """The targets stay. One error is logged for all reflectors, and one line when the server works again."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        names = {"names": ["shop", "one", "two", "three"]}
        async with discovering({"api_server": server.url, "namespaces": names}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.stop()
            await discovery.until(lambda: errors(log))
            await discovery.retries()
            assert discovery.addresses() == ["10.0.0.1:6060"]
            server.apply("pods", pod("b", "10.0.0.2", namespace="two"))
            server.start()
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            await discovery.until(lambda: len(log) == 2)

    with serving() as server, capture_logs() as log:
        asyncio.run(run(server))
    assert [line["log_level"] for line in log] == ["error", "info"]
    assert errors(log) == [f"cannot reach the API server at {server.url}: Connection refused"]


def test_an_api_server_that_starts_late() -> None:
    """There is no update before the pods are listed: an empty update would remove the previous targets."""

    async def run(server: ApiServer) -> None:
        url = server.url
        server.stop()
        async with discovering({"api_server": url}) as discovery:
            await discovery.until(lambda: errors(log))
            assert discovery.updates == []
            server.apply("pods", pod("a", "10.0.0.1"))
            server.start()
            await discovery.finds("10.0.0.1:6060")

    with serving() as server, capture_logs() as log:
        asyncio.run(run(server))


def test_a_silent_watch() -> None:
    """A watch without events and bookmarks is ended. The next watch returns the events that were missed."""
    timing = WatchTiming(idle_timeout=0.4, response_timeout=HANG)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"api_server": server.url}, timing) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.silent = True
            await discovery.until(lambda: server.silent_watches)
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.until(lambda: server.silent_watches > 1)
            assert discovery.addresses() == ["10.0.0.1:6060"]
            server.silent = False
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
        assert len(server.lists("pods")) == 1

    with serving(bookmark=0.05) as server:
        asyncio.run(run(server))


def test_the_end_of_a_watch() -> None:
    """If the API server ends a watch after its timeout, the next watch continues; nothing is logged."""
    timing = WatchTiming(watch_timeout=0.1, idle_timeout=HANG, response_timeout=HANG)

    async def run(server: ApiServer) -> None:
        async with discovering({"api_server": server.url}, timing) as discovery:
            await discovery.until(lambda: len(server.watches("pods")) > 1)
            server.apply("pods", pod("a", "10.0.0.1"))
            await discovery.finds("10.0.0.1:6060")
        assert {watch.query["timeoutSeconds"] for watch in server.watches("pods")} == {"1"}
        assert len(server.lists("pods")) == 1

    with serving() as server, capture_logs() as log:
        asyncio.run(run(server))
    assert log == []


def test_a_denied_namespace() -> None:
    """The log names the missing Role. The other namespaces are found, and this one when it is permitted."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", pod("b", "10.0.0.2", namespace="pay"))
        async with discovering({"api_server": server.url, "namespaces": {"names": ["pay", "shop"]}}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            await discovery.until(lambda: len(server.lists("pods")) > 4)
            server.denied.clear()
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")

    with serving(denied={("list", "pods", "pay")}) as server, capture_logs() as log:
        asyncio.run(run(server))
    failure, success = log
    assert failure["error"].startswith("not allowed to list pods in namespace pay: pods is forbidden: User ")
    assert failure["needs"] == (
        "a Role in namespace pay, bound to leakwatch's service account,"
        ' with rules: [{apiGroups: [""], resources: [pods], verbs: [list, watch]}]'
    )
    assert success["event"] == "discovery works again"


def test_a_denied_watch() -> None:
    """If only the watch is denied, the listed objects are found, and changes are seen when it is permitted."""

    async def run(server: ApiServer) -> None:
        server.apply("endpointslices", endpoint_slice("s", "", [{"addresses": ["10.0.0.1"]}], [{"port": 1}]))
        async with discovering({"api_server": server.url, "role": "endpointslice"}) as discovery:
            await discovery.finds("10.0.0.1:1")
            await discovery.until(lambda: len(server.watches("endpointslices")) > 3)
            server.delete("endpointslices", "s")
            server.denied.clear()
            await discovery.finds()

    with serving(denied={("watch", "endpointslices", "")}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert [line["log_level"] for line in log] == ["error", "info"]
    assert log[0]["error"].startswith("not allowed to watch endpointslices in the whole cluster: ")
    assert (
        'a ClusterRole, bound to leakwatch\'s service account, with rules: [{apiGroups: ["discovery.k8s.io"]'
        in (log[0]["needs"])
    )


def test_a_slice_waits_for_its_pods() -> None:
    """A slice gives no target while pods cannot be listed: without the pod's labels it would be another target."""

    async def run(server: ApiServer) -> None:
        target = {"kind": "Pod", "name": "a", "namespace": "shop"}
        endpoints = [{"addresses": ["10.0.0.1"], "targetRef": target}]
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("endpointslices", endpoint_slice("s", "", endpoints, [{"port": 6060}]))
        async with discovering({"api_server": server.url, "role": "endpointslice"}) as discovery:
            await discovery.until(lambda: len(server.lists("pods")) > 2)
            assert discovery.updates == []
            server.denied.clear()
            await discovery.finds("10.0.0.1:6060")
            assert discovery.updates[-1][0].labels["__meta_kubernetes_pod_name"] == "a"

    with serving(denied={("list", "pods", "")}) as server:
        asyncio.run(run(server))


def test_a_token_file_that_changes(tmp_path: Path) -> None:
    """The token file is read for each request. A rejected token is logged, but never shown."""
    path, old, new = tmp_path / "token", token(), token()
    path.write_text(old)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        config = {"api_server": server.url, "authorization": {"credentials_file": str(path)}}
        async with discovering(config) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.tokens = {new}
            server.drop_connections()
            await discovery.until(lambda: errors(log))
            path.write_text(new)
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")
            path.unlink()
            server.drop_connections()
            await discovery.until(lambda: len(errors(log)) > 1)

    with serving(tokens={old}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert errors(log)[0] == "the API server rejected the credentials: Unauthorized"
    assert errors(log)[1].startswith("no credentials for the API server: ")
    assert not any(secret in str(log) for secret in (old, new))


@pytest.mark.parametrize("secret", [b"hunter2\n\nhunter2", "hünter2".encode(), b"hunter2\xff"])
def test_an_invalid_token(secret: bytes, tmp_path: Path) -> None:
    """A token that cannot be a header is logged without its text. Discovery continues with a valid token."""
    path = tmp_path / "token"
    path.write_bytes(secret)

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        config = {"api_server": server.url, "authorization": {"credentials_file": str(path)}}
        async with discovering(config) as discovery:
            await discovery.until(lambda: errors(log))
            path.write_text("good")
            await discovery.finds("10.0.0.1:6060")

    with serving(tokens={"good"}) as server, capture_logs() as log:
        asyncio.run(run(server))
    assert errors(log)[0].startswith("no credentials for the API server: ")
    assert "hunter2" not in str(log)


def refuse(server: ApiServer) -> None:
    """Let the server respond with HTTP 503."""
    server.broken = True


def recover(server: ApiServer) -> None:
    """Let the server respond again."""
    server.broken = False
    server.resume()


@pytest.mark.parametrize(
    ("fail", "timeout", "message"),
    [
        (refuse, HANG, "cannot list pods in the whole cluster: HTTP 503: etcdserver: leader changed"),
        (ApiServer.stall, 0.2, "cannot reach the API server at {url}: no answer within 0.2 s"),
    ],
)
def test_a_temporary_failure(fail: Callable[[ApiServer], None], timeout: float, message: str) -> None:
    """The request is repeated until it succeeds, and its error is logged once."""

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        async with discovering({"api_server": server.url}, WatchTiming(response_timeout=timeout)) as discovery:
            await discovery.until(lambda: len(server.lists("pods")) > 2)
            await discovery.until(lambda: errors(log))
            recover(server)
            await discovery.finds("10.0.0.1:6060")

    with serving() as server, capture_logs() as log:
        fail(server)
        asyncio.run(run(server))
    assert errors(log) == [message.format(url=server.url)]


def test_another_server_than_an_api_server() -> None:
    """An unexpected response is quoted, and the log names the fix."""

    async def run(url: str) -> None:
        async with discovering({"api_server": url}) as discovery:
            await discovery.until(lambda: errors(log))

    with serving() as server, capture_logs() as log:
        asyncio.run(run(f"{server.url}/elsewhere"))
    assert errors(log)[0].startswith("cannot list pods in the whole cluster: the server could not find")
    assert log[0]["needs"] == "an API server at this URL that serves v1"


def test_an_invalid_object() -> None:
    """An invalid object is left out and named; the other objects of the list or watch are found."""

    def invalid(name: str) -> Object:
        return pod(name, "10.0.0.9", containers=[{"name": "x", "ports": [{"containerPort": "http"}]}])

    async def run(server: ApiServer) -> None:
        server.apply("pods", pod("a", "10.0.0.1"))
        server.apply("pods", invalid("listed"))
        async with discovering({"api_server": server.url}) as discovery:
            await discovery.finds("10.0.0.1:6060")
            server.apply("pods", invalid("watched"))
            server.apply("pods", pod("b", "10.0.0.2"))
            await discovery.finds("10.0.0.1:6060", "10.0.0.2:6060")

    with serving() as server, capture_logs() as log:
        asyncio.run(run(server))
    assert [line["object"] for line in log] == ["shop/listed", "shop/watched"]
    assert log[0]["error"] == "spec.containers.0.ports.0.containerPort: must be a whole number"
