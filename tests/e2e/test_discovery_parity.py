"""Comparison of leakwatch's static, file, HTTP and DNS discovery, and of relabeling, with Prometheus."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.discovering import IDENTITY

ROOT = Path(__file__).parents[2]
VALUES = [
    "",
    "a",
    "A",
    "true",
    "false",
    "shop",
    "shop-7",
    "a;b",
    ";",
    "x y",
    "1",
    "007",
    "3.14",
    "ß",
    "ẞ",
    "İstanbul",
    "\u0131I",
    "ΑΣ",
    "ὈΔΥΣΣΕΎΣ",
    "ŉ",
    "ﬁ",
    "ᾳᾼ",
    "ǆ ǅ Ǆ",
    "Ünï",
    "日本語",
    "🙂x",
    "e\u0301",
    "$1",
    "${1}x",
    '"q"',
    "\\",
    "a.b:80",
    "k=v",
    "  ",
    "a" * 300,
    "\u00b2\u2167",
    "\u0661",
    "a\u2028b",
]
"""Values of labels: letters that become two in another case, other scripts, text like group references."""
ADDRESSES = [
    "10.0.0.1:80",
    "10.0.0.2",
    "host",
    "host.test:9090",
    "[::1]:80",
    "[::1]",
    "HOST:1",
    "x:0",
    "x:65535",
]
NAMES = ["team", "Zone", "_x", "app_name", "__meta_a", "__meta_pod_label_app", "__tmp_1", "instance"]
REGEXES = [
    None,
    "(.*)",
    ".*",
    "(.+)",
    "",
    "a|b",
    "a)|(b",
    "(a|ab)(c|bcd)?(.*)",
    "shop-(\\d+)",
    "(?P<one>[^-]*)-?(?P<two>.*)",
    "(?i)SHOP.*",
    "(?U)(a+)(.*)",
    "\\w+",
    "[[:alpha:]]+",
    "\\pL+",
    "\\p{Greek}+",
    "[^\\x00-\\x7f]+",
    "(.)(.?).*",
    "\\Qa.b\\E:(.*)",
    "(a*)*",
    "(|a)*",
    "(a*?)(.*)",
    "^a$",
    "\\Aa\\z",
    "(x)?(.*)",
    ".{3}",
    "(?s:.)+",
    "\\S*\\s\\S*",
    "true",
    1,
    "(.*)__meta_(.*)",
    "__meta_(.+)",
    "(team|Zone|__.*)",
    "(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.).*",
    "\\d+",
]
REPLACEMENTS = [
    None,
    "$1",
    "${1}",
    "$1x",
    "${1}x",
    "$2-$1",
    "$$1",
    "$",
    "a$",
    "${",
    "${}",
    "${one",
    "${one}",
    "$one_",
    "$two",
    "$0",
    "$10",
    "$11",
    "${11}0",
    "$01",
    "$é",
    "${²}",
    "fixed",
    "",
    "日$1",
    "$-",
    "$1$2$3",
    8080,
]
LABEL_TEMPLATES = ["out", "label_$1", "${1}", "team", "${one}_x", "$2", "l$1${2}"]
DNS = {
    "shop.first.test.": {"A": ["127.0.0.1", "127.0.0.2"], "AAAA": ["::1", "::ffff:10.0.0.1"]},
    "_pprof._tcp.shop.second.test.": {"SRV": ["0 0 6060 One.Shop.Test.", "0 0 6061 two.shop.test.", "1 2 3 a."]},
    "alias.first.test.": {"CNAME": ["shop.first.test."]},
    "mail.test.": {"MX": ["10 mx1.test.", "20 mx2.test."]},
    "nothing.test.": {"TXT": ["text"]},
    "many.first.test.": {"A": [f"10.1.{i // 250}.{i % 250}" for i in range(400)]},
}
EVERY_ACTION: list[dict[str, Any]] = [
    {"source_labels": ["team", "Zone"], "target_label": "joined"},
    {"source_labels": ["team", "Zone"], "separator": "", "target_label": "close", "regex": "(.*)"},
    {"source_labels": ["team"], "target_label": "low", "action": "lowercase"},
    {"source_labels": ["Zone", "team"], "target_label": "UP", "action": "UpperCase"},
    {"source_labels": ["team", "__address__"], "modulus": 7, "target_label": "__tmp_hash", "action": "hashmod"},
    {"source_labels": ["team"], "modulus": 2**64 - 1, "target_label": "hash", "action": "hashmod"},
    {"source_labels": ["__tmp_hash"], "target_label": "shard"},
    {"source_labels": ["__tmp_hash"], "regex": "[0-4]", "action": "keep"},
    {"source_labels": ["Zone"], "regex": "shop.*|日.*", "action": "drop"},
    {"source_labels": ["_x"], "target_label": "team", "action": "dropequal"},
    {"regex": "__meta_(.+)", "replacement": "m_$1", "action": "labelmap"},
    {"regex": "(team|Zone|low|m_.*)", "replacement": "one", "action": "labelmap"},
    {"regex": "Z.*", "action": "labeldrop"},
    {"regex": "app_name", "target_label": "app_name", "replacement": ""},
    {"source_labels": ["_x"], "target_label": "${1}_of", "regex": "(.*)"},
    {"source_labels": ["_x"], "target_label": "__profile_path__", "regex": "(.+)", "replacement": "/$1/pprof"},
    {"regex": "__.*|job|joined|low|UP|shard|one|team|m_.*|hash", "action": "labelkeep"},
]
TIMES: list[dict[str, Any]] = [
    {"target_label": "__scrape_interval__", "replacement": "1m30s"},
    {"source_labels": ["team"], "regex": "a", "target_label": "__scrape_timeout__", "replacement": "2m"},
    {"source_labels": ["team"], "regex": "shop", "target_label": "__scrape_timeout__", "replacement": "soon"},
    {"source_labels": ["team"], "regex": "A", "target_label": "__scrape_interval__", "replacement": "0s"},
    {"source_labels": ["team"], "regex": "true", "target_label": "__scrape_timeout__", "replacement": "90s"},
    {"source_labels": ["Zone"], "regex": "true", "target_label": "__address__", "replacement": ""},
    {"source_labels": ["Zone"], "regex": "1", "target_label": "__address__", "replacement": "a/b"},
    {"source_labels": ["Zone"], "regex": "A", "target_label": "__scheme__", "replacement": "https"},
    {"source_labels": ["Zone"], "regex": "a", "target_label": "job", "replacement": "other"},
]


def some_rule(rng: random.Random) -> dict[str, Any]:
    """Return a random rule that is valid in Prometheus 2.42."""
    action = rng.choice(["replace"] * 6 + ["keep", "drop", "labelmap", "labeldrop", "labelkeep", "hashmod"])
    regex, replacement = rng.choice(REGEXES), rng.choice(REPLACEMENTS)
    rule: dict[str, Any] = {"action": action} | ({} if regex is None else {"regex": regex})
    if action in {"labeldrop", "labelkeep"}:
        return rule | {"regex": "(a|__.*|Z.*|t.*|out|l.*)" if action == "labelkeep" else regex or "o.*"}
    rule["source_labels"] = rng.sample(NAMES, rng.randint(0, 3))
    if action == "labelmap":
        return rule | {"replacement": rng.choice(["m_$1", "m_${2}", "m", "${one}_$1", "m_$0"])}
    if action == "hashmod":
        return rule | {"modulus": rng.choice([1, 2, 1000]), "target_label": "out"}
    if action == "replace":
        rule["target_label"] = rng.choice(LABEL_TEMPLATES)
        if "$" in rule["target_label"]:
            # If the value is empty, Prometheus 2.42 removes the label named "l$1" without expansion.
            replacement = f"-{replacement or ''}"
        if replacement is not None:
            rule["replacement"] = replacement
    return rule


def jobs(rng: random.Random) -> list[dict[str, Any]]:
    """Return jobs for each mechanism, and many file jobs with all kinds of rules."""
    rules = [
        EVERY_ACTION,
        TIMES,
        [{"source_labels": ["_x"], "target_label": "team", "action": "keepequal"}],
        [{"regex": "__address__", "action": "labeldrop"}],
        [
            {
                "source_labels": ["__address__"],
                "regex": "([^:]+)(?::\\d+)?",
                "replacement": "$1:6060",
                "target_label": "__address__",
            }
        ],
        *([some_rule(rng) for _ in range(rng.randint(1, 4))] for _ in range(60)),
    ]
    configs: list[dict[str, Any]] = [
        {"job_name": f"rules-{i}", "file_sd_configs": [{"files": [f"rules-{i}.json"]}], "relabel_configs": some}
        for i, some in enumerate(rules)
    ]
    group = {"targets": ["a", "b:1"], "labels": {"team": "x", "__meta_x": "y", "empty": ""}}
    configs.append(
        {
            "job_name": "static",
            "static_configs": [group],
            "relabel_configs": [{"regex": "x", "action": "labeldrop"}],
        }
    )
    configs.append({"job_name": "http", "http_sd_configs": [{"url": "http://127.0.0.1:8080/list?all=1"}]})
    dns_configs = [
        {"names": ["shop", "alias.first.test.", "nothing.test", "absent"], "type": "A", "port": 6060},
        {"names": ["shop", "_pprof._tcp.shop"], "type": "AAAA", "port": 6060},
        {"names": ["_pprof._tcp.shop"]},
        {"names": ["mail.test"], "type": "mx", "port": 25},
        {"names": ["many"], "type": "A", "port": 1},
    ]
    copied = [{"regex": "__meta_dns_(.*)", "replacement": "dns_$1", "action": "labelmap"}]
    configs.append(
        {"job_name": "dns", "scheme": "https", "dns_sd_configs": dns_configs, "relabel_configs": copied}
    )
    return configs


def key(labels: dict[str, str]) -> str:
    """Return labels as a text that identifies them."""
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def identity(labels: dict[str, str]) -> str:
    """Return a text that identifies an address by its labels before the rules.

    There are three copies of the label, because Prometheus 2.42 returns these labels with changes of some rules.
    """
    return next((labels[name] for name in IDENTITY if name in labels), None) or key(labels)


def some_groups(rng: random.Random, job: str, number: int) -> list[dict[str, Any]]:
    """Return target groups with one address each and random labels."""
    return [
        {
            "targets": [rng.choice(ADDRESSES)],
            "labels": dict.fromkeys(IDENTITY, f"{job} {i}")
            | {name: rng.choice(VALUES) for name in rng.sample(NAMES, 5)},
        }
        for i in range(number)
    ]


def test_targets_equal_those_of_prometheus(tmp_path: Path) -> None:
    """For each address: equal labels before the rules, equal results, and equal labels, URL and times after."""
    rng = random.Random(4)  # noqa: S311  reproducible test data
    described = jobs(rng)
    for job in described:
        for files in job.get("file_sd_configs", ()):
            groups = some_groups(rng, job["job_name"], 120)
            (tmp_path / files["files"][0]).write_text(json.dumps(groups))
    listed = [*some_groups(rng, "http", 40), {"targets": None, "labels": None}]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "zone.json").write_text(json.dumps(DNS))
    common = {"global": {"scrape_interval": "1m", "scrape_timeout": "30s"}, "scrape_configs": described}
    (tmp_path / "common.json").write_text(json.dumps(common))
    command = ["unshare", "--map-root-user", "--mount", "--net", sys.executable]
    subprocess.run([*command, "-m", "tests.support.discovering", tmp_path], check=True, timeout=300, cwd=ROOT)

    results = json.loads((tmp_path / "found.json").read_text())
    prometheus = results["prometheus"]
    dropped = {identity(target["discoveredLabels"]) for target in prometheus["droppedTargets"]}
    active = {identity(target["discoveredLabels"]): target for target in prometheus["activeTargets"]}
    finals = set()
    for target in active.values():
        address = target["scrapeUrl"].split("/")[2]
        target["scrapeUrl"] = str(httpx.URL(target["scrapeUrl"]))  # removes the default port
        target["labels"] = {n: v for n, v in target["labels"].items() if (n, v) != ("instance", address)}
        finals.add(key(target["labels"]) + target["scrapeUrl"])
    assert len(active) > 2000
    assert len(dropped) > 500
    differences, counts = [], {"active": 0, "duplicate": 0, "dropped": 0, "invalid": 0}
    for row in results["leakwatch"]:
        name = identity(row["before"])
        target = active.get(name)
        if "error" in row:
            counts["invalid"] += 1
            is_equal = target is None and name not in dropped
        elif "url" not in row:
            counts["dropped"] += 1
            is_equal = name in dropped
        elif target:
            counts["active"] += 1
            expected = (target["labels"], target["scrapeUrl"], target["scrapeInterval"], target["scrapeTimeout"])
            is_equal = (row["labels"], row["url"], row["interval"], row["timeout"]) == expected
        else:  # Prometheus merges equal targets
            counts["duplicate"] += 1
            is_equal = key(row["labels"]) + row["url"] in finals
        if not is_equal:
            differences.append((row, target, name in dropped))
    assert differences == [], (len(differences), differences[:3], results["log"][-3:])
    assert counts["invalid"] > 20
    assert {identity(row["before"]) for row in results["leakwatch"]} >= active.keys() | dropped
