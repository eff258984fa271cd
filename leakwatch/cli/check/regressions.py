"""Comparison of the checked targets with a baseline: which leaks and stacks fail the check. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.detect.comparison import ComparedGrowth, Comparison, compare
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import format_figure, format_growth, per_hour
from leakwatch.model import Fingerprint, Target, Verdict
from leakwatch.settings.units import format_duration

HARMLESS: Final = {ComparedGrowth.BOTH, ComparedGrowth.BELOW}
"""Growth that the new build did not cause."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A stack or site of a target that grows more than on the baseline."""

    target: Target
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """The growth of all stacks and sites of the checked targets, compared with the baseline."""

    baseline: Target
    by_target: Mapping[Target, Mapping[Fingerprint, Comparison]]

    def of(self, leak: Leak) -> Mapping[Target, Comparison | None]:
        """Return the comparison of a leak on each of its targets, None where it did not grow enough to compare."""
        return {
            target: comparisons.get(leak.stack.fingerprint)
            for target, comparisons in self.by_target.items()
            if target.service == leak.service and target.name in leak.targets
        }

    def fails(self, leak: Leak, *, strict: bool) -> bool:
        """Return whether a leak is a regression; `strict`: whether a suspicion without a comparison is."""
        results = [each.result if each else ComparedGrowth.UNCLEAR for each in self.of(leak).values()]
        if strict or leak.verdict >= Verdict.LEAKING:
            return not results or any(result not in HARMLESS for result in results)
        return ComparedGrowth.MORE in results

    def regressions(self, leaks: Iterable[Leak]) -> list[Regression]:
        """Return the regressions that do not belong to one of `leaks`, the fastest first.

        A site is listed only if none of its stacks is.
        """
        of_leaks = {
            (leak.service, stack.fingerprint)
            for leak in leaks
            for stack in (leak.stack, *(related.stack for related in leak.related))
        }
        sites_of_leaks = {(leak.service, leak.stack.blamed.function) for leak in leaks}
        regressions = []
        for target, comparisons in self.by_target.items():
            more = [each for each in comparisons.values() if each.result is ComparedGrowth.MORE]
            functions = {each.stack.blamed.function for each in more if not each.stack.site}
            regressions += [
                Regression(target, each)
                for each in more
                if (target.service, each.stack.fingerprint) not in of_leaks
                and (target.service, each.stack.blamed.function) not in sites_of_leaks
                and not (each.stack.site and each.stack.blamed.function in functions)
            ]
        return sorted(regressions, key=lambda each: -each.comparison.growth.rate)


def compare_with(baseline: TargetState, states: Iterable[TargetState]) -> BaselineComparison:
    """Return the comparison of `states` with the baseline."""
    return BaselineComparison(
        baseline.target,
        {
            state.target: {
                **compare(state.sites, baseline.sites),
                **compare(state.history, baseline.history),
            }
            for state in states
        },
    )


def comparison_sentences(leak: Leak, comparison: BaselineComparison | None) -> list[str]:
    """Return a sentence for each target of a leak that was compared with the baseline."""
    if comparison is None:
        return []
    return [comparison_sentence(target, each) for target, each in comparison.of(leak).items() if each]


def comparison_sentence(target: Target, comparison: Comparison) -> str:
    """Return how a stack grew on a target and on the baseline.

    "grows more: from 3 to 52 in 10m on a:6060, +5.1/min (4.2 to 6); from 4 to 4 on the baseline, +0/min (0 to 1)"
    """
    new, old = (
        f"from {format_figure(first)} to {format_figure(last)}"
        for first, last in (comparison.counts, comparison.baseline_counts)
    )
    return (
        f"{comparison.result}: {new} in {format_duration(comparison.span)} on {target.name},"
        f" {format_growth(comparison.growth, 'min')}; {old} on the baseline,"
        f" {format_growth(comparison.baseline_growth, 'min')}"
    )


def comparison_json(target: Target, comparison: Comparison) -> dict[str, object]:
    """Return a comparison as `check` prints it; counts of the first and the last quarter of the check."""
    return {
        "target": target.name,
        "result": comparison.result.value,
        "seconds": comparison.span,
        "goroutines": [round(count, 1) for count in comparison.counts],
        "growth_per_hour": per_hour(comparison.growth.rate),
        "baseline_goroutines": [round(count, 1) for count in comparison.baseline_counts],
        "baseline_growth_per_hour": per_hour(comparison.baseline_growth.rate),
    }
