"""The first page: what leaks, what is down, and until when nothing can be known yet. Pure."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from string import Template

from leakwatch import __version__
from leakwatch.detect.windows import BLOCK_WINDOWS
from leakwatch.labels import anchor
from leakwatch.model import Leak, Target
from leakwatch.pipeline import Watch
from leakwatch.scrape import Health
from leakwatch.units import format_duration

FIRST = min(window.columns for window in BLOCK_WINDOWS)
"""Blocks that the shortest window needs: before, there is no verdict."""
SHOWN = 20  # targets that are down, and 5 of a leak: a page is no inventory

STYLE = """
  :root { color-scheme: light dark; }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
  table { border-collapse: collapse; width: 100%; margin-bottom: 1.5rem; }
  th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
  th { font-weight: 600; }
  code, small, .down, .long { overflow-wrap: anywhere; }
  .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  small { opacity: .75; }
  tr:target { background: #8883; }
  .leaking, .proven, .down { color: #d1242f; font-weight: 600; }
  .suspected { color: #b8860b; font-weight: 600; }
  @media (max-width: 62rem) { /* a row becomes a card */
    thead { display: none; }
    tr { display: block; padding: .5rem 0; border-bottom: 1px solid #8884; }
    td { display: grid; overflow-wrap: anywhere; grid-template-columns: 7.5rem 1fr; padding: 0; border: 0; }
    td:empty { display: none; }
    td::before { content: attr(data-name); opacity: .75; }
    .n { text-align: left; white-space: normal; }
  }
"""
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src 'sha256-{_STYLE_HASH}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What a browser may do with our pages: show their style, follow their links."""

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>leakwatch</title>
<style>$style</style>
<h1>leakwatch</h1>
<p>$up of $targets targets up.</p>
$down$leaks$waiting
<p><a href="metrics">metrics</a> · <a href="-/healthy">healthy</a> · <a href="-/ready">ready</a></p>
<p><small>leakwatch $version</small></p>
</html>
""")


def front_page(
    leaks: Sequence[Leak], watches: Mapping[Target, Watch], health: Mapping[Target, Health], now: float
) -> str:
    """Return the page as it is `now`, in unix seconds."""
    return PAGE.substitute(
        style=STYLE,
        up=f"{sum(state.up is True for state in health.values()):,}",
        targets=f"{len(health):,}",
        down=_down(health, now),
        leaks=_table([_leak(leak, now) for leak in leaks], [anchor(leak) for leak in leaks]) if leaks else "",
        waiting=f"<p>{escape(known_yet(watches, health, now, named=bool(leaks)))}</p>",
        version=__version__,
    )


def known_yet(watches: Mapping[Target, Watch], health: Mapping[Target, Health], now: float, *, named: bool) -> str:
    """Return what is known where nothing leaks: since when it is watched, and when a verdict is possible."""
    histories = [watches[target].history for target in health if target in watches]
    histories = [history for history in histories if history.since is not None]
    if not histories:
        return "No target has been scraped yet." if health else "There is no target."
    young = [history for history in histories if history.closed < FIRST]
    if not young:
        return "" if named else "No leak is known."
    first = min(history.since for history in young if history.since is not None)
    after = format_duration(FIRST * max(history.block for history in young))
    if len(young) == len(histories):
        return f"Watched for {format_duration(now - first)}; the first verdict is possible after {after}."
    said = "" if named else "No leak is known. "
    return f"{said}{len(young):,} of {len(histories):,} targets are watched for less than {after}: no verdict yet."


def _down(health: Mapping[Target, Health], now: float) -> str:
    down = [(target, state) for target, state in health.items() if state.up is False]
    rows = [
        {
            "target": f'<span class="down">{escape(target.name)}</span>',
            "service": escape(target.service),
            "down because": f"<span>{escape(state.reason)}<br><small>{escape(state.error)}</small></span>",
            "for": format_duration(now - state.since),
        }
        for target, state in down[:SHOWN]
    ]
    more = f"<p>{len(down) - SHOWN:,} more are down.</p>" if len(down) > SHOWN else ""
    return _table(rows) + more if rows else ""


def _leak(leak: Leak, now: float) -> dict[str, str]:
    """Return the cells of one leak by the name of their column."""
    at, growth = leak.stack.blamed, leak.growth
    place = _linked(f"{at.file}:{at.line}" if at.file else "", leak.source)
    band = f"{hourly(growth.low)} to {hourly(growth.high)}"
    more = " …" if len(leak.targets) > 5 else ""
    related = "".join(f"<br><small>with {escape(other.blamed.function)}</small>" for other in leak.related[:5])
    return {
        "verdict": f'<span class="{leak.verdict.word}">{leak.verdict.word}</span>',
        "service": escape(leak.service),
        "function": f"<span><code>{escape(at.function)}</code><br><small>{place}</small>{related}</span>",
        "why": f"<small>{escape(leak.reason)}</small>",
        "wait": escape(leak.stack.wait),
        "goroutines": f"{leak.goroutines:,}",
        "growth": f"<span>{hourly(growth.rate)}/h<br><small>{band}</small></span>",
        "confidence": f"{leak.confidence:.0%}",
        "since": format_duration(now - leak.first_seen),
        "owner": escape(leak.owner),
        "targets": escape(", ".join(leak.targets[:5])) + more,
    }


def _linked(text: str, url: str) -> str:
    """Return HTML of `text` that leads to `url`, or to nothing where that is empty."""
    if not url:
        return escape(text)
    return f'<a href="{escape(url)}" rel="noreferrer">{escape(text or "source")}</a>'


def hourly(rate: float) -> str:
    """Return a rate per second as one per hour: "+18,000", "+0.4"; never "-0"."""
    rate = rate * 3600
    rate = round(rate, 0 if abs(rate) >= 10 else 1) + 0.0
    return f"{rate:+,.0f}" if rate == int(rate) else f"{rate:+,.1f}"


def _table(rows: Sequence[Mapping[str, str]], anchors: Sequence[str] = ()) -> str:
    """Return a table without the columns that are empty in every row; `anchors`: what a link calls each row."""
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    head = "".join(f"<th{_kind(name)}>{name}" for name in columns)
    begins = [f'<tr id="{escape(name)}">' for name in anchors] or ["<tr>"] * len(rows)
    body = "".join(
        begin + "".join(f'<td{_kind(name)} data-name="{name}">{row[name]}' for name in columns)
        for begin, row in zip(begins, rows, strict=True)
    )
    return f"<table><thead><tr>{head}</thead>{body}</table>"


def _kind(name: str) -> str:
    if name in {"goroutines", "growth", "confidence", "since", "for"}:
        return ' class="n"'
    return ' class="long"' if name == "targets" else ""
