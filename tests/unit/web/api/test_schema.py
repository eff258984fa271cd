"""schemathesis: what OpenAPI promises holds for whatever is asked of the API, of known names and of others."""

import gzip
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings

from leakwatch.clock import Clock
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.record import SUFFIXES, BodyFormat
from leakwatch.evidence.store import Store
from tests.support.api_world import HOSTILE, LONG, ODD, ONE, TWO, app, get, odd_stack, source
from tests.support.kept_bodies import record
from tests.support.simulated import stack

PROFILES = Path(__file__).parents[3] / "profiles" / "1.27"

KNOWN: dict[str, list[str]] = {
    "service": ["shop", HOSTILE, "shop"],
    "stack": [stack("leak").fingerprint, odd_stack(LONG).fingerprint, stack("hidden").fingerprint],
    "target": [ONE.name, ODD.name, TWO.name],
}


def kept() -> Store:
    """Return evidence: a body as text and one as protobuf, and one that is no profile."""
    store = Store(EvidenceConfig(), Clock())
    bodies: dict[BodyFormat, bytes] = {
        "text": gzip.compress((PROFILES / "goroutine.debug1.txt").read_bytes()),
        "proto": (PROFILES / "goroutine.debug0.pb.gz").read_bytes(),
        "dump": gzip.compress(b"broken"),
    }
    for form, body in bodies.items():
        store.add(record().model_copy(update={"format": form, "bytes": len(body)}), {SUFFIXES[form]: body}, "")
    return store


def published() -> Any:
    """Return what the API publishes of itself, with names that lead to something as examples."""
    known = source(evidence=kept())
    schema = get("/api/v1/openapi.json").json()
    KNOWN["key"] = KNOWN["old"] = KNOWN["new"] = [
        one["id"] for one in get("/api/v1/profiles", known).json()["profiles"]
    ]
    for operations in schema["paths"].values():
        for parameter in operations["get"].get("parameters", ()):
            if parameter["required"]:
                names = enumerate(KNOWN[parameter["name"]])
                parameter["examples"] = {f"known{i}": {"value": name} for i, name in names}
    found = schemathesis.openapi.from_dict(schema)
    found.app = app(known)
    return found


@published().parametrize()  # type: ignore[untyped-decorator]  # it says nothing of its type
@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_its_promises(case: schemathesis.Case[Any]) -> None:
    """No error of the server, no status that is not published, no answer that does not fit its schema."""
    case.call_and_validate()
