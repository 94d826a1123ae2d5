"""The admin port: a few read-only pages of any process, over the smallest HTTP that serves them.

Why not the service's own port: health and metrics must answer when the service is overloaded or
faulty, and the gRPC services speak no HTTP. Why no framework: a dozen processes would pay 20 MiB
each. What changes state doesn't exist here; changes go through control. The Host header is checked,
so that a web page can't read it through a name of its own (DNS rebinding).

    /livez /readyz /metrics /admin/state /admin/policies /admin/stats /admin/requests[/<id>]
    /admin/events (with ``Accept: text/event-stream``: a live stream)
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from kit.admin_stream import EVENT_STREAM, EventStreams
from kit.choices import CHOICES, default_choice
from kit.listen import BACKLOG, bind
from kit.metrics import CONTENT_TYPE
from kit.node import Node
from kit.state import DEFAULT_MODES

HEAD_LIMIT_BYTES = 8_192  # nginx: large_client_header_buffers 8k; a scraper sends 300 bytes
HEAD_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 32
SHOWN_REQUESTS = 50
SHOWN_EVENTS = 100
MAX_ID_DIGITS = 20  # an event id has 16
EVENTS_PATH = "/admin/events"

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Response(NamedTuple):
    """What a page answers."""

    status: int
    content_type: str
    body: bytes


class Stream(NamedTuple):
    """Events are to be sent, those after an id first."""

    after: int


class AdminServer:
    """Serve the admin pages of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._server: asyncio.Server | None = None
        self._open = 0
        self.streams = EventStreams(node.events)
        self._pages: dict[str, Callable[[], Response]] = {
            "/livez": lambda: Response(200, TEXT, b"ok\n"),
            "/readyz": self._readyz,
            "/metrics": lambda: Response(200, CONTENT_TYPE, node.metrics.text()),
            "/admin/state": lambda: _json(self._state()),
            "/admin/policies": lambda: _json(node.policies()),
            "/admin/stats": lambda: _json(node.stats()),
            "/admin/requests": lambda: _json(node.recorder.newest(SHOWN_REQUESTS)),
            EVENTS_PATH: lambda: _json(self._events()),
        }

    async def start(self) -> None:
        """Listen.

        Raises:
            LabEnvironmentError: When the port is taken.
        """
        settings = self._node.settings
        listener = bind(settings.bind_host, settings.admin_port)
        self._server = await asyncio.start_server(
            self._serve, sock=listener, limit=HEAD_LIMIT_BYTES, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self.streams.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            response = await self._respond(reader)
            if isinstance(response, Stream):
                await self.streams.send(reader, writer, response.after)
                return
            writer.write(_encode(response))
            await writer.drain()
        except (OSError, EOFError):
            pass  # the client left
        finally:
            self._open -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> Response | Stream:
        if self._open > MAX_CONNECTIONS:
            return _problem(503, "TOO_MANY_CONNECTIONS", "the admin port serves a few at a time")
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return _problem(408, "REQUEST_TIMEOUT", "the request's head did not come in 5 s")
        except asyncio.LimitOverrunError:
            return _problem(431, "HEAD_TOO_LARGE", "the request's head is over 8 KiB")
        return self.handle(head.decode("latin-1"))

    def handle(self, head: str) -> Response | Stream:
        """Answer a request's head; a stream is for the caller to send."""
        request_line, _, rest = head.partition("\r\n")
        words = request_line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _problem(400, "MALFORMED_REQUEST", "send an HTTP/1.1 request line")
        if not self._is_own_name(_header(rest, "host")):
            return _problem(403, "HOST_NOT_ALLOWED", "ask by address or by this instance's name")
        if words[0] != "GET":
            return _problem(405, "METHOD_NOT_ALLOWED", "the admin port only reads: GET")
        path = words[1].partition("?")[0]
        if path == EVENTS_PATH and EVENT_STREAM in (_header(rest, "accept") or "").lower():
            return self._stream(_header(rest, "last-event-id") or "0")
        return self._page(path)

    def _stream(self, last_id: str) -> Response | Stream:
        if not last_id.isascii() or not last_id.isdigit() or len(last_id) > MAX_ID_DIGITS:
            return _problem(400, "LAST_EVENT_ID_INVALID", "last-event-id is the id of an event")
        if not self.streams.has_room:
            return _problem(503, "TOO_MANY_STREAMS", "a few may listen at a time: end another one")
        return Stream(int(last_id))

    def _page(self, path: str) -> Response:
        page = self._pages.get(path)
        if page is not None:
            return page()
        prefix = "/admin/requests/"
        if path.startswith(prefix):
            found = self._node.recorder.find(path.removeprefix(prefix))
            return _json(found) if found else _problem(404, "NOT_FOUND", "no such request is kept")
        return _problem(404, "NOT_FOUND", f"pages: {' '.join(sorted(self._pages))}")

    def _readyz(self) -> Response:
        lifecycle = self._node.lifecycle
        status = 200 if lifecycle.is_ready else 503
        return Response(status, TEXT, f"{lifecycle.phase.value}\n".encode())

    def _state(self) -> dict[str, Any]:
        node = self._node
        service, replica = node.settings.service, node.settings.replica
        overlay = node.state.overlay
        return {
            "instance": node.instance,
            "phase": node.lifecycle.phase.value,
            "version": node.state.version,
            "modes": {policy: node.mode(policy).value for policy in sorted(DEFAULT_MODES)},
            "choices": {name: node.choice(name, default_choice(name)) for name in CHOICES},
            "station": node.state.station(service, replica)._asdict(),
            "drained": node.state.is_drained(service, replica),
            "overlay": overlay.id if overlay else None,
            "faults": list(node.state.faults_for(service, replica)),
            "members": node.directory.members(),
        }

    def _events(self) -> dict[str, Any]:
        events = self._node.events
        return {**events.counts(), "events": events.newest(SHOWN_EVENTS)}

    def _is_own_name(self, host: str | None) -> bool:
        """Whether a Host header means this process: loopback, our address, one of our names."""
        if not host:
            return False
        name = host.rpartition(":")[0] if ":" in host else host
        if _is_loopback(name):
            return True
        node = self._node
        own = {node.host, node.settings.service, node.instance, socket.gethostname(), "localhost"}
        return name.lower() in {one.lower() for one in own if one}


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _header(head: str, name: str) -> str | None:
    for line in head.split("\r\n"):
        key, colon, value = line.partition(":")
        if colon and key.lower() == name:
            return value.strip()
    return None


def _json(value: object) -> Response:
    return Response(200, JSON, msgspec.json.encode(value, enc_hook=str) + b"\n")


def _problem(status: int, reason: str, detail: str) -> Response:
    body = {
        "status": status,
        "title": HTTPStatus(status).phrase,
        "reason": reason,
        "detail": detail,
    }
    return Response(status, "application/problem+json", msgspec.json.encode(body) + b"\n")


def _encode(response: Response) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"content-type: {response.content_type}\r\n"
        f"content-length: {len(response.body)}\r\n"
        "cache-control: no-store\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + response.body
