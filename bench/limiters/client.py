"""The client: send the trace open-loop, in a process of its own, and write down what became of it.

Each request leaves at its time whatever became of those before it, on a kept-alive connection that
is free or on a new one; latency counts from the *scheduled* time. Whether the client itself kept up
is in its records (lag, unsent), so a run that a busy machine spoiled can be told and repeated.

    client: ready         parent: 1234.5 (when the trace begins, monotonic seconds)
    client: writes its records to the file it was given, and ends with 0

Why a file: a pipe that ends early looks like a short answer. A file counts only when its writer
left with 0; else the exit code and the last lines of standard error say what happened.

Source: coordinated omission (Tene); the open workload of Schroeder et al., NSDI 2006.
Not handled: more than one connection's worth of pipelining; response bodies, which are skipped.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

import httptools
import uvloop

from bench.limiters.records import BROKEN, UNSENT, Record, save
from bench.limiters.trace import CVS, DEADLINE_S, Arrival, Trace, load
from resilience.context import BAGGAGE_CRITICALITY, BAGGAGE_HEADER, BAGGAGE_TENANT

PATIENCE_S = 1.5 * DEADLINE_S  # after that an answer is of no use, and the connection is closed
MOST_CONNECTIONS = 2_000  # 10 C for PATIENCE_S are 750; more means the other side is stuck
HOST = "127.0.0.1"


class Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._record: Record | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def send(self, record: Record, payload: bytes) -> None:
        """Send a request; its record is filled when the answer is there."""
        assert self._transport is not None
        self._record = record
        self._transport.write(payload)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; an answer that is none breaks the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        """Note the answer; called by the parser."""
        record, self._record = self._record, None
        if record is not None:
            record.done_s = self._client.now_s()
            record.status = self._parser.get_status_code()
        if self._parser.should_keep_alive():
            self._client.give_back(self)
        else:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the answer will never come."""
        self._client.forget(self)
        if self._record is not None:
            self._record.done_s = self._client.now_s()
            self._record = None

    def close(self) -> None:
        """Close at once; a request under way is broken."""
        if self._transport is not None:
            self._transport.abort()

    def give_up(self, record: Record) -> None:
        """Close when this request is still the one under way."""
        if self._record is record:
            self.close()


class Client:
    """Send a trace; see the module."""

    def __init__(self, trace: Trace, port: int) -> None:
        self._arrivals = trace.arrivals
        self._port = port
        self._begin_s = 0.0
        self._free: deque[Connection] = deque()
        self._open = 0
        self._next = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self._all_sent = asyncio.Event()
        self.records: list[Record] = []

    def now_s(self) -> float:
        """Return seconds since the trace began."""
        return time.monotonic() - self._begin_s

    async def run(self, begin_s: float) -> list[Record]:
        """Send everything; return when the last answer is there or given up."""
        self._begin_s = begin_s
        self._pump()
        await self._all_sent.wait()
        while any(one.status == BROKEN and one.done_s is None for one in self.records):
            if self.now_s() > self._arrivals[-1].at_s + 2 * PATIENCE_S:
                break
            await asyncio.sleep(0.05)
        return self.records

    def give_back(self, connection: Connection) -> None:
        """Take back a connection that may serve the next; the last used goes first."""
        self._free.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self._open -= 1
        if connection in self._free:
            self._free.remove(connection)

    def _pump(self) -> None:
        arrivals = self._arrivals
        while self._next < len(arrivals) and arrivals[self._next].at_s <= self.now_s():
            self._send(arrivals[self._next])
            self._next += 1
        if self._next == len(arrivals):
            self._all_sent.set()
            return
        wait_s = arrivals[self._next].at_s - self.now_s()
        asyncio.get_running_loop().call_later(max(0.001, wait_s), self._pump)

    def _send(self, arrival: Arrival) -> None:
        record = Record(arrival.at_s, int(arrival.criticality), arrival.tenant)
        self.records.append(record)
        if self._free:
            self._write(self._free.pop(), record)
        elif self._open < MOST_CONNECTIONS:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect(record))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            record.status = UNSENT

    async def _connect(self, record: Record) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), HOST, self._port)
        except OSError:
            self._open -= 1
            record.sent_s = record.done_s = self.now_s()
            return
        self._write(connection, record)

    def _write(self, connection: Connection, record: Record) -> None:
        record.sent_s = self.now_s()
        connection.send(record, _payload(record))
        left_s = record.at_s + PATIENCE_S - record.sent_s
        asyncio.get_running_loop().call_later(max(0.0, left_s), connection.give_up, record)


def _payload(record: Record) -> bytes:
    level = record.level.name.lower()
    baggage = f"{BAGGAGE_CRITICALITY}={level},{BAGGAGE_TENANT}={record.tenant}"
    return f"GET /work HTTP/1.1\r\nhost: bench\r\n{BAGGAGE_HEADER}: {baggage}\r\n\r\n".encode()


async def _run(trace: Trace, port: int) -> list[Record]:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    line = await asyncio.to_thread(sys.stdin.readline)
    return await Client(trace, port).run(float(line)) if line else []


def main() -> None:
    """Send the trace to a port; started by ``bench.limiters.run``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cv", type=float, choices=CVS, required=True)
    parser.add_argument("--records", type=Path, required=True, help="the file to write")
    args = parser.parse_args()
    trace = load(args.cv)
    gc.freeze()
    gc.disable()  # 20 s of records: a full collection would be a pause of our own making
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        records = runner.run(_run(trace, args.port))
    save(records, args.records)


if __name__ == "__main__":
    main()
