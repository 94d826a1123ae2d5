"""A client of the HTTP API inside the test's event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2

from faults.wire.api.app import ToxicsApi
from faults.wire.process import LinksProcess
from kit.node import Node
from tests.faults.wire.members import links_of
from tests.valkey import Valkey


class Answer(NamedTuple):
    """Status and decoded body; None without one."""

    status: int
    body: Any


class ApiClient:
    """Ask the API as a Toxiproxy client would."""

    def __init__(self, client: httpx2.AsyncClient, node: Node, process: LinksProcess) -> None:
        self._client = client
        self.node = node
        self.process = process

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request."""
        if body is not None:
            more["json"] = body
        response = await self._client.request(method, path, **more)
        return Answer(response.status_code, response.json() if response.content else None)

    async def get(self, path: str) -> Answer:
        """Read."""
        return await self.ask("GET", path)

    async def post(self, path: str, body: object = None) -> Answer:
        """Make or change."""
        return await self.ask("POST", path, body)

    async def delete(self, path: str) -> Answer:
        """Remove."""
        return await self.ask("DELETE", path)


@asynccontextmanager
async def api_of(control: Valkey) -> AsyncIterator[ApiClient]:
    """Run the links process with its API."""
    async with links_of(control) as (node, process):
        api = ToxicsApi(node, process)
        transport = httpx2.ASGITransport(api.app)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://links") as client:
                yield ApiClient(client, node, process)
        finally:
            api.close()
