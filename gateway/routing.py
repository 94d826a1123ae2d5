"""Routes that FastAPI describes and nothing wraps.

Why: FastAPI's own request handling (dependencies, validation, serialisation by pydantic) costs a
few hundred microseconds a request, and the gateway handles every request of the lab.
Inputs are checked in ``gateway.inputs`` and encoded by msgspec; FastAPI keeps what it is good at,
routing and the OpenAPI description.
Not handled: ``Depends``, body and query parameters in signatures. An endpoint takes the Request.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.asgi.context import ROUTE_KEY

Endpoint = Callable[[Request], Awaitable[Response]]
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

VIDEO_ID: Mapping[str, Any] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
    "example": 1,
}
CURSOR: Mapping[str, Any] = {
    "name": "cursor",
    "in": "query",
    "description": "`next_cursor` of the page before; leave out for the first page",
    "schema": {"type": "string"},
}
LIMIT: Mapping[str, Any] = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
}
TOKEN: Mapping[str, Any] = {
    "name": "Authorization",
    "in": "header",
    "required": True,
    "description": "`Bearer` and the token of a session",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "1 to 128 printable ASCII characters, new for each write you mean",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}
CACHE_HEADERS: Mapping[str, Any] = {
    "Server-Timing": {
        "description": "One entry a hop, and `cache;desc=` with `hit`, `miss` or `off`",
        "schema": {"type": "string"},
        "example": 'cache;desc="hit", gateway;desc="gateway.1";dur=4.1',
    },
    "Age": {
        "description": "Seconds since what came from the cache was read from the store; on a hit",
        "schema": {"type": "integer", "minimum": 0},
    },
}
DECISION_HEADERS: Mapping[str, Any] = {
    "x-squall-decision": {
        "description": "Of a page with parts missing or old: who decided that, one entry a part",
        "schema": {"type": "string"},
        "example": "deadline; gateway.1>comment; 300/300",
    },
}
LOCATION_HEADER: Mapping[str, Any] = {
    "Location": {"description": "The new video's page", "schema": {"type": "string"}},
}

_encoder = msgspec.json.Encoder()


class DirectRoute(APIRoute):
    """An APIRoute that calls its endpoint with the Request and sends what it returns.

    HEAD is answered as GET is; the server leaves the body out.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = _application(endpoint)
        self._labels = {method: f"{method} {path}" for method in ("HEAD", *(self.methods or ()))}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take HEAD where GET is taken; it isn't in ``methods``, and so not in the description."""
        scope[ROUTE_KEY] = self._labels.get(scope["method"], self.path)
        if scope["method"] == "HEAD" and self.methods and "GET" in self.methods:
            await self.app(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


def json_response(
    value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Encode an answer."""
    return Response(_encoder.encode(value), status, headers, JSON_TYPE)


def add_route(
    app: FastAPI,
    method: str,
    path: str,
    endpoint: Endpoint,
    *,
    answer: type[msgspec.Struct],
    answer_headers: Mapping[str, Any] | None = None,
    status: int = 200,
    takes: type[msgspec.Struct] | None = None,
    takes_required: bool = True,
    parameters: tuple[Mapping[str, Any], ...] = (),
    problems: tuple[int, ...] = (),
) -> None:
    """Add one route and its description.

    Args:
        app: Where to add it.
        method: One HTTP method.
        path: With ``{name}`` for path parameters.
        endpoint: Its docstring becomes the description.
        answer: The body of a good answer.
        answer_headers: OpenAPI header objects of a good answer, by name.
        status: The status of a good answer.
        takes: The JSON body it takes; None for none.
        takes_required: Whether that body may be left out.
        parameters: OpenAPI parameter objects.
        problems: Statuses it may answer as problem+json, beside those of every route.
    """
    extra: dict[str, Any] = {"parameters": list(parameters)}
    if takes is not None:
        extra["requestBody"] = {"required": takes_required, "content": _content(JSON_TYPE, takes)}
    app.router.add_api_route(
        path,
        endpoint,
        methods=[method],
        route_class_override=DirectRoute,
        status_code=status,
        response_class=Response,
        openapi_extra=extra,
        responses={
            status: {
                "description": "Done",
                "content": _content(JSON_TYPE, answer),
                **({"headers": dict(answer_headers)} if answer_headers else {}),
            },
            **{each: {"$ref": f"#/components/responses/{each}"} for each in problems},
        },
    )


def _content(media_type: str, body: type[msgspec.Struct]) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}


def _application(endpoint: Endpoint) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return application
