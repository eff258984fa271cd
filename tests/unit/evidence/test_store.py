"""The store of evidence: limits, the folder over a restart, changes of the settings."""

from collections.abc import Mapping
from pathlib import Path

from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.index import OVERHEAD
from leakwatch.evidence.store import Store
from leakwatch.model import Verdict
from tests.support.clock import ManualClock, run_logged
from tests.support.kept_bodies import STACK, parts, record
from tests.support.simulated import START


def seconds(store: Store) -> list[float]:
    """Return the seconds of the stored bodies, the newest first."""
    return [body.record.time - START for body in store.bodies]


def records(folder: Path) -> list[Path]:
    """Return the record files in a folder."""
    return list(folder.rglob("*.json"))


def test_bodies_are_in_memory_by_default() -> None:
    """Without a folder all bodies are within the memory limit, which is logged once."""

    async def run() -> None:
        store = Store(EvidenceConfig(memory_limit=10 * (OVERHEAD + 1000), body_limit=100), ManualClock())
        store.start()
        for i in range(30):
            store.save(store.add(record(at=START + i, size=1000), parts(1000), "0x1"))
        assert (len(store), store.dropped) == (10, 20)
        assert seconds(store) == list(range(29, 19, -1))
        assert (await store.read(store.bodies[0].key))[1] == parts(1000)
        await store.stop()

    (line,) = run_logged(run)
    assert line["event"].startswith("evidence is stored in memory")


def test_the_folder_is_loaded_after_a_restart(tmp_path: Path) -> None:
    """The bodies of an earlier run are readable and count for the limits."""
    folder = tmp_path / "evidence"
    both: Mapping[str, bytes] = {**parts(), ".symbol": b"0x1 runtime.chansend1\n"}

    async def first() -> None:
        store = Store(EvidenceConfig(path=folder), ManualClock())
        store.start()
        for i in range(8):
            store.save(store.add(record(at=START + i), both, "0x1"))
        await store.flush()
        assert all(body.parts is None for body in store.bodies)
        await store.stop()

    async def second() -> None:
        store = Store(EvidenceConfig(path=folder, body_limit=3), ManualClock())
        store.start()
        assert [body.record for body in store.bodies] == [record(at=START + i) for i in (7, 6, 5)]
        assert (await store.read(store.bodies[0].key))[1] == both
        await store.flush()
        await store.stop()

    run_logged(first)
    assert len(records(folder)) == 8
    (line,) = run_logged(second)
    assert (line["event"], line["bodies"]) == ("evidence loaded", 3)
    suffixes = sorted(path.suffix for path in folder.rglob("*.*") if path.is_file())
    assert suffixes == [*[".gz"] * 3, *[".json"] * 3, *[".symbol"] * 3]


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    """If a file has the name of the folder, bodies stay in memory, and the error is logged."""
    (tmp_path / "evidence").write_text("a file")

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path / "evidence"), ManualClock())
        store.start()
        store.save(store.add(record(), parts(), "0x1"))
        assert len(store) == 1
        await store.stop()

    (line,) = run_logged(run)
    assert line["event"] == "evidence.path cannot be used, evidence stays in memory"
    assert "exists" in line["error"]
    assert (tmp_path / "evidence").read_text() == "a file"


def test_the_last_body_of_a_process_replaces_the_one_before() -> None:
    """A body that is stored only as the last is removed; bodies of other processes and targets stay."""
    store = Store(EvidenceConfig(), ManualClock())
    store.add(record(at=START + 1, kinds=("leaking", "last")), parts(), "0x1")
    store.add(record(at=START + 2, kinds=("last",)), parts(), "0x1")
    store.add(record(at=START + 3, kinds=("last",)), parts(), "0x1")
    store.add(record(at=START + 4, kinds=("last",)), parts(), "0x2")
    store.add(record(at=START + 5, kinds=("last",), target="other"), parts(), "0x2")
    assert [(body.record.time - START, body.record.kinds) for body in store.bodies] == [
        (5, ("last",)),
        (4, ("last",)),
        (3, ("last",)),
        (1, ("leaking",)),
    ]
    assert store.dropped == 0


def test_two_bodies_within_a_millisecond() -> None:
    """Both are stored, with different times."""
    store = Store(EvidenceConfig(), ManualClock())
    store.add(record(), parts(), "")
    store.add(record(), parts(), "")
    assert [round(body.record.time - START, 3) for body in store.bodies] == [0.001, 0]


def test_a_new_verdict_is_recorded_in_all_bodies_of_the_leak(tmp_path: Path) -> None:
    """The record files change too, but only those of the service."""

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path), ManualClock())
        store.start()
        for i, service in enumerate(("shop", "shop", "cart")):
            store.save(store.add(record(service=service, at=START + i), parts(), ""))
        await store.flush()
        store.update_leak("shop", STACK, Verdict.PROVEN, 90.0)
        await store.flush()
        await store.stop()

    run_logged(run)
    texts = {str(file.relative_to(tmp_path)): file.read_text() for file in records(tmp_path)}
    assert {name.partition("/")[0] for name, text in texts.items() if '"proven"' in text} == {"shop"}
    assert sum('"proven"' in text for text in texts.values()) == 2


def test_the_same_error_is_logged_once() -> None:
    """Each body that could not be stored is counted."""

    async def run() -> None:
        store = Store(EvidenceConfig(), ManualClock())
        for error in ("a", "a", "b", "a"):
            store.reject(error, service="shop")
        assert store.dropped == 4

    assert [line["error"] for line in run_logged(run)] == ["a", "b", "a"]


def test_a_reload_applies_new_limits(tmp_path: Path) -> None:
    """A new path takes effect after a restart."""

    async def run() -> None:
        store = Store(EvidenceConfig(path=tmp_path), ManualClock())
        store.start()
        for i in range(5):
            store.add(record(at=START + i), parts(), "0x1")
        store.configure(EvidenceConfig(path=None, body_limit=2))
        assert (len(store), store.settings.path) == (2, tmp_path)
        await store.stop()

    run_logged(run)
