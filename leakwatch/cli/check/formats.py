"""Outcome of a check for programs: JSON, JUnit XML, and workflow commands of GitHub. Pure.

Text from services is escaped as each format needs it. All formats but JSON also escape control characters.
"""

from collections.abc import Callable
from xml.etree import ElementTree as ET

from leakwatch.cli.check.result import WORDS, Outcome, TargetResult, conclusion
from leakwatch.cli.terminal import json_text
from leakwatch.leaks.leak_json import leak_json
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import (
    caller_sentence,
    cause_sentence,
    file_and_line,
    fix_text,
    headline,
    holder_sentence,
    related_line,
)
from leakwatch.profile.escape import escaped, printable

RepositoryPath = Callable[[str], str]
"""File of a frame -> its path in the repository, "" if it is not there."""


def to_json(outcome: Outcome) -> str:
    """Return the outcome as one JSON object; times in unix seconds, durations in seconds."""
    document = {
        "result": WORDS[outcome.status],
        "stopped": outcome.stopped,
        "for": outcome.plan.span,
        "interval": outcome.plan.interval,
        "block": outcome.plan.block,
        "smallest_per_hour": round(3600 * outcome.plan.slowest_rate, 1),
        "targets": [_target(target) for target in outcome.targets],
        "leaks": [leak_json(leak) for leak in outcome.leaks],
        "suspects": [leak_json(leak) for leak in outcome.suspects],
    }
    return json_text(document)


def _target(result: TargetResult) -> dict[str, object]:
    return {
        "service": result.target.service,
        "target": result.target.name,
        "judged": not result.why_unjudged,
        "why_not": result.why_unjudged,
        "notes": list(result.notes),
        "scrapes": result.scrapes,
        "failed": result.failed,
        "restarts": result.restarts,
        "seconds": round(result.span, 3),
        "interval": result.interval,
        "block": result.block,
        "goroutines": result.goroutines,
    }


def to_junit(outcome: Outcome) -> str:
    """Return the outcome as JUnit XML: a failure for each leak, an error for each target that was not judged."""
    cases = [_target_case(result) for result in outcome.targets]
    cases += [_leak_case(leak, fails=leak in outcome.failures) for leak in (*outcome.leaks, *outcome.suspects)]
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    numbers = {
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": f"{max((result.span for result in outcome.targets), default=0.0):.3f}",
    }
    suite = ET.Element("testsuite", {"name": "leakwatch check", **numbers})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = printable(conclusion(outcome))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _target_case(result: TargetResult) -> ET.Element:
    case = _case(result.name, result.target.service, result.span)
    if result.why_unjudged:
        reason = printable(result.why_unjudged)
        ET.SubElement(case, "error", message=reason, type="unknown").text = reason
    return case


def _leak_case(leak: Leak, *, fails: bool) -> ET.Element:
    case = _case(f"{leak.stack.blamed.function} ({leak.stack.fingerprint})", leak.service, 0.0)
    if fails:
        failure = ET.SubElement(case, "failure", message=_headline(leak), type=leak.verdict.word)
        failure.text = _details(leak)
    else:
        ET.SubElement(case, "skipped", message=_headline(leak))
    return case


def _case(name: str, service: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", name=printable(name), classname=printable(service), time=f"{seconds:.3f}")


def to_github(outcome: Outcome, repository_path: RepositoryPath) -> str:
    """Return the outcome as workflow commands of GitHub, which make annotations."""
    lines = []
    for leak in (*outcome.leaks, *outcome.suspects):
        kind = "error" if leak in outcome.failures else "warning"
        title = f"goroutine leak{'' if leak in outcome.leaks else ' suspected'} in {leak.stack.blamed.function}"
        position = _position(leak, repository_path)
        lines.append(_command(kind, title, f"{_headline(leak)}\n{_details(leak)}", position))
    lines += [
        _command("error", f"not judged: {result.name}", printable(result.why_unjudged))
        for result in outcome.unjudged
    ]
    lines.append(_command("notice", "leakwatch check", printable(conclusion(outcome))))
    return "".join(lines)


def _position(leak: Leak, repository_path: RepositoryPath) -> dict[str, str]:
    """Return file and line of the blamed frame, or of the innermost frame, that lies in the repository."""
    for frame in (leak.stack.blamed, *leak.stack.frames):
        path = repository_path(frame.file) if frame.file else ""
        if path:
            return {"file": path, "line": str(max(frame.line, 1))}
    return {}


def _command(kind: str, title: str, message: str, position: dict[str, str] | None = None) -> str:
    properties = {**(position or {}), "title": title}
    encoded = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {encoded}::{_message(message)}\n"


def _message(text: str) -> str:
    """Return `text` in the encoding of the runner. Line ends are leakwatch's own; those in names are escaped."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return lines.replace("##[", "## [").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(printable(text)).replace(":", "%3A").replace(",", "%2C")


def _headline(leak: Leak) -> str:
    return escaped(headline(leak))


def _details(leak: Leak) -> str:
    lines = [f"{leak.goroutines} goroutines in {leak.service}, stack {leak.stack.fingerprint}"]
    if leak.owner:
        lines.append(f"owner {leak.owner}")
    if leak.source:
        lines.append(leak.source)
    if leak.cause:
        lines += [cause_sentence(leak), leak.cause.explanation, *f"Fix: {fix_text(leak)}".split("\n")]
    lines += list(filter(None, [caller_sentence(leak), holder_sentence(leak)]))
    lines += [f"related: {related_line(related)}" for related in leak.related]
    for frame in leak.stack.frames:
        lines.append(frame.function)
        if frame.file:
            lines.append(f"    {file_and_line(frame)}")
    return "\n".join(printable(line) for line in lines)
