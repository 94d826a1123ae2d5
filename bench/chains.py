"""Chains: what a request pays when the policies stand one inside the other.

Measured as CPU beyond the same call with nothing around it. Each step is one request: a Context of
its own, current while it runs, and one turn of the event loop, as between two requests of a server;
the bare call has both too. Making that Context from headers, ids and all, is a chain of its own.
Chains with a part left out show what that part costs where it stands.
"""

import asyncio
import random
import time
from collections.abc import Callable

from bench.contender import Chain, Step, Work
from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import ASGIApp, Message, Receive, Scope, Send
from resilience.context import Context, enter, leave
from resilience.pipeline import ClientPipeline
from resilience.policy.bbr import BbrLimiter
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.single import SingleEndpoint
from resilience.policy.sre_breaker import SreBreaker
from resilience.server_admission import AdmissionSettings, build_admission
from resilience.switches import FixedSwitches

Make = Callable[[Work], Step]

SERVER_AIM_US = 6.0  # issue 4
CLIENT_AIM_US = 12.0  # issue 4
BUDGET_S = 30.0  # never runs out
PER_TRY_S = 10.0
SEED = 20_261_122
SCOPE: Scope = {"type": "http", "path": "/v1/videos/1", "method": "GET", "headers": []}
_UNHEARD = FixedSwitches({"cancellation": Mode.OFF})  # nobody listens for the client's leaving
REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}


def bare_server(work: Work) -> Step:
    """The application alone, in a Context."""
    return _request_step(_app(work))


def server(work: Work) -> Step:
    """Deadline, criticality and limiter."""
    return _request_step(_guarded(_app(work), _UNHEARD))


def unlimited_server(work: Work) -> Step:
    """Deadline alone."""
    return _request_step(DeadlineMiddleware(_app(work), switches=_UNHEARD))


def endless_server(work: Work) -> Step:
    """Criticality and limiter alone."""
    return _request_step(_limited(_app(work), _UNHEARD))


def layered_server(work: Work) -> Step:
    """Deadline, and all three that stand at a server's door."""
    return _request_step(_layered(_app(work), _UNHEARD))


def listening_server(work: Work) -> Step:
    """The same, and listening for a client who leaves."""
    return _request_step(_guarded(_app(work), FixedSwitches()))


def full_server(work: Work) -> Step:
    """The whole server side of the lab: the Context from the wire, and Server-Timing."""
    switches = FixedSwitches()
    inner = _layered(_app(work), switches)
    app = ContextMiddleware(
        inner, instance="bench.1", switches=switches, budget=lambda scope: BUDGET_S
    )
    return _server_step(app)


def bare_full_server(work: Work) -> Step:
    """The application alone, without a Context."""
    return _server_step(_app(work))


def client(*, breaker: bool = True, bulkhead: bool = True, time_out: bool = True) -> Make:
    """Return a pipeline with everything it has today, or with a guard left out."""

    def make(work: Work) -> Step:
        pipeline = ClientPipeline(
            "bench",
            SingleEndpoint("here"),
            FixedSwitches({} if time_out else {"deadline": Mode.OFF}),
            breaker=SreBreaker(random.Random(SEED)) if breaker else None,
            bulkhead=Bulkhead() if bulkhead else None,
            per_try_timeout_s=PER_TRY_S if time_out else None,
        )
        call = work.acall

        async def send(endpoint: str, timeout_s: float | None) -> None:
            await call()

        async def step() -> None:
            token = enter(_context())
            try:
                await pipeline.call(send, idempotent=True)
            finally:
                leave(token)
            await asyncio.sleep(0)

        return step

    return make


def bare_client(work: Work) -> Step:
    """The call alone, in a Context."""
    call = work.acall

    async def send(endpoint: str, timeout_s: float | None) -> None:
        await call()

    async def step() -> None:
        token = enter(_context())
        try:
            await send("here", None)
        finally:
            leave(token)
        await asyncio.sleep(0)

    return step


def _context() -> Context:
    now_s = time.monotonic()
    return Context("bench", "0" * 32, "0" * 16, now_s, now_s + BUDGET_S)


def _app(work: Work) -> ASGIApp:
    call = work.acall

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await call()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def _guarded(app: ASGIApp, switches: FixedSwitches) -> ASGIApp:
    return DeadlineMiddleware(_limited(app, switches), switches=switches)


def _limited(app: ASGIApp, switches: FixedSwitches) -> ASGIApp:
    gate = CriticalityGate(BbrLimiter(lambda: 0.0))
    return LimiterMiddleware(app, gate, switches=switches, scope_name="bench.1")


def _layered(app: ASGIApp, switches: FixedSwitches) -> ASGIApp:
    gate = build_admission(AdmissionSettings(), switches, pressure=lambda: 0.0).gate
    limited = LimiterMiddleware(app, gate, switches=switches, scope_name="bench.1")
    return DeadlineMiddleware(limited, switches=switches)


def _request_step(app: ASGIApp) -> Step:
    """Send one request through an application that finds its Context."""
    serve = _server_step(app)

    async def step() -> None:
        token = enter(_context())
        try:
            await serve()  # type: ignore[misc]  # a coroutine, made three lines below
        finally:
            leave(token)

    return step


def _server_step(app: ASGIApp) -> Step:
    """Send one request through an application; its client stays, and says nothing more."""
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def answer(message: Message) -> None:
        return

    async def step() -> None:
        is_read = False

        async def receive() -> Message:
            nonlocal is_read
            if not is_read:
                is_read = True
                return REQUEST
            return await asyncio.shield(never)

        await app(SCOPE, receive, answer)
        await asyncio.sleep(0)

    return step


CHAINS = (
    Chain("server", "deadline ▸ criticality ▸ limiter (bbr)", server, bare_server, SERVER_AIM_US),
    Chain("server, no limiter", "deadline", unlimited_server, bare_server, None),
    Chain("server, no deadline", "criticality ▸ limiter (bbr)", endless_server, bare_server, None),
    Chain(
        "server, layered",
        "deadline ▸ partitions ▸ criticality ▸ limiter (bbr, chosen live)",
        layered_server,
        bare_server,
        None,
    ),
    Chain(
        "server, listening",
        "deadline ▸ client's leaving ▸ criticality ▸ limiter (bbr)",
        listening_server,
        bare_server,
        None,
    ),
    Chain(
        "server, whole",
        "context from headers ▸ client's leaving ▸ layered ▸ Server-Timing",
        full_server,
        bare_full_server,
        None,
    ),
    Chain(
        "client",
        "deadline ▸ retry ▸ breaker (sre) ▸ pick ▸ bulkhead ▸ per-try time-out",
        client(),
        bare_client,
        CLIENT_AIM_US,
    ),
    Chain("client, no breaker", "the same without", client(breaker=False), bare_client, None),
    Chain("client, no bulkhead", "the same without", client(bulkhead=False), bare_client, None),
    Chain("client, no deadline", "without any time-out", client(time_out=False), bare_client, None),
    Chain(
        "client, naked",
        "retry ▸ pick",
        client(breaker=False, bulkhead=False, time_out=False),
        bare_client,
        None,
    ),
)
