"""The stored inputs of the fuzzer: short examples, and inputs that once failed."""

import pytest

from tests.fuzz.targets import TARGETS, check, check_memory, corpus

CORPUS = [(name, path) for name in TARGETS for path in corpus(name)]
INPUTS = [pytest.param(name, path.read_bytes(), id=f"{name}/{path.name}") for name, path in CORPUS]
MAX_SIZE = 400_000  # bytes


@pytest.mark.parametrize(("name", "data"), INPUTS)
def test_a_stored_input(name: str, data: bytes) -> None:
    """The input gives a result or one of leakwatch's own errors, within bounded CPU time and memory."""
    check(name, data)
    check_memory(name, data)


def test_the_corpus_stays_small() -> None:
    """The corpus is not a load for the repository."""
    assert sum(path.stat().st_size for _, path in CORPUS) < MAX_SIZE
