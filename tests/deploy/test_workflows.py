"""The workflows of GitHub: valid, and in step with the files that the build writes."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from leakwatch import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(file: Path) -> dict[str, Any]:
    """Return a workflow. YAML 1.1 reads the key `on` as true."""
    document = yaml.safe_load(file.read_text())
    return {("on" if key is True else key): value for key, value in document.items()}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_the_workflows_follow_the_schema(file: Path) -> None:
    """GitHub's own schema accepts each workflow."""
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json").read_text())
    jsonschema.Draft7Validator(schema).validate(workflow(file))


@pytest.mark.usefixtures("image")
def test_the_release_attests_the_files_of_the_build() -> None:
    """Each file that a step of the release names is in dist/ after a build."""
    steps = workflow(ROOT / ".github/workflows/release.yml")["jobs"]["publish"]["steps"]
    inputs = [step["with"] for step in steps if step.get("uses", "").startswith("actions/attest@")]
    names = [
        item[key] for item in inputs for key in ("subject-path", "sbom-path", "predicate-path") if key in item
    ]
    assert len(names) == 5
    for name in names:
        (file,) = ROOT.glob(name.replace("${{ needs.build.outputs.version }}", __version__))
        assert file.stat().st_size > 0
