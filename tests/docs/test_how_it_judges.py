"""The plot of docs/how-it-judges.md shows the current verdicts of the pipeline."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def texts(picture: Path) -> list[str]:
    """Return the texts of an SVG: numbers of the axes, hours, titles and verdicts."""
    return re.findall(r">([^<>]+)</text>", picture.read_text())


def test_the_plot_is_up_to_date(tmp_path: Path) -> None:
    """The script draws the texts of the committed plot, and the verdict of the leak is `leaking` from 11:30 on."""
    drawn = tmp_path / "judging.svg"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / "docs/source/judging.py", drawn], check=True, env=environment)
    stale = "docs/images/judging.svg is stale: run `make docs`, then correct docs/how-it-judges.md"
    assert texts(drawn) == texts(ROOT / "docs/images/judging.svg"), stale
    assert [text for text in texts(drawn) if text.startswith("leaking")] == ["leaking 11:30"]
