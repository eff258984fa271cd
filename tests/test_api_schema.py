"""schemathesis: what OpenAPI promises holds for whatever is asked of the API, of known names and of others."""

from typing import Any

import schemathesis
from api_world import HOSTILE, LONG, ODD, ONE, TWO, app, get, odd_stack
from hypothesis import HealthCheck, settings
from simulated import stack

KNOWN: dict[str, list[str]] = {
    "service": ["shop", HOSTILE, "shop"],
    "stack": [stack("leak").fingerprint, odd_stack(LONG).fingerprint, stack("hidden").fingerprint],
    "target": [ONE.name, ODD.name, TWO.name],
}


def published() -> Any:
    """Return what the API publishes of itself, with names that lead to something as examples."""
    schema = get("/api/v1/openapi.json").json()
    for operations in schema["paths"].values():
        for parameter in operations["get"].get("parameters", ()):
            if parameter["required"]:
                names = enumerate(KNOWN[parameter["name"]])
                parameter["examples"] = {f"known{i}": {"value": name} for i, name in names}
    found = schemathesis.openapi.from_dict(schema)
    found.app = app()
    return found


@published().parametrize()  # type: ignore[untyped-decorator]  # it says nothing of its type
@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_its_promises(case: schemathesis.Case[Any]) -> None:
    """No error of the server, no status that is not published, no answer that does not fit its schema."""
    case.call_and_validate()
