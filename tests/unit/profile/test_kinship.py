"""Kinship: which stacks that grow in step can belong to one leak."""

import pytest

from leakwatch.model import Stack
from leakwatch.profile.kinship import are_kin, is_built_on, relations
from tests.support.stacks import IDENTIFIER, stack_of

SERVE = "net/http.(*conn).serve"
READ = stack_of("internal/poll.(*FD).Read", "net/http.(*persistConn).readLoop")
WRITE = stack_of("net/http.(*persistConn).writeLoop")
CHARGE = stack_of("net/http.(*persistConn).roundTrip", "net/http.(*Client).do", "main.(*Gateway).Charge", SERVE)
PUSH = stack_of("example.com/shop/push.(*Hub).Send", "github.com/gin-gonic/gin.(*Engine).ServeHTTP", SERVE)
STATS = stack_of("example.com/shop/stats.(*Sender).Put", "github.com/gin-gonic/gin.(*Engine).ServeHTTP", SERVE)
NATS = stack_of("github.com/nats-io/nats%2ego.(*Conn).flusher")
KAFKA = stack_of("github.com/twmb/franz-go/pkg/kgo.(*Client).reapConnectionsLoop")


@pytest.mark.parametrize(
    ("stack", "other", "expected"),
    [
        pytest.param(READ, WRITE, True, id="both ends of a connection"),
        pytest.param(CHARGE, READ, True, id="a call and its connection"),
        pytest.param(PUSH, STATS, False, id="handlers of different packages"),
        pytest.param(PUSH, READ, False, id="a handler and a connection it does not use"),
        pytest.param(NATS, KAFKA, False, id="different libraries"),
        pytest.param(NATS, stack_of("github.com/nats-io/nats%2ego.(*Conn).readLoop"), True, id="one library"),
        pytest.param(
            NATS,
            stack_of("main.handle", "github.com/nats-io/nats%2ego.(*Conn).waitForMsgs"),
            True,
            id="a callback",
        ),
        pytest.param(
            stack_of("main.handle", "google.golang.org/grpc.(*Server).handleStream"),
            stack_of("google.golang.org/grpc/internal/transport.(*http2Client).reader"),
            False,
            id="a gRPC handler and a gRPC client",
        ),
        pytest.param(PUSH, stack_of("net/http.(*connReader).backgroundRead"), True, id="a companion"),
        pytest.param(
            stack_of("github.com/spf13/viper.(*Viper).WatchConfig.func1"),
            stack_of("github.com/fsnotify/fsnotify.(*inotify).readEvents"),
            True,
            id="a library and the goroutine it starts of another",
        ),
        pytest.param(
            stack_of(
                "golang.org/x/net/http2.(*Framer).ReadFrame", "k8s.io/client-go/tools/cache.(*Reflector).Run"
            ),
            stack_of("golang.org/x/net/http2.(*Framer).ReadFrame", "go.etcd.io/etcd/client/v3.(*lessor).recv"),
            False,
            id="libraries on the same basis",
        ),
    ],
)
def test_kinship(stack: Stack, other: Stack, *, expected: bool) -> None:
    """Stacks are kin if they share own code, a dependency, or a part of the standard library."""
    one, two = (relations(each, IDENTIFIER.is_own) for each in (stack, other))
    assert are_kin(one, two) is expected
    assert are_kin(two, one) is expected


WATCH = stack_of(
    "golang.org/x/net/http2.transportResponseBody.Read", "k8s.io/apimachinery/pkg/watch.(*StreamWatcher).receive"
)
STREAM = stack_of("golang.org/x/net/http2.(*clientStream).doRequest")


@pytest.mark.parametrize(
    ("stack", "other", "expected"),
    [
        pytest.param(WATCH, STREAM, True, id="a watch and its connection"),
        pytest.param(STREAM, WATCH, False, id="in the other direction"),
        pytest.param(WATCH, READ, False, id="a connection of another package"),
        pytest.param(WATCH, NATS, False, id="another library"),
        pytest.param(CHARGE, READ, False, id="own code"),
    ],
)
def test_libraries_are_built_on_others(stack: Stack, other: Stack, *, expected: bool) -> None:
    """A stack of a library is built on the stacks of the package of Go or of a basis that it waits in."""
    one, two = (relations(each, IDENTIFIER.is_own) for each in (stack, other))
    assert is_built_on(one, two) is expected
