"""The shipped catalogue, and its order."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from leakwatch.causes.catalogue import FOLDER, Catalogue, read, shipped
from leakwatch.causes.file import KINDS, CauseConfig, CauseFile, read_causes
from leakwatch.causes.matching import canonical
from leakwatch.causes.model import OWN_CODE, Cause, CountedStack, is_code
from leakwatch.errors import ConfigError
from leakwatch.model import Fingerprint, Frame, Stack
from leakwatch.settings.file import read_settings

FILES = sorted(FOLDER.glob("*.yml"))
CAUSES = {cause.id: cause for cause in shipped()}
LEAST = 90
"""Causes that the catalogue had when this test was written."""
UNWANTED = re.compile(r"\b(nobody|whose|tells?|says?|no more|mistakes?|looks? like|should)\b|(?<!there )\bis no\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_files_are_valid(path: Path) -> None:
    """The strict reader, which users' files pass through, accepts each file of the catalogue."""
    causes = read_causes(path, {})
    assert causes
    assert causes.keys() <= CAUSES.keys()


def test_shipped_ids_differ() -> None:
    """No two files have a cause with the same id."""
    assert len(CAUSES) == len(shipped()) == sum(len(read_causes(path, {})) for path in FILES) >= LEAST


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_shipped_texts(cause: Cause) -> None:
    """Each cause has a short title, an explanation, a fix in one sentence with code, calls, and references."""
    assert len(cause.title) <= 90
    assert not cause.title.endswith(".")
    assert cause.explanation.endswith(".")
    assert cause.fix.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", cause.fix)
    assert 1 <= len(cause.code.split("\n")) <= 7
    assert cause.look_for
    assert cause.references
    assert all(re.fullmatch(r"https://[^\s]+", url) for url in cause.references)
    assert all(fixed.reference.startswith("https://") for fixed in cause.fixed_in.values())
    texts = f"{cause.title} {cause.explanation} {cause.fix}"
    assert UNWANTED.search(texts) is None


@pytest.mark.parametrize(
    ("look_for", "code"),
    [
        ("http.NewRequest", True),
        ("make(chan T)", True),
        ("select {}", True),
        ("(*http.Client).Do", True),
        ("make(chan T) in the function that starts the closure", False),
        ("http.NewRequest without a context", False),
        ("generated client methods", False),
    ],
)
def test_code_and_words(look_for: str, *, code: bool) -> None:
    """Docs and pages set Go expressions as code, and descriptions as text."""
    assert is_code(look_for) is code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_patterns_are_canonical(path: Path) -> None:
    """A glob with a major version, type arguments or the number of a closure of Go could never match."""
    for pattern in patterns(path):
        name = pattern.replace("*", "ANY").replace("?", "1")
        assert canonical(name) == name


def patterns(path: Path) -> Iterator[str]:
    """Yield all globs of a file of causes."""
    for config in read_settings(path, CauseFile).causes:
        for pattern in (*config.match, *config.partners, *config.absent):
            for alternatives in (*pattern.functions, pattern.without):
                yield from (name for name in alternatives if name != OWN_CODE)


def stack(function: str) -> Stack:
    """Return a stack of one function that waits in a select."""
    frame = Frame(function)
    return Stack(fingerprint=Fingerprint(function), frames=(frame,), blamed=frame, origin=function, wait="select")


def explained(*functions: str) -> list[str]:
    """Return the ids of the shipped causes that match a leak, the most specific first."""
    stacks = [CountedStack(stack(function), 40) for function in functions]
    return [cause.id for cause in Catalogue().matches(stacks, lambda frame: frame.function.startswith("main."))]


def test_the_most_specific_cause_comes_first() -> None:
    """A library comes before what it is built on, and objects before calls before waits."""
    reader = "google.golang.org/grpc.(*ccBalancerWrapper).watcher"
    assert explained(reader, "cloud.google.com/go/pubsub.(*iterator).run") == [
        "google-cloud-client",
        "grpc-client-connection",
    ]
    assert explained("os/signal.NotifyContext.func1", "main.poll") == ["select-never-ends"]
    ranks = [cause.rank for cause in Catalogue().causes]
    assert ranks == sorted(ranks)
    kinds = [KINDS.index(cause.kind) for cause in Catalogue().causes if not cause.is_basis]
    assert all(first <= second for first, second in pairwise(kinds))


def test_goroutines_of_redis_clients() -> None:
    """Clients of go-redis 9 are recognised by the goroutine of their maintenance notifications."""
    loop = "github.com/redis/go-redis/v9/maintnotifications.(*CircuitBreakerManager).cleanupLoop"
    assert explained(loop) == ["redis-client-not-closed"]


def test_explain_returns_the_first_match() -> None:
    """`explain` returns the most specific cause, and None if none matches."""
    catalogue = Catalogue()
    leak = [CountedStack(stack("github.com/robfig/cron/v3.(*Cron).run"), 40)]
    assert catalogue.explain(leak, lambda _: False) is CAUSES["cron-not-stopped"]
    assert catalogue.explain([CountedStack(stack("example.com/a.Run"), 40)], lambda _: False) is None


OWN = """\
causes:
  - id: {id}
    kind: object
    title: Queues are opened and never closed
    explanation: Each queue has a goroutine.
    fix: Close each queue.
    match:
      - functions: [example.com/queue.(*Queue).run]
"""


def test_own_files_are_added(tmp_path: Path) -> None:
    """The causes of own files match beside the shipped ones, and alone without them."""
    path = tmp_path / "own.yml"
    path.write_text(OWN.format(id="queue-not-closed"))
    leak = [CountedStack(stack("example.com/queue.(*Queue).run"), 40)]
    catalogue = read([path])
    cause = catalogue.explain(leak, lambda _: False)
    assert cause is not None
    assert cause.id == "queue-not-closed"
    assert len(catalogue.causes) == len(CAUSES) + 1
    assert list(Catalogue((cause,), with_shipped=False).causes) == [cause]


def test_an_id_is_unique_across_files(tmp_path: Path) -> None:
    """An id that a shipped cause or an earlier file has is an error, with file and line."""
    first, second = tmp_path / "a.yml", tmp_path / "b.yml"
    first.write_text(OWN.format(id="queue-not-closed"))
    second.write_text(OWN.format(id="queue-not-closed"))
    with pytest.raises(ConfigError, match=rf"b\.yml:2: id 'queue-not-closed' is already in {first}"):
        read([first, second])
    second.write_text(OWN.format(id="cron-not-stopped"))
    with pytest.raises(ConfigError, match=r"b\.yml:2: id 'cron-not-stopped' is already in the catalogue"):
        read([second])


def test_a_cause_is_made_from_its_configuration() -> None:
    """White space of texts is joined, code keeps its lines."""
    cause = CauseConfig.model_validate(
        {
            "id": "a", "kind": "wait", "title": "A", "explanation": "b\n c", "fix": "d\ne", "code": "f\ng\n",
            "match": [{"functions": [OWN_CODE], "wait": "select"}],
            "fixed_in": {"example.com/a": {"version": "v1.2.3"}},
        }
    ).cause()  # fmt: skip
    assert (cause.explanation, cause.fix, cause.code) == ("b c", "d e", "f\ng")
    assert cause.fixed_in["example.com/a"].version == "v1.2.3"
