"""Which frames belong to the standard library, to dependencies, and to own code."""

import pytest

from leakwatch.model import Frame
from leakwatch.profile.packages import is_dependency

LIB = "example.com/shop/lib.Wait"
GRPC = "google.golang.org/grpc.(*addrConn).run"


@pytest.mark.parametrize(
    ("function", "file", "expected"),
    [
        pytest.param(LIB, "/go/pkg/mod/example.com/shop/lib@v1.2.0/lib.go", True, id="module cache"),
        pytest.param(LIB, "example.com/shop/lib@v1.2.0/lib.go", True, id="trimpath"),
        pytest.param(LIB, "/src/vendor/example.com/shop/lib/lib.go", True, id="vendor"),
        pytest.param(LIB, "example.com/shop/lib@v0.0.0/lib.go", False, id="replaced by a directory"),
        pytest.param(
            LIB, "example.com/shop/lib@v0.0.0-00010101000000-000000000000/lib.go", False, id="replaced, no version"
        ),
        pytest.param(LIB, "example.com/shop/lib@v0.0.0-20260101000000-0123456789ab/lib.go", True, id="no tag"),
        pytest.param(LIB, "example.com/shop/lib/lib.go", False, id="main module with trimpath"),
        pytest.param(LIB, "external/com_example_shop_lib/lib.go", True, id="Bazel"),
        pytest.param(
            LIB, "/bazel/execroot/_main/external/gazelle~~go_deps~x/lib.go", True, id="Bazel without trimpath"
        ),
        pytest.param(LIB, "/home/me/external/shop/lib.go", False, id="a folder named external"),
        pytest.param(GRPC, "/go/src/google.golang.org/grpc/clientconn.go", True, id="GOPATH"),
        pytest.param(LIB, "/go/src/example.com/shop/lib/lib.go", False, id="own code in GOPATH"),
        pytest.param(GRPC, "", True, id="a known library without a file"),
        pytest.param("main.main", "/go/pkg/mod/example.com/cmd@v1.0.0/main.go", False, id="package main"),
    ],
)
def test_dependencies(function: str, file: str, *, expected: bool) -> None:
    """Modules with a version are dependencies. Package main and modules that a directory replaces are own code."""
    assert is_dependency(Frame(function, file, 1)) is expected
