"""The plot of docs/how-it-judges.md shows what the pipeline says today."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def words(picture: Path) -> list[str]:
    """Return all that is written in a picture: scales, hours and verdicts."""
    return re.findall(r">([^<>]+)</text>", picture.read_text())


def test_the_plot_has_the_verdicts_of_now(tmp_path: Path) -> None:
    """Who changes when a leak is found has to draw the plot anew, and to mend the text beside it."""
    made = tmp_path / "judging.svg"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / "docs/source/judging.py", made], check=True, env=environment)
    stale = "docs/images/judging.svg is stale: run `make docs`, look at it, and read docs/how-it-judges.md again"
    assert words(made) == words(ROOT / "docs/images/judging.svg"), stale
    assert [word for word in words(made) if word.startswith("leaking")] == ["leaking 11:30"]
