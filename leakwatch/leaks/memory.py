"""Memory cost of the goroutines of a leak, and the time until a memory limit. Pure.

A goroutine holds a stack of at least 2 KiB, and often heap that profiles do not show: a buffer, a connection, a
request. The metrics of a process have the bytes of all its stacks, and its resident memory, of which the heap is a
part. The cost of one goroutine is the slope of a straight line through several measurements of one process, so
that the memory of a changing load does not count as the leak's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from leakwatch.leaks.model import Estimate, Limit
from leakwatch.leaks.wording import AVERAGE_STACK, HEAP, LEAST_STACK, STACKS
from leakwatch.model import Fingerprint, Growth

SMALLEST_STACK: Final = 2048.0  # bytes, of every Go version
FEWEST: Final = 5  # measurements of a line
MOST: Final = 48  # measurements of one process that are kept
LEAKS: Final = 100  # leaks of one target with a known cost
SPAN: Final = 10  # goroutines that the leak must have gained between the measurements
CLEAR: Final = 0.5  # largest half width of the band, as a share of the slope
GARBAGE: Final = 2.0  # heap per live heap: Go lets the heap double (GOGC) until memory is short
IN_STEP: Final = 0.9  # correlation from which on the other goroutines grow in step with the leak
Z_90: Final = 1.2816  # quantile of the normal distribution

UNKNOWN_STACK: Final = Estimate(SMALLEST_STACK, SMALLEST_STACK, SMALLEST_STACK)

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUsage:
    """Memory of a process in bytes; None if unknown.

    `stacks`: of all goroutines; `limit`: the memory limit; `used`: bytes that count against the limit, of the
    process and of others under the same limit.
    """

    stacks: float | None = None
    resident: float | None = None
    limit: float | None = None
    used: float | None = None


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """Memory of a process at one time, its goroutines, and how many of them belong to each leak."""

    usage: MemoryUsage
    goroutines: int
    leaked: Mapping[Fingerprint, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoroutineCost:
    """Memory of one goroutine of a leak, as in MemoryCost; `is_measured`: whether it is of this program."""

    stack: Estimate = UNKNOWN_STACK
    resident: Estimate | None = None
    source: str = LEAST_STACK
    is_measured: bool = False


class MemoryHistory:
    """Measurements of one target, and the cost of the goroutines of each leak."""

    STATE: ClassVar = {
        "measurements": list[MemoryMeasurement],
        "unavailable": str,
        "_costs": dict[Fingerprint, GoroutineCost],
    }

    def __init__(self) -> None:
        self.measurements: list[MemoryMeasurement] = []
        """Of the current process, oldest first. Their distance grows, so that few cover its whole lifetime."""
        self.unavailable = ""
        """Why the process has no metrics, "" if it has."""
        self._costs: dict[Fingerprint, GoroutineCost] = {}

    def restart(self) -> None:
        """Drop the measurements of a process that has ended. The costs stay: the program is the same."""
        self.measurements = []

    def add(self, measurement: MemoryMeasurement) -> None:
        """Add a measurement, and update the costs of its leaks."""
        if len(self.measurements) >= MOST:
            self.measurements = self.measurements[::2]
        self.measurements.append(measurement)
        for leak in measurement.leaked:
            cost, previous = self._measure(leak), self._costs.pop(leak, None)
            self._costs[leak] = previous if previous and previous.resident and not cost.resident else cost
        for leak in list(self._costs)[:-LEAKS]:
            del self._costs[leak]

    def cost_of(self, leak: Fingerprint) -> GoroutineCost:
        """Return the cost of one goroutine of a leak."""
        cost = self._costs.get(leak)
        if cost and cost.is_measured:
            return cost
        return GoroutineCost(source=f"{LEAST_STACK}: {self.unavailable}" if self.unavailable else LEAST_STACK)

    def _measure(self, leak: Fingerprint) -> GoroutineCost:
        measured = self._slope(leak, [measurement.usage.stacks for measurement in self.measurements])
        resident = self._slope(leak, [measurement.usage.resident for measurement in self.measurements])
        average = self._average_stack()
        if not (resident or measured or average):
            return GoroutineCost()
        source = HEAP if resident else STACKS if measured else AVERAGE_STACK
        stack = _at_least(measured or average or UNKNOWN_STACK, SMALLEST_STACK)
        return GoroutineCost(
            stack=stack,
            resident=resident and _at_least(resident, stack.low),
            source=source,
            is_measured=True,
        )

    def _average_stack(self) -> Estimate | None:
        """Return the average stack of all goroutines. Those of the leak may be as small as possible."""
        for measurement in reversed(self.measurements):
            if measurement.usage.stacks is not None:
                average = max(measurement.usage.stacks / max(measurement.goroutines, 1), SMALLEST_STACK)
                return Estimate(average, SMALLEST_STACK, average)
        return None

    def _slope(self, leak: Fingerprint, values: Sequence[float | None]) -> Estimate | None:
        """Return the bytes of `values` per goroutine of a leak, None if they are not clear."""
        points = [
            (measurement.leaked[leak], measurement.goroutines - measurement.leaked[leak], value)
            for measurement, value in zip(self.measurements, values, strict=True)
            if value is not None and leak in measurement.leaked
        ]
        if len(points) < FEWEST:
            return None
        own, others, value = np.array(points, dtype=np.float64).T
        return slope(own, others, value) if np.ptp(own) >= SPAN else None


def slope(own: Points, others: Points, values: Points) -> Estimate | None:
    """Return the change of `values` per goroutine of a leak with its band, None if it is not clear.

    `own`: goroutines of the leak, which must change; `others`: all other goroutines, which hold memory too. If
    both grow in step, their shares cannot be separated, and all goroutines count as the leak's.
    """
    own, others, values = own - own.mean(), others - others.mean(), values - values.mean()
    product = float(own @ others)
    correlation = product / float(np.sqrt((own @ own) * (others @ others))) if others.any() else 0.0
    if correlation < -IN_STEP:
        return None  # the memory of the leak replaces that of the others
    if correlation > IN_STEP:
        own, others, product = own + others, np.zeros_like(others), 0.0
    # Least squares of one or two columns, written out: a target may have a hundred leaks.
    own_square, others_square = float(own @ own), float(others @ others) or 1.0
    determinant = own_square * others_square - product**2
    own_slope = (others_square * float(own @ values) - product * float(others @ values)) / determinant
    others_slope = (own_square * float(others @ values) - product * float(own @ values)) / determinant
    freedom = len(values) - 2 - int(others.any())
    variance = float(((values - own_slope * own - others_slope * others) ** 2).sum()) / freedom
    band = (Z_90 + 1 / freedom) * float(
        np.sqrt(variance * others_square / determinant)
    )  # nearly Student's quantile
    is_clear = own_slope > 0 and band <= CLEAR * own_slope
    return Estimate(own_slope, own_slope - band, own_slope + band) if is_clear else None


def _at_least(estimate: Estimate, least: float) -> Estimate:
    return Estimate(max(estimate.value, least), max(estimate.low, least), max(estimate.high, least))


def combined_cost(parts: Sequence[tuple[int, GoroutineCost]]) -> GoroutineCost:
    """Return the cost of one goroutine over all targets; `parts`: goroutines and cost of each target.

    All targets run the same program, so measured costs apply to the other targets too.
    """
    measured = [(max(goroutines, 1), cost) for goroutines, cost in parts if cost.is_measured]
    if not measured:
        return parts[0][1] if parts else GoroutineCost()
    resident = [(goroutines, cost.resident) for goroutines, cost in measured if cost.resident]
    best = next((cost for _, cost in measured if cost.resident), measured[0][1])
    return GoroutineCost(
        stack=_mean([(goroutines, cost.stack) for goroutines, cost in measured]),
        resident=_mean(resident) if resident else None,
        source=best.source,
        is_measured=True,
    )


def _mean(parts: Sequence[tuple[int, Estimate]]) -> Estimate:
    """Return the mean of estimates, weighted by goroutines."""
    total = sum(goroutines for goroutines, _ in parts)
    return Estimate(
        sum(goroutines * estimate.value for goroutines, estimate in parts) / total,
        sum(goroutines * estimate.low for goroutines, estimate in parts) / total,
        sum(goroutines * estimate.high for goroutines, estimate in parts) / total,
    )


def time_to_limit(
    target: str, measurement: MemoryMeasurement, cost: GoroutineCost, growth: Growth
) -> Limit | None:
    """Return when a leak that grows by `growth` brings a target to its memory limit, None if unknown.

    The soonest time is that of the fastest growth, with all of its resident memory. The latest time is that of the
    slowest growth, without the heap that more frequent garbage collections can save, or with stacks alone. The
    memory in use is at least that of the stacks of all goroutines.
    """
    usage = measurement.usage
    if usage.limit is None or growth.high <= 0:
        return None
    used = max(usage.resident or 0.0, usage.used or 0.0)
    room = max(usage.limit - (used or measurement.goroutines * SMALLEST_STACK), 0.0)
    least = max(cost.stack.low, cost.resident.low / GARBAGE if cost.resident else 0.0)
    soonest = room / (growth.high * cost.resident.high) if cost.resident and used else None
    latest = room / (growth.low * least) if growth.low > 0 else None
    if soonest is None and latest is None:
        return None
    return Limit(target=target, size=usage.limit, soonest=soonest, latest=latest)


def first_limit(limits: Sequence[Limit | None]) -> Limit | None:
    """Return the limit that is reached first: by its soonest time, or by its latest if that is unknown."""

    def seconds(limit: Limit) -> float:
        return min(bound for bound in (limit.soonest, limit.latest) if bound is not None)

    return min((limit for limit in limits if limit), key=seconds, default=None)
