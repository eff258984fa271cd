"""Styles and scripts, at paths that change with their content."""

from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """The files of `folder`, read once. `version` is a part of their paths and changes with any of the files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        digest = sha256()
        for name, body in self._files.items():
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
        self.version = digest.hexdigest()[:12]

    async def answer(self, request: Request) -> Response:
        """Answer `/static/{version}/{name}`; browsers may cache the current version only."""
        name = request.path_params["name"]
        body = self._files.get(name)
        if body is None:
            raise HTTPException(404)
        current = request.path_params["version"] == self.version
        headers = {"Cache-Control": FOREVER if current else "no-cache"}
        return Response(body, headers=headers, media_type=TYPES[Path(name).suffix])
