"""Responses with a model as strict JSON, which must not be cached."""

from pydantic import BaseModel
from starlette.responses import Response

NO_STORE = {"Cache-Control": "no-store"}
"""Each scrape changes the responses, and they may be confidential."""


def answer(model: BaseModel) -> Response:
    """Return a response with a model; the model was validated when it was made."""
    return Response(model.model_dump_json(), headers=NO_STORE, media_type="application/json")
