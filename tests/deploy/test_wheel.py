"""The wheel contains all files that leakwatch needs at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "leakwatch" / "web" / "pages"


def test_the_wheel_has_the_files_of_pages_and_the_rules(tmp_path: Path) -> None:
    """The wheel has all templates and static files of the pages, and the alert rules from deploy/prometheus."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {path for folder in ("templates", "static") for path in (PAGES / folder).rglob("*") if path.is_file()}
    assert {path.suffix for path in files} >= {".html", ".css", ".js"}
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert "leakwatch/shipped/leakwatch.rules.yml" in names
