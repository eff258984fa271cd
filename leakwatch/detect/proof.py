"""What the runtime's own proof changes in the verdicts of one target. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from leakwatch.detect.columns import FLOOR
from leakwatch.detect.detector import Case, Detector, onset
from leakwatch.detect.series import Series
from leakwatch.detect.trend import growth_since, recent
from leakwatch.model import Fingerprint, Verdict

WINDOW: Final = "proof"


def confirm(
    detector: Detector[Series],
    series: Series,
    proven: Mapping[Fingerprint, int],
    more: Collection[Fingerprint] = (),
) -> None:
    """Call leaking what is suspected and `proven`, and all of which `more` were proven than before.

    What was proven once and does not grow may be a goroutine that was lost when the program began.
    """
    for key in more:
        if key not in detector.cases and key in series.rows and series.blocks.scrapes.any():
            detector.cases[key] = _case(series, series.rows[key])
    for key, case in detector.cases.items():
        if case.verdict is Verdict.SUSPECTED and proven.get(key):
            case.verdict, case.verdict_block = Verdict.LEAKING, series.closed


def _case(series: Series, row: int) -> Case:
    began, floor = onset(series, row)
    case = Case(WINDOW, began=began, onset=began, onset_floor=floor)
    case.growth = case.grew = growth_since(*recent(series, row), began)
    case.floor = case.peak = float(series.blocks.values[FLOOR, row, -1])
    case.peak_block = series.closed
    return case
