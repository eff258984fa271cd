"""The right outcome of a scrape of each kind of the fault server.

A kind may have several right outcomes if a limit of size and the timeout compete, or if two reasons are true.
"""

from collections.abc import Mapping

UP = "success"
LATE = "timeout"

_OUTCOMES = {
    UP: """
        healthy healthy-leak healthy-proto healthy-http10 jitter tls-healthy gzip
        head-no-reason head-cookies head-clock early-hints keep-alive-lie
        redirect-within
        names-escapes names-markup names-metrics names-paths
        identity-starts identity-builds identity-two identity-none
        metrics-backtracking metrics-spaces metrics-endless metrics-line metrics-values metrics-html metrics-silent
        threads-parts threads-endless threads-noise threads-silent
        symbol-endless symbol-other symbol-long symbol-silent
        dump-endless dump-line dump-labels dump-deep proof-endless proof-other
        allocations-endless allocations-line allocations-statistics allocations-other allocations-sums
        allocations-silent
        """,
    LATE: """
        silent head-then-silent half-then-silent drip head-drip head-slow endless-slow endless-continue-slow
        never-accepts tls-silent
        """,
    "connection": """
        head-1g head-100k-lines head-endless head-no-colon head-nul head-folded garbage ssh http09 http2 upgrade
        endless-continue length-negative length-words length-two length-and-chunks status-letters redirect-invalid
        close-at-request reset-at-request close-in-head refused close-at-accept reset-at-accept tls-closed
        tls-on-plain
        """,
    "tls": "tls-expired tls-future tls-name tls-self-signed tls-old tls-client tls-garbage plain-on-tls",
    "status": """
        status-204 status-206 status-304 status-401 status-403 status-404 status-429 status-500 status-503
        status-999 status-500-endless status-escapes
        redirect-loop redirect-grows redirect-host redirect-port redirect-slashes redirect-user redirect-https
        redirect-file redirect-gopher redirect-empty redirect-without
        """,
    "truncated": """
        length-long length-short chunks-huge chunks-cut
        close-in-body close-between-groups reset-in-body gzip-cut total-wrong proto-cut proto-short-field
        """,
    "not_a_profile": """
        endless-noise empty html json binary zeros heap only-head total-endless total-negative total-huge
        count-clock lines-crlf coding-br coding-list coding-long utf-16 gzip-zeros proto-heap proto-text
        proto-empty
        """,
    "malformed": """
        chunks-garbage chunks-negative chunks-unended count-negative count-huge count-17-digits not-a-frame
        frames-100k counters-60m labels-54m line-1g
        name-10m name-brackets name-parentheses name-dots gzip-not gzip-checksum
        proto-60m-ids proto-10m-lines proto-5m-labels proto-empty-parts proto-empty-functions proto-endless-varint
        proto-string-index proto-no-location proto-two-locations proto-no-function proto-no-values proto-negative
        proto-wire-type proto-types
        """,
    "too_large timeout": """
        endless gzip-groups gzip-in-gzip length-huge chunks-one-byte proto-endless stacks-100k-new stacks-60m
        """,
    "malformed truncated": "proto-long-field",
    "malformed timeout": "chunks-extension chunks-trailers",
    "malformed too_large timeout": "gzip-tail",
    "connection not_a_profile": "http3",
    "connection success": "talks-first every-second-fails",
    "connection not_a_profile success": "extra-response",
    "success too_large timeout": "stacks-10k-new groups-equal",
    "malformed truncated too_large timeout": "lines-blank",
}

OUTCOMES: Mapping[str, frozenset[str]] = {
    kind: frozenset(results.split()) for results, kinds in _OUTCOMES.items() for kind in kinds.split()
}
"""Kind -> the results of its scrapes."""

PROBES: Mapping[str, str] = {
    "metrics": "metrics",
    "threads": "threadcreate?debug=0",
    "symbol": "symbol",
    "dump": "goroutine?debug=2",
    "proof": "goroutineleak?debug=1",
    "allocations": "heap?debug=1",
}
"""First word of a kind -> the request that it answers badly. These kinds leak, so that leakwatch probes them."""


def probe_of(kind: str) -> str:
    """Return the request that a kind answers badly, "" for a kind that answers its scrapes badly."""
    return PROBES.get(kind.partition("-")[0], "")
