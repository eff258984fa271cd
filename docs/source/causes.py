"""Writes docs/causes.md from the catalogue of causes: python docs/source/causes.py [FILE]."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from leakwatch.causes.catalogue import FOLDER
from leakwatch.causes.file import CauseConfig, CauseFile, StackPatternConfig
from leakwatch.causes.model import OWN_CODE, is_code
from leakwatch.settings.file import read_settings

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "causes.md"
RECORDINGS = DOCS.parent / "tests/profiles/causes"

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "HTTP clients": ("http",),
    "HTTP servers": ("http_server",),
    "Network connections": ("net", "ssh", "websocket"),
    "gRPC": ("grpc",),
    "SQL databases": ("sql", "pgx"),
    "Other databases and stores": ("redis", "mongo", "etcd", "aws"),
    "Messages": ("kafka", "nats", "rabbitmq"),
    "Kubernetes": ("kubernetes", "spdy"),
    "Traces and logs": ("otel", "sentry", "logging"),
    "Caches, files and schedules": ("caches", "fsnotify", "cron"),
    "Standard library": ("context", "exec", "pipes", "iterators", "finalizer"),
    "Own code": ("channels", "locks", "waitgroups", "xsync"),
}
"""Heading -> names of files of the catalogue."""
KINDS = {
    "object": "a library runs these goroutines as long as an object is open",
    "call": "own code waits in a known call",
    "wait": "own code waits for a channel, a lock or a `select`; correct, but general",
}
HEAD = """\
# Likely causes

<!-- Written by `make docs` from leakwatch/causes/*.yml and docs/source/causes.py. -->

leakwatch compares the stacks of each leak with a catalogue of {count} causes. If one matches, the page of the
leak, its alert, the API and `leakwatch scrape` show it as the likely cause, with the fix in Go.

**A cause explains a verdict, but does not affect it.** Only counts, full dumps and proofs decide whether a stack
leaks ([how it judges](how-it-judges.md)); a healthy process has many of these stacks. If the verdict is wrong, the
cause may be wrong too.

A cause is compared with all stacks of the leak. If several causes match, the most
specific one is shown: the cause of a library comes before the cause of what the library is built on. There are
three kinds:

| kind | evidence |
|---|---|
| object | {object}. Their growth shows that such objects are not closed |
| call | {call} |
| wait | {wait} |

If no cause matches, none is shown. {recorded} of the causes are tested with recorded profiles of real programs
([tests/profiles/causes](../tests/profiles/causes)), and none matches in the recorded profiles of healthy daemons.

## Commands

    leakwatch causes list                          # id and title of all causes
    leakwatch causes show http-body-not-closed     # one cause, with its fix
    leakwatch causes test own.yml goroutines.txt   # which stacks of a profile the causes of a file match

A [test of the judge](testing.md) checks which cause a leak with certain stacks gets.

## Own causes

Causes of your own libraries go to files that the [configuration](configuration.md) names under `causes`:

```yaml
causes:
  - id: pool-not-closed
    kind: object
    title: Pools of example.com/pool are opened and never closed
    explanation: Each pool has a goroutine that removes idle items until Close.
    look_for: [pool.New]
    fix: Open one pool per process, or close each one.
    code: |
      p := pool.New()
      defer p.Close()
    references: [https://example.com/pool/issues/1]
    unless_own_code: true
    match:
      - functions: ["example.com/pool.(*Pool).reap"]
        wait: select
```

| key | meaning |
|---|---|
| `match` | patterns; a stack of the leak must match one of them |
| `partners`, `absent` | patterns that other stacks of the leak must match, and that no stack may match |
| `unless_own_code` | true: a stack of own code in the leak rules the cause out, because it explains more |
| `basis` | true: other libraries are built on this one, and their causes come first |
| `fixed_in` | module -> `version` that fixes the cause, and `reference` |
| `goroutineleak` | whether Go's [leak profile](how-it-judges.md) can report these goroutines |

Keys of a pattern:

| key | meaning |
|---|---|
| `functions` | functions from the innermost to the outermost: globs with `*` and `?`, or `<own code>` |
| `wait` | wait reasons in the words of `debug=2`; a cause of the kind wait needs one |
| `leaf` | true: the first function waits itself |
| `root` | true: the last function was started with `go` |
| `direct` | true: own code calls only the standard library where it waits |
| `without` | functions that must not be in the stack |
| `ratio` | `[0.5, 2]`: a partner has half to twice as many goroutines as the matched stack |

Other frames may lie between the functions. In place of a glob, there may be a list of globs, of which one must
match. Names of functions have no major version, no vendor directory and no type arguments: write
`example.com/pool.(*Pool).reap` for `example.com/pool/v2.(*Pool[...]).reap`. In the standard library the numbers of
closures are omitted too: `iter.Pull.func`.

## Contents
"""


def page() -> str:
    """Return the whole page; raises KeyError if a file of the catalogue is in no section."""
    files = {path.stem: read_settings(path, CauseFile).causes for path in sorted(FOLDER.glob("*.yml"))}
    sections = {title: [cause for name in names for cause in files.pop(name)] for title, names in SECTIONS.items()}
    if files:
        raise KeyError(f"no section has {', '.join(files)}")
    causes = [cause for section in sections.values() for cause in section]
    recorded = sum(bool(recordings(cause)) for cause in causes)
    parts = [HEAD.format(count=len(causes), recorded=recorded, **KINDS)]
    for title, section in sections.items():
        links = ", ".join(f"[{cause.id}](#{cause.id})" for cause in section)
        parts.append(f"\n**{title}**: {links}\n")
    for title, section in sections.items():
        parts += [f"\n## {title}\n", *map(described, section)]
    return "".join(parts)


def described(cause: CauseConfig) -> str:
    """Return the text of one cause."""
    lines = [
        f"\n### {cause.id}\n",
        f"**{cause.title}.** {_joined(cause.explanation)}\n",
        f"*Fix*: {_joined(cause.fix)}\n",
        f"```go\n{cause.code.rstrip()}\n```\n",
        f"- Recognised by: {'; or '.join(map(pattern, cause.match))}{_conditions(cause)}. Kind: {cause.kind}.",
        f"- Look for: {', '.join(map(_call, cause.look_for))}",
    ]
    for module, fixed in cause.fixed_in.items():
        lines.append(f"- Fixed in: `{module}` [{fixed.version}]({fixed.reference})")
    lines.append(f"- References: {', '.join(f'<{url}>' for url in cause.references)}")
    can = "can" if cause.goroutineleak else "cannot"
    lines.append(f"- Go's leak profile {can} report these goroutines")
    if names := recordings(cause):
        links = ", ".join(f"[{name}](../tests/profiles/causes/{name})" for name in names)
        lines.append(f"- Recorded: {links}")
    return "\n".join(lines) + "\n"


def recordings(cause: CauseConfig) -> list[str]:
    """Return the names of the recorded profiles of a cause."""
    return sorted(path.name for path in RECORDINGS.glob(f"{cause.id}.*txt"))


def pattern(config: StackPatternConfig) -> str:
    """Return a pattern in words: its frames from the innermost to the outermost, and its wait reasons."""
    frames = " < ".join(" or ".join(map(_code, names)) for names in config.functions)
    return " ".join((frames, *_qualities(config)))


def _qualities(config: StackPatternConfig) -> Iterator[str]:
    if config.wait:
        yield f"[{', '.join(config.wait)}]"
    if config.leaf and config.root:
        yield "that was started with `go` and waits itself"
    elif config.leaf:
        yield "that waits itself"
    elif config.direct:
        yield "with only the standard library between them"
    if config.without:
        yield f"without {' or '.join(map(_code, config.without))}"


def _conditions(cause: CauseConfig) -> str:
    parts = [f"beside {pattern(partner)}" for partner in cause.partners]
    parts += [f"and not beside {pattern(absent)}" for absent in cause.absent]
    if cause.unless_own_code:
        parts.append("if the leak has no own code")
    return "".join(f", {part}" for part in parts)


def _code(text: str) -> str:
    return "own code" if text == OWN_CODE else f"`{text}`"


def _call(text: str) -> str:
    """Return what to look for: code, or words."""
    return _code(text) if is_code(text) else text


def _joined(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PAGE).write_text(page(), encoding="utf-8")
