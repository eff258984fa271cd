"""Copies only the files that leakwatch needs into the root of the final image: `rootfs.py VENV ROOT`.

Runs in the builder stage with the Python of that image, and uses only the standard library.
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
    # each of these also needs a library
    *("_codecs_*.so", "_curses*.so", "_dbm*.so", "_gdbm*.so", "_uuid*.so", "readline*.so"),
    *("curses", "dbm", "_pyrepl"),  # the packages of these
    *("_pydecimal.py", "doctest.py", "mailbox.py", "pdb.py", "pydoc.py", "turtle.py", "wave.py", "xmlrpc"),
)
UNUSED_IN_VENV = ("_simd*.so", "_*_tests*.so")  # of numpy
UNUSED_PACKAGES = (
    # numpy does not use these itself; np.ma is imported by np.unique
    *("numpy/f2py", "numpy/fft", "numpy/polynomial", "numpy/random", "numpy/testing"),
    # rich imports pygments, but leakwatch highlights no source code
    *("pygments/lexers/[!_]*", "pygments/lexers/_*_builtins.py"),
    *("pygments/styles/[!_]*", "pygments/formatters/[!_]*"),
    "pydantic/v1",  # for code that was written for pydantic 1
    "yaml/_yaml*.so",  # leakwatch reads YAML with the loader in Python
)
FILES = ("/etc/os-release", "/etc/nsswitch.conf", "/etc/ld.so.conf", "/etc/ssl/certs/ca-certificates.crt")


class Root:
    """The root of the final image. Its paths are the same as in this image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def place(self, path: Path | str) -> Path:
        """Return the location of `path` below the new root."""
        return self.path / Path(path).relative_to("/")

    def tree(self, path: Path, *unused: str) -> None:
        """Copy a folder without the `unused` patterns; links stay links."""
        shutil.copytree(path, self.place(path), symlinks=True, ignore=shutil.ignore_patterns(*unused))

    def file(self, path: Path) -> None:
        """Copy a file, or the target of a link."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        if not self.place(path).exists():
            shutil.copy2(path, self.place(path))

    def remove(self, path: Path, *patterns: str) -> None:
        """Remove the files and folders below `path` that match a pattern; exit if a pattern matches none."""
        for pattern in patterns:
            unused = list(self.place(path).glob(pattern))
            if not unused:
                sys.exit(f"{path} has no {pattern}")
            for file in unused:
                shutil.rmtree(file) if file.is_dir() else file.unlink()

    def write(self, path: str, text: str) -> None:
        """Write a new file."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def binaries(self) -> list[Path]:
        """Return the programs and libraries in the root."""
        files = (path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink())
        return [Path("/") / path.relative_to(self.path) for path in files if path.open("rb").read(4) == b"\x7fELF"]


def answer(*command: str | Path) -> str:
    """Return the output of a program, even if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def libraries(binary: Path) -> list[Path]:
    """Return the libraries that a program or library loads; exit if one is missing."""
    linked = answer("ldd", binary)
    if "not found" in linked:
        sys.exit(f"{binary} lacks a library:\n{linked}")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", linked)]


def declare(root: Root, file: Path) -> None:
    """Record the Debian package and the license of a file where scanners look for them."""
    package = answer("dpkg-query", "--search", file.resolve()).partition(":")[0]
    if package:
        root.write(f"/var/lib/dpkg/status.d/{package}", answer("dpkg-query", "--status", package))
        root.file(Path(f"/usr/share/doc/{package}/copyright"))


def compile_modules(root: Path) -> None:
    """Compile all modules, because the root may be read-only. Only leakwatch keeps its sources, for tracebacks."""
    own_modules = re.compile("/site-packages/leakwatch/")
    compile_dir = partial(
        compileall.compile_dir,
        root,
        quiet=1,
        stripdir=root,
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    done = compile_dir(legacy=True, rx=own_modules)
    for source in root.rglob("*.py"):
        if not own_modules.search(str(source)):
            source.unlink()
    if not (done and compile_dir()):
        sys.exit("not all modules could be compiled")


def main(venv: Path, root: Root) -> None:
    """Copy all files into `root`."""
    root.tree(Path(sysconfig.get_path("stdlib")), *UNUSED, *UNUSED_IN_PYTHON)
    root.tree(venv, *UNUSED, *UNUSED_IN_VENV)
    root.remove(Path(sysconfig.get_path("purelib", "venv", vars={"base": str(venv)})), *UNUSED_PACKAGES)
    for script in root.place(venv / "bin").iterdir():
        if not (script.is_symlink() or script.name == "leakwatch"):
            script.unlink()
    root.file(Path(sys.executable))  # the target of the links in the virtual environment
    for binary in root.binaries():
        for library in [binary, *libraries(binary)]:
            root.file(library)
            declare(root, library)
    for file in FILES:
        root.file(Path(file))
    declare(root, Path("/usr/share/ca-certificates/mozilla"))  # the parts of ca-certificates.crt
    root.tree(Path("/etc/ld.so.conf.d"))
    subprocess.run(["ldconfig", "-r", root.path], check=True)
    root.write("/etc/passwd", f"root:x:0:0:root:/:\nleakwatch:x:{USER}:{USER}:leakwatch:/data:\n")
    root.write("/etc/group", f"root:x:0:\nleakwatch:x:{USER}:\n")
    root.place("/tmp").mkdir()  # noqa: S108  the folder itself, not a file in it
    root.place("/tmp").chmod(0o1777)  # noqa: S108  the same
    compile_modules(root.path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Root(Path(sys.argv[2])))
