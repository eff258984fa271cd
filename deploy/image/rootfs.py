"""Copies what leakwatch needs to run, and nothing else, into the root of the final image: `rootfs.py VENV ROOT`.

Runs in the builder stage, by that image's own Python, with nothing but the standard library.
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path
from py_compile import PycInvalidationMode

USER = 65532
UNUSED = ("__pycache__", "tests", "include", "*.pyi", "*.h", "*.a", "*.pxd")
UNUSED_IN_PYTHON = (
    *("config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test"),
    *("tkinter", "turtledemo", "unittest", "venv", "_test*.so", "_tkinter*.so", "xx*.so"),
    # each of these brings in a library, too
    *("_codecs_*.so", "_curses*.so", "_dbm*.so", "_gdbm*.so", "_sqlite3*.so", "_uuid*.so", "readline*.so"),
)
UNUSED_IN_VENV = ("f2py", "_simd*.so", "_*_tests*.so")  # of numpy
FILES = ("/etc/os-release", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt")


class Root:
    """The root that is being filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def place(self, path: Path) -> Path:
        """Return where `path` of this image is, or will be, below the new root."""
        return self.path / path.relative_to("/")

    def tree(self, path: Path, *unused: str) -> None:
        """Copy a folder but for what is `unused`; links stay links."""
        shutil.copytree(path, self.place(path), symlinks=True, ignore=shutil.ignore_patterns(*unused))

    def file(self, path: Path) -> None:
        """Copy a file, or what a link leads to."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        if not self.place(path).exists():
            shutil.copy2(path, self.place(path))

    def binaries(self) -> list[Path]:
        """Return the programs and libraries below the root, under their names in this image."""
        files = (path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink())
        return [Path("/") / path.relative_to(self.path) for path in files if path.open("rb").read(4) == b"\x7fELF"]


def libraries(binary: Path) -> list[Path]:
    """Return the libraries that a program or library loads; ends the build if one is missing."""
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    if "not found" in linked:
        sys.exit(f"{binary} lacks a library:\n{linked}")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", linked)]


def main(venv: Path, root: Root) -> None:
    """Fill `root`."""
    root.tree(Path(sysconfig.get_path("stdlib")), *UNUSED, *UNUSED_IN_PYTHON)
    root.tree(venv, *UNUSED, *UNUSED_IN_VENV)
    root.file(Path(sys.executable))  # where the links in the bin of `venv` end
    for file in FILES:
        root.file(Path(file))
    for binary in root.binaries():
        for library in libraries(binary):
            root.file(library)
    shutil.copytree("/etc/ld.so.conf.d", root.place(Path("/etc/ld.so.conf.d")))
    root.file(Path("/etc/ld.so.conf"))
    subprocess.run(["ldconfig", "-r", root.path], check=True)
    (root.path / "etc/passwd").write_text(f"root:x:0:0:root:/:\nleakwatch:x:{USER}:{USER}:leakwatch:/data:\n")
    (root.path / "etc/group").write_text(f"root:x:0:\nleakwatch:x:{USER}:\n")
    (root.path / "tmp").mkdir()
    (root.path / "tmp").chmod(0o1777)
    compile_modules(root.path)


def compile_modules(root: Path) -> None:
    """Compile all modules, since the root may be read-only; only leakwatch keeps its sources, for tracebacks."""
    ours = re.compile("/site-packages/leakwatch/")
    compile_dir = partial(
        compileall.compile_dir,
        root,
        quiet=1,
        stripdir=root,
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    done = compile_dir(legacy=True, rx=ours)
    for source in root.rglob("*.py"):
        if not ours.search(str(source)):
            source.unlink()
    if not (done and compile_dir()):
        sys.exit("not all modules could be compiled")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Root(Path(sys.argv[2])))
