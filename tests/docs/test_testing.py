"""The examples in docs/testing.md succeed, and fail as shown."""

import re
from pathlib import Path

from leakwatch.cli.judge_tests.file import ExpectationConfig, JudgeTest
from tests.support.commands import run_command

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
OUTPUTS = re.findall(r"```console\n\$ leakwatch test (\S+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_succeed(tmp_path: Path) -> None:
    """Each file of tests on the page succeeds, with the configuration file on the page."""
    files = [block for block in BLOCKS if "tests:" in block]
    (config,) = [block for block in BLOCKS if block not in files]
    (tmp_path / "leakwatch.yml").write_text(config)
    assert len(files) == 5
    paths = [tmp_path / f"{number}.yml" for number in range(len(files))]
    for path, text in zip(paths, files, strict=True):
        path.write_text(text)
    completed = run_command("test", *paths)
    assert completed.returncode == 0, (completed.stdout + completed.stderr).decode()


def test_the_outputs(tmp_path: Path) -> None:
    """The page shows the output of its first example, and of a test that fails."""
    texts = {"leak.yml": BLOCKS[0], "early.yml": BLOCKS[0].replace("at: 5h", "at: 4h")}
    assert [name for name, _ in OUTPUTS] == [*texts]
    for name, shown in OUTPUTS:
        (tmp_path / name).write_text(texts[name])
        output = run_command("test", tmp_path / name).stdout.decode()
        assert output.replace(f"{tmp_path}/", "") == shown


def test_every_key_is_documented() -> None:
    """The page names each key of tests and of expectations."""
    for model in (JudgeTest, ExpectationConfig):
        for name, field in model.model_fields.items():
            assert re.search(rf"`{field.alias or name}\b", PAGE), name
