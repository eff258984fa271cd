"""The configuration in the README is valid."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_scrape_job_is_the_shipped_one(tmp_path: Path) -> None:
    """The scrape job is valid, and is the same as in deploy/prometheus."""
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    example = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert yaml.safe_load(block) == {"scrape_configs": example["scrape_configs"]}
    (tmp_path / "prometheus.yml").write_text(block)
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True)
