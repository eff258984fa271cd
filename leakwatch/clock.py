"""What time it is: wall time that neither steps nor stops. The only place that reads clocks."""

import time


class Clock:
    """Unix seconds that go on evenly from when it was made, through clock steps and through a laptop's sleep."""

    def __init__(self) -> None:
        self._start = time.time() - self._elapsed()

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self._start + self._elapsed()

    def wall(self, moment: float) -> float:
        """Return `moment` as the wall clock shows it now, which somebody may have set since."""
        return moment + time.time() - self.time()

    @staticmethod
    def _elapsed() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
