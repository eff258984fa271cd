"""Status of a discoverer: counted failures, and their log lines."""

from structlog.testing import capture_logs

from leakwatch.discovery.status import MAX_ERRORS, DiscoveryStatus


def test_an_error_is_logged_once() -> None:
    """Each failure counts. An error is logged again only after its source worked."""
    status = DiscoveryStatus("shop", "http", lambda: 7.0)
    with capture_logs() as log:
        for error in ("down", "down", "broken", "down"):
            status.failed("http://x", error, targets=3)
        status.works("http://x")
        status.works("http://x")
        status.failed("http://x", "down", targets=3, needs="a server")
    assert [line.get("error", line["event"]) for line in log] == [
        "down",
        "broken",
        "discovery works again",
        "down",
    ]
    assert log[-1] == {
        "event": "discovery failed, the last targets stay",
        "log_level": "error",
        "job": "shop",
        "mechanism": "http",
        "source": "http://x",
        "kept": 3,
        "error": "down",
        "needs": "a server",
    }
    assert (status.failures, status.succeeded) == (5, 7.0)


def test_success_means_that_all_sources_work() -> None:
    """While a source fails there is no success. A removed source no longer counts."""
    status = DiscoveryStatus(time=lambda: 7.0)
    status.failed("a", "down", targets=0)
    status.works("b")
    assert status.succeeded is None
    status.remove("a")
    status.works("b")
    assert status.succeeded == 7.0


def test_the_number_of_logged_errors_is_limited() -> None:
    """Errors with text that always differs do not fill the log."""
    status = DiscoveryStatus()
    with capture_logs() as log:
        for number in range(10 * MAX_ERRORS):
            status.failed("a", f"error {number}", targets=0)
    assert len(log) == MAX_ERRORS
    assert status.failures == 10 * MAX_ERRORS


def test_the_first_failure_is_reported_once() -> None:
    """`first_failure` is called for a failure before any success, once."""
    calls: list[str] = []
    for name in ("never worked", "worked"):
        status = DiscoveryStatus(first_failure=lambda name=name: calls.append(name))  # type: ignore[misc]  # bound now
        if name == "worked":
            status.works("a")
        status.failed("a", "down", targets=0)
        status.failed("a", "down", targets=0)
    assert calls == ["never worked"]
