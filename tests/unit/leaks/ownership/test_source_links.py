"""Source links are complete and quoted, or missing."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.source_links import LONGEST, LinkContext, Links, LinkTemplate
from leakwatch.model import Frame

SHOP = "example.com/acme/shop"
BLOB = "https://git.example/acme/shop/blob/{commit}/{path}#L{line}"
FILTER = Frame(f"{SHOP}/pipeline.FilterService", "/src/pipeline/filter.go", 61)
FACTS = LinkContext("shop", {"commit": "0123abc", "cluster": "east/1"}, "b1d")


def link(template: str, frame: Frame = FILTER, labels: dict[str, str] | None = None, prefix: str = SHOP) -> str:
    """Return the link of a frame by one template."""
    context = FACTS if labels is None else LinkContext("shop", labels)
    return Links({prefix: LinkTemplate.of(template)}).link(frame, (frame,), [context])


def test_a_link() -> None:
    """Plain builds and builds with -trimpath have the same link."""
    assert link(BLOB) == "https://git.example/acme/shop/blob/0123abc/pipeline/filter.go#L61"
    trimmed = Frame(FILTER.function, f"{SHOP}/pipeline/filter.go", 61)
    assert link(BLOB, trimmed) == link(BLOB)
    main = Frame("main.main", f"{SHOP}/cmd/server/main.go", 7)
    assert link(BLOB, main) == "https://git.example/acme/shop/blob/0123abc/cmd/server/main.go#L7"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "/src/pipeline/filter.go"),
        ("path", "pipeline/filter.go"),
        ("line", "61"),
        ("function", "example.com%2Facme%2Fshop%2Fpipeline.FilterService"),
        ("package", "example.com/acme/shop/pipeline"),
        ("commit", "0123abc"),
        ("build", "b1d"),
        ("service", "shop"),
        ("label.cluster", "east%2F1"),
        ("label.commit", "0123abc"),
    ],
)
def test_fields(field: str, value: str) -> None:
    """Each field has its value."""
    assert link(f"http://x/?q={{{field}}}&{{{field}}}") == f"http://x/?q={value}&{value}"


@pytest.mark.parametrize(
    ("labels", "commit"),
    [
        ({"commit": "a"}, "a"),
        ({"git_commit": "b"}, "b"),
        ({"revision": "c", "git_commit": ""}, "c"),
        ({"commit": "a", "revision": "c"}, "a"),
        ({"commit": "release/1.2"}, "release/1.2"),
        ({"commit": "0123abc-dirty"}, "0123abc"),
        ({"commit": "unknown"}, ""),
        ({"commit": "(devel)"}, ""),
        ({"version": "1.2"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_of_a_target(labels: dict[str, str], commit: str) -> None:
    """One of three labels has the commit. Without a commit there is no link."""
    assert link("https://x/{commit}", labels=labels) == (f"https://x/{commit}" if commit else "")


def test_unknown_values() -> None:
    """Without line, file, label or path there is no link, because it would be broken."""
    assert link(BLOB, Frame(FILTER.function, FILTER.file, 0)) == ""
    assert link(BLOB, Frame(FILTER.function)) == ""
    assert link(BLOB, Frame("example.com/other.F", "/src/f.go", 1)) == ""
    assert link(BLOB, Frame("main.main", "/src/main.go", 1)) == ""
    assert link("https://x/{label.zone}") == ""
    assert link("https://x/{build}", labels={}) == ""
    assert Links().link(FILTER, (FILTER,), [FACTS]) == ""
    assert Links({SHOP: LinkTemplate.of(BLOB)}).link(FILTER, (FILTER,), []) == ""
    assert Links({SHOP: LinkTemplate.of("https://x/{line}")}).link(FILTER, (FILTER,), []) == "https://x/61"


def test_the_most_frequent_values_apply() -> None:
    """During a rollout, a link has the commit of most targets; all its fields are of the same target."""
    labels = [
        LinkContext("shop", {"commit": c, "zone": z}) for c, z in (("a", "1"), ("b", "2"), ("b", "2"), ("a", "3"))
    ]
    assert (
        Links({SHOP: LinkTemplate.of("https://x/{commit}/{label.zone}")}).link(FILTER, (), labels)
        == "https://x/b/2"
    )


def test_a_template_for_each_module() -> None:
    """The longest matching prefix has the template; a configured repository has the directory of its module."""
    shop, tools = Repository(module=SHOP, directory="go", root="/build"), Repository(module=f"{SHOP}/tools")
    templates = {
        SHOP: "https://shop/{path}",
        f"{SHOP}/tools": "https://tools/{path}",
        "": "https://search/?q={function}",
    }
    links = Links({prefix: LinkTemplate.of(text) for prefix, text in templates.items()}, [shop, tools])

    def of(function: str, file: str) -> str:
        return links.link(Frame(function, file, 1), (), [FACTS])

    assert of(f"{SHOP}/cart.F", "/build/go/cart/f.go") == "https://shop/go/cart/f.go"
    assert of("main.F", "/build/go/main.go") == "https://shop/go/main.go"
    assert of(f"{SHOP}/tools/x.F", "/build/tools/x/f.go") == "https://tools/x/f.go"
    assert (
        of("net/http.(*conn).serve", "/usr/lib/go/src/net/http/server.go")
        == "https://search/?q=net%2Fhttp.%28%2Aconn%29.serve"
    )
    one = Links({"": LinkTemplate.of("https://all/{path}")}, [shop, tools])
    assert one.link(FILTER, (), []) == "https://all/go/pipeline/filter.go"
    assert one.link(Frame("example.com/other.F", "/src/f.go", 1), (), []) == ""
    above = Links({"example.com/acme": LinkTemplate.of("https://x/{package}/{path}")}, [shop])
    assert above.link(FILTER, (), []) == f"https://x/{SHOP}/pipeline/go/pipeline/filter.go"


def test_the_commit_of_a_dependency() -> None:
    """The commit of a dependency is its tag, not that of the target; in vendor/ the version is unknown."""
    nats = "github.com/nats-io/nats.go"
    template = "https://github.com/nats-io/nats.go/blob/{commit}/{path}#L{line}"
    frame = Frame("github.com/nats-io/nats%2ego.(*Conn).readLoop", f"/home/c/go/pkg/mod/{nats}@v1.31.0/nats.go", 9)
    assert link(template, frame, prefix=nats) == "https://github.com/nats-io/nats.go/blob/v1.31.0/nats.go#L9"
    vendored = Frame(frame.function, f"/src/vendor/{nats}/nats.go", 9)
    assert link(template, vendored, prefix=nats) == ""
    assert link("https://x/{commit}/{file}", vendored, prefix="") == ""
    assert (
        link("https://x/{commit}", Frame("net/http.Get", "/usr/lib/go/src/net/http/client.go", 1), prefix="") == ""
    )


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("vscode://file/home/me/shop/{path}:{line}", "vscode://file/home/me/shop/pipeline/filter.go:61"),
        ("vscode://file/{file}:{line}", "vscode://file/src/filter.go:61"),
        ("goland://open?file={file}&line={line}", "goland://open?file=/src/filter.go&line=61"),
        ("https://x/{file}", "https://x/src/filter.go"),
    ],
)
def test_links_to_an_editor(template: str, url: str) -> None:
    """A template may have the scheme of an editor; an absolute file does not add a second slash."""
    frame = Frame(FILTER.function, "/src/filter.go", FILTER.line)
    assert link(template, frame) == url


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("ftp://x/{path}", "must begin with https://, http:// or the scheme of an editor such as vscode://"),
        ("vscode://{path}", "must begin with"),
        ("file:///{path}", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("//x/{path}", "must begin with"),
        ("https://x", "must begin with"),
        ("https://{label.host}/x", "a host without fields"),
        ("https://user:pass@x/y", "must begin with"),
        ("https://x/{sha}", r"\{sha\} is not a field; the fields are file, path, line"),
        ("https://x/{}", r"\{\} is not a field"),
        ("https://x/{label.}", r"\{label\.\} is not a field"),
        ("https://x/{label.a-b}", r"\{label\.a-b\} is not a field"),
        ("https://x/{path", "has a brace"),
        ("https://x/{{path}}", "has a brace"),
        ("https://x/ {path}", "a space"),
        ("https://x/\n{path}", "an unprintable character"),
    ],
)
def test_invalid_templates(template: str, message: str) -> None:
    """The error describes the invalid part."""
    with pytest.raises(ValueError, match=message):
        LinkTemplate.of(template)


@settings(deadline=None)
@given(st.text(), st.text(), st.text(), st.integers())
def test_hostile_values(name: str, file: str, label: str, line: int) -> None:
    """Whatever the values are, a link has the host of the template and begins with its literal part."""
    frame = Frame(f"{SHOP}/{name}.F", f"/{file}", line)
    links = Links({SHOP: LinkTemplate.of("https://x/a/{path}/{function}/{label.l}/{file}#L{line}")})
    found = links.link(frame, (frame,), [LinkContext(name, {"l": label})])
    assert len(found) <= LONGEST
    if found:
        parts = urlsplit(found)
        assert (parts.scheme, parts.netloc, parts.query) == ("https", "x", "")
        assert parts.path.startswith("/a/")
        assert not {".", ".."} & set(unquote(parts.path).split("/")) or "/" in label + name
        assert not set(found) & set("<>\"'` \\\n")


def test_paths_that_leave_their_directory() -> None:
    """A path with .. and a path that makes the link too long have no link."""
    assert link("https://x/{file}", Frame(FILTER.function, "/src/../../admin.go", 1)) == ""
    assert link("https://x/{label.l}/", labels={"l": ".."}) == ""
    assert link("https://x/{file}", Frame(FILTER.function, "/" + "a" * LONGEST, 1)) == ""
    script = Frame(FILTER.function, "/src/<script>\"'.go", 1)
    assert link("https://x/{path}", script) == "https://x/pipeline/%3Cscript%3E%22%27.go"
