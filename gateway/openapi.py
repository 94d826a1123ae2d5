"""The OpenAPI description: FastAPI's, with the schemas that msgspec knows.

Why here: routes take and give msgspec structs, of which FastAPI knows nothing; they name their
schemas by reference, and this puts the schemas where the references point.
"""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway import models
from gateway.routing import PROBLEM_TYPE

DESCRIPTION = """\
A small video community on top of a distributed-systems lab. Every answer carries `x-request-id`
(`squall explain ID` shows what happened on each hop) and `Server-Timing`. The home page and a
video's page say there what came from the cache, and in `Age` how old that is. Every error is
`application/problem+json` with a `reason` for programs. A deadline may be sent as
`x-envoy-expected-rq-timeout-ms`; it can only shorten the route's own budget.
"""
PROBLEMS = {
    400: "What was sent can't be read: an id, a cursor, a header, the JSON",
    401: "No session, or none that is known",
    403: "Only its author may change it; a page of another origin may not change anything here",
    404: "There is no such thing",
    409: "The first request with this Idempotency-Key isn't answered yet, or others changed it too",
    413: "The body is larger than 1 MiB",
    422: "Well-formed and wrong: an unknown field, a wrong type, a key used for another request",
    503: "Refused before any work was done, or the store can't keep the promise now",
    504: "The deadline passed",
}
EVERYWHERE = (400, 503, 504)  # what any route may answer
STRUCTS: tuple[type[msgspec.Struct], ...] = (
    models.SessionRequest,
    models.VideoRequest,
    models.VideoEdit,
    models.CommentRequest,
    models.LikeRequest,
    models.Session,
    models.Video,
    models.VideoList,
    models.Home,
    models.Page,
    models.Comment,
    models.CommentList,
    models.Like,
    models.FrontDoor,
    models.Problem,
)


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the OpenAPI document of all routes."""
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    document["components"] = {
        "schemas": schemas,
        "responses": {str(status): _problem(text) for status, text in PROBLEMS.items()},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            for status in EVERYWHERE:
                reference = {"$ref": f"#/components/responses/{status}"}
                operation["responses"].setdefault(str(status), reference)
    return document


def _problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {PROBLEM_TYPE: {"schema": schema}}}
