"""Records the targets that Prometheus's own discovery finds in the cluster of tests/support/kubernetes_world.py.

    python -m tests.kubernetes.record

Run it when that cluster or the version of Prometheus (in recorder/go.mod) changes. It writes recorded.json. It
needs Go with a module proxy, and the first build takes minutes.
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
    """Return the targets of Prometheus for each configuration, or the error."""
    text = json.dumps(configs)  # JSON is valid YAML
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    results: dict[str, Any] = json.loads(done.stdout)
    for result in results.values():
        result.get("targets", []).sort(key=lambda labels: json.dumps(labels, sort_keys=True))
    return results


def selector_configs(url: str, key: str, texts: list[str]) -> dict[str, Any]:
    """Return a configuration per selector."""
    return {text: {"role": "pod", "api_server": url, "selectors": [{"role": "pod", key: text}]} for text in texts}


def main() -> None:
    """Build the recorder and write recorded.json."""
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        program = Path(folder, "recorder")
        subprocess.run(["go", "build", "-o", program, "."], check=True, cwd=HERE / "recorder")
        configs = {name: {"api_server": server.url, **config} for name, config in CONFIGS.items()}
        recorded: dict[str, Any] = {}
        for time, apply in (("before", fill), ("after", change)):
            apply(server)
            recorded[time] = {name: result["targets"] for name, result in record(program, configs).items()}
        recorded["refused"] = {name: result["refused"] for name, result in record(program, REFUSED).items()}
        for key, texts in (("label", SELECTORS), ("field", FIELDS)):
            results = record(program, selector_configs("http://127.0.0.1:1", key, texts))
            recorded[key] = {text: "refused" not in result for text, result in results.items()}
    text = json.dumps(recorded, sort_keys=True, ensure_ascii=False)
    (HERE / "recorded.json").write_text(text.replace("}, {", "},\n{") + "\n")  # one line per target


if __name__ == "__main__":
    main()
