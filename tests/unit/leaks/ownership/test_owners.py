"""Owner of a leak: the function that decides, prefixes, and the file of a frame in its repository."""

import pytest

from leakwatch.leaks.ownership.codeowners import CodeOwners, parse
from leakwatch.leaks.ownership.go_modules import Repository, package_of, scopes, split, version_of
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.model import Frame, Stack
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.stacks import Identifier

SHOP = "example.com/acme/shop"
CACHE = "/home/ci/go/pkg/mod"


def stack(*frames: Frame, origin: str = "") -> Stack:
    """Return a stack of these frames, leaf first, with its blamed frame."""
    blamed = Identifier().blame(frames)
    return Stack(
        fingerprint=fingerprint_of([at.function for at in frames]),
        frames=frames,
        blamed=blamed,
        origin=origin or frames[-1].function,
        wait="",
    )


def owner(teams: dict[str, str], function: str) -> str:
    """Return the owner of a function."""
    return Owners(teams).owner(stack(Frame(function, "/src/a.go", 1)))


def rules(text: str) -> CodeOwners:
    """Return the rules of a CODEOWNERS file with this text."""
    return parse(text, "CODEOWNERS")


@pytest.mark.parametrize(
    ("prefix", "function", "owned"),
    [
        ("example.com/shop", "example.com/shop.F", True),
        ("example.com/shop", "example.com/shop/x.F", True),
        ("example.com/shop", "example.com/shopping.F", False),
        ("example.com/shop", "example.com/shop-x.F", False),
        ("example.com/shop/", "example.com/shop/x.F", True),
        ("example.com/shop/", "example.com/shop.F", True),
        ("example.com/shop/...", "example.com/shop/x.F", True),
        ("example.com/shop/", "example.com/shopping/x.F", False),
        ("example.com", "example.com/shop.F", True),
        ("example.co", "example.com/shop.F", False),
        # Functions, types, closures and generic functions.
        ("example.com/shop.F", "example.com/shop.F", True),
        ("example.com/shop.F", "example.com/shop.F.func1.2", True),
        ("example.com/shop.F", "example.com/shop.F-range1", True),
        ("example.com/shop.F", "example.com/shop.Filter", False),
        ("example.com/shop.(*Cart)", "example.com/shop.(*Cart).Add.func1", True),
        ("example.com/shop.Cart", "example.com/shop.(*Cart).Add", True),
        ("example.com/shop.(*Cart).Add", "example.com/shop.(*Cart).Add-fm", True),
        ("example.com/shop.(*Cart).Add", "example.com/shop.(*Cart).AddAll", False),
        ("example.com/shop.Box", "example.com/shop.(*Box[...]).Wait", True),
        ("example.com/shop.Box[int]", "example.com/shop.(*Box[go.shape.int]).Wait", True),
        ("example.com/shop", "example.com/shop.Map[example.com/cart.T]", True),
        ("example.com/cart", "example.com/shop.Map[example.com/cart.T]", False),
        # Function names escape dots in the last element of the path.
        ("example.com/zoo.v2/pool.v3", "example.com/zoo.v2/pool%2ev3.Block", True),
        ("example.com/zoo.v2/pool%2ev3", "example.com/zoo.v2/pool%2ev3.Block", True),
        ("example.com/zoo.v2/pool.v3.Block", "example.com/zoo.v2/pool%2ev3.Block.func1", True),
        ("example.com/zoo.v2/pool", "example.com/zoo.v2/pool%2ev3.Block", False),
        ("example.com/zoo", "example.com/zoo.v2/pool%2ev3.Block", False),
        ("gopkg.in/yaml.v3", "gopkg.in/yaml%2ev3.Unmarshal", True),
        ("main", "main.main", True),
        ("main.", "main.F.func1", True),
        ("main", "maintain.F", False),
        ("größe/x", "größe/x.Ö", True),
        ("", "any/thing.F", True),
    ],
)
def test_prefixes(prefix: str, function: str, owned: bool) -> None:
    """A prefix names a package with its subpackages, a type or a function, but not a part of a name."""
    assert owner({prefix: "team"}, function) == ("team" if owned else "")


def test_the_closest_scope_applies() -> None:
    """Of several prefixes that match, the longest one applies, whatever their order."""
    teams = {
        "example.com": "all",
        "example.com/shop/pool.v3": "pools",
        "example.com/shop": "shop",
        "": "rest",
        "example.com/shop.(*Cart).Add": "adders",
        "example.com/shop.Cart": "carts",
    }
    expected = {
        "example.com/shop.(*Cart).Add.func1": "adders",
        "example.com/shop.(*Cart).Drop": "carts",
        "example.com/shop/x/y.F": "shop",
        "example.com/shop/pool%2ev3/sub.F": "pools",
        "example.com/mail.F": "all",
        "example.org/mail.F": "rest",
    }
    for order in (teams, dict(reversed(teams.items()))):
        assert {function: owner(order, function) for function in expected} == expected


def test_the_blamed_function_decides() -> None:
    """The callers of own code do not count, even if it has no owner: the gap in the configuration is visible."""
    own = Frame("example.com/shop.Send", "/src/send.go", 1)
    caller = Frame("example.com/cart.Add", "/src/add.go", 1)
    assert Owners({"example.com/cart": "cart"}).owner(stack(own, caller)) == ""
    assert Owners({"example.com/cart": "cart", "": "rest"}).owner(stack(own, caller)) == "rest"
    assert Owners({"example.com/cart": "cart", "example.com/shop": "shop"}).owner(stack(own, caller)) == "shop"


def test_the_owner_of_the_caller_of_a_dependency() -> None:
    """If all visible frames are of dependencies, the nearest one with an owner counts, callers first."""
    read = Frame("internal/poll.(*FD).Read", "/usr/lib/go/src/internal/poll/fd_unix.go", 1)
    loop = Frame(
        "github.com/nats-io/nats%2ego.(*Conn).readLoop", f"{CACHE}/github.com/nats-io/nats.go@v1.31.0/n.go", 1
    )
    lib = Frame("example.com/acme/lib.Go", f"{CACHE}/example.com/acme/lib@v1.0.0/go.go", 1)
    three = stack(read, loop, lib)
    assert three.blamed is lib
    assert Owners({"github.com/nats-io/nats.go": "messages"}).owner(three) == "messages"
    assert Owners({"example.com/acme": "platform"}).owner(three) == "platform"
    assert Owners({"internal/poll": "go"}).owner(three) == ""
    assert Owners({"": "rest", "example.com/acme": "platform"}).owner(three) == "platform"
    lib_rules = Repository(module="example.com/acme/lib", owners=rules("*.go @acme/lib"))
    assert Owners({}, [lib_rules]).owner(three) == "@acme/lib"
    # A site has only its function, and the common origin of its stacks.
    site = stack(loop, origin="example.com/acme/lib.Go")
    assert Owners({"example.com/acme": "platform"}).owner(site) == "platform"
    assert Owners({}, [lib_rules]).owner(site) == "@acme/lib"  # although the file of the origin is unknown
    named = Repository(module="example.com/acme/lib", owners=rules("go.go @one"))
    assert Owners({}, [named]).owner(site) == ""
    main = stack(Frame("main.F"), origin="main.main")
    assert Owners({}, [Repository(module=SHOP, owners=rules("* @all"))]).owner(main) == ""
    # A stack of the standard library alone has no caller.
    serve = stack(read, Frame("net/http.(*conn).serve", "/usr/lib/go/src/net/http/server.go", 1))
    assert Owners({"net/http": "web"}).owner(serve) == "web"
    assert Owners({"example.com": "x"}).owner(serve) == ""


def test_own_code_in_the_module_cache() -> None:
    """Own code in the module cache is blamed, and has the owner of its package."""
    send = Frame("example.com/acme/lib.Send", f"{CACHE}/example.com/acme/lib@v1.0.0/send.go", 1)
    frames = (send, Frame("example.com/acme/shop.F", "/src/f.go", 1))
    blamed = Identifier(["example.com/acme/lib"]).blame(frames)
    found = Stack(
        fingerprint=fingerprint_of(["x"]), frames=frames, blamed=blamed, origin="example.com/acme/shop.F", wait=""
    )
    assert Owners({"example.com/acme/lib": "platform", SHOP: "shop"}).owner(found) == "platform"


def test_teams_before_files() -> None:
    """The key `owners` has precedence over the file of the innermost module; the prefix "" is for all others."""
    shop = Repository(module=SHOP, owners=rules("* @acme/all\n/pipeline/ @acme/ingest\n/gen/\n/README.md @x"))
    api = Repository(module=f"{SHOP}/api", owners=rules("/v1/ @acme/api"))
    owners = Owners({f"{SHOP}/pipeline.Filter": "filters", "": "rest"}, [shop, api])

    def owner_of(function: str, file: str = "/src/a.go") -> str:
        return owners.owner(stack(Frame(function, file, 1)))

    assert owner_of(f"{SHOP}/pipeline.Filter.func1") == "filters"
    assert owner_of(f"{SHOP}/pipeline.Collect") == "@acme/ingest"
    assert owner_of(f"{SHOP}/cart.Add") == "@acme/all"
    assert owner_of(f"{SHOP}.Add") == "@acme/all"
    assert owner_of(f"{SHOP}/api/v1.Serve") == "@acme/api"
    assert owner_of(f"{SHOP}/api/v2.Serve") == "rest"  # no rule of its own file
    assert owner_of(f"{SHOP}/gen.Make") == "rest"  # the file has a rule without owners
    assert owner_of(f"{SHOP}/pipeline.Made", "<autogenerated>") == "rest"
    assert owner_of(f"{SHOP}ping/pipeline.F") == "rest"
    assert Owners({}, [shop]).owner(stack(Frame(f"{SHOP}/gen.Make", "/src/gen.go", 1))) == ""


@pytest.mark.parametrize(
    ("file", "others", "path"),
    [
        (f"{SHOP}/cmd/server/main.go", (), "go/cmd/server/main.go"),
        (f"{SHOP}@v1.2.3/cmd/server/main.go", (), "go/cmd/server/main.go"),
        (f"{CACHE}/{SHOP}@v1.2.3/cmd/server/main.go", (), "go/cmd/server/main.go"),
        ("/builds/repo/go/cmd/server/main.go", (), "go/cmd/server/main.go"),
        ("/builds/repository/go/main.go", (), ""),
        ("/home/ci/x/cmd/server/main.go", (), ""),
        (
            "/home/ci/x/cmd/main.go",
            (Frame(f"{SHOP}/pipeline.F", "/home/ci/x/pipeline/f.go", 1),),
            "go/cmd/main.go",
        ),
        ("/home/ci/x/main.go", (Frame(f"{SHOP}.F", "/home/ci/x/f.go", 1),), "go/main.go"),
        ("/home/ci/xy/main.go", (Frame(f"{SHOP}.F", "/home/ci/x/f.go", 1),), ""),
        ("/home/ci/x/main.go", (Frame("example.com/other.F", "/home/ci/x/f.go", 1),), ""),
        ("/home/ci/x/main.go", (Frame(f"{SHOP}/a.F", f"{CACHE}/{SHOP}@v1.0.0/a/f.go", 1),), ""),
        ("./main.go", (), ""),
        ("", (), ""),
    ],
)
def test_the_path_of_a_main_package(file: str, others: tuple[Frame, ...], path: str) -> None:
    """The path follows from -trimpath, from `root`, or from the build directory of other frames of the module."""
    shop = Repository(module=SHOP, directory="go", root="/builds/repo")
    frame = Frame("main.main.func1", file, 7)
    assert shop.path(frame, (frame, *others)) == path


def test_the_team_of_a_main_package() -> None:
    """The path of a main package has precedence over `main`; for CODEOWNERS, its directory suffices."""
    teams = {f"{SHOP}/cmd/server": "servers", "main": "mains"}
    trimmed = stack(Frame("main.F", f"{SHOP}/cmd/server/main.go", 1))
    assert Owners(teams).owner(trimmed) == "servers"
    assert Owners({"main": "mains"}).owner(trimmed) == "mains"
    plain = stack(Frame("main.F", "/home/ci/x/cmd/server/main.go", 1))
    assert Owners(teams).owner(plain) == "mains"
    assert Owners(teams, [Repository(module=SHOP, root="/home/ci/x")]).owner(plain) == "servers"
    shop = Repository(module=SHOP, owners=rules("* @all\n/cmd/server/ @servers"))
    mail = Repository(module="example.com/mail", owners=rules("* @mail"))
    assert Owners({}, [shop]).owner(plain) == "@servers"
    assert Owners({}, [shop, mail]).owner(plain) == ""  # it may belong to either
    assert Owners({}, [Repository(module=SHOP, root="/x", owners=rules("* @a")), mail]).owner(plain) == ""


def test_a_service_of_two_modules_with_one_root() -> None:
    """If two modules were built at /src, a main package has an owner only if both files agree."""
    plain = stack(Frame("main.F", "/src/main.go", 1))
    shop = Repository(module=SHOP, root="/src", owners=rules("* @shop"))
    mail = Repository(module="example.com/mail", root="/src", owners=rules("* @mail"))
    assert Owners({}, [shop]).owner(plain) == "@shop"
    assert Owners({}, [shop, mail]).owner(plain) == ""
    own = Frame("example.com/mail/send.F", "/src/send/f.go", 1)
    assert Owners({}, [mail]).owner(stack(Frame("main.F", "/src/main.go", 1), own)) == "@mail"


def test_packages_and_names() -> None:
    """All kinds of function names are split into package and name."""
    assert split("main.(*Box[...]).Wait") == ("main", "Box.Wait")
    assert split("net/http.(*conn).serve") == ("net/http", "conn.serve")
    assert split("main.glob..func1") == ("main", "glob..func1")
    assert split("_cgoexp_0123456789ab_x") == ("", "_cgoexp_0123456789ab_x")
    assert split("") == ("", "")
    assert list(scopes("a.b/c", "D.E-fm")) == ["a.b/c.D.E-fm", "a.b/c.D.E", "a.b/c.D", "a.b/c", "a.b"]
    assert package_of(Frame("main.F", "C:/src/main.go", 1)) == "main"
    assert package_of(Frame("main.F", "", 0)) == "main"


def test_hostile_names() -> None:
    """Arbitrary names have no owner and do not raise errors."""
    repository = Repository(module=SHOP, owners=rules("* @a"))
    for name in ("<script>alert(1)</script>", "a" * 1_000_000, "/" * 50_000, "x[" * 50_000, "\x00\n\ud800", "%"):
        frames = stack(Frame(name, name, -1), Frame(f"main.{name}", f"/{name}", 0))
        assert Owners({"x": "y"}, [Repository(module="y")]).owner(frames) == ""
        Owners({}, [repository]).owner(frames)
    hostile = stack(Frame(f"{SHOP}.F", "/src/<script>.go", 1))
    assert Owners({}, [repository]).owner(hostile) == "@a"


def test_versions() -> None:
    """A file in the module cache has module, version and commit."""
    cached = version_of(Frame("x", f"{CACHE}/github.com/!azure/go@v1.2.3+incompatible/a/b.go", 1))
    assert cached is not None
    assert (cached.module, cached.file) == ("github.com/Azure/go", "a/b.go")
    assert cached.commit("github.com/Azure/go") == "v1.2.3"
    sub = version_of(Frame("x", "github.com/x/y/sub/v2@v2.0.1/z.go", 1))
    assert sub is not None
    assert sub.commit("github.com/x/y") == "sub/v2.0.1"
    assert Repository(module="github.com/x/y").path(
        Frame("github.com/x/y/sub/v2.F", "github.com/x/y/sub/v2@v2.0.1/z.go", 1)
    ) == ("sub/z.go")
    pseudo = version_of(Frame("x", "golang.org/x/net@v0.0.0-20240101120000-0123456789ab/z.go", 1))
    assert pseudo is not None
    assert pseudo.commit("golang.org/x/net") == "0123456789ab"
    assert version_of(Frame("x", "/src/vendor/golang.org/x/net/z.go", 1)) is None
