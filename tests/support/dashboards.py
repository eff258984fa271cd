"""The Grafana dashboards that we ship, as tests read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(SHIPPED.glob("*.json"))
}


def panels() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield dashboard, "dashboard: row, title" and panel of each panel except rows."""
    for name, dashboard in DASHBOARDS.items():
        row = ""
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                row = panel["title"]
            else:
                yield name, f"{name}: {row}, {panel['title']}", panel
