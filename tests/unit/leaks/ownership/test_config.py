"""`owners`, `codeowners` and `links` in the configuration, and their effect on leaks."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from leakwatch.config import Config, Overrides, load, parse
from leakwatch.errors import ConfigError
from leakwatch.leaks.ownership.config import LARGEST, read
from leakwatch.model import Frame, Process, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of
from tests.support.leaking import START, Play, leak
from tests.support.simulated import TARGET, play, samples

PAGE = Path(__file__).parents[4] / "docs" / "owners.md"
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
SHOP = "example.com/acme/shop"
LINKS = f"links: {{source: {{{SHOP}: 'https://git.example/{{commit}}/{{path}}#L{{line}}'}}}}\n"


def configured(text: str, folder: Path, codeowners: bytes | str = b"") -> Config:
    """Return the configuration in `text`, beside a CODEOWNERS file and a directory; raises ConfigError."""
    (folder / "shop").mkdir(exist_ok=True)
    body = codeowners.encode() if isinstance(codeowners, str) else codeowners
    (folder / "CODEOWNERS").write_bytes(body)
    return parse(text, "f.yml", folder)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_documented_configurations_load(number: int, tmp_path: Path) -> None:
    """Each example of the docs is a valid configuration."""
    config = configured(SNIPPETS[number], tmp_path, "* @acme/all\n")
    assert config.scrape_configs
    labels = [group.labels for job in config.scrape_configs for group in job.static_configs]
    assert config.owners or config.codeowners or config.links.source or all("owner" in each for each in labels)


def test_the_example_of_the_docs(tmp_path: Path) -> None:
    """The example of the docs gives the owners that its text describes."""
    pipeline = Pipeline(configured(SNIPPETS[0], tmp_path).judging())

    def owner_of(function: str) -> str:
        at = Frame(function, "/src/x.go", 1)
        stack = Stack(fingerprint=fingerprint_of([function]), frames=(at,), blamed=at, origin=function, wait="")
        return pipeline._tracker._owners.owner(stack)

    assert owner_of(f"{SHOP}.F") == owner_of(f"{SHOP}/cart.F") == "team-shop"
    assert owner_of(f"{SHOP}/cart.(*Session).wait") == "team-checkout"
    assert owner_of(f"{SHOP}ping.F") == "team-platform"
    assert owner_of("github.com/nats-io/nats%2ego.(*Conn).readLoop") == "team-messaging"


@pytest.mark.parametrize(
    ("text", "body", "message"),
    [
        (
            "{file: CODEOWNERS, module: a}",
            "* @a\n*.go all\n",
            "f.yml:1: codeowners[0]: {d}/CODEOWNERS:2: 'all' is not an owner",
        ),
        (
            "{file: CODEOWNERS, module: a}",
            b"\x7fELF\x02\xff\xfe\x00",
            "{d}/CODEOWNERS: is not UTF-8 text: invalid",
        ),
        ("{file: CODEOWNERS, module: a}", b"#" * (LARGEST + 1), "{d}/CODEOWNERS: is larger than 3 MB"),
        ("{file: OWNERS, module: a}", "", "f.yml:1: codeowners[0].file: '{d}/OWNERS' is not a file"),
        ("{file: CODEOWNERS}", "", "f.yml:1: codeowners[0].module: is missing"),
        ("{file: CODEOWNERS, module: ''}", "", "f.yml:1: codeowners[0].module: must not be empty"),
        ("{file: CODEOWNERS, module: /src/a}", "", "codeowners[0].module: must be a path without /"),
        (
            "{file: CODEOWNERS, module: a, directory: ../b}",
            "",
            "codeowners[0].directory: must be a path without /",
        ),
        ("{file: CODEOWNERS, module: a, root_: b}", "", "unknown key 'codeowners[0].root_'; did you mean 'root'?"),
    ],
)
def test_invalid_keys(text: str, body: bytes | str, message: str, tmp_path: Path) -> None:
    """Each error has the line of the configuration, and the line of the CODEOWNERS file if the error is there."""
    with pytest.raises(ConfigError) as caught:
        configured(f"codeowners: [{text}]\n", tmp_path, body)
    assert message.replace("{d}", str(tmp_path)) in str(caught.value).splitlines()[0]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error has the path of the file."""
    with pytest.raises(ValueError, match=r"nowhere: No such file or directory$"):
        read(tmp_path / "nowhere")


def test_a_module_in_a_directory(tmp_path: Path) -> None:
    """Paths may begin with ./ and end with a slash."""
    config = configured("codeowners: [{file: CODEOWNERS, module: a/, directory: ./go/}]", tmp_path, "/go/x/ @a")
    (one,) = config.judging().repositories
    assert (one.module, one.directory) == ("a", "go")
    assert one.owners is not None
    assert one.owners.owner(one.path(Frame("a/x.F", "/src/f.go", 1))) == "@a"


def test_a_reload_reads_the_file(tmp_path: Path) -> None:
    """A reload uses the current rules of the file, and fails if the file has become invalid."""
    path = tmp_path / "f.yml"
    path.write_text("codeowners: [{file: CODEOWNERS, module: main}]\nscrape_configs: []\n")
    owners = tmp_path / "CODEOWNERS"
    owners.write_text("* @before\n")
    target = Overrides(["http://127.0.0.1:6060"])
    pipeline, _ = play(lambda at: {"leak": int(at * 5)}, 4, Pipeline(load(path, target).judging()))
    assert [leak.owner for leak in pipeline.open_leaks()] == ["@before"]
    owners.write_text("* @after\n")
    assert not pipeline.configure(load(path, target).judging())
    assert [leak.owner for leak in pipeline.open_leaks()] == ["@after"]
    owners.write_text("* after\n")
    with pytest.raises(ConfigError, match=r"CODEOWNERS:1: 'after' is not an owner"):
        load(path, target)


def leaking(labels: dict[str, str], text: str) -> Pipeline:
    """Return a pipeline with the configuration `text` and a leak on a target with these labels."""
    pipeline = Pipeline(parse(text, "f.yml", Path()).judging())
    pipeline.add_target(replace(TARGET, labels=labels))
    at = Frame(f"{SHOP}/pipeline.Filter", "/src/pipeline/filter.go", 61)
    (fingerprint, sample), *_ = samples({"leak": 1}).items()
    stack = replace(sample.stack, frames=(at, *sample.stack.frames), blamed=at)
    for i in range(240):
        now = {fingerprint: replace(sample, stack=stack, goroutines=1 + 10 * i)}
        pipeline.observe(
            pipeline.add_target(replace(TARGET, labels=labels)),
            START + 60 * i,
            1 + 10 * i,
            now,
            Process("1", "b1d"),
        )
    return pipeline


def test_a_leak_has_its_link() -> None:
    """Leak and frames have links by labels and build of the targets, and changed labels apply at once."""
    pipeline = leaking({"commit": "abc"}, LINKS)
    (leak,) = pipeline.open_leaks()
    assert leak.source == "https://git.example/abc/pipeline/filter.go#L61"
    assert pipeline.source_link(leak, leak.stack.blamed) == leak.source
    root = leak.stack.frames[-1]  # of a main package, which was built in the same directory as the other frame
    assert pipeline.source_link(leak, root) == f"https://git.example/abc/main.go#L{root.line}"
    assert pipeline.source_link(leak, Frame("net/http.Get", "/usr/lib/go/src/net/http/client.go", 1)) == ""
    pipeline.add_target(replace(TARGET, labels={"commit": "def"}))
    assert pipeline.open_leaks()[0].source == "https://git.example/def/pipeline/filter.go#L61"
    pipeline.configure(parse(LINKS.replace("commit", "build"), "f.yml", Path()).judging())
    assert pipeline.open_leaks()[0].source == "https://git.example/b1d/pipeline/filter.go#L61"
    pipeline.remove_target(TARGET, START + 14_400)
    assert pipeline.open_leaks()[0].source == "https://git.example/b1d/pipeline/filter.go#L61"
    assert leaking({}, LINKS).open_leaks()[0].source == ""


def test_ignore_rules_follow_changed_labels() -> None:
    """A rule by labels matches the current labels of a target."""
    rule = "ignore: [{labels: {track: canary}, reason: x}]\n"
    pipeline = leaking({"track": "stable"}, rule)
    assert pipeline.services["shop"].labels()[TARGET.name]["track"] == "stable"
    pipeline.add_target(Target(TARGET.service, TARGET.name, {"track": "canary"}))
    assert pipeline.services["shop"].labels()[TARGET.name]["track"] == "canary"


def test_alerts_link_to_the_source() -> None:
    """An alert has the link as an annotation, which is missing if the link is unknown."""
    url = "https://git.example/x/<a>?b=1&c=2#L7"
    one = replace(leak(), source=url)
    (alert,) = Play().at(0, [one])
    assert alert.annotations["source"] == url
    assert "source" not in dict(alert.labels)
    (silent,) = Play().at(0, [leak()])
    assert "source" not in silent.annotations


def test_a_template_for_all_needs_a_module(tmp_path: Path) -> None:
    """Without a module no path is known, and the link would silently be missing."""
    text = "links: {source: 'https://x/{path}'}\n"
    with pytest.raises(ConfigError, match=r"links\.source has \{path\}, but no module is known"):
        configured(text, tmp_path)
    assert configured(f"{text}codeowners: [{{file: CODEOWNERS, module: a}}]", tmp_path).links.needs_module
    assert not configured("links: {source: 'https://x/{function}'}", tmp_path).links.needs_module


def test_checkouts_are_directories(tmp_path: Path) -> None:
    """A checkout is relative to the configuration file, and an error names a path that is not a directory."""
    text = f"links: {{checkout: {{{SHOP}: src}}}}\n"
    with pytest.raises(ConfigError, match=rf"links\.checkout.*{SHOP}.*src' is not a directory"):
        configured(text, tmp_path)
    (tmp_path / "src").mkdir()
    assert configured(text, tmp_path).links.checkout == {SHOP: tmp_path / "src"}
