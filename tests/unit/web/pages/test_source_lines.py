"""Lines of source from a checkout."""

from pathlib import Path

import pytest

from leakwatch.model import Frame
from leakwatch.web.pages.source_lines import AROUND, LARGEST, LONGEST, read_source

MODULE = "example.com/shop"
FILE = "".join(f"line {i}\n" for i in range(1, 31))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Write a module with one package, and a file beside the module."""
    package = tmp_path / "module" / "cart"
    package.mkdir(parents=True)
    (package / "cart.go").write_text(FILE)
    (tmp_path / "secret.go").write_text(FILE)
    return tmp_path / "module"


def frame(line: int = 10, file: str = "/build/shop/cart/cart.go", function: str = "cart.Wait") -> Frame:
    """Return a frame of the module."""
    return Frame(f"{MODULE}/{function}", file, line)


@pytest.mark.parametrize(("line", "first", "last"), [(10, 5, 15), (2, 1, 7), (30, 25, 31)])
def test_lines_around_the_frame(checkout: Path, line: int, first: int, last: int) -> None:
    """There are five lines before and after that of the frame, as far as the file has them."""
    source = read_source({MODULE: checkout}, frame(line))
    assert source is not None
    assert (source.path, source.marked) == ("cart/cart.go", line)
    assert list(source.lines) == list(range(first, last + 1))
    assert source.lines[line] == f"line {line}"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(frame(0), id="unknown line"),
        pytest.param(frame(31), id="blank line"),
        pytest.param(frame(400), id="a shorter file"),
        pytest.param(frame(file="/build/shop/cart/other.go"), id="no such file"),
        pytest.param(frame(file="/build/shop/cart/cart.c"), id="not Go"),
        pytest.param(Frame("example.com/other.Wait", "/build/cart.go", 3), id="another module"),
        pytest.param(frame(file=f"/go/pkg/mod/{MODULE}@v1.2.0/cart/cart.go"), id="a version in the module cache"),
        pytest.param(frame(function="%00.Wait"), id="a NUL in the name"),
        pytest.param(frame(function=f"{'a' * 300}.Wait"), id="a long name"),
    ],
)
def test_frames_without_lines(checkout: Path, other: Frame) -> None:
    """A file that is missing, or clearly has another version, shows nothing."""
    assert read_source({MODULE: checkout}, other) is None


def test_no_file_outside_of_the_checkout_is_read(checkout: Path) -> None:
    """The service names the file, so neither .. nor a symbolic link leads outside."""
    (checkout / "linked.go").symlink_to(checkout.parent / "secret.go")
    outside = [
        frame(file="/build/secret.go", function="...Wait"),
        frame(file="/build/secret.go", function="%2e%2e.Wait"),
    ]
    for other in [*outside, frame(file="/build/shop/linked.go", function="../shop.Wait")]:
        assert read_source({MODULE: checkout}, other) is None
    assert read_source({MODULE: checkout}, Frame(f"{MODULE}.Wait", "/build/shop/linked.go", 3)) is None


def test_the_closest_checkout_applies(checkout: Path, tmp_path: Path) -> None:
    """A nested module has its own directory."""
    nested = tmp_path / "nested"
    nested.mkdir()
    (nested / "cart.go").write_text("package cart\n")
    source = read_source({MODULE: checkout, f"{MODULE}/cart": nested}, frame(1))
    assert source is not None
    assert source.lines[1] == "package cart"


def test_large_files_and_long_lines(checkout: Path) -> None:
    """A line is cut, and a file above the limit is not read."""
    path = checkout / "cart" / "cart.go"
    path.write_text("x" * 10_000)
    source = read_source({MODULE: checkout}, frame(1))
    assert source is not None
    assert source.lines[1] == "x" * LONGEST
    path.write_text("x" * (LARGEST + 1))
    assert read_source({MODULE: checkout}, frame(1)) is None


def test_number_of_lines(checkout: Path) -> None:
    """A line in the middle has all lines around it."""
    source = read_source({MODULE: checkout}, frame(15))
    assert source is not None
    assert len(source.lines) == 2 * AROUND + 1
