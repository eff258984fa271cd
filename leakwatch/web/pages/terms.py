"""Short explanations of terms, which pages show as tooltips, and what to do if a target is down. Pure."""

from collections.abc import Mapping
from typing import Final

TERMS: Final[Mapping[str, str]] = {
    "suspected": "A stack grows, but not clearly enough to call it a leak",
    "leaking": "A stack grows as only a leak does",
    "proven": "Go's own runtime reports that nothing can wake these goroutines",
    "plateau": "The leak has stopped growing, and its goroutines are still there",
    "recovered": "The leaked goroutines have ended",
    "normal": "The stack does not grow as a leak does",
    "page": "At its rate, a process will soon have ten times its goroutines or reach its memory limit",
    "ticket": "Not urgent: no process is in danger soon",
    "blamed": "The innermost frame of own code, or of the most specific dependency if the stack has no own code",
    "floor": "The lowest count in a block; a leak raises it, load does not",
    "growth": "Goroutines per hour, with the range that contains the true rate in 8 of 10 cases",
    "blocked in": "The wait reason: what the goroutines wait for, in the words of Go's debug=2",
    "origin": "The outermost function: the function that was started with go",
    "service": "The targets that run the same program",
    "target": "One scrape address of one process",
    "restarts": "How often another process answered than before",
    "stacks": "Different stacks with goroutines in the latest profile",
    "fingerprint": "The identity of a stack: a hash of its function names",
}

REMEDIES: Final[Mapping[str, str]] = {
    "connection": (
        "check address and port; check whether the service listens only on 127.0.0.1 of its own container"
    ),
    "timeout": (
        "check for an overloaded service or a firewall that drops packets; with very many goroutines, raise "
        "`scrape_timeout` and `scrape_interval`"
    ),
    "tls": "set `scheme`, `tls_config.ca_file`, `tls_config.server_name`",
    "status": "import `net/http/pprof`, or set `profile_path`; set `authorization` or `basic_auth`",
    "not_a_profile": "check port and `profile_path`, and any proxy in between",
    "too_large": "raise `body_size_limit`, or use `profile_format: proto`, which has a fifth of the size",
    "truncated": "check the write timeouts of the service and of any proxy (Go: `WriteTimeout` of the server)",
    "malformed": "`leakwatch scrape URL` shows the position; please report it",
}
"""Reason of a failed scrape -> what to do, as in the table of docs/troubleshooting.md."""
