"""A real Prometheus that scrapes a leakwatch and loads the rules that we ship."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.running import Process
from tests.support.waiting import HANG

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "leakwatch.rules.yml"

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: leakwatch
    honor_labels: true
    static_configs: [{{targets: ["{leakwatch}"], labels: {{{labels}}}}}]
{more}
"""


@contextlib.contextmanager
def prometheus(
    folder: Path, port: int, leakwatch: str, more: str = "", *flags: str, labels: str = ""
) -> Iterator[httpx.Client]:
    """Run Prometheus over one leakwatch. Give a client of its API.

    `more`: of its configuration; `labels`: of its scrape of leakwatch, as a flow mapping in YAML without braces.
    """
    file = folder / "prometheus.yml"
    address = leakwatch.removeprefix("http://")
    file.write_text(CONFIG.format(rules=RULES, leakwatch=address, more=more, labels=labels))
    listen = f"--web.listen-address=127.0.0.1:{port}"
    process = Process(
        ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", listen, *flags]
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=HANG) as client:
            yield client
    finally:
        process.stop()
