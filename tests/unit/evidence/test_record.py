"""The record of a stored body."""

import pytest
from pydantic import ValidationError

from leakwatch.evidence.record import Record
from leakwatch.model import Verdict
from tests.support.kept_bodies import STACK, record


def test_the_importance_is_that_of_the_worst_leak() -> None:
    """The verdict counts before the growth; a body without leaks has the lowest importance."""
    suspected = record(verdict=Verdict.SUSPECTED, growth=900)
    leaking = record(verdict=Verdict.LEAKING, growth=60)
    both = suspected.model_copy(update={"leaks": suspected.leaks + leaking.leaks})
    without = record().model_copy(update={"leaks": ()})
    assert without.importance < suspected.importance < leaking.importance
    assert both.importance == leaking.importance


def test_a_body_without_the_kind_last() -> None:
    """Another kind stays; a body without another kind has no record left."""
    rest = record(kinds=("leaking", "last")).without_last()
    assert rest is not None
    assert rest.kinds == ("leaking",)
    assert record(kinds=("last",)).without_last() is None


def test_the_verdict_of_a_leak_is_updated() -> None:
    """Only the named stack changes; without a change the record is the same object."""
    before = record(verdict=Verdict.SUSPECTED, growth=10)
    (leak,) = before.with_verdict(STACK, Verdict.LEAKING, 20).leaks
    assert (leak.verdict, leak.growth_per_hour) == ("leaking", 20)
    assert before.with_verdict(STACK, Verdict.SUSPECTED, 10) is before
    assert before.with_verdict("f" * 16, Verdict.LEAKING, 20) is before


def test_a_repeated_kind_is_invalid() -> None:
    """Fields of later versions are ignored, and a repeated kind is an error."""
    document = record().model_dump(mode="json") | {"later": 1}
    assert Record.model_validate(document) == record()
    with pytest.raises(ValidationError, match="a kind is repeated"):
        Record.model_validate(document | {"kinds": ["last", "last"]})
