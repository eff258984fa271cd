"""The house rules: imports go down only, pure modules do no I/O, nothing grows too long."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "leakwatch"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

LAYERS = [
    # The top first; a module imports from its own layer's package or from below.
    ["leakwatch.__main__", "leakwatch.health"],
    ["leakwatch.cli"],
    [
        "leakwatch.commands.serve",
        "leakwatch.commands.look",
        "leakwatch.commands.judge",
        "leakwatch.commands.files",
    ],
    ["leakwatch.commands"],
    ["leakwatch.demo", "leakwatch.run_options"],
    ["leakwatch.diff", "leakwatch.check", "leakwatch.top"],
    ["leakwatch.live"],
    ["leakwatch.daemon", "leakwatch.show", "leakwatch.report"],
    ["leakwatch.leak_text"],
    ["leakwatch.terminal"],
    ["leakwatch.outcome_formats", "leakwatch.watching"],
    ["leakwatch.discovered", "leakwatch.event_log", "leakwatch.jobs", "leakwatch.web.routes"],
    ["leakwatch.web.later"],
    ["leakwatch.web.pages"],
    ["leakwatch.web.target_page", "leakwatch.web.difference_page"],
    ["leakwatch.web.leak_page"],
    ["leakwatch.web.overview", "leakwatch.web.assets"],
    ["leakwatch.web.api.app"],
    [
        "leakwatch.web.api.leak_routes",
        "leakwatch.web.api.profile_routes",
        "leakwatch.web.api.status_routes",
        "leakwatch.web.api.target_routes",
    ],
    ["leakwatch.web.api.asked"],
    ["leakwatch.web.api.problems"],
    [
        "leakwatch.web.api.leak",
        "leakwatch.web.api.diff",
        "leakwatch.web.api.profiles",
        "leakwatch.web.api.series",
        "leakwatch.web.api.flame",
    ],
    ["leakwatch.web.api.services", "leakwatch.web.api.responses"],
    ["leakwatch.web.api.targets"],
    ["leakwatch.web.api.commands", "leakwatch.web.api.leaks"],
    ["leakwatch.web.api.status", "leakwatch.web.api.changes"],
    ["leakwatch.web.api.status_models", "leakwatch.web.api.target_models"],
    ["leakwatch.web.api.models", "leakwatch.web.api.usage", "leakwatch.web.api.closer"],
    ["leakwatch.web.api.closer_models"],
    ["leakwatch.web.api.values"],
    ["leakwatch.web.api.source"],
    ["leakwatch.web.api.remembered", "leakwatch.web.api.moments"],
    ["leakwatch.web.api.levels"],
    ["leakwatch.web.api"],
    ["leakwatch.analyze", "leakwatch.outcome"],
    ["leakwatch.job", "leakwatch.notify.metrics", "leakwatch.notify.notifier"],
    ["leakwatch.notify.sender"],
    ["leakwatch.notify.outbox"],
    ["leakwatch.notify.alerts"],
    ["leakwatch.notify.rules"],
    [
        "leakwatch.process",
        "leakwatch.symbols",
        "leakwatch.warm",
        "leakwatch.metrics",
        "leakwatch.web.server",
        "leakwatch.targets",
    ],
    ["leakwatch.evidence.trail", "leakwatch.evidence.metrics"],
    ["leakwatch.evidence.store"],
    ["leakwatch.evidence.packing", "leakwatch.evidence.disk", "leakwatch.evidence.retention"],
    ["leakwatch.evidence.shelf"],
    ["leakwatch.leak_metrics"],
    ["leakwatch.web.guard", "leakwatch.web.connection"],
    ["leakwatch.web.web_file", "leakwatch.web.passwords"],
    ["leakwatch.web.settings"],
    ["leakwatch.config", "leakwatch.notify.text", "leakwatch.notify"],
    ["leakwatch.settings_file", "leakwatch.web.address", "leakwatch.web.tls", "leakwatch.web.paths"],
    ["leakwatch.target_option"],
    [
        "leakwatch.judging",
        "leakwatch.whose",
        "leakwatch.scraping",
        "leakwatch.prometheus",
        "leakwatch.alerting",
        "leakwatch.evidence.settings",
    ],
    ["leakwatch.inquiries"],
    ["leakwatch.proof", "leakwatch.dumping", "leakwatch.metering"],
    ["leakwatch.inquiry"],
    ["leakwatch.pipeline"],
    ["leakwatch.bill", "leakwatch.succession"],
    ["leakwatch.watch", "leakwatch.schedule", "leakwatch.logs", "leakwatch.web"],
    ["leakwatch.evidence.record"],
    ["leakwatch.recordings.folders", "leakwatch.recordings.table", "leakwatch.discovery.finder"],
    [
        "leakwatch.discovery.resolve",
        "leakwatch.discovery.file",
        "leakwatch.discovery.http",
        "leakwatch.discovery.dns",
        "leakwatch.discovery.static",
    ],
    ["leakwatch.discovery.kubernetes.config"],
    ["leakwatch.discovery.kubernetes.cluster"],
    ["leakwatch.discovery.kubernetes.watch"],
    ["leakwatch.discovery.kubernetes.api", "leakwatch.discovery.kubernetes.labels"],
    ["leakwatch.discovery.kubernetes.access", "leakwatch.discovery.kubernetes.objects"],
    ["leakwatch.discovery.kubernetes"],
    ["leakwatch.discovery.progress", "leakwatch.discovery.relabel"],
    ["leakwatch.discovery.regex"],
    ["leakwatch.discovery", "leakwatch.scrape", "leakwatch.recordings", "leakwatch.mistakes"],
    ["leakwatch.client", "leakwatch.clock", "leakwatch.local"],
    ["leakwatch.leaks"],
    ["leakwatch.links"],
    ["leakwatch.ownership"],
    ["leakwatch.repository"],
    ["leakwatch.codeowners"],
    ["leakwatch.answers"],
    ["leakwatch.detect.proof"],
    ["leakwatch.grouping", "leakwatch.detect.verdict", "leakwatch.detect.pooling", "leakwatch.identity"],
    ["leakwatch.life", "leakwatch.detect.daily", "leakwatch.detect.related", "leakwatch.ignore"],
    ["leakwatch.reason", "leakwatch.telling"],
    ["leakwatch.detect.age"],
    ["leakwatch.detect.growth", "leakwatch.detect.rate"],
    ["leakwatch.detect.series", "leakwatch.detect.sites", "leakwatch.detect.pool", "leakwatch.detect.windows"],
    ["leakwatch.detect.member", "leakwatch.memory"],
    ["leakwatch.difference"],
    ["leakwatch.look"],
    ["leakwatch.profile.saved", "leakwatch.profile.redact", "leakwatch.waits"],
    ["leakwatch.profile.dump"],
    ["leakwatch.history", "leakwatch.stacks", "leakwatch.detect"],
    [
        "leakwatch.block",
        "leakwatch.lifetimes",
        "leakwatch.recordings.spacing",
        "leakwatch.labels",
        "leakwatch.ages",
        "leakwatch.web.wording",
        "leakwatch.web.sparkline",
    ],
    ["leakwatch.profile.proto"],
    [
        "leakwatch.profile.text",
        "leakwatch.profile.pprof",
        "leakwatch.profile.gauges",
        "leakwatch.profile.symbol",
        "leakwatch.profile",
    ],
    ["leakwatch.profile.wire"],
    [
        "leakwatch.columns",
        "leakwatch.loader",
        "leakwatch.memo",
        "leakwatch.shard",
        "leakwatch.pace",
        "leakwatch.printable",
        "leakwatch.model",
        "leakwatch.errors",
        "leakwatch.evidence.names",
        "leakwatch.evidence",
        "leakwatch.units",
    ],
    ["leakwatch"],
]
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}

PURE = [module for module in MODULES if LEVEL[module] >= LEVEL["leakwatch.leaks"] and module != "leakwatch.units"]
PURE += ["leakwatch.pipeline", "leakwatch.bill", "leakwatch.succession", "leakwatch.watch", "leakwatch.shard"]
PURE += ["leakwatch.evidence.record", "leakwatch.evidence.retention", "leakwatch.evidence.shelf"]
PURE += ["leakwatch.discovery.relabel", "leakwatch.discovery.regex"]
PURE += ["leakwatch.pipeline", "leakwatch.watch", "leakwatch.outcome", "leakwatch.outcome_formats"]
PURE += ["leakwatch.discovery.kubernetes.objects", "leakwatch.discovery.kubernetes.labels"]
PURE += [f"leakwatch.web.api.{module}" for module in ("levels", "remembered", "models", "leaks", "leak", "series")]
PURE += [f"leakwatch.web.api.{module}" for module in ("targets", "services", "flame", "commands", "closer")]
PURE += [f"leakwatch.notify.{module}" for module in ("rules", "text", "alerts", "outbox")]
IO = {
    *(
        "asyncio",
        "httpx",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "shutil",
        "signal",
        "socket",
        "ssl",
    ),
    *("structlog", "subprocess", "sys", "tempfile", "threading", "time", "uvicorn", "starlette", "apscheduler"),
}
ONLY_IN = {
    "dns": {"leakwatch.discovery.dns"},
    "re2": {"leakwatch.discovery.regex"},
    "apscheduler": {"leakwatch.schedule"},
    "resource": {"leakwatch.web.api.usage"},
    "bcrypt": {"leakwatch.web.passwords"},
    "uvicorn": {"leakwatch.web.connection", "leakwatch.web.server"},
    "prometheus_client": {
        "leakwatch.leak_metrics",
        "leakwatch.metrics",
        "leakwatch.notify.metrics",
        "leakwatch.evidence.metrics",
        "leakwatch.web.routes",
        "leakwatch.discovered",
    },
    "typer": {
        "leakwatch.cli",
        "leakwatch.run_options",
        *(f"leakwatch.commands.{name}" for name in ("serve", "look", "judge", "files")),
    },
    "time": {"leakwatch.clock"},
}


def imports(path: Path) -> set[str]:
    """Return all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_has_a_layer() -> None:
    """A new module says where it belongs."""
    assert MODULES.keys() == LEVEL.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    """A module imports only what lies below it."""
    ours = imports(MODULES[module]) & MODULES.keys() - {module}
    assert [name for name in sorted(ours) if LEVEL[name] <= LEVEL[module]] == []


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_no_io(module: str) -> None:
    """Parsing, identity, history, judging and the pipeline know no clock, no file and no socket."""
    assert {name.partition(".")[0] for name in imports(MODULES[module])} & IO == set()


@pytest.mark.parametrize("package", ONLY_IN)
def test_one_place_per_effect(package: str) -> None:
    """What has one place stays there."""
    users = {module for module, path in MODULES.items() if package in {n.partition(".")[0] for n in imports(path)}}
    assert users == ONLY_IN[package]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_grows_too_long(module: str) -> None:
    """Modules stay below 300 lines and functions below 40."""
    text = MODULES[module].read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert text.count("\n") < 300
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= 40] == []
