"""The admin port: what it shows, and to whom."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from kit.admin import AdminServer
from kit.control import ControlClient
from kit.lifecycle import Phase
from kit.node import Node
from kit.recorder import RequestSummary
from resilience.policy.bbr import BbrLimiter
from tests.kit.lab import node_of
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
async def node(control: ControlClient, shared_control: Valkey) -> AsyncIterator[Node]:
    """A node with its admin port open."""
    async with node_of(shared_control) as found:
        admin = AdminServer(found)
        await admin.start()
        yield found
        await admin.stop()


async def send(node: Node, head: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes; return status, headers and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.admin_port)
    writer.write(head)
    raw = await reader.read()
    writer.close()
    top, _, body = raw.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), headers, body


async def get(
    node: Node, path: str, host: str = "localhost", method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Ask for a page."""
    return await send(node, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


async def test_live_is_always_and_ready_follows_the_life(node: Node) -> None:
    """Readiness is the lifecycle's and nothing else's."""
    assert (await get(node, "/livez"))[0] == 200
    assert (await get(node, "/readyz"))[0] == 503
    node.lifecycle.phase = Phase.READY
    assert (await get(node, "/readyz"))[0] == 200


async def test_state_policies_stats_and_metrics_are_shown(node: Node) -> None:
    """JSON for people and scripts, text for Prometheus."""
    node.register_gate("limiter", BbrLimiter(node.pressure))
    state = json.loads((await get(node, "/admin/state"))[2])
    assert state["instance"] == "video.1"
    assert state["modes"]["limiter"] == "on"
    assert state["station"]["workers"] == 8
    assert "limiter" in json.loads((await get(node, "/admin/policies"))[2])
    assert "loop" in json.loads((await get(node, "/admin/stats"))[2])
    status, headers, body = await get(node, "/metrics?name=x")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert b"squall_ready 0.0" in body


async def test_requests_are_listed_and_found(node: Node) -> None:
    """The newest first; one by its id; an unknown id is 404."""
    node.recorder.add(RequestSummary("r1", "t" * 32, "video.1", "/v1", 0.0, 1.0))
    listed = json.loads((await get(node, "/admin/requests"))[2])
    found = json.loads((await get(node, "/admin/requests/r1"))[2])
    assert listed == found
    assert found[0]["request_id"] == "r1"
    assert (await get(node, "/admin/requests/r2"))[0] == 404


@pytest.mark.parametrize(
    "host", ["localhost:9100", "127.0.0.1", "127.77.0.9:9100", "video", "video.1:9100", "VIDEO"]
)
async def test_own_names_are_answered(node: Node, host: str) -> None:
    """Loopback, our address, our service's and instance's name."""
    assert (await get(node, "/livez", host))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.1.2.3", ""])
async def test_foreign_names_are_refused(node: Node, host: str) -> None:
    """A web page that points its own name here reads nothing."""
    status, headers, body = await get(node, "/admin/state", host)
    assert status == 403
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["reason"] == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_nothing_but_get_exists(node: Node, method: str) -> None:
    """What changes state goes through control."""
    assert (await get(node, "/admin/state", method=method))[0] == 405


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        (b"GET /livez HTTP/1.1\r\n\r\n", 403),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /livez HTTP/2\r\nhost: localhost\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nx: " + b"y" * 9_000 + b"\r\n\r\n", 431),
    ],
)
async def test_bad_requests_get_their_status(node: Node, head: bytes, status: int) -> None:
    """Problem+json, never a traceback."""
    assert (await send(node, head))[0] == status


async def test_a_silent_client_is_let_go(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has five seconds to send its head."""
    monkeypatch.setattr("kit.admin.HEAD_TIMEOUT_S", 0.05)
    assert (await send(node, b"GET /livez HT"))[0] == 408


async def test_a_client_that_leaves_hurts_nobody(node: Node) -> None:
    """The next one is served."""
    _, writer = await asyncio.open_connection("127.0.0.1", node.settings.admin_port)
    writer.write(b"GET /li")
    writer.close()
    assert (await get(node, "/livez"))[0] == 200
