"""The evidence: names, bounds, the folder and what can be wrong with it, and which bodies of a target are kept."""

import asyncio
import errno
import gzip
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from leakwatch.cli import scrape_once as show
from leakwatch.cli.analyze.folders import find
from leakwatch.errors import EvidenceError
from leakwatch.evidence import store as storing
from leakwatch.evidence.config import EvidenceConfig, RedactConfig
from leakwatch.evidence.disk import Disk
from leakwatch.evidence.file_names import LONGEST, original, quoted
from leakwatch.evidence.index import BESIDE, Index, StoredBody, evict
from leakwatch.evidence.packer import BATCH, MOST_WAITING, Packer, Worker
from leakwatch.evidence.record import Kind, Record
from leakwatch.evidence.recorder import EvidenceRecorder, TargetRecorder
from leakwatch.evidence.store import Store
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.tracker import LeakOnTarget
from leakwatch.model import Process, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile import formats as saved
from leakwatch.profile import symbols as symbol
from leakwatch.profile.redact import Redaction
from leakwatch.profile.stacks import Identifier
from tests.support.kept_bodies import many_labels, parts, record
from tests.support.leaking import leak as made_leak
from tests.support.simulated import START, TARGET, samples

HOSTILE = [
    "..",
    ".",
    "",
    "a/b",
    "a\0b",
    "x" * 300,
    "é" * 300,
    ".hidden",
    "%2E.",
    "../../etc/passwd",
    "\n",
    "\u202e",
    "~",
]


def lives(body: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
    """Run a coroutine; return what was logged."""
    with capture_logs() as logged:
        asyncio.run(asyncio.wait_for(body(), 30))
    return [dict(line) for line in logged]


async def settled(store: Store) -> None:
    """Return when the disk has done all that it was told."""
    while store._pending:
        await asyncio.wait(store._pending)
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str, tmp_path: Path) -> None:
    """Whatever services and targets are called, their files are in a folder of their own, in ours, and visible."""
    disk = Disk(tmp_path / "evidence")
    one, two = record(service=name, target="t"), record(service="s", target=name)
    for each in (one, two):
        disk.write(each, parts())
    found = disk.index(pytest.fail)
    assert sorted(found, key=lambda r: r.service) == sorted((one, two), key=lambda r: r.service)
    assert [path for path in tmp_path.iterdir() if path.name != "evidence"] == []
    files = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
    assert {len(path.relative_to(tmp_path).parts) for path in files} == {4}
    assert not any(part.startswith(".") for path in files for part in path.relative_to(tmp_path).parts)
    for each in (one, two):
        disk.remove(each)
    assert list((tmp_path / "evidence").iterdir()) == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_names_are_told_apart(one: str, two: str) -> None:
    """Two names have two folders; a short one can be read back."""
    assert (quoted(one) == quoted(two)) == (one == two)
    if len(quoted(one)) <= LONGEST and one:
        assert original(quoted(one)) == one
    assert original("shop") == "shop"


def test_the_least_important_goes_first() -> None:
    """Of several leaks: the verdict counts, then the growth, then the age."""
    kept = [
        StoredBody(str(i), record(at=START + i, verdict=verdict, growth=growth), None, "")
        for i, (verdict, growth) in enumerate(
            [
                (Verdict.PROVEN, 1.0),
                (Verdict.LEAKING, 600.0),
                (Verdict.LEAKING, 60.0),
                (Verdict.LEAKING, 60.0),
                (Verdict.SUSPECTED, 900.0),
                (Verdict.NORMAL, 9e9),
            ]
        )
    ]
    order = [[int(body.key) for body in evict(kept, size=1 << 30, number=left)] for left in range(5, -1, -1)]
    assert order == [[5], [5, 4], [5, 4, 2], [5, 4, 2, 3], [5, 4, 2, 3, 1], [5, 4, 2, 3, 1, 0]]
    assert evict(kept, size=6 * kept[0].size, number=6) == []
    assert [body.key for body in evict(kept, size=4 * kept[0].size)] == ["5", "4"]


def test_a_giant_takes_nothing_with_it() -> None:
    """A body that is larger than all there is room for goes alone, however important it is."""
    small = StoredBody("small", record(verdict=Verdict.SUSPECTED), None, "")
    giant = StoredBody("giant", record(size=10**6, verdict=Verdict.PROVEN), None, "")
    assert evict([small, giant], size=10**5) == [giant]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1e6), st.sampled_from(Verdict)), max_size=30))
def test_bounds_always_hold(bodies: list[tuple[int, float, Verdict]]) -> None:
    """Whatever is kept, what is left fits, and nothing goes that did not have to."""
    kept = [
        StoredBody(str(i), record(at=START + i, size=1000 * size, growth=growth, verdict=verdict), None, "")
        for i, (size, growth, verdict) in enumerate(bodies)
    ]
    gone = evict(kept, size=150_000, number=10)
    left = [body for body in kept if body not in gone]
    assert sum(body.size for body in left) <= 150_000
    assert len(left) <= 10
    if gone and len(left) < 10:
        assert sum(body.size for body in left) + gone[-1].size > 150_000


def test_one_scrape_costs_the_same_however_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are ranked only where some have to go, and told by target: one comes at each scrape of what leaks."""
    ranked = []

    def ranking(kept: Iterable[StoredBody], *, size: int, number: int | None = None) -> list[StoredBody]:
        ranked.append(number)
        return evict(kept, size=size, number=number)

    monkeypatch.setattr(storing, "evict", ranking)

    async def keep() -> None:
        store = Store(EvidenceConfig(body_limit=100))
        store.start()
        for i in range(100):
            store.add(record(target=f"10.0.0.{i}:6060", at=START + i, kinds=("last",)), parts(), "0x1")
        assert (ranked, len(store), store.dropped) == ([], 100, 0)
        for i in range(100):  # the next bodies of the same take the place of theirs
            store.add(record(target=f"10.0.0.{i}:6060", at=START + 100 + i, kinds=("last",)), parts(), "0x1")
        assert (len(store), store.dropped) == (100, 0)
        assert {body.record.time for body in store.bodies} == {START + 100 + i for i in range(100)}
        assert store.size == sum(body.size for body in store.bodies)
        await store.stop()

    asyncio.run(keep())
    assert ranked == []


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=40))
def test_what_is_on_the_shelf_is_counted(moves: list[tuple[int, int, bool]]) -> None:
    """Whatever comes, goes or is left to the disk, the sums are those of what is there."""
    shelf = Index()
    for i, (whose, kind, large) in enumerate(moves):
        there = list(shelf)
        if kind == 0 and there:
            shelf.take(there[whose % len(there)])
        elif kind == 1 and there:
            shelf.leave_to_disk(there[whose % len(there)])
        else:
            size = 5000 if large else 5
            shelf.put(StoredBody(str(i), record(target=f"t{whose}", at=START + i, size=size), parts(), ""))
    left = list(shelf)
    assert len(shelf) == len(left)
    assert shelf.size == sum(body.size for body in left)
    assert shelf.in_memory == sum(body.size for body in left if body.parts is not None)
    for target in {body.whose for body in left} | {("shop", "none")}:
        assert shelf.of(target) == [body for body in left if body.whose == target]


def test_in_memory_by_default() -> None:
    """Without a folder all is kept within the bound of memory, which is said once."""

    async def run() -> None:
        store = Store(EvidenceConfig(memory_limit=10 * (BESIDE + 1000), body_limit=100))
        store.start()
        for i in range(30):
            store.save(store.add(record(at=START + i, size=1000), parts(1000), "0x1"))
        assert (len(store), store.dropped) == (10, 20)
        assert [body.record.time - START for body in store.bodies] == list(range(29, 19, -1))
        assert (await store.read(store.bodies[0].key))[1] == parts(1000)
        await store.stop()

    (said,) = lives(run)
    assert said["event"].startswith("evidence is kept in memory only")


def test_the_folder_is_taken_up_again(tmp_path: Path) -> None:
    """After a restart of ours the bodies are there again and the bounds hold, counted with what came before."""

    async def first() -> None:
        store = Store(EvidenceConfig(path=tmp_path / "evidence"))
        store.start()
        for i in range(8):
            store.save(store.add(record(at=START + i), {**parts(), ".symbol": b"0x1 runtime.chansend1\n"}, "0x1"))
        await settled(store)
        assert all(body.parts is None for body in store.bodies)
        await store.stop()

    async def second() -> None:
        store = Store(EvidenceConfig(path=tmp_path / "evidence", body_limit=3))
        store.start()
        assert [body.record for body in store.bodies] == [record(at=START + i) for i in (7, 6, 5)]
        assert (await store.read(store.bodies[0].key))[1][".symbol"] == b"0x1 runtime.chansend1\n"
        await settled(store)
        await store.stop()

    lives(first)
    assert len(jsons(tmp_path)) == 8
    (said,) = lives(second)
    assert (said["event"], said["bodies"]) == ("evidence is kept", 3)
    assert sorted(path.suffix for path in (tmp_path / "evidence").rglob("*.*") if path.is_file()) == [
        *[".gz"] * 3,
        *[".json"] * 3,
        *[".symbol"] * 3,
    ]


def test_broken_and_foreign_files(tmp_path: Path) -> None:
    """One bad file is set aside and named; what is not ours is neither touched nor counted; the rest is kept."""
    disk = Disk(tmp_path)
    for i in range(4):
        disk.write(record(at=START + i), parts())
    folder = tmp_path / "shop" / "10.0.0.1:6060"
    cut, lying, lost = (folder / f"{START + i:.3f}.json" for i in range(3))
    cut.write_text(cut.read_text()[:50])
    lying.write_text(lying.read_text().replace("shop", "../../other"))
    lost.with_suffix("").with_suffix(".000.txt.gz").unlink()
    foreign = [tmp_path / "README", folder / "notes.json", folder / "1.json", tmp_path / "shop" / "x.gz"]
    for file in foreign:
        file.write_text("not ours")
    half = folder / ".1700000009.000.json.leakwatch-new"
    half.write_text("{")
    said: list[str] = []
    assert disk.index(said.append) == [record(at=START + 3)]
    assert len(said) == 2
    assert "Invalid JSON" in said[0]
    assert cut.name in said[0]
    assert "it says it belongs to ..%2F..%2Fother" in said[1] or "it says it belongs to %2E" in said[1]
    assert all(file.read_text() == "not ours" for file in foreign)
    assert not half.exists()
    assert not lost.exists()
    assert (folder / f".{cut.name}.bad").exists()
    assert (folder / cut.name.replace(".json", ".txt.gz")).exists()
    assert disk.index(pytest.fail) == [record(at=START + 3)]  # said once


def test_a_body_that_was_cut(tmp_path: Path) -> None:
    """A body whose size is not the one that was written is named, and not shown."""
    disk = Disk(tmp_path)
    disk.write(record(), parts())
    next(tmp_path.rglob("*.txt.gz")).write_bytes(b"short")
    said: list[str] = []
    assert disk.index(said.append) == []
    assert "has 5 bytes, not 100" in said[0]


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """Where the folder should be is a file: evidence goes on in memory, said once with the reason."""
    (tmp_path / "evidence").write_text("a file")

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path / "evidence"))
        store.start()
        store.save(store.add(record(), parts(), "0x1"))
        assert len(store) == 1
        await store.stop()

    (said,) = lives(run)
    assert said["event"] == "evidence is kept in memory only"
    assert "exists" in said["error"]
    assert (tmp_path / "evidence").read_text() == "a file"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make every write fail as on a full disk while the list is not empty."""
    failing: list[int] = []
    put = Disk._put

    def written(path: Path, data: bytes) -> None:
        if failing and path.suffix == ".gz":
            path.with_name(f".{path.name}.leakwatch-new").write_bytes(data[: len(data) // 2])
            raise OSError(failing[0], os.strerror(failing[0]))
        put(path, data)

    monkeypatch.setattr(Disk, "_put", staticmethod(written))
    return failing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_disk(tmp_path: Path, full: list[int], number: int) -> None:
    """What cannot be written stays in memory, within its bound, is said once, and is written when it can be."""

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path, memory_limit=5 * (BESIDE + 100)))
        store.start()
        full.append(number)
        for i in range(9):
            store.save(store.add(record(at=START + i), parts(), "0x1"))
            await settled(store)
        assert (len(store), store.write_failures, store.dropped) == (5, 9, 4)
        assert (await store.read(store.bodies[0].key))[1] == parts()
        assert jsons(tmp_path) == []
        full.clear()
        store.save(store.add(record(at=START + 10), parts(), "0x1"))
        await settled(store)
        assert {body.parts for body in store.bodies} == {None}
        assert len(jsons(tmp_path)) == len(store) == 5
        await store.stop()

    said = [line["event"] for line in lives(run)]
    assert said == [
        "evidence is kept",
        "evidence cannot be written, it is kept in memory",
        "evidence can be written again",
    ]


def test_a_file_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed later, so that the folder keeps its bound too."""
    broken, remove = [1], Disk.remove

    def removing(disk: Disk, of: Record) -> None:
        if broken:
            raise OSError(errno.EIO, "Input/output error")
        remove(disk, of)

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path, body_limit=2))
        store.start()
        for i in range(10):
            store.save(store.add(record(at=START + i), parts(), ""))
            await settled(store)
        broken.clear()
        store.save(store.add(record(at=START + 10), parts(), ""))
        await settled(store)
        assert len(jsons(tmp_path)) == len(store) == 2
        await store.stop()

    monkeypatch.setattr(Disk, "remove", removing)
    said = [line["event"] for line in lives(run)]
    assert said == ["evidence is kept", "evidence cannot be written, it is kept in memory"]


def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk does not answer the loop goes on, and bodies are kept in memory."""
    write = Disk.write

    def slow(disk: Disk, one: Record, its: dict[str, bytes]) -> None:
        time.sleep(0.3)
        write(disk, one, its)

    monkeypatch.setattr(Disk, "write", slow)

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path))
        store.start()
        begun = asyncio.get_running_loop().time()
        for i in range(3):
            store.save(store.add(record(at=START + i), parts(), "0x1"))
        assert (await store.read(store.bodies[0].key))[1] == parts()
        assert asyncio.get_running_loop().time() - begun < 0.3
        await settled(store)
        await store.stop()

    lives(run)
    assert len(jsons(tmp_path)) == 3


def test_a_packer_that_is_behind() -> None:
    """What would wait behind too much else is given up, and not a thing of it is held."""

    async def run() -> None:
        worker = Worker("test")
        free = threading.Event()
        for _ in range(MOST_WAITING):
            worker.call(free.wait)
        packer = Packer("text", Redaction(), worker)
        packer.feed(bytes(BATCH))
        with pytest.raises(EvidenceError, match="behind"):
            await packer.close()
        assert packer._batch == []
        free.set()
        worker.stop(wait=True)
        assert worker.waiting == 0

    lives(run)


def test_a_large_body_does_not_hold_up_the_loop() -> None:
    """64 MB with a label each are packed beside the loop: feeding takes no longer than handing over."""
    piece = many_labels(1000)
    whole = len(piece) * (8 * (1 << 20) // len(piece))

    async def run() -> None:
        worker = Worker("test")
        packer = Packer("text", Redaction(), worker)
        fed = 0
        while fed < whole:
            packer.feed(piece)
            fed += len(piece)
        assert worker.waiting > 10  # it has been handed over, not done
        packed = await packer.close()
        assert b"secret" not in gzip.decompress(packed)
        worker.stop(wait=True)

    lives(run)


def jsons(folder: Path) -> list[Path]:
    """Return the files that say something of a body."""
    return list(folder.rglob("*.json"))


class World:
    """One target that is watched, and its evidence; verdicts are made by hand."""

    def __init__(self, settings: EvidenceConfig | None = None) -> None:
        self.pipeline = Pipeline(DetectionSettings())
        self.pipeline.add_target(TARGET)
        self.evidence = EvidenceRecorder(settings or EvidenceConfig(), self.pipeline, lambda moment: moment)
        self.store = self.evidence.store
        self.open: list[LeakOnTarget] = []
        self.pipeline.leaks_on = lambda target: self.open  # type: ignore[method-assign]  # noqa: ARG005  set by the test
        self.stack = made_leak(function="main.leak").stack

    @property
    def trail(self) -> TargetRecorder:
        """Of the target."""
        return self.evidence.recorder(TARGET)

    def says(self, verdict: Verdict, before: Verdict = Verdict.NORMAL) -> None:
        """Come to a verdict on the one leak."""
        leak = made_leak(verdict, function="main.leak", targets=(TARGET.name,))
        self.open = [LeakOnTarget(self.stack, verdict, 1.0)] if verdict > Verdict.NORMAL else []
        self.evidence.told([Event(START, before, leak)])

    async def scrape(self, at: float, total: int = 5, start: str = "0x1", body: bytes | None = None) -> bool:
        """Scrape once; tell whether the body was taken in."""
        recording = self.trail.begin("text", 1 << 20)
        if recording:
            recording.tee(lambda _: None)(
                body or b"goroutine profile: total %d\n%d @ 0x11 0x21\n#\t0x10\tf+0x1\ta.go:7\n\n" % (total, total)
            )
        process = Process(start, "build") if start else None
        self.pipeline.observe(
            self.pipeline.add_target(TARGET), START + at, total, samples({"leak": total}), process
        )
        if recording:
            await recording.end(START + at, total, process, {0x10: "runtime.chansend1", 0x11: ""})
        return recording is not None

    def kept(self) -> list[tuple[float, tuple[Kind, ...]]]:
        """Return seconds and reasons of what is kept, the oldest first."""
        return [(body.record.time - START, body.record.kinds) for body in reversed(self.store.bodies)]


def test_an_idle_target_pays_nothing() -> None:
    """Nothing is packed of a target without a leak, and no thread begins."""

    async def run() -> None:
        world = World()
        assert [await world.scrape(15.0 * i) for i in range(3)] == [False] * 3
        assert world.store._packing._pool._threads == set()
        world.says(Verdict.RECOVERED, Verdict.LEAKING)
        assert not await world.scrape(60)

    lives(run)


def test_bodies_at_each_verdict_and_the_last() -> None:
    """A body is kept at suspicion, at leaking, at proof; the latest is the last one so far."""

    async def run() -> None:
        world = World()
        await world.scrape(0)
        world.says(Verdict.SUSPECTED)
        for i in (1, 2, 3):
            assert await world.scrape(15.0 * i)
        assert world.kept() == [(15, ("suspected",)), (45, ("last",))]
        world.says(Verdict.LEAKING, Verdict.SUSPECTED)
        await world.scrape(60)
        world.says(Verdict.PROVEN, Verdict.LEAKING)
        await world.scrape(75)
        await world.scrape(90)
        assert world.kept() == [(15, ("suspected",)), (60, ("leaking",)), (75, ("proven",)), (90, ("last",))]
        assert {body.record.leaks[0].verdict for body in world.store.bodies} == {"proven"}
        (leak,) = world.store.bodies[0].record.leaks
        assert (leak.stack, leak.function, leak.growth_per_hour) == (world.stack.fingerprint, "main.leak", 3600)
        world.says(Verdict.NORMAL, Verdict.PROVEN)
        assert not await world.scrape(105)
        assert world.kept() == [(15, ("suspected",)), (60, ("leaking",)), (75, ("proven",))]
        assert {body.record.leaks[0].verdict for body in world.store.bodies} == {"normal"}

    lives(run)


def test_a_restart_keeps_the_last_body() -> None:
    """When another process answers, the last body of the one before stays for good."""

    async def run() -> None:
        world = World()
        world.says(Verdict.LEAKING)
        await world.scrape(0)
        await world.scrape(15)
        await world.scrape(30, start="0x2")
        await world.scrape(45, start="0x2")
        assert world.kept() == [(0, ("leaking",)), (15, ("last",)), (45, ("last",))]
        assert [body.record.start for body in world.store.bodies] == ["0x2", "0x1", "0x1"]

    lives(run)


def test_several_processes_behind_one_address() -> None:
    """Of processes that answer in turn nothing more is kept: it would be a last one at each scrape."""

    async def run() -> None:
        world = World()
        world.says(Verdict.LEAKING)
        for i in range(20):
            await world.scrape(15.0 * i, start=f"0x{i % 2}")
        assert len(world.kept()) <= 3

    lives(run)


def test_a_target_that_goes(tmp_path: Path) -> None:
    """The last body of a target that goes, or no longer answers, is on disk at once and stays."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.says(Verdict.LEAKING)
        for i in range(3):
            await world.scrape(15.0 * i)
        await settled(world.store)
        assert on_disk(tmp_path) == [(0, ["leaking", "last"])]
        world.trail.failed()
        await settled(world.store)
        assert on_disk(tmp_path) == [(0, ["leaking"]), (30, ["last"])]
        await world.scrape(45)
        world.evidence.target_removed(TARGET)
        world.pipeline.remove_target(TARGET, START + 50)
        await settled(world.store)
        assert on_disk(tmp_path) == [(0, ["leaking"]), (45, ["last"])]
        world.trail.failed()  # a new one, which knows nothing
        await settled(world.store)
        assert on_disk(tmp_path) == [(0, ["leaking"]), (45, ["last"])]
        await world.store.stop()

    lives(run)


def test_a_target_that_comes_back_and_never_says_who_it_is() -> None:
    """Its last body before it went stays for good: whoever answers after that may be another process."""

    async def run() -> None:
        world = World()
        world.says(Verdict.LEAKING)
        await world.scrape(0, start="")
        await world.scrape(15, start="")
        world.evidence.target_removed(TARGET)
        world.pipeline.remove_target(TARGET, START + 20)
        world.pipeline.add_target(TARGET)
        await world.scrape(30, start="")
        await world.scrape(45, start="")
        assert world.kept() == [(0, ("leaking",)), (15, ("last",)), (45, ("last",))]

    lives(run)


def test_nothing_is_said_of_a_body_that_had_to_go(tmp_path: Path) -> None:
    """When the leak ends whose last body had to make room, the disk is left alone: its folder may be gone."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path, body_limit=1))
        world.store.start()
        world.says(Verdict.SUSPECTED)
        await world.scrape(0)
        await settled(world.store)
        world.store.add(record(service="other", at=START + 5, verdict=Verdict.PROVEN), parts(), "")
        world.says(Verdict.NORMAL, Verdict.SUSPECTED)
        await world.scrape(15)
        await settled(world.store)
        assert (world.store.write_failures, jsons(tmp_path)) == (0, [])
        await world.store.stop()

    lives(run)


def on_disk(folder: Path) -> list[tuple[float, list[str]]]:
    """Return seconds and reasons of what is on disk, the oldest first; each has a body that can be read."""
    found = []
    for file in sorted(folder.rglob("*.json")):
        said = json.loads(file.read_text())
        assert saved.parse(file.with_name(f"{file.name[:-5]}.txt.gz").read_bytes()).total == said["goroutines"]
        found.append((said["time"] - START, said["kinds"]))
    return found


def test_the_last_body_is_written_once_a_minute(tmp_path: Path) -> None:
    """While the target leaks, its latest body reaches the disk once a minute, in place of the one before."""

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.says(Verdict.SUSPECTED)
        seen = []
        for i in range(10):
            await world.scrape(15.0 * i)
            await settled(world.store)
            seen.append([at for at, kinds in on_disk(tmp_path) if "last" in kinds])
        assert seen == [[0]] * 4 + [[60]] * 4 + [[120]] * 2
        assert world.kept() == [(0, ("suspected",)), (120, ("last",)), (135, ("last",))]
        await world.store.stop()
        assert on_disk(tmp_path) == [(0, ["suspected"]), (135, ["last"])]

    lives(run)


def test_the_same_process_after_our_restart(tmp_path: Path) -> None:
    """What the leakwatch before us kept as the last body gives way to a newer one of the same process."""

    async def run(*offsets: float) -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.says(Verdict.LEAKING)
        for offset in offsets:
            await world.scrape(offset)
        await world.store.stop()

    lives(lambda: run(0, 15))
    lives(lambda: run(1000, 1015))
    assert on_disk(tmp_path) == [(0, ["leaking"]), (1000, ["leaking"]), (1015, ["last"])]


def test_redaction_comes_first(tmp_path: Path) -> None:
    """No value of a label is in memory or on disk, nor an argument word of a dump; symbols are beside the body."""
    calls = b"main.login(0xdeadbeef)\n\t/a.go:1 +0x1\ncreated by main.main\n\t/a.go:2\n"
    dumped = b"goroutine 7 [select, 9 minutes]:\n" + calls

    async def run() -> None:
        world = World(EvidenceConfig(path=tmp_path))
        world.store.start()
        world.says(Verdict.LEAKING)
        await world.scrape(0, 10_000, body=many_labels(10_000))
        await world.trail.dump(dumped, START + 1, 1)
        held = [body.parts for body in world.store.bodies if body.parts]
        await settled(world.store)
        assert not any(
            b"secret" in gzip.decompress(data) for one in held for data in one.values() if data[:2] == b"\x1f\x8b"
        )
        await world.store.stop()

    lives(run)
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


def test_what_cannot_be_redacted_is_not_kept() -> None:
    """A dump whose labels cannot be told apart is counted and said once, and its secrets are not."""

    async def run() -> None:
        world = World()
        world.says(Verdict.LEAKING)
        for _ in range(2):
            await world.trail.dump(b"goroutine 1 [running] {user: al koholic}:\n", START, 1)
        assert (len(world.store), world.store.dropped) == (0, 2)

    (said,) = lives(run)
    assert "line 1" in said["error"]
    assert "koholic" not in str(said)


def test_a_leak_on_many_targets() -> None:
    """Of a service that leaks everywhere, the bodies of the three worst targets are wanted."""
    pipeline = Pipeline(DetectionSettings())
    evidence = EvidenceRecorder(EvidenceConfig(), pipeline, lambda moment: moment)
    targets = [Target("shop", f"10.0.0.{i}:6060") for i in range(6)]
    for i, target in enumerate(targets):
        pipeline.observe(pipeline.add_target(target), START, i, samples({"leak": i + 1}))
    (sample,) = samples({"leak": 1}).values()
    told = made_leak(Verdict.LEAKING, targets=tuple(target.name for target in targets[:5]))
    leak = type(told)(**{name: getattr(told, name) for name in told.__slots__} | {"stack": sample.stack})
    evidence.told([Event(START, Verdict.SUSPECTED, leak)])
    assert [target.name for target in targets if evidence.recorder(target).wanted] == [
        t.name for t in targets[2:5]
    ]
    evidence.told([Event(START, Verdict.PROVEN, leak)])  # it fell back: that is no news to keep
    assert evidence.recorder(targets[4]).wanted == {"leaking"}


def test_settings_of_redaction() -> None:
    """All, nothing, or globs over keys."""
    everything, nothing = (
        RedactConfig().redaction(),
        RedactConfig.model_validate({"labels": False, "arguments": []}).redaction(),
    )
    some = RedactConfig(labels=("user*", "a.b")).redaction()
    assert everything.labels is not None
    assert everything.labels.fullmatch("any\nthing")
    assert nothing == Redaction(None, None)
    assert some.labels is not None
    assert [bool(some.labels.fullmatch(key)) for key in ("user_id", "a.b", "axb", "xuser")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_reload(tmp_path: Path) -> None:
    """New bounds hold at once; the folder stays until the next start."""

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path))
        store.start()
        for i in range(5):
            store.add(record(at=START + i), parts(), "0x1")
        store.configure(EvidenceConfig(path=None, body_limit=2))
        assert (len(store), store.settings.path) == (2, tmp_path)
        await store.stop()

    lives(run)


def test_symbols_of_each_body(tmp_path: Path) -> None:
    """A body is read with the symbols beside it; one without, with those of its folder: processes differ."""
    body = b"goroutine profile: total 3\n3 @ 0x11 0x21 0x31\n#\t0x20\tmain.f+0x1\t/a.go:7\n\n"
    folder = tmp_path / "shop" / "a"
    folder.mkdir(parents=True)
    (folder / "symbol").write_bytes(symbol.encode({0x10: "runtime.selectgo"}))
    for at, parked in ((1, "runtime.chansend1"), (2, "runtime.chanrecv1"), (3, "")):
        (folder / f"170000000{at}.000.txt.gz").write_bytes(gzip.compress(body))
        if parked:
            (folder / f"170000000{at}.000.symbol").write_bytes(symbol.encode({0x10: parked, 0x11: ""}))
        (folder / f"170000000{at}.000.json").write_text("{}")
    said: list[str] = []
    (found,) = find([tmp_path / "shop"], Identifier(), said.append)
    waits = [sample.stack.wait for one in found.observations() if one for sample in one[3].values()]
    assert waits == ["chan send", "chan receive", "select"]
    assert said == []
    assert show.read(str(folder / "1700000002.000.txt.gz"), 1).groups[0][0].parked == "runtime.chanrecv1"  # type: ignore[union-attr]  # it is no dump
