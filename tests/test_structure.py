"""Structure of the package: layers, purity, one module per effect, length."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "leakwatch"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}

LAYERS = (  # the lowest first
    {"errors", "model", "clock", "settings"},
    {"profile", "detect", "http", "causes"},
    {"pipeline", "leaks", "discovery", "pasted"},
    {"scrape", "notify", "evidence", "storage"},
    {"web"},
    {"daemon", "config"},
    {"cli", "__main__", "health"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
WITHIN = {
    ("daemon", "config"),
    ("pipeline", "leaks"),
    ("causes", "profile"),
    ("__main__", "cli"),
    ("settings", "errors"),
    ("model", "errors"),
}

PURE = {"profile", "pasted", "detect", "leaks", "pipeline", "model", "errors"}
PURE_MODULES = {
    *(f"evidence.{name}" for name in ("record", "index")),
    *(f"notify.{name}" for name in ("rules", "annotations", "alerts", "queue", "saved_alerts")),
    *(f"storage.{name}" for name in ("rows", "pauses", "codec")),
    *(f"discovery.{name}" for name in ("relabel", "go_regexp", "kubernetes.objects", "kubernetes.meta_labels")),
    *(
        f"web.api.{name}"
        for name in ("aggregate", "fleet", "leaks", "leak_detail", "series", "sparklines", "targets", "services")
    ),
    *(f"web.api.{name}" for name in ("flame_graph", "commands", "findings", "models.leaks")),
    *(
        f"web.pages.{name}"
        for name in ("evidence", "filters", "leak", "overview", "pagination", "sparkline", "target")
    ),
    *(f"cli.judge_tests.{name}" for name in ("notation", "result", "junit")),
    *("cli.check.result", "cli.check.formats", "cli.check.markdown", "discovery.shard", "scrape.budget"),
}
READS_PATHS = {"leaks.ownership.config"}  # the path of CODEOWNERS
IO = {
    *("asyncio", "httpx", "logging", "multiprocessing", "os", "pathlib", "random", "shutil", "signal", "socket"),
    *(
        "ssl",
        "structlog",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "uvicorn",
        "starlette",
        "apscheduler",
    ),
}
ONLY_IN = {
    "dns": {"discovery.dns"},
    "re2": {"discovery.go_regexp"},
    "apscheduler": {"scrape.scheduler"},
    "resource": {"web.api.own_usage"},
    "bcrypt": {"web.server.passwords"},
    "uvicorn": {"web.server.connection", "web.server.server"},
    "time": {"clock"},
    "sqlite3": {"storage.database", "storage.transfer"},
    "fcntl": {"storage.lock"},
    "msgpack": {"storage.codec"},
}
ONLY_BELOW = {
    "prometheus_client": ("metrics", "app"),
    "typer": (
        "main",
        "run",
        "scrape",
        "check",
        "causes",
        "config",
        "storage",
        "discover",
        "targets",
        "testing",
        "options",
    ),
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


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


def own_imports(module: str) -> set[str]:
    """Return the modules of leakwatch that `module` imports, without their package name."""
    return {name.removeprefix("leakwatch.") for name in IMPORTS[module]} & MODULES.keys() - {module}


def package(module: str) -> str:
    """Return the top-level package, or the module at top level."""
    return module.partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_packages_import_lower_layers(module: str) -> None:
    """A package imports packages of lower layers, never of its own layer or above."""
    here = package(module)
    wrong = {
        name
        for name in map(package, own_imports(module))
        if name != here and LAYER[name] >= LAYER[here] and (here, name) not in WITHIN
    }
    assert wrong == set()


def test_there_are_no_circular_imports() -> None:
    """The import graph has no cycle, also inside a package."""
    TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()


@pytest.mark.parametrize("module", [name for name in MODULES if package(name) in PURE or name in PURE_MODULES])
def test_pure_modules_do_no_io(module: str) -> None:
    """Parsing, history, judging and the pipeline know no clock, no file and no socket."""
    allowed = {"pathlib"} if module in READS_PATHS else set()
    assert {name.partition(".")[0] for name in IMPORTS[module]} & IO - allowed == set()


def test_the_configuration_is_assembled_at_the_top() -> None:
    """Only the daemon and the commands import config.py: packages get their own sections."""
    users = {package(module) for module in MODULES if "config" in own_imports(module)}
    assert users <= {"daemon", "cli"}


@pytest.mark.parametrize("effect", ONLY_IN)
def test_one_module_per_effect(effect: str) -> None:
    """A library with an effect of its own is imported by one module."""
    users = {module for module, names in IMPORTS.items() if effect in {name.partition(".")[0] for name in names}}
    assert users == ONLY_IN[effect]


@pytest.mark.parametrize("library", ONLY_BELOW)
def test_metrics_and_arguments_have_their_files(library: str) -> None:
    """Metrics are in metrics.py of their package, command line options in cli/."""
    users = {module for module, names in IMPORTS.items() if library in {name.partition(".")[0] for name in names}}
    assert {module for module in users if module.rpartition(".")[2] not in ONLY_BELOW[library]} == set()


@pytest.mark.parametrize("module", MODULES)
def test_nothing_grows_too_long(module: str) -> None:
    """Modules have at most 300 lines, functions at most 40."""
    text = MODULES[module].read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert text.count("\n") <= 300
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= 40] == []
