"""A check's outcome for machines: JSON, JUnit XML, commands of GitHub's workflows. Pure.

What comes from the service is escaped as each format needs it; control characters are escaped in all but JSON.
"""

import json
from collections.abc import Callable
from xml.etree import ElementTree as ET

from leakwatch.cli.check.result import WORDS, Outcome, TargetResult, conclusion
from leakwatch.leaks.leak_json import leak_json
from leakwatch.leaks.model import Leak
from leakwatch.profile.escape import escaped, printable

Place = Callable[[str], str]
"""File of a profile -> its path in the repository, "" where that is not known."""


def to_json(outcome: Outcome) -> str:
    """Return the outcome as one JSON object, times in unix seconds, spans in seconds."""
    answer = {
        "result": WORDS[outcome.status],
        "stopped": outcome.stopped,
        "for": outcome.terms.span,
        "interval": outcome.terms.interval,
        "block": outcome.terms.block,
        "smallest_per_hour": round(3600 * outcome.terms.smallest, 1),
        "targets": [_target(one) for one in outcome.checked],
        "leaks": [leak_json(leak) for leak in outcome.leaks],
        "suspects": [leak_json(leak) for leak in outcome.suspects],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def _target(one: TargetResult) -> dict[str, object]:
    return {
        "service": one.target.service,
        "target": one.target.name,
        "judged": not one.why,
        "why_not": one.why,
        "notes": list(one.notes),
        "scrapes": one.scrapes,
        "failed": one.failed,
        "restarts": one.restarts,
        "seconds": round(one.span, 3),
        "interval": one.interval,
        "block": one.block,
        "goroutines": one.goroutines,
    }


def to_junit(outcome: Outcome) -> str:
    """Return the outcome as JUnit XML: each leak a failure, each target that could not be judged an error."""
    cases: list[ET.Element] = []
    for one in outcome.checked:
        case = _case(one.name, one.target.service, one.span)
        if one.why:
            ET.SubElement(case, "error", message=printable(one.why), type="unknown").text = printable(one.why)
        cases.append(case)
    for leak in (*outcome.leaks, *outcome.suspects):
        case = _case(f"{leak.stack.blamed.function} ({leak.stack.fingerprint})", leak.service, 0.0)
        if leak in outcome.is_leaking:
            found = ET.SubElement(case, "failure", message=_headline(leak), type=leak.verdict.word)
            found.text = _details(leak)
        else:
            ET.SubElement(case, "skipped", message=_headline(leak))
        cases.append(case)
    count = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    numbers = {
        "tests": str(len(cases)),
        "failures": str(count["failure"]),
        "errors": str(count["error"]),
        "skipped": str(count["skipped"]),
        "time": f"{max((one.span for one in outcome.checked), default=0.0):.3f}",
    }
    suite = ET.Element("testsuite", {"name": "leakwatch check", **numbers})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = printable(conclusion(outcome))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(name: str, service: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", name=printable(name), classname=printable(service), time=f"{seconds:.3f}")


def to_github(outcome: Outcome, place: Place) -> str:
    """Return the outcome as commands that make annotations in a GitHub workflow, and nothing else."""
    lines = []
    for leak in (*outcome.leaks, *outcome.suspects):
        kind = "error" if leak in outcome.is_leaking else "warning"
        title = f"goroutine leak{'' if leak in outcome.leaks else ' suspected'} in {leak.stack.blamed.function}"
        lines.append(_command(kind, title, f"{_headline(leak)}\n{_details(leak)}", _where(leak, place)))
    lines += [_command("error", f"could not tell: {one.name}", printable(one.why)) for one in outcome.unknown]
    lines.append(_command("notice", "leakwatch check", printable(conclusion(outcome))))
    return "".join(lines)


def _where(leak: Leak, place: Place) -> dict[str, str]:
    """Return the place of the innermost of our frames that is a file of the repository."""
    for frame in (leak.stack.blamed, *leak.stack.frames):
        path = place(frame.file) if frame.file else ""
        if path:
            return {"file": path, "line": str(max(frame.line, 1))}
    return {}


def _command(kind: str, title: str, message: str, where: dict[str, str] | None = None) -> str:
    properties = {**(where or {}), "title": title}
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {said}::{_message(message)}\n"


def _message(text: str) -> str:
    """Return `text` as the runner decodes it; line ends are ours, since names have none."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return lines.replace("##[", "## [").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(printable(text)).replace(":", "%3A").replace(",", "%2C")


def _headline(leak: Leak) -> str:
    at = leak.stack.blamed
    wait = f", blocked in {leak.stack.wait}" if leak.stack.wait else ""
    return escaped(f"{leak.verdict.word}: {printable(at.function)}: {leak.reason}{wait}")


def _details(leak: Leak) -> str:
    about = [f"{leak.goroutines} goroutines in {leak.service}, stack {leak.stack.fingerprint}"]
    if leak.owner:
        about.append(f"owner {leak.owner}")
    if leak.source:
        about.append(leak.source)
    about += [f"with it grows {related.blamed.function}" for related in leak.related]
    for frame in leak.stack.frames:
        about.append(frame.function)
        if frame.file:
            about.append(f"    {frame.file}:{frame.line}")
    return "\n".join(printable(line) for line in about)
