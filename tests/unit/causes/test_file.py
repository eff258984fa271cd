"""Files of causes: the message for each invalid file."""

import json
from pathlib import Path

import pytest

from leakwatch.causes.file import StackPatternConfig, read_causes
from leakwatch.errors import ConfigError

FILES = Path(__file__).parents[2] / "cause_files"
EXPECTED: dict[str, str] = json.loads((FILES / "expected.json").read_text())


def test_every_invalid_file_has_a_message() -> None:
    """Each file in tests/cause_files has a message in expected.json."""
    assert {path.stem for path in FILES.glob("*.yml")} == EXPECTED.keys()


@pytest.mark.parametrize(("name", "message"), EXPECTED.items(), ids=EXPECTED)
def test_invalid_files(name: str, message: str) -> None:
    """The message for an invalid file has the file, the line, the key and what is valid."""
    path = FILES / f"{name}.yml"
    with pytest.raises(ConfigError) as caught:
        read_causes(path, {})
    assert str(caught.value).splitlines()[0] == message.replace("{f}", str(path))


def test_a_missing_file() -> None:
    """The message for a file that cannot be read names the file."""
    with pytest.raises(ConfigError, match=r"nowhere\.yml: No such file or directory"):
        read_causes(FILES / "nowhere.yml", {})


def test_one_pattern_is_a_list_of_one() -> None:
    """A function, a wait reason and a function to exclude may be given alone or as a list."""
    alone = StackPatternConfig.model_validate(
        {"functions": ["a.Function"], "wait": "select", "without": "b.Function"}
    )
    listed = StackPatternConfig.model_validate(
        {"functions": [["a.Function"]], "wait": ["select"], "without": ["b.Function"]}
    )
    assert alone.pattern() == listed.pattern()
