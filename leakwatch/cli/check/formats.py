"""Outcome of a check for programs: JSON, JUnit XML, and workflow commands of GitHub. Pure.

Text from services is escaped as each format needs it. All formats but JSON also escape control characters.
"""

from collections.abc import Callable, Iterable
from xml.etree import ElementTree as ET

from leakwatch.cli.check.regressions import (
    BaselineComparison,
    Regression,
    comparison_json,
    comparison_sentence,
    comparison_sentences,
)
from leakwatch.cli.check.result import ENDED_EARLY, UNIT, Outcome, TargetResult, conclusion, missing_dump
from leakwatch.cli.terminal import json_text
from leakwatch.leaks.leak_json import leak_json
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import (
    caller_sentence,
    cause_sentence,
    creator_sentence,
    file_and_line,
    fix_text,
    headline,
    holder_sentence,
    related_line,
    waiting_sentence,
)
from leakwatch.model import Stack
from leakwatch.profile.escape import escaped, printable
from leakwatch.profile.grouping import stack_fields, stack_json

RepositoryPath = Callable[[str], str]
"""File of a frame -> its path in the repository, "" if it is not there."""


def to_json(outcome: Outcome) -> str:
    """Return the outcome as one JSON object; times in unix seconds, durations in seconds."""
    document = {
        "result": outcome.word,
        "stopped": outcome.stopped,
        "ended_early": outcome.ended_early,
        "for": outcome.plan.span,
        "interval": outcome.plan.interval,
        "block": outcome.plan.block,
        "smallest_per_hour": round(3600 * outcome.plan.slowest_rate, 1),
        "targets": [_target(target) for target in outcome.targets],
        "leaks": [_leak(leak, outcome) for leak in outcome.leaks],
        "suspects": [_leak(leak, outcome) for leak in outcome.suspects],
        **({} if outcome.comparison is None else _comparison(outcome, outcome.comparison)),
    }
    return json_text(document)


def _leak(leak: Leak, outcome: Outcome) -> dict[str, object]:
    document = {**leak_json(leak), **_creators(leak)}
    if outcome.comparison is None:
        return document
    comparisons = outcome.comparison.of(leak).items()
    return {
        **document,
        "regression": leak in outcome.failures,
        "comparisons": [comparison_json(target, each) for target, each in comparisons if each],
    }


def _creators(leak: Leak) -> dict[str, object]:
    """Return who created the goroutines in the full dump, the most frequent first."""
    if leak.findings.waiting is None:
        return {}
    creators = leak.findings.waiting.creators.items()
    return {
        "creators": [
            {"function": frame.function, "file": frame.file, "line": frame.line, "goroutines": goroutines}
            for frame, goroutines in creators
        ]
    }


def _comparison(outcome: Outcome, comparison: BaselineComparison) -> dict[str, object]:
    return {
        "baseline": comparison.baseline.name,
        "regressions": [
            {
                "service": each.target.service,
                **stack_fields(each.comparison.stack),
                **stack_json(each.comparison.stack),
                **comparison_json(each.target, each.comparison),
            }
            for each in outcome.regressions
        ],
    }


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
    """Return the outcome as JUnit XML: a case for each target, which fails if the target leaks.

    A target that was not judged is an error. A leak or suspicion that does not fail the check is a skipped case.
    """
    failures = outcome.failures
    cases = [_target_case(result, outcome) for result in outcome.targets]
    cases += [_skipped_case(leak) for leak in (*outcome.leaks, *outcome.suspects) if leak not in failures]
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
    return junit_text([suite])


def junit_text(suites: Iterable[ET.Element]) -> str:
    """Return test suites as the text of a JUnit file."""
    root = ET.Element("testsuites")
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _target_case(result: TargetResult, outcome: Outcome) -> ET.Element:
    case = _case(result.name, result.target.service, result.span)
    leaks, regressions = outcome.failures_on(result), outcome.regressions_on(result)
    sentences = [_headline(leak) for leak in leaks] + [_sentence(regression) for regression in regressions]
    if sentences:
        kind = leaks[0].verdict.word if leaks else "regression"
        bodies = [details(leak, outcome.comparison) for leak in leaks]
        bodies += ["\n".join(frame_texts(regression.comparison.stack)) for regression in regressions]
        sections = [f"{sentence}\n{body}" for sentence, body in zip(sentences, bodies, strict=True)]
        sections += [f"not judged: {printable(result.why_unjudged)}"] if result.why_unjudged else []
        ET.SubElement(case, "failure", message="; ".join(sentences), type=kind).text = "\n\n".join(sections)
    elif result.why_unjudged:
        reason = printable(result.why_unjudged)
        if result.why_unjudged == ENDED_EARLY:
            ET.SubElement(case, "skipped", message=reason)
        else:
            ET.SubElement(case, "error", message=reason, type="unknown").text = reason
    return case


def _skipped_case(leak: Leak) -> ET.Element:
    case = _case(f"{leak.stack.blamed.function} ({leak.stack.fingerprint})", leak.service, 0.0)
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
        position = _position(leak.stack, repository_path)
        message = f"{_headline(leak)}\n{details(leak, outcome.comparison)}"
        lines.append(_command(kind, title, message, position))
    for regression in outcome.regressions:
        stack = regression.comparison.stack
        message = "\n".join([_sentence(regression), *frame_texts(stack)])
        title = f"goroutine regression in {stack.blamed.function}"
        lines.append(_command("error", title, message, _position(stack, repository_path)))
    lines += [
        _command("error", f"not judged: {result.name}", printable(result.why_unjudged))
        for result in outcome.unjudged
        if result.why_unjudged != ENDED_EARLY
    ]
    lines.append(_command("notice", "leakwatch check", printable(conclusion(outcome))))
    return "".join(lines)


def _position(stack: Stack, repository_path: RepositoryPath) -> dict[str, str]:
    """Return file and line of the blamed frame, or of the innermost frame, that lies in the repository."""
    for frame in (stack.blamed, *stack.frames):
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


def _sentence(regression: Regression) -> str:
    return printable(comparison_sentence(regression.target, regression.comparison))


def details(leak: Leak, comparison: BaselineComparison | None) -> str:
    """Return the facts about a leak and its stack, on several lines, escaped."""
    lines = [f"{leak.goroutines} goroutines in {leak.service}, stack {leak.stack.fingerprint}"]
    if leak.severity:
        lines.append(f"severity {leak.severity}")
    if leak.owner:
        lines.append(f"owner {leak.owner}")
    if leak.source:
        lines.append(leak.source)
    if leak.cause:
        lines += [cause_sentence(leak), leak.cause.explanation, *f"Fix: {fix_text(leak)}".split("\n")]
    lines += comparison_sentences(leak, comparison)
    findings = leak.findings
    created = (waiting_sentence(findings), creator_sentence(findings)) if findings.waiting else ()
    lines += list(filter(None, [*created, missing_dump(leak), caller_sentence(leak), holder_sentence(leak)]))
    lines += [f"related: {related_line(related, UNIT)}" for related in leak.related]
    return "\n".join([*(printable(line) for line in lines), *frame_texts(leak.stack)])


def frame_texts(stack: Stack) -> list[str]:
    """Return the frames of a stack, with positions on further lines, escaped."""
    lines = []
    for frame in stack.frames:
        lines.append(frame.function)
        if frame.file:
            lines.append(f"    {file_and_line(frame)}")
    return [printable(line) for line in lines]
