"""Blame: the frame of a stack, and the stack of a leak, that is nearest to the code to change."""

import pytest

from leakwatch.profile.blame import (
    distance,
    is_companion,
    is_never_alone,
    module_of,
    package_of,
    waits_for_others,
)
from tests.support.stacks import IDENTIFIER, stack_of

GRPC = "google.golang.org/grpc/internal/transport"
WATCH = "k8s.io/apimachinery/pkg/watch.(*StreamWatcher).receive"


@pytest.mark.parametrize(
    ("functions", "blamed"),
    [
        pytest.param(("net.(*conn).Read", "main.read", "main.main"), "main.read", id="innermost own code"),
        pytest.param(
            ("golang.org/x/net/http2.(*pipe).Read", "k8s.io/apimachinery/pkg/util/framer.(*reader).Read", WATCH),
            WATCH,
            id="the outermost function of a dependency",
        ),
        pytest.param(
            (f"{GRPC}.(*controlBuffer).get", f"{GRPC}.(*loopyWriter).run", f"{GRPC}.NewHTTP2Client.func6"),
            f"{GRPC}.(*loopyWriter).run",
            id="not a closure",
        ),
        pytest.param(
            ("github.com/IBM/sarama.(*partitionProducer).dispatch", "github.com/IBM/sarama.withRecover"),
            "github.com/IBM/sarama.(*partitionProducer).dispatch",
            id="not a runner",
        ),
        pytest.param(
            ("go.etcd.io/etcd/client/v3.(*lessor).recv", "google.golang.org/grpc.(*clientStream).run"),
            "go.etcd.io/etcd/client/v3.(*lessor).recv",
            id="not what others are built on",
        ),
        pytest.param(
            (f"{GRPC}.newStream.func1",), f"{GRPC}.newStream.func1", id="a closure if there is nothing else"
        ),
        pytest.param(
            ("internal/poll.(*FD).Read", "net/http.(*persistConn).readLoop"),
            "net/http.(*persistConn).readLoop",
            id="the outermost of the standard library",
        ),
    ],
)
def test_the_blamed_frame(functions: tuple[str, ...], blamed: str) -> None:
    """Own code is blamed first, then the most informative frame of the most specific library."""
    assert stack_of(*functions).blamed.function == blamed


def test_distance_to_the_code_to_change() -> None:
    """Own code is nearest, then libraries, then what they are built on, then the rest of the standard library."""
    stacks = [
        stack_of("net.(*conn).Read", "main.read"),
        stack_of("github.com/nats-io/nats%2ego.(*Conn).readLoop"),
        stack_of(f"{GRPC}.(*http2Client).reader"),
        stack_of("net/http.(*persistConn).readLoop"),
        stack_of("context.(*cancelCtx).propagateCancel.func2"),
    ]
    assert [distance(stack, IDENTIFIER.is_own) for stack in stacks] == [0, 1, 2, 2, 3]


def test_goroutines_that_exist_because_others_wait() -> None:
    """The reader beside a handler is never a leak of its own; a child of a context may be one."""
    reader = stack_of("net.(*conn).Read", "net/http.(*connReader).backgroundRead")
    child = stack_of("context.(*cancelCtx).propagateCancel.func2")
    assert (is_companion(reader), is_never_alone(reader)) == (True, True)
    assert (is_companion(child), is_never_alone(child)) == (True, False)
    assert not is_companion(stack_of("main.work"))


def test_waiters_come_after_the_task() -> None:
    """A goroutine that waits for others is less interesting than the one it waits for."""
    waits = ["select", "chan receive", "sync.WaitGroup.Wait"]
    assert [waits_for_others(stack_of("main.work", wait=wait)) for wait in waits] == [0, 1, 2]


def test_packages_and_modules() -> None:
    """The package of a generic method, and the module by the usual depth of the host."""
    assert package_of("example.com/shop/cart.(*Store[go.shape.int]).Put") == "example.com/shop/cart"
    assert (
        module_of("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).reaper") == "github.com/redis/go-redis"
    )
    assert module_of("k8s.io/client-go/tools/cache.(*Reflector).Run") == "k8s.io/client-go"
    assert module_of("shop/vendor/github.com/a/b/c.F") == "github.com/a/b"
