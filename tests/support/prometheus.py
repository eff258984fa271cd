"""A real Prometheus that scrapes a leakwatch and loads the rules that we ship."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.running import Process

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "leakwatch.rules.yml"

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: leakwatch
    static_configs: [{{targets: ["{leakwatch}"]}}]
{more}
"""


@contextlib.contextmanager
def prometheus(folder: Path, port: int, leakwatch: str, more: str = "", *flags: str) -> Iterator[httpx.Client]:
    """Run Prometheus over one leakwatch; `more`: of its configuration. Give a client of its API."""
    file = folder / "prometheus.yml"
    file.write_text(CONFIG.format(rules=RULES, leakwatch=leakwatch.removeprefix("http://"), more=more))
    listen = f"--web.listen-address=127.0.0.1:{port}"
    process = Process(
        ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", listen, *flags]
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        process.stop()
