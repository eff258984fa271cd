"""Sentences and texts of the page of a leak."""

from urllib.parse import unquote

from leakwatch.web.api.leak_detail import leak_view
from leakwatch.web.api.models.findings import Band, Limit, MemoryCost
from leakwatch.web.api.models.leaks import Frame, Leak, Rate
from leakwatch.web.pages.wording import fact, issue, limit, silence_url, stack_text
from leakwatch.web.pages.wording import memory as memory_text
from tests.support.api_world import END, HOSTILE, app_state, view


def shop_leak(**changes: object) -> Leak:
    """Return the leak in main.leak with other values."""
    (leak,) = [leak for leak in view().leaks if leak.stack.blamed.function == "main.leak"]
    return leak_view(view(), app_state().alerts, leak).model_copy(update=changes)


def memory(soonest: float | None, latest: float | None) -> MemoryCost:
    """Return a memory cost with a limit."""
    band = Band(value=2048, low=2048, high=2048)
    reached = Limit(target="10.0.0.1:6060", bytes=1 << 26, soonest_seconds=soonest, latest_seconds=latest)
    return MemoryCost(
        bytes=1e6,
        bytes_each=band,
        bytes_per_hour=band,
        heap=True,
        source="",
        limit=reached,
        text="They hold 1 MB.",
    )


def test_the_fact_of_each_verdict() -> None:
    """The sentence fits the verdict, and has no rate if the leak does not grow."""
    leak = shop_leak(first_seen=END - 7200, now=END, growth_per_hour=Rate(value=180.4), on=[])
    assert fact(leak).startswith("shop leaks about 180 goroutines per hour in main.leak since ")
    assert fact(leak).endswith("(2h ago). 894 goroutines are there now.")
    assert "shop may leak about 180" in fact(leak.model_copy(update={"verdict": "suspected"}))
    still = leak.model_copy(update={"growth_per_hour": Rate(value=0.0), "goroutines": 1})
    assert "shop leaks a goroutine in main.leak since" in fact(still)
    assert fact(still).endswith("1 goroutine is there now.")
    plateau = still.model_copy(update={"verdict": "plateau"})
    assert fact(plateau) == "The leak of shop in main.leak has stopped growing; 1 goroutine is still there."
    recovered = leak.model_copy(update={"verdict": "recovered"})
    assert fact(recovered) == "shop no longer leaks in main.leak; 894 goroutines are there now."


def test_the_memory_limit() -> None:
    """The sentence has the time until the limit as a range, or as one bound."""
    assert limit(shop_leak(memory=None)) == ""
    reaches = " At this rate, 10.0.0.1:6060 reaches its memory limit in "
    assert limit(shop_leak(memory=memory(3600, 7200))) == f"{reaches}1h to 2h."
    assert limit(shop_leak(memory=memory(None, 7200))) == f"{reaches}2h at the latest."
    assert limit(shop_leak(memory=memory(3600, None))) == f"{reaches}1h at the soonest."


def test_the_memory_that_is_held() -> None:
    """The sentence has size, cost of a goroutine, source and growth; a lower bound is marked as such."""
    band = Band(value=36e6, low=30e6, high=40e6)
    cost = memory(None, None).model_copy(update={"bytes_per_hour": band, "source": "by the growth of all stacks"})
    held = "About 977 KiB held (2 KiB per goroutine, measured by the growth of all stacks), growing by "
    assert memory_text(cost) == f"{held}34.3 MiB/h (28.6 MiB to 38.1 MiB)."
    still = Band(value=0.0, low=0.0, high=0.0)
    bound = cost.model_copy(update={"bytes_per_hour": still, "source": "at least 2 KiB each: HTTP 404"})
    assert memory_text(bound) == "At least 977 KiB held (2 KiB per goroutine)."


def test_a_stack_as_text() -> None:
    """A stack is printed as Go prints it, with its creator."""
    frames = [Frame(function="main.a", file="/src/a.go", line=3, own=True)]
    frames.append(Frame(function="main.b", file="", line=0, own=True))
    assert stack_text(frames, None) == "main.a\n\t/src/a.go:3\nmain.b"
    assert stack_text(frames[:1], frames[1]) == "main.a\n\t/src/a.go:3\ncreated by main.b"


def test_an_issue_in_markdown() -> None:
    """The issue begins with the fact and ends with the stack in a fence that the stack does not close."""
    cost = memory(3600, 7200).model_copy(update={"source": "by the growth of all stacks"})
    leak = shop_leak(memory=cost, targets=["a`b\n# c"], targets_total=1, wait="chan send")
    text = issue(leak, "main.leak\n````", "https://leakwatch.example.com/leaks/shop/1")
    assert text.startswith("**shop leaks about ")
    assert "- Targets: 1 (`a b # c`)" in text
    assert "- Blocked in: chan send at `/src/leak.go:7`\n" in text
    assert "- Memory: About 977 KiB held (2 KiB per goroutine, measured by the growth of all stacks)" in text
    assert text.count("reaches its memory limit") == 1
    assert "- Page: https://leakwatch.example.com/leaks/shop/1" in text
    assert text.endswith("`````\nmain.leak\n````\n`````")


def test_a_silence() -> None:
    """The link has the labels that identify an alert, quoted; without Alertmanager there is none."""
    labels = {"alertname": "GoroutineLeak", "service": HOSTILE, "stack": "01", "severity": "page"}
    assert silence_url("", labels) == ""
    url = silence_url("https://am.example.com", labels)
    assert url.startswith("https://am.example.com/#/silences/new?filter=%7B")
    quoted = HOSTILE.replace('"', '\\"').replace("\n", "\\n")
    assert unquote(url).endswith(f'{{alertname="GoroutineLeak", service="{quoted}", stack="01"}}')
