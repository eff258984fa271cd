"""The plots of docs/how-it-judges.md show the current verdicts of the pipeline."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def texts(picture: Path) -> list[str]:
    """Return the texts of an SVG: numbers of the axes, hours, titles and verdicts."""
    return re.findall(r">([^<>]+)</text>", picture.read_text())


@pytest.mark.parametrize(("name", "leaking"), [("judging", "leaking 11:30"), ("stuck", "leaking 10:35")])
def test_the_plot_is_up_to_date(tmp_path: Path, name: str, leaking: str) -> None:
    """The script draws the texts of the committed plot, and only the leak is `leaking`, from that time on."""
    drawn, committed = tmp_path / f"{name}.svg", ROOT / f"docs/images/{name}.svg"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, ROOT / f"docs/source/{name}.py", drawn], check=True, env=environment)
    stale = f"{committed} is stale: run `make docs`, then correct docs/how-it-judges.md"
    assert texts(drawn) == texts(committed), stale
    assert [text for text in texts(drawn) if text.startswith("leaking")] == [leaking]
