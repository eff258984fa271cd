"""The API on a small fleet: answers, errors, and names with any characters."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from leakwatch.leaks.config import IgnoreConfig
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.settings.yaml_file import load_yaml
from leakwatch.web.api.aggregate import summed
from leakwatch.web.api.flame_graph import DEEPEST
from leakwatch.web.api.leak_detail import ignore_rule
from leakwatch.web.api.problems import PROBLEM
from leakwatch.web.api.series import leak_series
from leakwatch.web.api.sparklines import SparklineCache
from tests.support.api_world import (
    DOWN,
    END,
    HOSTILE,
    LONG,
    MINUTES,
    NEW,
    ODD,
    ONE,
    TWO,
    app,
    app_state,
    get,
    health,
    request,
    sample,
    small_world,
    view,
)
from tests.support.leaking import leak as build_leak
from tests.support.simulated import START, samples, stack

SHOP = f"shop/{stack('leak').fingerprint}"
NAMES = st.text().filter(lambda name: name not in {".", ".."})
"""Names except . and .., which clients and browsers remove from paths."""


def strict(response: httpx.Response) -> dict[str, object]:
    """Return the body as JSON of RFC 8259, without NaN and lone surrogates."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    body: dict[str, object] = json.loads(response.content.decode("utf-8", "strict"), parse_constant=refuse)
    return body


def ids() -> list[str]:
    """Return the ids of all leaks."""
    return [leak["id"] for leak in get("/api/v1/leaks").json()["leaks"]]


def all_paths() -> Iterator[str]:
    """Yield the paths of all JSON answers about the small fleet."""
    yield from ("/leaks", "/services", "/targets", "/status", "/openapi.json")
    for leak in ids():
        yield from (f"/leaks/{leak}", f"/leaks/{leak}/series")
    for service in ("shop", "young", quote(HOSTILE, safe="")):
        yield f"/services/{service}"
    for target in get("/api/v1/targets").json()["targets"]:
        yield from (f"/targets/{target['id']}", f"/targets/{target['id']}/flame")


def test_all_answers_are_strict_json() -> None:
    """Each path that lists lead to answers with strict JSON that is not cached, whatever names contain."""
    paths = list(all_paths())
    assert len(paths) == 5 + 2 * 3 + 3 + 2 * 5
    for path in paths:
        response = get(f"/api/v1{path}")
        assert response.status_code == 200, (path, response.text)
        assert response.headers["content-type"] == "application/json"
        assert response.headers.get("cache-control", path) in {"no-store", "/openapi.json"}
        assert strict(response)


def test_the_list_of_leaks() -> None:
    """The most urgent leak comes first, as in the pipeline; its sparkline ends at the current count."""
    answer = strict(get("/api/v1/leaks"))
    assert (answer["total"], answer["known"], answer["services"]) == (3, 3, [HOSTILE, "shop"])
    assert (answer["owners"], answer["verdicts"]) == (["team <shop>"], ["leaking"])
    leaks = get("/api/v1/leaks").json()["leaks"]
    assert [leak["stack"] for leak in leaks] == [leak.stack.fingerprint for leak in small_world().open_leaks()]
    shop = leaks[0]
    assert (shop["id"], shop["function"], shop["file"], shop["line"]) == (SHOP, "main.leak", "/src/leak.go", 7)
    assert shop["goroutines"] == 3 * (MINUTES - 1) + 3 * (MINUTES - 101)
    assert (shop["targets"], shop["targets_total"]) == ([ONE.name], 1)
    assert shop["growth_per_hour"]["low"] < shop["growth_per_hour"]["value"] < shop["growth_per_hour"]["high"]
    assert [turn["verdict"] for turn in shop["life"]][:2] == ["suspected", "leaking"]
    assert shop["detected_at"] == shop["life"][1]["time"]
    assert len(shop["sparkline"]) == 48
    assert shop["sparkline"][-1] == shop["goroutines"]
    assert shop["sparkline_from"] == START + 1800  # the middle of the first hour
    slopes = [after - before for before, after in pairwise(shop["sparkline"][:4])]
    assert min(slopes) > 0.5 * max(slopes) > 0  # the leak has grown since the start, so no part is level


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("service=shop", 2),
        ("service=sho", 0),
        ("owner=team%20%3Cshop%3E", 3),
        ("owner=no-team", 0),
        ("verdict=leaking", 3),
        ("verdict=suspected&verdict=plateau", 0),
        ("q=MAIN.LEAK", 1),
        ("q=wait.go:9", 1),
        ("q=half%20a", 1),
        ("limit=1", 1),
        ("limit=0", 0),
        ("offset=2", 1),
        ("offset=1000000", 0),
    ],
)
def test_filters(query: str, number: int) -> None:
    """Service and owner match whole names, a text matches in any case, and pages have a limit and an offset."""
    assert len(get(f"/api/v1/leaks?{query}").json()["leaks"]) == number


def test_one_leak() -> None:
    """A leak has the stack with its own frames marked, the judgement of each target, and the alert as sent."""
    leak = get(f"/api/v1/leaks/{SHOP}").json()
    assert [(frame["function"], frame["own"]) for frame in leak["frames"]] == [
        ("main.leak", True),
        ("main.main", True),
    ]
    assert [target["target"] for target in leak["on"]] == [ONE.name, TWO.name]
    assert all(target["up"] and target["goroutines"] for target in leak["on"])
    assert leak["alert"]["labels"] == {
        "alertname": "GoroutineLeak",
        "service": "shop",
        "stack": SHOP[-16:],
        "function": "main.leak",
        "owner": "team <shop>",
        "severity": "page",
    }
    assert leak["alert"]["annotations"]["summary"].startswith("shop: goroutine leak in main.leak, ")


def test_library_frames_are_not_own() -> None:
    """Frames of the standard library and of dependencies are recognised by the paths of their files."""
    odd = next(leak for leak in ids() if leak.startswith("ns"))
    frames = get(f"/api/v1/leaks/{odd}").json()["frames"]
    assert [frame["own"] for frame in frames] == [False, True, False, True]


def test_a_site_lists_its_stacks() -> None:
    """A leak that is a site has the stacks with the same blamed function, largest first."""
    site = next(leak for leak in get("/api/v1/leaks").json()["leaks"] if leak["site"])
    leak = get(f"/api/v1/leaks/{site['id']}").json()
    counts = [row["goroutines"] for row in leak["stacks"]]
    assert leak["stacks_total"] == len(counts) == 4
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == leak["goroutines"]


def test_a_stack_that_a_leak_represents() -> None:
    """The error for a stack that is part of a leak names the leak; the error for a hidden leak names the rule."""
    site = next(leak for leak in get("/api/v1/leaks").json()["leaks"] if leak["site"])
    lives = small_world().services["shop"].leaks.candidates
    parts = [key for key, life in lives.items() if life.stack.blamed.function == "main.wait"]
    part = next(key for key in parts if not lives[key].stack.site)
    problem = strict(get(f"/api/v1/leaks/shop/{part}"))
    assert (problem["status"], problem["told_as"]) == (404, site["id"])
    hidden = get(f"/api/v1/leaks/{quote(HOSTILE, safe='')}/{stack('hidden').fingerprint}")
    assert "is hidden by: ignore function 'main.hidden*'" in hidden.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(
    function=st.text(min_size=1),
    service=st.text(st.characters(exclude_characters="*?"), min_size=1),  # wildcards in a rule
    goroutines=st.integers(0, 10**7),
)
def test_the_rule_to_paste(function: str, service: str, goroutines: int) -> None:
    """The pasted rule hides this leak only, until its number of goroutines has doubled."""
    leak = build_leak(function=function, service=service, goroutines=goroutines)
    (rule,) = load_yaml(ignore_rule(leak, END), "")[1]["ignore"]
    ignore = IgnoreConfig.model_validate(rule).rule()
    assert ignore.matches(leak.stack, Target(service, "a:1").all_labels)
    assert not ignore.matches(leak.stack, Target(f"{service}2", "a:1").all_labels)
    assert ignore.at_most
    assert 2 * goroutines < ignore.at_most <= 4 * goroutines + 20


def series(path: str) -> dict[str, list[float]]:
    """Return times, means and floors of the recent blocks at a path."""
    line = get(f"/api/v1/{path}").json()["recent"]
    assert len(line["times"]) == len(line["mean"]) == len(line["floor"]) > 2
    assert line["times"] == sorted(line["times"])
    return {"times": line["times"], "mean": line["mean"], "floor": line["floor"]}


@pytest.mark.parametrize(("build", "kind"), [("b1", "restart"), ("b2", "deploy")])
def test_a_restart_into_another_build_is_a_deploy(build: str, kind: str) -> None:
    """A restart with another build is marked as a deploy, a restart with the same build as a restart."""
    pipeline = Pipeline(DetectionSettings())
    for minute in range(400):
        process = Process("s1", "b1") if minute < 300 else Process("s2", build)
        counts = {"leak": 3 * (minute % 300)}
        pipeline.observe(pipeline.add_target(ONE), START + 60.0 * minute, 900, samples(counts), process)
    (leak,) = pipeline.open_leaks()
    marks = leak_series(view(pipeline=pipeline), leak, 12).marks
    assert [mark.kind for mark in marks if mark.target] == [kind]
    (text,) = [mark.text for mark in marks if mark.target]
    assert text == f"{ONE.name} {'restarted' if kind == 'restart' else 'runs build b2'}"


def test_a_leak_over_time() -> None:
    """The series of all targets and of each target end at the current count; restarts and verdicts are marked."""
    leak = get(f"/api/v1/leaks/{SHOP}/series").json()
    total = series(f"leaks/{SHOP}/series")
    assert total["mean"][-1] == leak["targets"][0]["goroutines"] + leak["targets"][1]["goroutines"]
    assert [target["target"] for target in leak["targets"]] == [ONE.name, TWO.name]
    alone = leak["targets"][0]["recent"]
    assert len(alone["times"]) == 25
    for time, mean in zip(alone["times"], alone["mean"], strict=True):
        assert math.isclose(mean, 3 * (time - START) / 60, abs_tol=5)
    marks = [(mark["kind"], mark["text"], mark["target"]) for mark in leak["marks"]]
    assert ("restart", f"{TWO.name} restarted", TWO.name) in marks
    assert ("verdict", "leaking", "") in marks
    assert marks[0][0] == "first_seen"
    assert leak["fit"]["per_hour"]["value"] > 0
    assert leak["fit"]["since"] < leak["now"]


def test_only_the_fastest_targets_have_a_series() -> None:
    """Of a large service, the fastest targets have a series, and the number of the others is reported."""
    leak = get(f"/api/v1/leaks/{SHOP}/series?targets=1").json()
    assert ([target["target"] for target in leak["targets"]], leak["others"]) == ([ONE.name], 1)
    assert get(f"/api/v1/leaks/{SHOP}/series?targets=0").json()["others"] == 2


def test_a_gap_is_not_zero() -> None:
    """A block without a scrape is null; a sum continues with the last count while any target is scraped."""
    fed, key = Pipeline(DetectionSettings()), stack("a").fingerprint
    for minute in range(120):
        if not 40 <= minute < 60:
            fed.observe(fed.add_target(ONE), START + 60 * minute, 5, sample(stack("a"), 5))
        if not 50 <= minute < 60:
            fed.observe(fed.add_target(TWO), START + 60 * minute, 7, sample(stack("a"), 7))
    path = f"/api/v1/targets/shop/{quote(ONE.name)}/series?stack={key}"
    mean = get(path, app_state(pipeline=fed)).json()["recent"]["mean"]
    assert mean == [5.0] * 8 + [None] * 4 + [5.0] * (len(mean) - 12)
    blocks, _ = summed(fed.targets.values(), [key])
    assert blocks.mean[0, -23:].tolist() == [12.0] * 23
    assert np.flatnonzero(~blocks.seen).tolist() == [0, 11, 12]


def test_targets_of_different_age_and_pace_add_up() -> None:
    """A sum includes a late target from its start, a target that is down with its last count, and wider blocks."""
    fed, key = Pipeline(DetectionSettings()), stack("a").fingerprint
    slow = Target("shop", "slow:1")
    fed.add_target(slow).stretch(120)
    for minute in range(115):
        if minute < 30:
            fed.observe(fed.add_target(ONE), START + 60 * minute, 100, sample(stack("a"), 100))
        if minute >= 62:
            fed.observe(fed.add_target(TWO), START + 60 * minute, 10, sample(stack("a"), 10))
        if minute % 2 == 0:
            fed.observe(fed.add_target(slow), START + 60 * minute, 1, sample(stack("a"), 1))
    assert fed.targets[slow].history.block == 600
    blocks, hours = summed(fed.targets.values(), [key])
    assert blocks.width == 600
    assert (blocks.end - START) / 60 == 112  # minutes; the newest block of the target that was added after 62
    levels = dict(zip((blocks.times - START) // 60, blocks.mean[0].tolist(), strict=True))
    assert [levels[minute] for minute in (7, 27, 47, 87, 107)] == [101, 101, 101, 111, 111]
    assert hours.width == 7200


def test_the_flame_graph() -> None:
    """The graph starts at the root, and each call has the calls below it; a cut in a deep stack is one call."""
    root = get(f"/api/v1/targets/shop/{quote(ONE.name)}/flame").json()["root"]
    history = small_world().targets[ONE].history
    assert root["value"] == sum(call["value"] for call in root["children"]) == history.last.sum()
    main = next(call for call in root["children"] if call["name"] == "main.main")
    (leak,) = (call for call in main["children"] if call["name"] == "main.leak")
    assert leak["value"] == 3 * (MINUTES - 1)
    assert leak["growth"] == pytest.approx(180, rel=0.01)
    deep = Stack(
        fingerprint=Fingerprint("0" * 16),
        frames=tuple(Frame(f"main.f{i}") for i in range(500)),
        blamed=Frame("main.f0"),
        origin="",
        wait="",
    )
    fed = Pipeline(DetectionSettings())
    fed.observe(fed.add_target(ONE), START, 3, sample(deep, 3))
    fed.targets[ONE].history.folded = 4
    graph = get(f"/api/v1/targets/shop/{quote(ONE.name)}/flame", app_state(pipeline=fed)).json()
    assert graph["left_out"] == 4
    names, call = [], graph["root"]
    while call["children"]:
        (call,) = call["children"]
        names.append(call["name"])
    assert len(names) == DEEPEST + 1
    assert (names[0], names[DEEPEST // 2], names[-1]) == ("main.f499", "…", "main.f0")


def test_targets() -> None:
    """Targets that are down come first, with the reason; a new target has the time until its first verdict."""
    answer = get("/api/v1/targets").json()
    assert (answer["known"], answer["up"], answer["down"]) == (5, 4, 1)
    first, *_, last = answer["targets"]
    assert (first["target"], first["up"], first["reason"]) == (DOWN.name, False, "connection")
    assert first["judged_in_seconds"] is None
    assert (last["target"], last["judged_in_seconds"]) == (NEW.name, 40 * 60 - 19 * 60)
    assert [target["target"] for target in get("/api/v1/targets?state=down").json()["targets"]] == [DOWN.name]
    assert get("/api/v1/targets?service=shop&limit=1").json()["total"] == 2
    assert get("/api/v1/targets?q=half%20a").json()["total"] == 2


@pytest.mark.parametrize("sort", ["growth", "count", "name"])
def test_stacks_of_a_target(sort: str) -> None:
    """Stacks are sorted by growth, count or name, and paginated."""
    target = get(f"/api/v1/targets/shop/{quote(ONE.name)}?sort={sort}").json()
    rows = target["stacks_shown"]
    assert target["stacks_found"] == len(rows) == 6
    keys = {
        "growth": [-row["growth_per_hour"]["value"] for row in rows],
        "count": [-row["goroutines"] for row in rows],
        "name": [row["function"] for row in rows],
    }
    assert keys[sort] == sorted(keys[sort])
    page = get(f"/api/v1/targets/shop/{quote(ONE.name)}?sort={sort}&limit=2&offset=1").json()["stacks_shown"]
    assert page == rows[1:3]
    assert target["process"] == {"start": "s1", "build": "b1"}
    assert target["labels"] == {"job": "shop", "zone": "a"}


def test_names_with_slashes() -> None:
    """Service and target may contain slashes: the split that gives a target counts."""
    health = {Target("a/b", "c"): TargetHealth(up=True), Target("d", "e/f/g"): TargetHealth(up=True)}
    state = app_state(health=lambda: health)
    for path in ("a/b/c", "a%2Fb/c", "d/e/f/g", "d/e%2Ff%2Fg"):
        assert get(f"/api/v1/targets/{path}", state).json()["id"] in {"a%2Fb/c", "d/e%2Ff%2Fg"}
    assert get("/api/v1/targets/a/b/d", state).status_code == 404


def test_services() -> None:
    """Leaking services come first; before the first verdict, the answer has the reason for the wait."""
    answer = get("/api/v1/services").json()
    assert [(row["service"], row["leaks"], row["down"]) for row in answer["services"]] == [
        (HOSTILE, {"leaking": 1}, 0),
        ("shop", {"leaking": 2}, 0),
        ("young", {}, 1),
    ]
    assert answer["waiting"] == ""
    shop = get("/api/v1/services/shop").json()
    assert shop["sparkline"][-1] == sum(small_world().targets[target].history.last.sum() for target in (ONE, TWO))
    young = {target: state for target, state in view().health.items() if target == NEW}
    assert get("/api/v1/services", app_state(health=lambda: young)).json()["waiting"] == (
        "Collecting data: first verdict in 21m."
    )
    assert get("/api/v1/services", app_state(health=dict)).json()["waiting"] == "There are no targets."
    never = {DOWN: TargetHealth()}
    assert get("/api/v1/services", app_state(health=lambda: never)).json()["waiting"] == (
        "No target has been scraped yet."
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v2/leaks", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/leaks/", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/leaks/shop/0123456789abcdef", 404, "there is no leak 0123456789abcdef of service 'shop'"),
        ("GET", "/v1/leaks/shop/../../x", 404, ""),
        ("GET", "/v1/services/%00", 404, "there is no service '\\x00'"),
        ("GET", "/v1/services/%ff%fe", 404, "there is no service"),
        ("GET", "/v1/targets/shop/nowhere", 404, "there is no target 'shop/nowhere'"),
        ("GET", "/v1/targets/shop/nowhere/flame", 404, "there is no target 'shop/nowhere'"),
        (
            "GET",
            "/v1/targets/shop/10.0.0.1:6060/series?stack=0123456789abcdef",
            404,
            "has no stack 0123456789abcdef",
        ),
        ("GET", "/v1/targets/shop/10.0.0.1:6060/series", 422, "stack: Field required"),
        ("GET", "/v1/targets/shop/10.0.0.1:6060/series?stack=x", 422, "stack: String should match pattern"),
        ("GET", "/v1/leaks?limit=1001", 422, "limit: Input should be less than or equal to 1000, not '1001'"),
        ("GET", "/v1/leaks?limit=1e3", 422, "limit: Input should be a valid integer"),
        ("GET", "/v1/leaks?offset=-1", 422, "offset: Input should be greater than or equal to 0"),
        ("GET", f"/v1/leaks?offset={10**400}", 422, "offset: "),
        ("GET", "/v1/leaks?verdict=maybe", 422, "verdict.0: Input should be 'normal', "),
        ("GET", f"/v1/leaks?q={'x' * 1001}", 422, "q: String should have at most 1000 characters"),
        (
            "GET",
            "/v1/targets/shop/10.0.0.1:6060?sort=size",
            422,
            "sort: Input should be 'growth', 'count' or 'name'",
        ),
        ("POST", "/v1/leaks", 405, ""),
        ("DELETE", f"/v1/leaks/{'shop/' + '0' * 16}", 405, ""),
    ],
)
def test_problems(method: str, path: str, status: int, detail: str) -> None:
    """All errors below /api are problems of RFC 9457, without a traceback."""
    response = get(f"/api{path}", method=method)
    problem = strict(response)
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
    assert response.headers["cache-control"] == "no-store"
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert detail in str(problem["detail"])
    assert len(response.content) < 2000
    if status == 405:
        assert response.headers["allow"] == "GET"


def test_an_internal_error() -> None:
    """An internal error is a problem without details, and the next request succeeds."""

    def broken() -> dict[Target, TargetHealth]:
        raise RuntimeError("a secret path")

    with capture_logs() as log:
        response = get("/api/v1/targets", app_state(health=broken))
    assert [line["log_level"] for line in log] == ["error"]
    assert log[0]["exc_info"]
    assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
    assert strict(response)["detail"] == "internal error, see leakwatch's log"
    assert get("/api/v1/targets").status_code == 200


NAMES = st.text().filter(lambda name: name not in {".", ".."})
"""Names that stay in a path; httpx resolves the two others."""


@settings(max_examples=150, deadline=None)
@given(service=NAMES, rest=NAMES, kind=st.sampled_from(["leaks", "services", "targets"]))
def test_any_name_in_a_path(service: str, rest: str, kind: str) -> None:
    """A path with any characters gives a problem: names are only looked up."""
    response = get(f"/api/v1/{kind}/{quote(service, safe='')}/{quote(rest, safe='')}")
    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM
    strict(response)


@settings(max_examples=60, deadline=None)
@given(name=NAMES.filter(bool))
def test_any_name_has_a_path(name: str) -> None:
    """A service and a target may have any name, apart from . and .."""
    target = Target(name, name)
    state = app_state(health=lambda: {target: TargetHealth(up=True)})
    application = app(state)
    (listed,) = request(application, "/api/v1/targets").json()["targets"]
    for path in (listed["id"], f"{listed['id']}/flame"):
        assert request(application, f"/api/v1/targets/{path}").json()["target"] == name
    assert request(application, f"/api/v1/services/{quote(name, safe='')}").json()["service"] == name


def test_long_names_are_not_cut() -> None:
    """A name of ten thousand characters is in the answer in full."""
    target = get(f"/api/v1/targets/{quote(HOSTILE, safe='')}/{quote(ODD.name, safe='')}?sort=name").json()
    assert LONG in {row["function"] for row in target["stacks_shown"]}


def test_behind_a_prefix() -> None:
    """With a prefix, the API and its problems are below the prefix only."""
    state = app_state(url="https://example.com/leak/watch")
    assert get("/leak/watch/api/v1/leaks", state, "/leak/watch").json()["total"] == 3
    assert get("/leak/watch/api/x", state, "/leak/watch").headers["content-type"] == PROBLEM
    assert get("/api/v1/leaks", state, "/leak/watch").status_code == 404
    path = f"/leak/watch/api/v1/services/{quote(HOSTILE, safe='')}"
    assert get(path, state, "/leak/watch").json()["service"] == HOSTILE
    (server,) = get("/leak/watch/api/v1/openapi.json", state, "/leak/watch").json()["servers"]
    assert server["url"] == "https://example.com/leak/watch/api"


def test_fifty_at_once() -> None:
    """Fifty clients at once get the same answer as a single client."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app())
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await asyncio.gather(*(client.get(f"/api/v1/leaks/{SHOP}/series") for _ in range(50)))

    answers = asyncio.run(send())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {get(f"/api/v1/leaks/{SHOP}/series").content}


@pytest.mark.parametrize(
    ("path", "wrong", "valid"),
    [
        ("/leaks?serivce=shop", "serivce", "valid are limit, offset, owner, q, service, verdict"),
        (f"/leaks/{SHOP}?q=x", "q", "there are none"),
        (f"/leaks/{SHOP}/series?targets=2&Targets=3", "Targets", "valid are targets"),
        ("/services?limit=1", "limit", "there are none"),
        ("/targets?state=down&state=up&%3Cb%3E%0A=", "<b>\n", "valid are limit, offset, q, service, state"),
        ("/status?x", "x", "there are none"),
        ("/events?x", "x", "there are none"),
        ("/diff?new=now&kind=x", "kind", "valid are by, limit, new, offset, old"),
        ("/profiles/abc?form=pprof", "form", "valid are format"),
    ],
)
def test_a_parameter_that_is_misspelt_is_refused(path: str, wrong: str, valid: str) -> None:
    """An unknown parameter is an error that lists the valid ones, because it would filter nothing."""
    answer = get(f"/api/v1{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    message = f"this path has no such parameter, {valid}"
    assert strict(answer)["errors"] == [{"parameter": wrong, "message": message}]
    assert strict(answer)["detail"] == f"{wrong}: {message}"


def test_a_sparkline_is_cached_for_a_block_at_most() -> None:
    """If blocks are short, a sparkline expires with the block, before the time of the cache ends."""
    fed = Pipeline(DetectionSettings(block=10))
    for second in range(60):
        fed.observe(fed.add_target(ONE), START + second, 0, sample(stack("leak"), 1 + second))
    states, key, cache = list(fed.targets.values()), stack("leak").fingerprint, SparklineCache(60)
    first, start = cache.get("shop", states, {key: 60}, 0.0)[key]
    assert start == pytest.approx(START + 5, abs=1)
    for second in range(60, 71):
        fed.observe(fed.add_target(ONE), START + second, 0, sample(stack("leak"), 1 + second))
    assert cache.get("shop", states, {key: 71}, 9.9)[key][0][:-1] == first[:-1]
    line, _ = cache.get("shop", states, {key: 71}, 10.0)[key]
    assert max(abs(after - before) for before, after in pairwise(line)) < 4


def test_sparklines_are_cached() -> None:
    """The levels of a sparkline are cached for a minute at least; the last point is always the current count."""
    fed, cache = Pipeline(DetectionSettings()), SparklineCache(60)

    def scrape(minutes: range) -> None:
        for minute in minutes:
            fed.observe(fed.add_target(ONE), START + 60 * minute, 0, sample(stack("leak"), 9 * minute))

    scrape(range(150))
    states, key = list(fed.targets.values()), stack("leak").fingerprint
    first, _ = cache.get("shop", states, {key: 5}, 0.0)[key]
    scrape(range(150, 250))
    second, _ = cache.get("shop", states, {key: 7}, 59.9)[key]
    assert (second[:-1], first[-1], second[-1]) == (first[:-1], 5, 7)
    third, _ = cache.get("shop", states, {key: 7}, 120.0)[key]
    assert third[:-1] != first[:-1]
    assert cache.get("shop", states, {stack("other").fingerprint: 1}, 121.0)


@pytest.mark.parametrize("path", [f"/leaks/{SHOP}", f"/leaks/{SHOP}/series", "/targets", "/services", "/status"])
def test_health_and_leaks_are_computed_once_per_request(path: str) -> None:
    """A request reads the health of all targets at most once, however many targets a leak has."""
    calls = []

    def counted() -> Mapping[Target, TargetHealth]:
        calls.append(path)
        return health()

    assert get(f"/api/v1{path}", app_state(health=counted)).status_code == 200
    assert len(calls) <= 1
