"""TLS sessions: their memory, alerts and ends."""

import ssl
import tracemalloc

import pytest
import trustme

from leakwatch.http.tls_session import TlsSession


class Peer:
    """The server of a session, without a network."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def exchange(self, session: TlsSession) -> None:
        """Pass all bytes in both directions."""
        self._incoming.write(session.outgoing())
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        finally:
            session.receive(self._outgoing.read())


@pytest.fixture
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server and of a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("host").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def established(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[TlsSession, Peer]:
    """Return both ends of a session."""
    peer, session = Peer(contexts[0]), TlsSession(contexts[1], "host")
    while not session.is_established:
        session.handshake()
        peer.exchange(session)
    return session, peer


def test_data_in_both_directions(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Data is encrypted and decrypted; nothing is pending after it, and tickets are not data."""
    session, peer = established(contexts)
    assert list(session.decrypted()) == []
    session.encrypt(b"request")
    peer.exchange(session)
    assert peer.object.read() == b"request"
    peer.object.write(b"x" * 200_000)
    peer.exchange(session)
    assert b"".join(session.decrypted()) == b"x" * 200_000
    assert list(session.decrypted()) == []


def test_the_end_of_a_session(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The end of the session comes once, after the data before it."""
    session, peer = established(contexts)
    peer.object.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        peer.object.unwrap()
    peer.exchange(session)
    assert list(session.decrypted()) == [b"last", b""]


def test_an_untrusted_server_receives_an_alert(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A certificate that is not trusted is an error, and the server receives the reason."""
    peer, session = Peer(contexts[0]), TlsSession(ssl.create_default_context(), "host")
    session.handshake()
    peer.exchange(session)
    with pytest.raises(ssl.SSLCertVerificationError):
        session.handshake()
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        peer.exchange(session)


def test_a_session_takes_little_memory(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A session that waits for its next request has no buffers of Python."""
    established(contexts)
    tracemalloc.start()
    try:
        sessions = [established(contexts)[0] for _ in range(10)]
        assert tracemalloc.get_traced_memory()[0] < 10_000 * len(sessions)
    finally:
        tracemalloc.stop()
