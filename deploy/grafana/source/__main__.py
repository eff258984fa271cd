"""Writes the dashboards: python deploy/grafana/source [FOLDER]."""

import json
import sys
from pathlib import Path

import fleet
import itself
import service
from grafana_foundation_sdk.cog.encoder import JSONEncoder

MADE = {"fleet": fleet.dashboard, "service": service.dashboard, "leakwatch": itself.dashboard}


def main(folder: Path) -> None:
    """Write each dashboard to `folder`."""
    for name, dashboard in MADE.items():
        text = json.dumps(dashboard(), cls=JSONEncoder, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[1])
