"""Layout of the tests: where the tests of each module are."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "leakwatch"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
MIRRORED = {
    ".".join((*path.relative_to(TESTS / "unit").parent.parts, path.stem.removeprefix("test_")))
    for path in (TESTS / "unit").rglob("test_*.py")
}

ELSEWHERE = {  # test file -> modules without a file of their own; a package stands for all such modules in it
    "pipeline/test_stuck_goroutines.py": "detect.dump_judge",
    "unit/detect/test_alive.py": "detect.liveness",
    "unit/detect/test_detector.py": "detect.case",
    "unit/scrape/probes/test_probe.py": "leaks.dump_reader leaks.findings scrape.probes",
    "e2e/test_check.py": "cli.commands.check cli.scrape_session",
    "e2e/test_daemon.py": "daemon",
    "e2e/test_demo.py": "cli.demo",
    "e2e/test_warm.py": "scrape.backfill scrape.prometheus_api",
    "judge/test_judge.py": "cli.judge_tests.play",
    "pipeline/test_handover.py": "leaks.handover",
    "pipeline/test_judging.py": "leaks.reason pipeline",
    "pipeline/test_leaks.py": "leaks model",
    "pipeline/test_rollout.py": "leaks.rollout",
    "unit/causes/test_matching.py": "causes.model",
    "unit/cli/analyze/test_bundles.py": "cli.archives cli.compared",
    "unit/cli/analyze/test_replay.py": "cli.analyze",
    "unit/cli/check/test_result.py": "cli.check",
    "unit/cli/judge_tests/test_run.py": "cli.commands.testing cli.judge_tests.junit",
    "unit/cli/test_diff.py": "profile.diff profile.grouping",
    "unit/cli/test_discover.py": "scrape.local_sockets",
    "unit/cli/test_main.py": "__main__ cli",
    "unit/cli/test_stack_table.py": "cli.terminal",
    "unit/detect/test_pool.py": "detect.pooled_columns",
    "unit/discovery/kubernetes/test_discoverer.py": "discovery.kubernetes",
    "unit/discovery/kubernetes/test_exec_plugin.py": "discovery.kubernetes.memory_file",
    "unit/discovery/kubernetes/test_meta_labels.py": "discovery.kubernetes.objects",
    "unit/discovery/test_file.py": "discovery.target_group",
    "unit/discovery/test_runner.py": "discovery.static",
    "unit/http/test_fetch.py": "http",
    "unit/leaks/ownership/test_owners.py": "leaks.ownership",
    "unit/leaks/test_memory.py": "leaks.memory_cost",
    "unit/pasted/test_reader.py": "pasted",
    "unit/profile/test_proto.py": "profile.formats profile.pprof profile.wire",
    "unit/profile/test_stacks.py": "profile",
    "unit/profile/test_wait_times.py": "profile.dump_stacks",
    "unit/scrape/probes/test_symbols.py": "profile.symbols",
    "unit/scrape/test_loop.py": "scrape",
    "unit/scrape/test_metrics.py": "discovery.metrics leaks.metrics web.metrics",
    "unit/storage/test_database.py": "storage",
    "unit/test_config.py": "errors notify settings scrape.config scrape.target_url",
    "unit/web/api/test_app.py": "web.api",
    "unit/web/api/test_schema.py": "web.api.models web.api.routes",
    "unit/web/api/test_snapshots.py": "web.api.diff web.pages.compare",
    "unit/web/pages/test_app.py": "web",
    "unit/web/pages/test_leak.py": "web.pages.target",
    "unit/web/server/test_connection.py": "web.server",
    "unit/web/server/test_web_config_file.py": "web.server.tls",
}
LISTED = {name: file for file, names in ELSEWHERE.items() for name in names.split()}


def entry(module: str) -> str | None:
    """Return the name in `ELSEWHERE` that covers a module: its own, or its nearest package."""
    while module and module not in LISTED:
        module = module.rpartition(".")[0]
    return module or None


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_module_has_a_test_file(module: str) -> None:
    """The tests of a module are in its own file, or `ELSEWHERE` names their file."""
    assert module in MIRRORED or entry(module)


def test_each_entry_is_needed() -> None:
    """Every name in `ELSEWHERE` covers a module without a file of its own, and every file exists."""
    assert LISTED.keys() == {entry(module) for module in MODULES - MIRRORED}
    assert [file for file in ELSEWHERE if not (TESTS / file).is_file()] == []
    assert len(LISTED) == sum(len(names.split()) for names in ELSEWHERE.values())


def test_each_unit_test_file_has_a_module() -> None:
    """A file in tests/unit is named after a module, or listed in `ELSEWHERE`."""
    listed = {file.removeprefix("unit/").removesuffix(".py").replace("/test_", "/") for file in ELSEWHERE}
    assert MIRRORED - MODULES - {name.replace("/", ".") for name in listed} == set()
