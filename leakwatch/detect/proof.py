"""Changes the judgements of one target by the proof of Go's runtime. Pure."""

from collections.abc import Collection, Mapping

from leakwatch.detect.case import Case, onset_of
from leakwatch.detect.columns import FLOOR
from leakwatch.detect.detector import Detector
from leakwatch.detect.history import History
from leakwatch.detect.trend import block_points, growth_since
from leakwatch.model import Fingerprint, Verdict


def confirm(
    detector: Detector[History],
    history: History,
    proven: Mapping[Fingerprint, int],
    more: Collection[Fingerprint] = (),
) -> None:
    """Confirm the suspected stacks that are `proven`, and all stacks in `more`: with more proven than before.

    A constant number of proven goroutines is not a leak: they may have leaked when the program started.
    """
    for key in more:
        if key not in detector.cases and key in history.rows and history.blocks.scrapes.any():
            detector.cases[key] = _case(history, history.rows[key])
    for key, case in detector.cases.items():
        if case.verdict is Verdict.SUSPECTED and proven.get(key):
            case.verdict, case.verdict_block = Verdict.LEAKING, history.closed


def _case(history: History, row: int) -> Case:
    onset, floor = onset_of(history, row)
    growth = growth_since(*block_points(history, row), onset)
    newest_floor = float(history.blocks.values[FLOOR, row, -1])
    return Case(
        window=None,
        first_onset=onset,
        onset=onset,
        onset_floor=floor,
        growth=growth,
        last_growth=growth,
        floor=newest_floor,
        peak=newest_floor,
        peak_block=history.closed,
    )
