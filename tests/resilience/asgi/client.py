"""Drive an ASGI app from a test, as a server would: a body in pieces, a client who may leave."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from resilience.asgi.types import ASGIApp, Message, Scope


@dataclass
class Client:
    """One request to one app.

    Args:
        app: The application.
        path: Its path.
        headers: Name to value.
        body: The pieces the body comes in; the last one ends it.

    ``received`` counts the messages the app's side has read from the server.
    """

    app: ASGIApp
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = (b"",)
    method: str = "GET"
    sent: list[Message] = field(default_factory=list)
    received: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def scope(self) -> Scope:
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "headers": [(key.encode(), value.encode()) for key, value in self.headers.items()],
        }

    async def receive(self) -> Message:
        number = self.received
        if number < len(self.body):
            self.received += 1
            more = number + 1 < len(self.body)
            return {"type": "http.request", "body": self.body[number], "more_body": more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.gone.set()  # as uvicorn does: after the answer there is nobody to hear

    async def run(self) -> "Client":
        """Serve the request to its end."""
        await self.app(self.scope(), self.receive, self.send)
        return self

    @property
    def status(self) -> int | None:
        """The status answered with; None when there was none."""
        return self.sent[0]["status"] if self.sent else None

    @property
    def answer(self) -> dict[str, str]:
        """The headers answered with."""
        return {key.decode(): value.decode() for key, value in self.sent[0]["headers"]}

    @property
    def content(self) -> bytes:
        """The body answered with."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def ok(scope: Scope, receive: Any, send: Any) -> None:
    """Answer 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def hang(scope: Scope, receive: Any, send: Any) -> None:
    """Answer never."""
    await asyncio.sleep(60)


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def turns(count: int = 10) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)
