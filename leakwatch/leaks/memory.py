"""What a leak costs in memory, and how long until a limit is reached. Pure.

A goroutine holds a stack, 2 KiB at least, and often heap that no stack shows: a buffer, a connection, a request.
Stacks are known from the process's own metrics, together; heap only by its trace in resident memory: how much of
that comes with each goroutine more. Both are straight lines through several looks at one process, so what load
holds, which comes and goes, is not taken for the leak's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.leaks.model import Estimate, Limit
from leakwatch.leaks.wording import AVERAGE_STACK, HEAP, LEAST_STACK, STACKS
from leakwatch.model import Fingerprint, Growth

LEAST: Final = 2048.0  # bytes: Go starts no goroutine with a smaller stack
FEWEST: Final = 5  # looks that a line is drawn through
MOST: Final = 48  # looks that are kept
LEAKS: Final = 100  # of a target that are known
SPAN: Final = 10  # goroutines that the leak must have gained between them
CLEAR: Final = 0.5  # of the slope may its band be wide, to either side
GARBAGE: Final = 2.0  # of the heap, what is live: Go lets it double (GOGC) until memory is short
STEP: Final = 0.9  # correlation from which on the rest grows in step with the leak
Z_90: Final = 1.2816  # of the normal distribution

UNKNOWN_STACK: Final = Estimate(LEAST, LEAST, LEAST)

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Usage:
    """What memory a process uses, in bytes; None where nobody tells.

    `stacks`: of all its goroutines; `limit` of its memory, of which `used` are gone, by it and by others under the
    same limit.
    """

    stacks: float | None = None
    resident: float | None = None
    limit: float | None = None
    used: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a process: its goroutines, and how many of them each leak holds."""

    usage: Usage
    goroutines: int
    held: Mapping[Fingerprint, int]


@dataclass(frozen=True, slots=True)
class Each:
    """What one goroutine of a leak takes, as in Memory; `known`: of this program, not of any."""

    stack: Estimate = UNKNOWN_STACK
    resident: Estimate | None = None
    source: str = LEAST_STACK
    known: bool = False


ANY: Final = Each()


class Looks:
    """Looks at one target, and what they say of each leak."""

    def __init__(self) -> None:
        self.kept: list[Look] = []
        """Of the process that runs now, oldest first: as far apart as it takes to keep few of all its life."""
        self.missing = ""
        """Why the process does not tell what memory it uses."""
        self._known: dict[Fingerprint, Each] = {}

    def restart(self) -> None:
        """Begin a new process of the same program: what a goroutine takes stays."""
        self.kept = []

    def add(self, look: Look) -> None:
        """Take in one more."""
        if len(self.kept) >= MOST:
            self.kept = self.kept[::2]
        self.kept.append(look)
        for leak in look.held:
            each, old = self._each(leak), self._known.pop(leak, None)
            self._known[leak] = old if old and old.resident and not each.resident else each
        for leak in list(self._known)[:-LEAKS]:
            del self._known[leak]

    def each(self, leak: Fingerprint) -> Each:
        """Return what one goroutine of a leak takes."""
        found = self._known.get(leak)
        if found and found.known:
            return found
        return Each(source=f"{LEAST_STACK}: {self.missing}") if self.missing else ANY

    def _each(self, leak: Fingerprint) -> Each:
        stack, average = self._slope(leak, [look.usage.stacks for look in self.kept]), self._average()
        resident = self._slope(leak, [look.usage.resident for look in self.kept])
        if not (resident or stack or average):
            return Each()
        source = HEAP if resident else STACKS if stack else AVERAGE_STACK
        stack = _at_least(stack or average or UNKNOWN_STACK, LEAST)
        return Each(stack, resident and _at_least(resident, stack.low), source, known=True)

    def _average(self) -> Estimate | None:
        """Return the stack of an average goroutine; one of the leak may be as small as any."""
        last = next((look for look in reversed(self.kept) if look.usage.stacks is not None), None)
        if last is None or last.usage.stacks is None:
            return None
        average = max(last.usage.stacks / max(last.goroutines, 1), LEAST)
        return Estimate(average, LEAST, average)

    def _slope(self, leak: Fingerprint, values: Sequence[float | None]) -> Estimate | None:
        """Return how much of a value comes with each goroutine of a leak, None where that is not clear."""
        known = [
            (look.held[leak], look.goroutines - look.held[leak], value)
            for look, value in zip(self.kept, values, strict=True)
            if value is not None and leak in look.held
        ]
        if len(known) < FEWEST:
            return None
        own, rest, value = np.array(known, dtype=np.float64).T
        return slope(own, rest, value) if np.ptp(own) >= SPAN else None


def slope(own: Points, rest: Points, values: Points) -> Estimate | None:
    """Return how much of `values` comes with each goroutine of a leak, with its band; None where it is not clear.

    `own`: the leak's goroutines, which must change; `rest`: the others, which hold memory too. Where both grow in
    step nobody can tell their shares apart: all then count as the leak's.
    """
    own, rest, values = own - own.mean(), rest - rest.mean(), values - values.mean()
    both = float(own @ rest)
    step = both / float(np.sqrt((own @ own) * (rest @ rest))) if rest.any() else 0.0
    if step < -STEP:
        return None  # what comes with the leak and what goes with the rest are one
    if step > STEP:
        own, rest, both = own + rest, np.zeros_like(rest), 0.0
    # Least squares of one or two columns, by hand: there may be a hundred leaks.
    alone, others = float(own @ own), float(rest @ rest) or 1.0
    spread = alone * others - both**2
    found = (others * float(own @ values) - both * float(rest @ values)) / spread
    aside = (alone * float(rest @ values) - both * float(own @ values)) / spread
    free = len(values) - 2 - int(rest.any())
    error = float(((values - found * own - aside * rest) ** 2).sum()) / free
    band = (Z_90 + 1 / free) * float(np.sqrt(error * others / spread))  # Student's quantile, nearly
    return Estimate(found, found - band, found + band) if found > 0 and band <= CLEAR * found else None


def _at_least(estimate: Estimate, least: float) -> Estimate:
    return Estimate(max(estimate.value, least), max(estimate.low, least), max(estimate.high, least))


def together(parts: Sequence[tuple[int, Each]]) -> Each:
    """Return what one goroutine takes over all targets: `parts` are goroutines and what is known of each target.

    All run the same program, so what is known of some holds for the others.
    """
    known = [(max(goroutines, 1), each) for goroutines, each in parts if each.known]
    if not known:
        return parts[0][1] if parts else Each()
    stack = _mean([(goroutines, each.stack) for goroutines, each in known])
    held = [(goroutines, each.resident) for goroutines, each in known if each.resident]
    best = next((each for _, each in known if each.resident), known[0][1])
    return Each(stack, _mean(held) if held else None, best.source, known=True)


def _mean(parts: Sequence[tuple[int, Estimate]]) -> Estimate:
    total = sum(goroutines for goroutines, _ in parts)
    sums = ([goroutines * getattr(one, side) for goroutines, one in parts] for side in ("value", "low", "high"))
    return Estimate(*(sum(side) / total for side in sums))


def reach(target: str, look: Look, each: Each, growth: Growth) -> Limit | None:
    """Return when a leak that goes on by `growth` brings a target to its limit; None where nothing can be said.

    The soonest is at its fastest, with all that resident memory grows by; the latest at its slowest, with what of
    that Go cannot save by collecting garbage more often, or with stacks alone. What is used now counts at least as
    what all goroutines take.
    """
    usage = look.usage
    if usage.limit is None or growth.high <= 0:
        return None
    used = max(usage.resident or 0.0, usage.used or 0.0)
    room = max(usage.limit - (used or look.goroutines * LEAST), 0.0)
    least = max(each.stack.low, each.resident.low / GARBAGE if each.resident else 0.0)
    soonest = room / (growth.high * each.resident.high) if each.resident and used else None
    latest = room / (growth.low * least) if growth.low > 0 else None
    return None if soonest is None and latest is None else Limit(target, usage.limit, soonest, latest)


def first(limits: Sequence[Limit | None]) -> Limit | None:
    """Return the limit that is reached first: by its soonest, or where heap is not known, by its latest."""

    def when(limit: Limit) -> float:
        return min(end for end in (limit.soonest, limit.latest) if end is not None)

    return min((limit for limit in limits if limit), key=when, default=None)
