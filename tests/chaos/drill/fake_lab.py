"""A lab of two members in one process: real kit nodes, a real station, no network of services.

Run as ``python -m tests.chaos.drill.fake_lab CONTROL_PORT HTTP_PORT``. The gateway's HTTP server
serves every path from video's station: with video's limiter on it refuses what would have to wait
longer than the deadline, without it queues, exactly the difference that `overload` shows.
"""

import asyncio
import contextlib
import json
import sys
import time

from faults.actions import Abort, Delay, Fail
from kit.node import Node
from kit.recorder import RequestSummary
from kit.settings import Settings
from resilience.context import Note
from resilience.errors import ServiceError
from resilience.policy.contract import Mode

DEADLINE_S = 0.4
LIMIT = 4  # in flight at video: two in service, two waiting


class FakeLab:
    """The two members and the server."""

    def __init__(self, control_port: int) -> None:
        control = ("127.0.0.1", control_port)
        self.gateway = Node(Settings("gateway", 1, control, host="127.0.0.1"))
        self.video = Node(Settings("video", 1, control, host="127.0.0.1"))
        self.in_flight = 0
        self.video.answer("arm", lambda args: {"arm": self._arm()})

    def _arm(self) -> str | None:
        overlay = self.video.state.overlay
        return overlay.id if overlay else None

    async def start(self) -> None:
        """Join the lab."""
        for node in (self.gateway, self.video):
            await node.start()

    async def live(self) -> None:
        """Be ready until a signal."""
        await asyncio.gather(*(node.lifecycle.serve(_close) for node in (self.gateway, self.video)))

    async def serve(self, request_id: str) -> tuple[int, str]:
        """Serve one request; returns status and reason."""
        started_s, notes = time.monotonic(), []
        status, reason = 200, ""
        if self.video.mode("limiter") is Mode.ON and self.in_flight >= LIMIT:
            notes.append(Note("limiter", "rejected", 0.0, {"value": self.in_flight}))
            status, reason = 503, "LIMIT_EXCEEDED"
        else:
            status, reason = await self._work(started_s)
        self._record(request_id, started_s, status, reason, notes)
        return status, reason

    async def _work(self, started_s: float) -> tuple[int, str]:
        self.in_flight += 1
        try:
            for action in self.video.faults.decide("/video.v1/List", "", started_s):
                if isinstance(action, Delay):
                    await asyncio.sleep(action.seconds)
                elif isinstance(action, Fail | Abort):
                    return 500, "INJECTED"
            await self.video.station.serve(started_s + DEADLINE_S)
        except ServiceError as error:
            return error.code.http_status, error.reason
        finally:
            self.in_flight -= 1
        return 200, ""

    def _record(
        self, request_id: str, started_s: float, status: int, reason: str, notes: list[Note]
    ) -> None:
        spent_ms = (time.monotonic() - started_s) * 1000
        for node in (self.gateway, self.video):
            node.recorder.add(
                RequestSummary(
                    request_id=request_id, trace_id="0" * 32, instance=node.instance,
                    route="GET /v1/videos", started_unix_s=time.time() - spent_ms / 1000,
                    duration_ms=spent_ms, status=reason or "OK", code=status, notes=notes,
                )
            )  # fmt: skip

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request_id = head.partition("x-request-id: ")[2].partition("\r\n")[0]
                status, reason = await self.serve(request_id)
                body = json.dumps({"reason": reason} if reason else {}).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
                )
        writer.close()


async def _close(limit_s: float) -> None:
    """There is nothing to close."""


async def main(control_port: int, http_port: int) -> None:
    """Run until a signal."""
    lab = FakeLab(control_port)
    await lab.start()
    server = await asyncio.start_server(lab.converse, "127.0.0.1", http_port, backlog=512)
    await lab.live()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
