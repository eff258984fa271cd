"""Record the targets that Prometheus's own discovery finds in the cluster of tests/support/kubernetes_world.py.

    python -m tests.kubernetes.record

Run it when that cluster changes, or to follow a new Prometheus (its version is in recorder/go.mod). It writes
recorded.json, and needs Go with a module proxy and minutes for the first build.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.support.api_server import serving
from tests.support.kubernetes_world import CONFIGS, FIELDS, REFUSED, SELECTORS, change, fill

HERE = Path(__file__).parent


def record(program: Path, configs: dict[str, Any]) -> dict[str, Any]:
    """Return what Prometheus finds for each configuration, or why it refuses it."""
    text = json.dumps(configs)  # is YAML too
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    for one in found.values():
        one.get("targets", []).sort(key=lambda labels: json.dumps(labels, sort_keys=True))
    return found


def selecting(url: str, key: str, texts: list[str]) -> dict[str, Any]:
    """Return a configuration for each selector."""
    return {text: {"role": "pod", "api_server": url, "selectors": [{"role": "pod", key: text}]} for text in texts}


def main() -> None:
    """Build the recorder and write recorded.json."""
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        program = Path(folder, "recorder")
        subprocess.run(["go", "build", "-o", program, "."], check=True, cwd=HERE / "recorder")
        configs = {name: {"api_server": server.url, **config} for name, config in CONFIGS.items()}
        recorded: dict[str, Any] = {}
        for name, happens in (("before", fill), ("after", change)):
            happens(server)
            recorded[name] = {name: one["targets"] for name, one in record(program, configs).items()}
        recorded["refused"] = {name: one["refused"] for name, one in record(program, REFUSED).items()}
        for key, texts in (("label", SELECTORS), ("field", FIELDS)):
            found = record(program, selecting("http://127.0.0.1:1", key, texts))
            recorded[key] = {text: "refused" not in one for text, one in found.items()}
    text = json.dumps(recorded, sort_keys=True, ensure_ascii=False)
    (HERE / "recorded.json").write_text(text.replace("}, {", "},\n{") + "\n")  # a line per target


if __name__ == "__main__":
    main()
