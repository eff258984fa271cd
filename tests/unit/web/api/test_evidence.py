"""Evidence over HTTP: list, download, conversion, and requests that are rejected."""

import asyncio
import gzip
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, BodyFormat
from leakwatch.evidence.store import Store
from leakwatch.profile import formats as saved
from leakwatch.profile import proto
from leakwatch.web.api.app import build_api
from tests.support.api_world import app_state
from tests.support.clock import ManualClock
from tests.support.kept_bodies import STACK, record
from tests.support.simulated import START

PROFILES = Path(__file__).parents[3] / "profiles" / "1.27"
FORMS: dict[BodyFormat, bytes] = {
    "text": gzip.compress((PROFILES / "goroutine.debug1.txt").read_bytes()),
    "proto": (PROFILES / "goroutine.debug0.pb.gz").read_bytes(),
    "dump": gzip.compress((PROFILES / "goroutine.debug2.txt").read_bytes()),
}
HOSTILE = ["..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "x" * 5000, "é", "<script>", "0" * 16]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a profile of each format, ordered by time, of two targets."""
    (tmp_path / "secret.txt.gz").write_bytes(b"not for you")
    store = Store(EvidenceConfig(), ManualClock())
    for i, (form, body) in enumerate(FORMS.items()):
        stored = record(service="shop" if i < 2 else 'a"/b', at=START + i, kinds=("last",) if i else ("leaking",))
        parts = {SUFFIXES[form]: body}
        if form == "text":
            parts[SYMBOLS] = (PROFILES / "symbol.txt").read_bytes()
        store.add(stored.model_copy(update={"format": form, "bytes": len(body)}), parts, "")
    return store


def get(store: Store, path: str) -> httpx.Response:
    """Send one request to the API."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(build_api(app_state(evidence=store)))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(f"/v1{path}")

    return asyncio.run(send())


def test_all_are_listed_newest_first(store: Store) -> None:
    """The list has all fields of each stored profile."""
    profiles = get(store, "/profiles").json()["profiles"]
    assert [(profile["format"], profile["time"]) for profile in profiles] == [
        ("dump", START + 2),
        ("proto", START + 1),
        ("text", START),
    ]
    assert profiles[2] | {"id": ""} == {
        "id": "",
        "service": "shop",
        "target": "10.0.0.1:6060",
        "kinds": ["leaking"],
        "time": START,
        "stacks": [STACK],
        "format": "text",
        "bytes": len(FORMS["text"]),
        "goroutines": 7,
        "start": "0x1",
        "build": "",
    }


@pytest.mark.parametrize(
    ("query", "forms"),
    [
        ("service=shop", ["proto", "text"]),
        ("service=a%22%2Fb", ["dump"]),
        ("service=shop&kind=last", ["proto"]),
        ("target=10.0.0.1:6060&kind=leaking", ["text"]),
        (f"stack={STACK}&service=shop", ["proto", "text"]),
        ("stack=0000000000000000", []),
        ("service=", ["dump", "proto", "text"]),
    ],
)
def test_filters(store: Store, query: str, forms: list[str]) -> None:
    """A profile is listed if it passes all filters."""
    assert [profile["format"] for profile in get(store, f"/profiles?{query}").json()["profiles"]] == forms


@pytest.mark.parametrize("form", FORMS)
def test_downloads(store: Store, form: BodyFormat) -> None:
    """A profile is downloaded as stored, with a valid file name, and as protobuf for `go tool pprof`."""
    profiles = get(store, "/profiles").json()["profiles"]
    profile = next(profile for profile in profiles if profile["format"] == form)
    raw, converted = (get(store, f"/profiles/{profile['id']}{query}") for query in ("", "?format=pprof"))
    assert raw.content == FORMS[form]
    name = raw.headers["content-disposition"]
    assert name.startswith('attachment; filename="')
    assert name.endswith(f'{SUFFIXES[form]}"')
    assert not set(name[22:-1]) & set('/"\\%:')
    assert raw.headers["content-type"] == ("application/octet-stream" if form == "proto" else "application/gzip")
    assert proto.parse(converted.content).total == saved.parse(FORMS[form]).total
    parked = {trace.parked for trace, _ in proto.parse(converted.content).groups}
    assert {"runtime.chansend1", "runtime.selectgo"} <= parked or form == "dump"


@pytest.mark.parametrize("key", HOSTILE)
@pytest.mark.parametrize("query", ["", "?format=pprof"])
def test_unknown_ids(store: Store, key: str, query: str) -> None:
    """An id is never used as a path: an unknown id is a problem."""
    answer = get(store, f"/profiles/{quote(key, safe='%')}{query}")
    assert answer.status_code == 404
    assert b"not for you" not in answer.content
    assert len(answer.content) < 1000
    if "/" not in key and "%2f" not in key and key != "..":
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 404


@pytest.mark.parametrize("query", ["kind=all", "stack=x", "stack=" + "0" * 17])
def test_absurd_filters(store: Store, query: str) -> None:
    """An invalid parameter is a problem that names the parameter."""
    answer = get(store, f"/profiles?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert query.partition("=")[0] in answer.json()["detail"]


def test_a_removed_or_broken_file(tmp_path: Path) -> None:
    """A removed or broken file is a problem without a traceback and without the path of the file."""

    async def filled() -> tuple[Store, list[str]]:
        store = Store(EvidenceConfig(path=tmp_path), ManualClock())
        store.start()
        for i, body in enumerate((b"\x1f\x8bbroken", b"removed")):
            stored = record(at=START + i, size=len(body))
            store.save(store.add(stored, {".txt.gz": body}, ""))
        await store.stop()
        return store, [body.key for body in store.bodies]

    store, (removed, broken) = asyncio.run(filled())
    next(tmp_path.rglob("*1.000.txt.gz")).unlink()
    for key, query in ((removed, ""), (removed, "?format=pprof"), (broken, "?format=pprof")):
        answer = get(store, f"/profiles/{key}{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert str(tmp_path) not in answer.text
    assert get(store, f"/profiles/{broken}").content == b"\x1f\x8bbroken"
