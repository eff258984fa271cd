"""The API: what it tells of a small world, how it says errors, and that nothing in a name can break it."""

import asyncio
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakwatch.leaks.config import IgnoreConfig
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Stack, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.settings.file import load_yaml
from leakwatch.web.api.aggregate import summed
from leakwatch.web.api.cache import Recent, Sparklines
from leakwatch.web.api.flame_graph import DEEPEST
from leakwatch.web.api.leak_detail import ignore_rule
from leakwatch.web.api.problems import PROBLEM
from leakwatch.web.api.series import leak_series
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
    At,
    app,
    get,
    pipeline,
    sample,
    source,
)
from tests.support.leaking import leak as made_up
from tests.support.simulated import START, samples, stack

SHOP = f"shop/{stack('leak').fingerprint}"


def strict(response: httpx.Response) -> dict[str, object]:
    """Return an answer that is JSON as RFC 8259 has it: no NaN, no half letters."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found: dict[str, object] = json.loads(response.content.decode("utf-8", "strict"), parse_constant=refuse)
    return found


def ids() -> list[str]:
    """Return the ids of all leaks."""
    return [leak["id"] for leak in get("/api/v1/leaks").json()["leaks"]]


def every() -> Iterator[str]:
    """Yield all addresses of that world that answer with JSON."""
    yield from ("/leaks", "/services", "/targets", "/status", "/openapi.json")
    for leak in ids():
        yield from (f"/leaks/{leak}", f"/leaks/{leak}/series")
    for service in ("shop", "young", quote(HOSTILE, safe="")):
        yield f"/services/{service}"
    for target in get("/api/v1/targets").json()["targets"]:
        yield from (f"/targets/{target['id']}", f"/targets/{target['id']}/flame")


def test_all_that_there_is_answers_in_strict_json() -> None:
    """Each address that lists lead to answers, whatever stands in names: no NaN, no half letter, none stored."""
    paths = list(every())
    assert len(paths) == 5 + 2 * 3 + 3 + 2 * 5
    for path in paths:
        response = get(f"/api/v1{path}")
        assert response.status_code == 200, (path, response.text)
        assert response.headers["content-type"] == "application/json"
        assert response.headers.get("cache-control", path) in {"no-store", "/openapi.json"}
        assert strict(response)


def test_the_list_of_leaks() -> None:
    """The most urgent come first, as the pipeline has them, with a sparkline that ends at the present count."""
    found = strict(get("/api/v1/leaks"))
    assert (found["total"], found["known"], found["services"]) == (3, 3, [HOSTILE, "shop"])
    assert (found["owners"], found["verdicts"]) == (["team <shop>"], ["leaking"])
    leaks = get("/api/v1/leaks").json()["leaks"]
    assert [one["stack"] for one in leaks] == [one.stack.fingerprint for one in pipeline().open_leaks()]
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
    assert min(slopes) > 0.5 * max(slopes) > 0  # it has grown from the beginning: no piece of it is level


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("service=shop", 2),
        ("service=sho", 0),
        ("owner=team%20%3Cshop%3E", 3),
        ("owner=nobody", 0),
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
    """A service or an owner is a whole name, a text is looked for in any case, pages begin and end."""
    assert len(get(f"/api/v1/leaks?{query}").json()["leaks"]) == number


def test_one_leak() -> None:
    """It has the stack with own frames marked, each target with what is thought of it, and the alert as sent."""
    found = get(f"/api/v1/leaks/{SHOP}").json()
    assert [(one["function"], one["own"]) for one in found["frames"]] == [("main.leak", True), ("main.main", True)]
    assert [one["target"] for one in found["on"]] == [ONE.name, TWO.name]
    assert all(one["up"] and one["goroutines"] for one in found["on"])
    assert found["alert"]["labels"] == {
        "alertname": "GoroutineLeak",
        "service": "shop",
        "stack": SHOP[-16:],
        "function": "main.leak",
        "owner": "team <shop>",
        "severity": "warning",
    }
    assert found["alert"]["annotations"]["summary"].startswith("shop leaks goroutines in main.leak")


def test_library_frames_are_not_own() -> None:
    """The standard library and dependencies are told from own code by where they lie."""
    odd = next(one for one in ids() if one.startswith("ns"))
    frames = get(f"/api/v1/leaks/{odd}").json()["frames"]
    assert [one["own"] for one in frames] == [False, True, False, True]


def test_a_site_tells_its_stacks() -> None:
    """A leak that is told as its function has the stacks that blame it, the largest first."""
    site = next(one for one in get("/api/v1/leaks").json()["leaks"] if one["site"])
    found = get(f"/api/v1/leaks/{site['id']}").json()
    counts = [one["goroutines"] for one in found["stacks"]]
    assert found["stacks_total"] == len(counts) == 4
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == found["goroutines"]


def test_a_leak_that_another_one_tells() -> None:
    """Who asks for a stack that is part of a leak is told which one; one that a rule hides, by which rule."""
    site = next(one for one in get("/api/v1/leaks").json()["leaks"] if one["site"])
    lives = pipeline().services["shop"].leaks.candidates
    parts = [key for key, life in lives.items() if life.stack.blamed.function == "main.wait"]
    part = next(key for key in parts if not lives[key].stack.site)
    problem = strict(get(f"/api/v1/leaks/shop/{part}"))
    assert (problem["status"], problem["told_as"]) == (404, site["id"])
    hidden = get(f"/api/v1/leaks/{quote(HOSTILE, safe='')}/{stack('hidden').fingerprint}")
    assert "kept out of sight by: ignore function 'main.hidden*'" in hidden.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(
    function=st.text(min_size=1),
    service=st.text(st.characters(exclude_characters="*?"), min_size=1),  # a rule has no other names for these
    goroutines=st.integers(0, 10**7),
)
def test_the_rule_to_paste(function: str, service: str, goroutines: int) -> None:
    """Pasted as it stands, it is a rule that hides just this leak, and no longer when it has doubled."""
    leak = made_up(function=function, service=service, goroutines=goroutines)
    (rule,) = load_yaml(ignore_rule(leak, END))["ignore"]
    found = IgnoreConfig.model_validate(rule).rule()
    assert found.matches(leak.stack, Target(service, "a:1").all_labels)
    assert not found.matches(leak.stack, Target(f"{service}2", "a:1").all_labels)
    assert found.at_most
    assert 2 * goroutines < found.at_most <= 4 * goroutines + 20


def series(path: str) -> dict[str, list[float]]:
    """Return times and means of the recent blocks that an address tells."""
    found = get(f"/api/v1/{path}").json()["recent"]
    assert len(found["times"]) == len(found["mean"]) == len(found["floor"]) > 2
    assert found["times"] == sorted(found["times"])
    return {"times": found["times"], "mean": found["mean"], "floor": found["floor"]}


@pytest.mark.parametrize(("build", "kind"), [("b1", "restart"), ("b2", "deploy")])
def test_a_restart_into_another_build_is_a_deploy(build: str, kind: str) -> None:
    """Where the process says so, a deploy is told from a restart."""
    pipeline = Pipeline(DetectionSettings())
    for minute in range(400):
        process = Process("s1", "b1") if minute < 300 else Process("s2", build)
        counts = {"leak": 3 * (minute % 300)}
        pipeline.observe(pipeline.add_target(ONE), START + 60.0 * minute, 900, samples(counts), process)
    (leak,) = pipeline.open_leaks()
    marks = leak_series(source(pipeline=pipeline), leak.service, leak.stack.fingerprint, 12).marks
    assert [mark.kind for mark in marks if mark.target] == [kind]


def test_a_leak_over_time() -> None:
    """All targets together and each by itself, with the present count last; restarts and verdicts are marked."""
    found = get(f"/api/v1/leaks/{SHOP}/series").json()
    whole = series(f"leaks/{SHOP}/series")
    assert whole["mean"][-1] == found["targets"][0]["goroutines"] + found["targets"][1]["goroutines"]
    assert [one["target"] for one in found["targets"]] == [ONE.name, TWO.name]
    alone = found["targets"][0]["recent"]
    assert len(alone["times"]) == 25
    for time, mean in zip(alone["times"], alone["mean"], strict=True):
        assert math.isclose(mean, 3 * (time - START) / 60, abs_tol=5)
    marks = [(mark["kind"], mark["text"], mark["target"]) for mark in found["marks"]]
    assert ("restart", f"{TWO.name} restarted", TWO.name) in marks
    assert ("verdict", "leaking", "") in marks
    assert marks[0][0] == "first_seen"
    assert found["fit"]["per_hour"]["value"] > 0
    assert found["fit"]["since"] < found["now"]


def test_only_the_fastest_targets_one_by_one() -> None:
    """Of a service of thousands a few are told, and how many are not."""
    found = get(f"/api/v1/leaks/{SHOP}/series?targets=1").json()
    assert ([one["target"] for one in found["targets"]], found["others"]) == ([ONE.name], 1)
    assert get(f"/api/v1/leaks/{SHOP}/series?targets=0").json()["others"] == 2


def test_a_gap_is_no_zero() -> None:
    """A block without a scrape is null on its target; a sum goes on with the last count while any is scraped."""
    fed, key = Pipeline(DetectionSettings()), stack("a").fingerprint
    for minute in range(120):
        if not 40 <= minute < 60:
            fed.observe(fed.add_target(ONE), START + 60 * minute, 5, sample(stack("a"), 5))
        if not 50 <= minute < 60:
            fed.observe(fed.add_target(TWO), START + 60 * minute, 7, sample(stack("a"), 7))
    path = f"/api/v1/targets/shop/{quote(ONE.name)}/series?stack={key}"
    mean = get(path, source(pipeline=fed)).json()["recent"]["mean"]
    assert mean == [5.0] * 8 + [None] * 4 + [5.0] * (len(mean) - 12)
    blocks, _ = summed(fed.targets.values(), [key])
    assert blocks.mean[0, -23:].tolist() == [12.0] * 23
    assert np.flatnonzero(~blocks.seen).tolist() == [0, 11, 12]


def test_targets_of_different_age_and_pace_add_up() -> None:
    """Who came late adds nothing before, who is down its last count, who is scraped seldom what it had then."""
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
    assert (blocks.end - START) / 60 == 112  # minutes; the newest block of who came after 62
    levels = dict(zip((blocks.times - START) // 60, blocks.mean[0].tolist(), strict=True))
    assert [levels[minute] for minute in (7, 27, 47, 87, 107)] == [101, 101, 101, 111, 111]
    assert hours.width == 7200


def test_the_flame_graph() -> None:
    """Root first, each call with what is beneath it; what is cut of a stack that is too deep is one call."""
    root = get(f"/api/v1/targets/shop/{quote(ONE.name)}/flame").json()["root"]
    history = pipeline().targets[ONE].history
    assert root["value"] == sum(one["value"] for one in root["children"]) == history.last.sum()
    main = next(one for one in root["children"] if one["name"] == "main.main")
    (leak,) = (one for one in main["children"] if one["name"] == "main.leak")
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
    graph = get(f"/api/v1/targets/shop/{quote(ONE.name)}/flame", source(pipeline=fed)).json()
    assert graph["left_out"] == 4
    names, call = [], graph["root"]
    while call["children"]:
        (call,) = call["children"]
        names.append(call["name"])
    assert len(names) == DEEPEST + 1
    assert (names[0], names[DEEPEST // 2], names[-1]) == ("main.f499", "…", "main.f0")


def test_targets() -> None:
    """Those that are down come first; each says why, or when it can be judged."""
    found = get("/api/v1/targets").json()
    assert (found["known"], found["up"], found["down"]) == (5, 4, 1)
    first, *_, last = found["targets"]
    assert (first["target"], first["up"], first["reason"]) == (DOWN.name, False, "connection")
    assert first["judged_in_seconds"] is None
    assert (last["target"], last["judged_in_seconds"]) == (NEW.name, 40 * 60 - 19 * 60)
    assert [one["target"] for one in get("/api/v1/targets?state=down").json()["targets"]] == [DOWN.name]
    assert get("/api/v1/targets?service=shop&limit=1").json()["total"] == 2
    assert get("/api/v1/targets?q=half%20a").json()["total"] == 2


@pytest.mark.parametrize("sort", ["growth", "count", "name"])
def test_stacks_of_a_target(sort: str) -> None:
    """They come by growth, by count or by name, a page at a time."""
    found = get(f"/api/v1/targets/shop/{quote(ONE.name)}?sort={sort}").json()
    rows = found["stacks_shown"]
    assert found["stacks_found"] == len(rows) == 6
    keys = {
        "growth": [-row["growth_per_hour"]["value"] for row in rows],
        "count": [-row["goroutines"] for row in rows],
        "name": [row["function"] for row in rows],
    }
    assert keys[sort] == sorted(keys[sort])
    page = get(f"/api/v1/targets/shop/{quote(ONE.name)}?sort={sort}&limit=2&offset=1").json()["stacks_shown"]
    assert page == rows[1:3]
    assert found["process"] == {"start": "s1", "build": "b1"}
    assert found["labels"] == {"job": "shop", "zone": "a"}


def test_a_slash_may_part_names_in_several_ways() -> None:
    """Service and target may have slashes: what is known decides where one ends."""
    health = {Target("a/b", "c"): TargetHealth(up=True), Target("d", "e/f/g"): TargetHealth(up=True)}
    known = source(health=lambda: health)
    for path in ("a/b/c", "a%2Fb/c", "d/e/f/g", "d/e%2Ff%2Fg"):
        assert get(f"/api/v1/targets/{path}", known).json()["id"] in {"a%2Fb/c", "d/e%2Ff%2Fg"}
    assert get("/api/v1/targets/a/b/d", known).status_code == 404


def test_services() -> None:
    """Those that leak come first; an installation that is young says what it waits for."""
    found = get("/api/v1/services").json()
    assert [(one["service"], one["leaks"], one["down"]) for one in found["services"]] == [
        (HOSTILE, {"leaking": 1}, 0),
        ("shop", {"leaking": 2}, 0),
        ("young", {}, 1),
    ]
    assert found["waiting"] == ""
    shop = get("/api/v1/services/shop").json()
    assert shop["sparkline"][-1] == sum(pipeline().targets[target].history.last.sum() for target in (ONE, TWO))
    young = {target: state for target, state in source().health().items() if target == NEW}
    assert get("/api/v1/services", source(health=lambda: young)).json()["waiting"] == (
        "The first verdict is possible in 21m."
    )
    assert get("/api/v1/services", source(health=dict)).json()["waiting"] == "There is no target."
    never = {DOWN: TargetHealth()}
    assert get("/api/v1/services", source(health=lambda: never)).json()["waiting"] == (
        "No target has been scraped yet."
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nothing", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v2/leaks", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/leaks/", 404, "no such path: /api/v1/openapi.json lists all"),
        ("GET", "/v1/leaks/shop/0123456789abcdef", 404, "there is no leak 0123456789abcdef of service 'shop'"),
        ("GET", "/v1/leaks/shop/../../x", 404, ""),
        ("GET", "/v1/services/%00", 404, "there is no service '\\x00'"),
        ("GET", "/v1/services/%ff%fe", 404, "there is no service"),
        ("GET", "/v1/targets/shop/nobody", 404, "there is no target 'shop/nobody'"),
        ("GET", "/v1/targets/shop/nobody/flame", 404, "there is no target 'shop/nobody'"),
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
        ("GET", "/v1/leaks?verdict=guilty", 422, "verdict.0: Input should be 'normal', "),
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
def test_problems(method: str, path: str, status: int, said: str) -> None:
    """What cannot be answered is a problem as RFC 9457 has it, below /api wherever; never a traceback."""
    response = get(f"/api{path}", method=method)
    problem = strict(response)
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
    assert response.headers["cache-control"] == "no-store"
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert said in str(problem["detail"])
    assert len(response.content) < 2000
    if status == 405:
        assert response.headers["allow"] == "GET"


def test_a_mistake_of_ours() -> None:
    """It is a problem too, says nothing of what broke, and the next answer is as good as before."""

    def broken() -> dict[Target, TargetHealth]:
        raise RuntimeError("a secret path")

    response = get("/api/v1/targets", source(health=broken))
    assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
    assert strict(response)["detail"] == "leakwatch made a mistake; its log has more"
    assert get("/api/v1/targets").status_code == 200


@settings(max_examples=150, deadline=None)
@given(service=st.text(), rest=st.text(), kind=st.sampled_from(["leaks", "services", "targets"]))
def test_any_name_in_a_path(service: str, rest: str, kind: str) -> None:
    """Whatever stands in a path, the answer is a problem: names are looked up, never understood."""
    response = get(f"/api/v1/{kind}/{quote(service, safe='')}/{quote(rest, safe='')}")
    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM
    strict(response)


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1).filter(lambda name: name not in {".", ".."}))
def test_any_name_can_be_asked_for(name: str) -> None:
    """A service and a target may have any name but those that browsers take for folders: its id finds it."""
    target = Target(name, name)
    known = source(health=lambda: {target: TargetHealth(up=True)})
    (listed,) = get("/api/v1/targets", known).json()["targets"]
    for path in (listed["id"], f"{listed['id']}/flame"):
        assert get(f"/api/v1/targets/{path}", known).json()["target"] == name
    assert get(f"/api/v1/services/{quote(name, safe='')}", known).json()["service"] == name


def test_long_names_come_whole() -> None:
    """A name of ten thousand letters is answered, whole; who shows it cuts it."""
    found = get(f"/api/v1/targets/{quote(HOSTILE, safe='')}/{quote(ODD.name, safe='')}?sort=name").json()
    assert LONG in {row["function"] for row in found["stacks_shown"]}


def test_behind_a_prefix() -> None:
    """With a prefix it is there and nowhere else; problems are problems there."""
    known = source(url="https://example.com/leak/watch")
    assert get("/leak/watch/api/v1/leaks", known, "/leak/watch").json()["total"] == 3
    assert get("/leak/watch/api/x", known, "/leak/watch").headers["content-type"] == PROBLEM
    assert get("/api/v1/leaks", known, "/leak/watch").status_code == 404
    path = f"/leak/watch/api/v1/services/{quote(HOSTILE, safe='')}"
    assert get(path, known, "/leak/watch").json()["service"] == HOSTILE
    (server,) = get("/leak/watch/api/v1/openapi.json", known, "/leak/watch").json()["servers"]
    assert server["url"] == "https://example.com/leak/watch/api"


def test_fifty_at_once() -> None:
    """Fifty clients get the same answers as one."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app())
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await asyncio.gather(*(client.get(f"/api/v1/leaks/{SHOP}/series") for _ in range(50)))

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {get(f"/api/v1/leaks/{SHOP}/series").content}


@pytest.mark.parametrize(
    ("path", "wrong", "known"),
    [
        ("/leaks?serivce=shop", "serivce", "it has limit, offset, owner, q, service, verdict"),
        (f"/leaks/{SHOP}?q=x", "q", "it has none"),
        (f"/leaks/{SHOP}/series?targets=2&Targets=3", "Targets", "it has targets"),
        ("/services?limit=1", "limit", "it has none"),
        ("/targets?state=down&state=up&%3Cb%3E%0A=", "<b>\n", "it has limit, offset, q, service, state"),
        ("/status?x", "x", "it has none"),
        ("/events?x", "x", "it has none"),
        ("/diff?new=now&kind=x", "kind", "it has by, limit, new, offset, old"),
        ("/profiles/abc?form=pprof", "form", "it has format"),
    ],
)
def test_a_parameter_that_is_misspelt_is_refused(path: str, wrong: str, known: str) -> None:
    """It would filter nothing, and its answer look as if it had: the error names it and those that there are."""
    answer = get(f"/api/v1{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    message = f"this path has no such parameter, {known}"
    assert strict(answer)["errors"] == [{"parameter": wrong, "message": message}]
    assert strict(answer)["detail"] == f"{wrong}: {message}"


def test_nothing_is_remembered_beyond_a_block() -> None:
    """Where blocks are short, the line is drawn anew after one, however long it might be believed."""
    fed = Pipeline(DetectionSettings(block=10))
    for second in range(60):
        fed.observe(fed.add_target(ONE), START + second, 0, sample(stack("leak"), 1 + second))
    states, key, lines = list(fed.targets.values()), stack("leak").fingerprint, Sparklines(60)
    first, start = lines.of("shop", states, {key: 60}, 0.0)[key]
    assert start == pytest.approx(START + 5, abs=1)
    for second in range(60, 71):
        fed.observe(fed.add_target(ONE), START + second, 0, sample(stack("leak"), 1 + second))
    assert lines.of("shop", states, {key: 71}, 9.9)[key][0][:-1] == first[:-1]
    line, _ = lines.of("shop", states, {key: 71}, 10.0)[key]
    assert max(abs(after - before) for before, after in pairwise(line)) < 4


def test_what_is_remembered() -> None:
    """With a memory, leaks are a moment old and past counts a minute; the count of now and a verdict never are."""
    fed, clock, recent = Pipeline(DetectionSettings()), At(START), Recent(5)
    known = source(pipeline=fed, clock=clock, recent=recent, sparklines=Sparklines(60))

    def scrape(minute: int) -> None:
        fed.observe(fed.add_target(ONE), START + 60 * minute, 0, sample(stack("leak"), 9 * minute))

    for minute in range(150):
        scrape(minute)
    before = recent.leaks(fed, 100.0)
    scrape(150)
    assert recent.leaks(fed, 104.9) is before
    assert recent.leaks(fed, 105.0)[0].goroutines == 9 * 150
    fed._tracker.verdict_changes += 1
    assert recent.leaks(fed, 105.1) is not before
    states, key = list(fed.targets.values()), stack("leak").fingerprint
    first, _ = known.sparklines.of("shop", states, {key: 5}, 0.0)[key]
    for minute in range(151, 250):
        scrape(minute)
    second, _ = known.sparklines.of("shop", states, {key: 7}, 59.9)[key]
    assert (second[:-1], first[-1], second[-1]) == (first[:-1], 5, 7)
    third, _ = known.sparklines.of("shop", states, {key: 7}, 120.0)[key]
    assert third[:-1] != first[:-1]
    assert known.sparklines.of("shop", states, {stack("other").fingerprint: 1}, 121.0)
