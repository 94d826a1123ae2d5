"""The front page, the API's documentation and its OpenAPI document.

The pages are files of ours and load nothing from elsewhere: the lab works without a network, and
FastAPI's own documentation page is a script from a content delivery network.
"""

import json
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.inputs import wants_html
from gateway.models import FrontDoor
from gateway.openapi import describe
from gateway.routing import JSON_TYPE, DirectRoute, add_route, json_response

STATIC = Path(__file__).resolve().parent.parent / "static"
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


FRONT_DOOR = FrontDoor(
    name="squall",
    links={
        "home": "/v1/home",
        "videos": "/v1/videos",
        "video": "/v1/videos/1",
        "comments": "/v1/videos/1/comments",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "ready": "/readyz",
    },
)


def add_front_routes(app: FastAPI) -> None:
    """Add ``/``, ``/docs`` and ``/openapi.json``; the last must see all other routes."""
    front = (STATIC / "front.html").read_bytes()
    docs = (STATIC / "docs.html").read_bytes()

    async def get_front(request: Request) -> Response:
        """Say where to go: a page for a browser, JSON for a client."""
        if wants_html(request.headers.get("accept", "")):
            return HTMLResponse(front, headers={**PAGE_HEADERS, "vary": "accept"})
        return json_response(FRONT_DOOR, headers={"vary": "accept"})

    async def get_docs(_: Request) -> Response:
        """Show the API's documentation."""
        return HTMLResponse(docs, headers=PAGE_HEADERS)

    document: list[bytes] = []

    async def get_openapi(_: Request) -> Response:
        """Return the OpenAPI document, made once."""
        if not document:
            document.append(json.dumps(describe(app)).encode())
        return Response(document[0], media_type=JSON_TYPE)

    add_route(app, "GET", "/", get_front, answer=FrontDoor)
    for path, endpoint in (("/docs", get_docs), ("/openapi.json", get_openapi)):
        app.router.add_api_route(
            path, endpoint, route_class_override=DirectRoute, include_in_schema=False
        )
