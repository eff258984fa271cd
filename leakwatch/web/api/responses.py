"""Answers: models as strict JSON that nobody stores."""

from pydantic import BaseModel
from starlette.responses import Response

NO_STORE = {"Cache-Control": "no-store"}
"""What is known changes with each scrape, and is for those who may ask."""


def answer(model: BaseModel) -> Response:
    """Return a model as it is, which was checked when it was made."""
    return Response(model.model_dump_json(), headers=NO_STORE, media_type="application/json")
