"""Short explanations of terms, which pages show as tooltips. Pure."""

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
