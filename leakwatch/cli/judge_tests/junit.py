"""Results of judge tests as JUnit XML. Pure."""

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from leakwatch.cli.check.formats import junit_text
from leakwatch.cli.judge_tests.result import JudgeOutcome, failure_lines
from leakwatch.profile.escape import printable


def to_junit(outcomes: Mapping[str, Sequence[JudgeOutcome]]) -> str:
    """Return the results as JUnit XML: a suite for each file, a case for each test; `outcomes`: by file."""
    return junit_text(_suite(printable(file), of_file) for file, of_file in outcomes.items())


def _suite(name: str, outcomes: Sequence[JudgeOutcome]) -> ET.Element:
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    suite = ET.Element("testsuite", name=name, tests=str(len(outcomes)), failures=str(failed), errors="0")
    for outcome in outcomes:
        case = ET.SubElement(suite, "testcase", name=printable(outcome.name), classname=name)
        if outcome.failures:
            first = outcome.failures[0]
            failure = ET.SubElement(case, "failure", message=f"{first.expected}; got {first.got}", type="verdict")
            failure.text = "\n".join(line for failed in outcome.failures for line in failure_lines(failed))
    return suite
