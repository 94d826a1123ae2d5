"""The service and the client of a run, over real sockets, on a trace of a few requests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from bench.limiters.client import Client
from bench.limiters.records import BROKEN, UNSENT, Record
from bench.limiters.service import RecordedTimes, Service, _Server
from bench.limiters.trace import SERVICE_S, Arrival, Trace
from resilience.policy.contract import Criticality, Permit, Rejection, Request
from resilience.policy.criticality_gate import CriticalityGate

SHORT = tuple(SERVICE_S / 10 for _ in range(50))


def trace(*at_s: float, level: Criticality = Criticality.SHEDDABLE) -> Trace:
    """Make a trace of arrivals whose services take 10 ms."""
    return Trace(0.25, tuple(Arrival(each, level, "a") for each in at_s), SHORT)


@asynccontextmanager
async def served(app: Service) -> AsyncIterator[int]:
    """Serve an application on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, loop="none", http="httptools", lifespan="off", log_config=None)
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = server.force_exit = True
        await task


async def send(port: int, sent: Trace) -> list[Record]:
    """Send a trace that begins now."""
    return await Client(sent, port).run(asyncio.get_running_loop().time())


async def test_a_trace_is_answered_and_written_down() -> None:
    """Each request with its status and its times, in order."""
    sent = trace(0.0, 0.02, 0.04)
    service = Service(sent, "default")
    service.begin(asyncio.get_running_loop().time())
    async with served(service) as port:
        records = await send(port, sent)
    figures = service.figures()

    assert [one.status for one in records] == [200, 200, 200]
    assert all(one.sent_s is not None and one.sent_s >= one.at_s for one in records)
    assert all((one.latency_s or 0.0) >= 0.01 for one in records)
    assert (figures["requests"], figures["served"]) == (3, 3)
    assert figures["gate"]["in_flight"] == 0  # type: ignore[index]


async def test_a_limiter_refuses_with_503() -> None:
    """A fixed limit of 5 lets at least 5 of 20 in."""
    sent = trace(*(0.0,) * 20)
    async with served(Service(sent, "fixed")) as port:
        records = await send(port, sent)

    assert {one.status for one in records} == {200, 503}
    assert sum(one.is_admitted for one in records) >= 5


async def test_importance_and_tenant_reach_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the trace through the header and the Context."""
    seen = []
    admit = CriticalityGate.admit

    def spy(gate: CriticalityGate, request: Request, now_s: float) -> Permit | Rejection:
        seen.append((request.criticality, request.tenant))
        return admit(gate, request, now_s)

    monkeypatch.setattr(CriticalityGate, "admit", spy)
    sent = trace(0.0, level=Criticality.CRITICAL)
    async with served(Service(sent, "default")) as port:
        await send(port, sent)

    assert seen == [(Criticality.CRITICAL, "a")]


async def test_health_is_answered_before_the_layers() -> None:
    """And is no request of the trace."""
    service = Service(trace(0.0), "none")
    sent: list[dict[str, object]] = []

    async def answer(message: dict[str, object]) -> None:
        sent.append(message)

    await service({"type": "http", "path": "/livez"}, None, answer)  # type: ignore[arg-type]

    assert (service.requests, sent[0]["status"]) == (0, 200)


async def test_a_refused_connection_is_a_broken_request() -> None:
    """Nobody listens: it was sent, and there is no answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    records = await send(port, trace(0.0))

    assert (records[0].status, records[0].sent_s is not None) == (BROKEN, True)


async def test_an_answer_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its patience the client closes the connection; what finds no place is unsent."""
    monkeypatch.setattr("bench.limiters.client.PATIENCE_S", 0.1)
    monkeypatch.setattr("bench.limiters.client.MOST_CONNECTIONS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        records = await send(listener.getsockname()[1], trace(0.0, 0.01))

    assert [one.status for one in records] == [BROKEN, UNSENT]
    assert (records[0].done_s or 0.0) >= 0.1


@pytest.mark.unit
def test_recorded_times_are_handed_out_in_order_and_scale() -> None:
    """From the start again after the last; three times the mean, three times as long."""
    times = RecordedTimes((0.1, 0.2))

    assert [times.gammavariate(1.0, SERVICE_S) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.1])
    assert times.gammavariate(16.0, 3 * SERVICE_S / 16.0) == pytest.approx(0.6)
