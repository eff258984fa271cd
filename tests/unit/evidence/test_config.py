"""The configuration of the evidence."""

from leakwatch.evidence.config import RedactConfig
from leakwatch.profile.redact import Redaction


def test_redaction_of_all_some_or_no_data() -> None:
    """`true` matches everything, `false` and an empty list match nothing, globs match keys."""
    everything = RedactConfig().redaction()
    nothing = RedactConfig.model_validate({"labels": False, "arguments": []}).redaction()
    some = RedactConfig(labels=("user*", "a.b")).redaction()
    assert everything.labels is not None
    assert everything.labels.fullmatch("any\nthing")
    assert nothing == Redaction(None, None)
    assert some.labels is not None
    matches = {key: bool(some.labels.fullmatch(key)) for key in ("user_id", "a.b", "axb", "xuser")}
    assert matches == {"user_id": True, "a.b": True, "axb": False, "xuser": False}
