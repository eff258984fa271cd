"""docs/api.md: its table has every endpoint and parameter that is published, its examples are what is answered."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.support.api_world import get
from tests.support.running import FAST, Daemon, Programs
from tests.support.waiting import wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_endpoint_is_in_the_table() -> None:
    """Each address that is published stands there with all that may be asked, and none that is not."""
    published = {}
    for path, operations in get("/api/v1/openapi.json").json()["paths"].items():
        asked = [one["name"] for one in operations["get"].get("parameters", ()) if one["in"] == "query"]
        published[path.removeprefix("/v1").replace("{key}", "{id}")] = set(asked)
    told = {}
    for cell in re.findall(r"^\| (`/.*?) \|", TEXT, re.MULTILINE):
        for address in re.findall(r"`(.*?)`", cell):
            path, _, query = address.partition("?")
            told[path] = {pair.partition("=")[0] for pair in query.split("&") if pair}
    assert told == published


def test_the_problem_is_what_is_answered() -> None:
    """The example of an error is one."""
    (example,) = blocks("json")
    assert json.loads(example) == get("/api/v1/leaks?limit=1001").json()


def test_the_event_is_what_is_sent() -> None:
    """The example of an event is the event that the API of the example world sends."""
    (example,) = re.findall(r"^(retry: 2000\n\n.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert example.strip() == get("/api/v1/events", headers={"Last-Event-ID": "another"}).text.strip()


def test_the_commands_run(leakwatch: Callable[..., Daemon], start: Programs, tmp_path: Path) -> None:
    """Each command of the page, on a real leak, prints the documented output."""
    url = start("w5pipeline")
    targets = ["127.0.0.1:1", url.removeprefix("http://")]
    config = f"{FAST}scrape_configs: [{{job_name: shop, static_configs: [{{targets: {targets}}}]}}]\n"
    (tmp_path / "leakwatch.yml").write_text(config)
    daemon = leakwatch("--config", tmp_path / "leakwatch.yml")
    wait_for(lambda: daemon.get("/api/v1/leaks?verdict=leaking").json()["leaks"])
    wait_for(lambda: daemon.get("/api/v1/profiles").json()["profiles"])
    said = []
    for block in blocks("sh"):
        text = block.replace("http://127.0.0.1:9979", daemon.url)
        done = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, check=True)
        said.append(done.stdout)
    openapi, leaking, down, rule, grown = said
    assert json.loads(openapi)["info"]["title"] == "leakwatch"
    assert "\tshop\tmain.FilterService\t" in leaking
    assert down.split("\t")[:3] == ["shop", "127.0.0.1:1", "connection"]
    assert "\tmain.FilterService\t" in grown
    assert yaml.safe_load(rule)["ignore"][0]["function"] == "main.FilterService"
