"""Probes: ``/livez`` and ``/readyz``, answered in front of everything else.

They pass by context, cap, deadline, faults and limiter: a probe that overload can fail turns
overload into an outage.
Source: Kubernetes, "Liveness, readiness and startup probes".
"""

from collections.abc import Callable

from resilience.asgi.types import ASGIApp, Receive, Scope, Send

LIVE_PATH = "/livez"
READY_PATH = "/readyz"


class ProbesMiddleware:
    """Answer probes; pass on everything else.

    Args:
        app: The application behind.
        is_ready: Whether this process wants new requests.
    """

    def __init__(self, app: ASGIApp, is_ready: Callable[[], bool]) -> None:
        self._app = app
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if scope["path"] == LIVE_PATH:
                await _answer(send, True, scope["method"])
                return
            if scope["path"] == READY_PATH:
                await _answer(send, self._is_ready(), scope["method"])
                return
        await self._app(scope, receive, send)


async def _answer(send: Send, good: bool, method: str) -> None:
    body = b"ok\n" if good else b"not ready\n"
    await send(
        {
            "type": "http.response.start",
            "status": 200 if good else 503,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
