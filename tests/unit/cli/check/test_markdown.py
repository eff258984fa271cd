"""Outcome of a check as Markdown, rendered as GitHub renders it."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from leakwatch.cli.check.markdown import DETAILED, to_markdown
from tests.support.leaking import leak
from tests.unit.cli.check.test_regressions import CHECK
from tests.unit.cli.check.test_result import CLEAN, HOSTILE, JUDGED, LEAKING

RENDERER = MarkdownIt("commonmark").enable("table")


def test_a_leak() -> None:
    """The summary has the result, a table of the targets, and the stack of each leak in a folded block."""
    page = RENDERER.render(to_markdown(LEAKING))
    assert "<h3>leakwatch check: leaking</h3>" in page
    assert page.count("<tr>") == 3
    assert "<strong>fails: 1 leak</strong>" in page
    assert "not judged: down: &lt;&amp;&gt;%" in page
    assert page.count("<details><summary>") == 2
    assert "    /src/pipeline.go:42" in page
    assert "<td>no leak</td>" in RENDERER.render(to_markdown(CLEAN))


def test_names_are_not_markup() -> None:
    """Markup in names of functions and services is shown as it is, and does not end the table or the block."""
    names = (HOSTILE, "main.</pre></details><b>", "main.`*_[x](y)|z", "main.\n\n# heading")
    for name in names:
        target = replace(JUDGED, target=replace(JUDGED.target, service="a|b<i>`*c*"))
        outcome = replace(CLEAN, targets=[target], leaks=[leak(function=name, owner="</pre>")])
        page = RENDERER.render(to_markdown(outcome))
        assert not any(tag in page for tag in ("<b>", "<i>", "<script>", "<em>", "<a ", "<h1>", "<code>"))
        assert page.count("</pre></details>") == 1
        assert page.count("<td>") + page.count("<td ") == 4


def test_regressions() -> None:
    """A regression has a section with its comparison."""
    page = RENDERER.render(to_markdown(CHECK))
    assert "grows more: from 3 to 52" in page
    assert "<strong>fails: 2 leaks</strong>" in page


@pytest.mark.parametrize("number", [DETAILED, DETAILED + 3])
def test_many_leaks(number: int) -> None:
    """Leaks beyond a limit are counted."""
    leaks = [leak(function=f"main.f{index}") for index in range(number)]
    text = to_markdown(replace(CLEAN, leaks=leaks))
    assert text.count("<details>") == DETAILED
    assert text.endswith("\n3 more are not listed.\n") == (number > DETAILED)
