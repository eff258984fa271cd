"""Certificates and passwords for tests, made as they are needed."""

import ssl
from pathlib import Path

import bcrypt
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)


def hashed(password: str, cost: int = 4) -> str:
    """Return a bcrypt hash; tests take the cheapest."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def server(folder: Path, ca: trustme.CA, *names: str) -> None:
    """Put server.key and server.pem in place for these names, localhost if there are none."""
    made = ca.issue_cert(*(names or ("localhost", "127.0.0.1")))
    made.private_key_pem.write_to_path(folder / "new.key")
    made.cert_chain_pems[0].write_to_path(folder / "new.pem")
    (folder / "new.key").replace(folder / "server.key")
    (folder / "new.pem").replace(folder / "server.pem")


def everything(folder: Path) -> trustme.CA:
    """Write what the files in tests/web_configs name; return the authority."""
    ca = trustme.CA()
    server(folder, ca)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.private_key_pem.write_to_path(folder / "ca.key")
    key = load_pem_private_key((folder / "server.key").read_bytes(), None)
    (folder / "encrypted.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    return ca


def client(ca: trustme.CA, own: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts `ca`, and shows a certificate of its own if it has one."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if own:
        own.configure_cert(context)
    return context
