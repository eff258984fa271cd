"""docs/fixing.md: its Go code compiles, and it has a row for each wait reason that leakwatch reports."""

import re
import subprocess
from pathlib import Path

from leakwatch.detect.stuck import HARD_WAITS

PAGE = Path(__file__).parents[2] / "docs" / "fixing.md"
IMPORTS = ("context", "io", "net", "net/http", "sync", "time")


def test_the_code_compiles(tmp_path: Path) -> None:
    """All blocks together are a package without errors, and are formatted."""
    blocks = re.findall(r"```go\n(.*?)```", PAGE.read_text(), re.DOTALL)
    imports = "".join(f'\t"{name}"\n' for name in IMPORTS)
    (tmp_path / "go.mod").write_text("module fixing\n\ngo 1.22\n")
    source = tmp_path / "fixing.go"
    source.write_text(f"package fixing\n\nimport (\n{imports})\n\n" + "\n".join(blocks))
    vet = subprocess.run(["go", "vet", "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert vet.returncode == 0, vet.stderr
    unformatted = subprocess.run(["gofmt", "-l", source], capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""
    assert len(blocks) >= 9


def test_each_wait_reason_has_a_row() -> None:
    """The table has the waits that are judged at any age, and the common ones."""
    table = PAGE.read_text().partition("## What a wait reason means")[2].partition("\n## ")[0]
    others = ("chan receive", "select", "IO wait", "sync.WaitGroup.Wait", "sync.Cond.Wait", "sleep")
    for wait in (*HARD_WAITS, *others):
        assert f"`{wait}`" in table or f"`{wait.rpartition('.')[0]}.*`" in table, wait


def test_each_section_is_linked() -> None:
    """The table leads to each section."""
    text = PAGE.read_text()
    sections = {
        re.sub(r"[^a-z -]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    linked = set(re.findall(r"\]\(#([a-z-]+)\)", text))
    assert linked == sections - {"what-a-wait-reason-means"}
