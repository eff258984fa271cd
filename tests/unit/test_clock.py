"""The clock, and the lag of the event loop in virtual time."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakwatch.clock import Clock, CpuMeter, CpuWait, Delays, Lag, Turns
from tests.support.virtual_time import VirtualLoop, run_virtual


def test_lag_of_a_blocked_loop() -> None:
    """A loop that is blocked for half a second is half a second late, before and after the next heartbeat."""
    loop = VirtualLoop()

    async def run() -> list[float]:
        lag = Lag(Path("/nonexistent"))
        lag.start()
        await asyncio.sleep(0.35)
        idle = lag.total()
        loop.block(0.5)
        blocked = lag.total()
        await asyncio.sleep(0.2)
        lag.stop()
        return [idle, blocked, lag.total()]

    assert run_virtual(loop, run()) == pytest.approx([0.0, 0.45, 0.45])


def test_time_is_monotonic() -> None:
    """The time never decreases, and differs from the wall clock only after the wall clock was set."""
    clock = Clock()
    first = clock.time()
    assert clock.time() >= first
    assert clock.wall(first) == pytest.approx(first, abs=0.5)


@pytest.mark.parametrize("step", [120.0, 3600.0, -120.0, -3600.0])
def test_a_step_of_the_wall_clock_does_not_move_samples(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of samples advances as before the wall clock was set; exported times follow the wall clock."""
    clock = Clock()
    before, real = clock.time(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    assert 0 <= clock.time() - before < abs(step) / 2
    assert clock.wall(before) == pytest.approx(before + step, abs=abs(step) / 2)


def test_lag_includes_the_wait_for_a_core(tmp_path: Path) -> None:
    """Time in which the thread waited for a core counts as lag, also if no heartbeat was late."""
    loop = VirtualLoop()
    schedstat = tmp_path / "schedstat"

    async def run() -> list[float]:
        schedstat.write_text("7000000000 2000000000 9\n")
        lag = Lag(schedstat)
        lag.start()
        await asyncio.sleep(0.35)
        schedstat.write_text("7000000000 2060000000 10\n")
        waited = lag.total()
        await asyncio.sleep(0.2)
        lag.stop()
        return [waited, lag.total(), lag.delays.sum]

    assert run_virtual(loop, run()) == pytest.approx([0.06, 0.06, 0.0])


def test_a_blocked_loop_that_waits_for_a_core_is_late_once(tmp_path: Path) -> None:
    """A late heartbeat and the wait for a core in the same time do not add up."""
    loop = VirtualLoop()
    schedstat = tmp_path / "schedstat"

    async def run() -> float:
        schedstat.write_text("0 0 1\n")
        lag = Lag(schedstat)
        lag.start()
        await asyncio.sleep(0.05)
        schedstat.write_text("0 500000000 2\n")
        loop.block(0.7)
        await asyncio.sleep(0.2)
        lag.stop()
        return lag.total()

    assert run_virtual(loop, run()) == pytest.approx(0.65)


def test_the_wait_for_a_core_is_0_where_it_is_unknown(tmp_path: Path) -> None:
    """Without the file of the kernel, no wait is reported; with it, the wait never decreases."""
    unknown, known = CpuWait(tmp_path / "missing"), CpuWait()
    assert unknown.total() == 0
    assert 0 <= known.total() <= known.total()
    known.close()
    assert known.total() == 0


def test_idle_time_does_not_advance_while_the_loop_is_busy() -> None:
    """Only time without CPU of the thread counts as idle."""

    async def run() -> float:
        lag = Lag()
        lag.start()
        begin, idle = time.thread_time(), lag.idle()
        while time.thread_time() < begin + 0.05:
            pass
        busy, idle = lag.idle() - idle, lag.idle()
        await asyncio.sleep(0.05)
        lag.stop()
        return (lag.idle() - idle) / max(busy, 1e-6)

    assert asyncio.run(run()) > 2


def test_delays_are_cumulative() -> None:
    """A delay counts for each bound that it does not exceed."""
    delays = Delays()
    for seconds in (0.005, 0.3, 100.0):
        delays.add(seconds)
    counts = dict(delays.cumulative())
    assert [counts[bound] for bound in (0.005, 0.25, 0.5, 30.0, float("inf"))] == [1, 1, 2, 2, 3]
    assert delays.sum == pytest.approx(100.305)


class CountedCpu:
    """CPU seconds that a test counts."""

    def __init__(self) -> None:
        self.cpu = 0.0

    async def step(self) -> str:
        """Use 3 s in three steps, and handle a cancellation."""
        self.cpu += 1
        await asyncio.sleep(0)
        self.cpu += 1
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cpu += 1
            return "cancelled"
        raise AssertionError

    async def use(self) -> None:
        """Use 10 s in another task."""
        self.cpu += 10


def test_the_cpu_of_one_coroutine() -> None:
    """Only the steps of the coroutine count, also after a cancellation; results and errors are passed on."""

    async def run() -> None:
        world = CountedCpu()
        meter = CpuMeter(world.step(), lambda: world.cpu)
        task = asyncio.ensure_future(meter)
        for _ in range(3):
            await asyncio.sleep(0)
            await world.use()
        task.cancel()
        assert await task == "cancelled"
        assert meter.seconds == 3

        async def fail() -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await CpuMeter(fail(), lambda: 0.0)

    asyncio.run(run())


def test_turns_of_long_work() -> None:
    """Another task runs after each 5 ms of work, not after each step."""
    loop = VirtualLoop()

    async def run() -> int:
        ran, done = 0, 0

        async def other() -> None:
            nonlocal ran
            while True:
                await asyncio.sleep(0)
                ran += 1

        def steps() -> Iterator[None]:
            nonlocal done
            while done < 12:
                done += 1
                loop.block(0.002)
                yield

        task = asyncio.create_task(other())
        await Turns().run(steps())
        task.cancel()
        assert done == 12
        return ran

    assert run_virtual(loop, run()) in {3, 4}


class Machine(Clock):
    """A clock on a machine with this uptime and this wall clock."""

    def __init__(self, boot_id: Path, uptime: float, unix: float) -> None:
        self.uptime = uptime
        self.unix = unix
        super().__init__(boot_id)

    def _uptime(self) -> float:
        return self.uptime

    def _unix(self) -> float:
        return self.unix


@pytest.mark.parametrize("step", [0.0, 86400.0, -86400.0])
def test_a_clock_continues_within_a_boot(tmp_path: Path, step: float) -> None:
    """Within a boot the time continues exactly, whatever the wall clock shows; `wall` returns what it shows."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("a1b2\n")
    last = Machine(boot_id, 1000.0, 1.7e9).read()
    clock = Machine(boot_id, 1060.0, 1.7e9 + 60 + step)
    clock.resume(last)
    assert clock.time() == pytest.approx(1.7e9 + 60)
    assert clock.wall(clock.time()) == pytest.approx(1.7e9 + 60 + step)


@pytest.mark.parametrize(("step", "time"), [(60.0, 60.0), (86400.0, 86400.0), (-86400.0, 0.0)])
def test_a_clock_never_goes_back_after_a_boot(tmp_path: Path, step: float, time: float) -> None:
    """After another boot the time is that of the wall clock, unless it is before the last reading."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("a1b2\n")
    last = Machine(boot_id, 1000.0, 1.7e9).read()
    boot_id.write_text("c3d4\n")
    for clock in (Machine(boot_id, 20.0, 1.7e9 + step), Machine(tmp_path / "missing", 20.0, 1.7e9 + step)):
        clock.resume(last)
        assert clock.time() == pytest.approx(1.7e9 + time)
        assert clock.wall(clock.time()) == pytest.approx(1.7e9 + step)
