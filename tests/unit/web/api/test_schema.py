"""schemathesis: the API keeps its OpenAPI schema for any request, with existing names and with others."""

import gzip
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings

from leakwatch.clock import Clock
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.record import SUFFIXES, BodyFormat
from leakwatch.evidence.store import Store
from tests.support.api_world import HOSTILE, LONG, ODD, ONE, TWO, app, app_state, get, odd_stack
from tests.support.kept_bodies import record
from tests.support.simulated import stack

PROFILES = Path(__file__).parents[3] / "profiles" / "1.27"

EXAMPLES: dict[str, list[str]] = {
    "service": ["shop", HOSTILE, "shop"],
    "stack": [stack("leak").fingerprint, odd_stack(LONG).fingerprint, stack("hidden").fingerprint],
    "target": [ONE.name, ODD.name, TWO.name],
}


def evidence() -> Store:
    """Return evidence: a profile as text, a profile as protobuf, and a body that is not a profile."""
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
    """Return the schema that the API publishes, with existing names as examples."""
    state = app_state(evidence=evidence())
    schema = get("/api/v1/openapi.json").json()
    EXAMPLES["key"] = EXAMPLES["old"] = EXAMPLES["new"] = [
        profile["id"] for profile in get("/api/v1/profiles", state).json()["profiles"]
    ]
    for operations in schema["paths"].values():
        for parameter in operations["get"].get("parameters", ()):
            if parameter["required"]:
                names = enumerate(EXAMPLES[parameter["name"]])
                parameter["examples"] = {f"example{i}": {"value": name} for i, name in names}
    published_schema = schemathesis.openapi.from_dict(schema)
    published_schema.app = app(state)
    return published_schema


@published().parametrize()  # type: ignore[untyped-decorator]  # it has no type hints
@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_its_schema(case: schemathesis.Case[Any]) -> None:
    """No request causes an internal error, an unpublished status, or an answer that violates its schema."""
    case.call_and_validate()
