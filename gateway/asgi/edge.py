"""The edge: the last layer before the routes; what they leave open is said as an error of ours.

Starlette raises for a path or method it doesn't know, and HTTP wants a header with some refusals:
``Allow`` with 405 and ``WWW-Authenticate`` with 401 (RFC 9110, 15.5.6 and 15.5.2). OPTIONS is
answered for every route with what it takes (9.3.7), and with nothing that lets another origin in.
"""

import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route, Router

from resilience.asgi.problem import problem
from resilience.asgi.types import Receive, Scope, Send
from resilience.context import current
from resilience.errors import Code, ServiceError

ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
CLIENT_CLOSED = "CLIENT_CLOSED"
CHALLENGE = b'Bearer realm="squall"'


class Edge:
    """Call the router, and answer for it where it has no answer.

    Args:
        router: The routes.
        app: What the scope names as the application; with it the router raises rather than answer
            in plain text.
    """

    def __init__(self, router: Router, app: object) -> None:
        self._router = router
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self._app
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            await self._refuse(scope, send, error)
        except ClientDisconnect:
            raise ServiceError(
                Code.CANCELLED, CLIENT_CLOSED, "the client left in the middle of its body"
            ) from None
        except ServiceError as error:
            if error.code is not Code.UNAUTHENTICATED:
                raise
            await _answer(send, error, (b"www-authenticate", CHALLENGE))

    async def _refuse(self, scope: Scope, send: Send, error: HTTPException) -> None:
        if error.status_code == 405:
            allowed = ", ".join(self._allowed(scope))
            if scope["method"] == "OPTIONS":
                await send(
                    {
                        "type": "http.response.start",
                        "status": 204,
                        "headers": [(b"allow", allowed.encode())],
                    }
                )
                await send({"type": "http.response.body", "body": b""})
                return
            what = f"{scope['method']} is not allowed here: {allowed} is"
            refusal = ServiceError(Code.METHOD_NOT_ALLOWED, METHOD_NOT_ALLOWED, what)
            await _answer(send, refusal, (b"allow", allowed.encode()))
            return
        if error.status_code == 404:
            raise ServiceError(
                Code.NOT_FOUND, ROUTE_NOT_FOUND, "there is no such route: /docs has all of them"
            ) from error
        raise error

    def _allowed(self, scope: Scope) -> list[str]:
        """Collect the methods of all routes of this path; one route knows only its own."""
        methods: set[str] = set()
        for route in self._router.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                methods |= route.methods or set()
        if "GET" in methods:
            methods.add("HEAD")
        return sorted(methods | {"OPTIONS"})


async def _answer(send: Send, error: ServiceError, header: tuple[bytes, bytes]) -> None:
    context = current()
    if context is not None:
        context.note("edge", "refused", time.monotonic(), reason=error.reason)
    status, headers, body = problem(error)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, header]})
    await send({"type": "http.response.body", "body": body})
