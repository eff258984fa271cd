"""Bodies of a target are stored after each verdict, and the last body of each process is stored."""

import gzip
import json
import threading
from dataclasses import replace
from pathlib import Path

from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.record import Kind
from leakwatch.evidence.recorder import EvidenceRecorder, TargetRecorder
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.tracker import LeakOnTarget
from leakwatch.model import Process, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile import formats
from leakwatch.profile import symbols as symbol
from tests.support.clock import ManualClock, run_logged
from tests.support.kept_bodies import many_labels, parts, record
from tests.support.leaking import leak as made_leak
from tests.support.simulated import START, TARGET, samples


class World:
    """One target with its evidence, and a leak with verdicts that the test sets."""

    def __init__(self, settings: EvidenceConfig | None = None) -> None:
        self.pipeline = Pipeline(DetectionSettings())
        self.pipeline.add_target(TARGET)
        self.evidence = EvidenceRecorder(settings or EvidenceConfig(), self.pipeline, ManualClock())
        self.store = self.evidence.store
        self.open: list[LeakOnTarget] = []
        self.lookups = 0
        self.pipeline.leaks_on = lambda *_: self._leaks()  # type: ignore[method-assign]  # the test sets the leaks
        self.stack = made_leak(function="main.leak").stack

    def _leaks(self) -> list[LeakOnTarget]:
        self.lookups += 1
        return self.open

    @property
    def recorder(self) -> TargetRecorder:
        """The recorder of the target."""
        return self.evidence.recorder(TARGET)

    def judge(self, verdict: Verdict, before: Verdict = Verdict.NORMAL) -> None:
        """Change the verdict of the leak."""
        leak = made_leak(verdict, function="main.leak", targets=(TARGET.name,))
        self.open = [LeakOnTarget(self.stack, verdict, 1.0)] if verdict > Verdict.NORMAL else []
        self.evidence.on_events([Event(START, before, leak)])

    async def scrape(self, at: float, total: int = 5, start: str = "0x1", body: bytes | None = None) -> bool:
        """Scrape once; return whether the body was packed."""
        recording = self.recorder.begin("text", 1 << 20, self.open)
        if recording:
            printed = b"goroutine profile: total %d\n%d @ 0x11 0x21\n#\t0x10\tf+0x1\ta.go:7\n\n" % (total, total)
            assert list(recording.tee(lambda _: None)(body or printed) or ()) == []
        process = Process(start, "build") if start else None
        state = self.pipeline.add_target(TARGET)
        self.pipeline.observe(state, START + at, total, samples({"leak": total}), process)
        if recording:
            await recording.end(START + at, total, process, {0x10: "runtime.chansend1", 0x11: ""})
        return recording is not None

    def stored(self) -> list[tuple[float, tuple[Kind, ...]]]:
        """Return seconds and kinds of the stored bodies, the oldest first."""
        return [(body.record.time - START, body.record.kinds) for body in reversed(self.store.bodies)]


def test_a_target_without_a_leak_costs_nothing() -> None:
    """No body is packed, and no thread is started."""

    async def run() -> None:
        world, threads = World(), threading.enumerate()
        assert [await world.scrape(15.0 * i) for i in range(3)] == [False] * 3
        world.judge(Verdict.RECOVERED, Verdict.LEAKING)
        assert not await world.scrape(60)
        assert set(threading.enumerate()) <= set(threads)

    run_logged(run)


def test_a_body_is_stored_after_each_verdict_and_as_the_last() -> None:
    """The latest body replaces the last one before, and all records have the current verdict."""

    async def run() -> None:
        world = World()
        await world.scrape(0)
        world.judge(Verdict.SUSPECTED)
        for i in (1, 2, 3):
            assert await world.scrape(15.0 * i)
        assert world.stored() == [(15, ("suspected",)), (45, ("last",))]
        world.judge(Verdict.LEAKING, Verdict.SUSPECTED)
        await world.scrape(60)
        world.judge(Verdict.PROVEN, Verdict.LEAKING)
        await world.scrape(75)
        await world.scrape(90)
        assert world.stored() == [(15, ("suspected",)), (60, ("leaking",)), (75, ("proven",)), (90, ("last",))]
        assert {body.record.leaks[0].verdict for body in world.store.bodies} == {"proven"}
        (leak,) = world.store.bodies[0].record.leaks
        assert (leak.stack, leak.function, leak.growth_per_hour) == (world.stack.fingerprint, "main.leak", 3600)
        world.judge(Verdict.NORMAL, Verdict.PROVEN)
        assert not await world.scrape(105)
        assert world.stored() == [(15, ("suspected",)), (60, ("leaking",)), (75, ("proven",))]
        assert {body.record.leaks[0].verdict for body in world.store.bodies} == {"normal"}

    run_logged(run)


def test_the_last_body_of_a_process_stays_after_a_restart() -> None:
    """The first body of the new process does not replace the last of the old one."""

    async def run() -> None:
        world = World()
        world.judge(Verdict.LEAKING)
        await world.scrape(0)
        await world.scrape(15)
        await world.scrape(30, start="0x2")
        await world.scrape(45, start="0x2")
        assert world.stored() == [(0, ("leaking",)), (15, ("last",)), (45, ("last",))]
        assert [body.record.start for body in world.store.bodies] == ["0x2", "0x1", "0x1"]

    run_logged(run)


def test_a_mixed_target_stores_no_bodies() -> None:
    """If several processes answer in turn, each scrape would be the last of a process."""

    async def run() -> None:
        world = World()
        world.judge(Verdict.LEAKING)
        for i in range(20):
            await world.scrape(15.0 * i, start=f"0x{i % 2}")
        assert len(world.stored()) <= 3

    run_logged(run)


def test_the_last_body_is_written_when_the_target_fails_or_is_removed(tmp_path: Path) -> None:
    """The body of a removed target stays."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.judge(Verdict.LEAKING)
        for i in range(3):
            await world.scrape(15.0 * i)
        await world.store.flush()
        assert on_disk(tmp_path) == [(0, ["leaking", "last"])]
        world.recorder.failed()
        await world.store.flush()
        assert on_disk(tmp_path) == [(0, ["leaking"]), (30, ["last"])]
        await world.scrape(45)
        world.evidence.target_removed(TARGET)
        world.pipeline.remove_target(TARGET, START + 50)
        await world.store.flush()
        assert on_disk(tmp_path) == [(0, ["leaking"]), (45, ["last"])]
        world.recorder.failed()  # a new recorder without a latest body
        await world.store.flush()
        assert on_disk(tmp_path) == [(0, ["leaking"]), (45, ["last"])]
        await world.store.stop()

    run_logged(run)


def test_a_target_with_an_unknown_process_that_is_added_again() -> None:
    """The last body from before the removal stays, because another process may answer now."""

    async def run() -> None:
        world = World()
        world.judge(Verdict.LEAKING)
        await world.scrape(0, start="")
        await world.scrape(15, start="")
        world.evidence.target_removed(TARGET)
        world.pipeline.remove_target(TARGET, START + 20)
        world.pipeline.add_target(TARGET)
        await world.scrape(30, start="")
        await world.scrape(45, start="")
        assert world.stored() == [(0, ("leaking",)), (15, ("last",)), (45, ("last",))]

    run_logged(run)


def test_an_evicted_body_is_not_updated(tmp_path: Path) -> None:
    """When the leak ends, no file is written, because the folder of the target may have been removed."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path, body_limit=1))
        world.store.start()
        world.judge(Verdict.SUSPECTED)
        await world.scrape(0)
        await world.store.flush()
        world.store.add(record(service="other", at=START + 5, verdict=Verdict.PROVEN), parts(), "")
        world.judge(Verdict.NORMAL, Verdict.SUSPECTED)
        await world.scrape(15)
        await world.store.flush()
        assert (world.store.write_failures, on_disk(tmp_path)) == (0, [])
        await world.store.stop()

    run_logged(run)


def on_disk(folder: Path) -> list[tuple[float, list[str]]]:
    """Return seconds and kinds of the bodies on disk, the oldest first; check that each body can be parsed."""
    bodies = []
    for file in sorted(folder.rglob("*.json")):
        stored = json.loads(file.read_text())
        assert formats.parse(file.with_name(f"{file.name[:-5]}.txt.gz").read_bytes()).total == stored["goroutines"]
        bodies.append((stored["time"] - START, stored["kinds"]))
    return bodies


def test_the_last_body_is_written_once_a_minute(tmp_path: Path) -> None:
    """The new last body replaces the previous one, also on disk."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.judge(Verdict.SUSPECTED)
        last_on_disk = []
        for i in range(10):
            await world.scrape(15.0 * i)
            await world.store.flush()
            last_on_disk.append([second for second, kinds in on_disk(tmp_path) if "last" in kinds])
        assert last_on_disk == [[0]] * 4 + [[60]] * 4 + [[120]] * 2
        assert world.stored() == [(0, ("suspected",)), (120, ("last",)), (135, ("last",))]
        await world.store.stop()
        assert on_disk(tmp_path) == [(0, ["suspected"]), (135, ["last"])]

    run_logged(run)


def test_the_last_body_of_an_earlier_run_of_leakwatch(tmp_path: Path) -> None:
    """A newer body of the same process replaces the body of the earlier run."""

    async def run(*offsets: float) -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.judge(Verdict.LEAKING)
        for offset in offsets:
            await world.scrape(offset)
        await world.store.stop()

    run_logged(lambda: run(0, 15))
    run_logged(lambda: run(1000, 1015))
    assert on_disk(tmp_path) == [(0, ["leaking"]), (1000, ["leaking"]), (1015, ["last"])]


def test_bodies_are_redacted_before_they_are_stored(tmp_path: Path) -> None:
    """Label values and argument words are neither in memory nor on disk; symbols are stored beside the body."""
    frames = b"main.login(0xdeadbeef)\n\t/a.go:1 +0x1\ncreated by main.main\n\t/a.go:2\n"
    dumped = b"goroutine 7 [select, 9 minutes]:\n" + frames

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.judge(Verdict.LEAKING)
        await world.scrape(0, 10_000, body=many_labels(10_000))
        await world.recorder.dump(dumped, START + 1, 1)
        in_memory = [body.parts for body in world.store.bodies if body.parts]
        await world.store.flush()
        assert not any(
            b"secret" in gzip.decompress(data)
            for files in in_memory
            for data in files.values()
            if data[:2] == b"\x1f\x8b"
        )
        await world.store.stop()

    run_logged(run)
    files = {path.name.partition(".000")[2]: path for path in tmp_path.rglob("*.000.*") if path.suffix != ".json"}
    assert files.keys() == {".txt.gz", ".symbol", ".dump.gz"}
    text, dump = (gzip.decompress(files[suffix].read_bytes()) for suffix in (".txt.gz", ".dump.gz"))
    assert b"secret" not in text
    assert text.count(b'"request":"redacted"') == 10_000
    assert dump == dumped.replace(b"0xdeadbeef", b"...")
    assert symbol.parse(files[".symbol"].read_bytes()) == {0x10: "runtime.chansend1"}
    kinds = {
        json.loads(path.read_text())["format"]: json.loads(path.read_text())["kinds"]
        for path in tmp_path.rglob("*.json")
    }
    assert kinds == {"text": ["leaking", "last"], "dump": ["leaking"]}


def test_a_body_that_cannot_be_redacted_is_not_stored() -> None:
    """The body is counted as dropped, and the log has the reason once, without the secret."""

    async def run() -> None:
        world = World()
        world.judge(Verdict.LEAKING)
        for _ in range(2):
            await world.recorder.dump(b"goroutine 1 [running] {user: al koholic}:\n", START, 1)
        assert (len(world.store), world.store.dropped) == (0, 2)

    (line,) = run_logged(run)
    assert "line 1" in line["error"]
    assert "koholic" not in str(line)


def test_a_leak_on_many_targets() -> None:
    """A verdict requests bodies of the three targets with the most goroutines of the leak."""
    pipeline = Pipeline(DetectionSettings())
    evidence = EvidenceRecorder(EvidenceConfig(), pipeline, ManualClock())
    targets = [Target("shop", f"10.0.0.{i}:6060") for i in range(6)]
    for i, target in enumerate(targets):
        pipeline.observe(pipeline.add_target(target), START, i, samples({"leak": i + 1}))
    (sample,) = samples({"leak": 1}).values()
    leak = replace(
        made_leak(Verdict.LEAKING, targets=tuple(target.name for target in targets[:5])), stack=sample.stack
    )
    evidence.on_events([Event(START, Verdict.SUSPECTED, leak)])
    assert [target.name for target in targets if evidence.recorder(target).wanted] == [
        t.name for t in targets[2:5]
    ]
    evidence.on_events([Event(START, Verdict.PROVEN, leak)])  # a lower verdict than before
    assert evidence.recorder(targets[4]).wanted == {"leaking"}


def test_the_leaks_of_a_target_are_looked_up_once_per_scrape() -> None:
    """A recorded scrape looks up the leaks once, and a scrape that is not recorded does not."""

    async def run() -> None:
        world = World()
        for i in range(3):
            await world.scrape(15.0 * i)
        assert world.lookups == 0
        world.judge(Verdict.LEAKING)
        for i in range(3, 6):
            await world.scrape(15.0 * i)
        assert world.lookups == 3

    run_logged(run)
