"""Context middleware: the outermost layer. Ids, trace and deadline in; Server-Timing out.

It reads the Context from the headers, gives the request its route's time (a caller may ask for
less, never for more), makes it current, renders errors as problem+json, and reports how it ended.
"""

import time
from collections.abc import Callable

from resilience.asgi.problem import internal_error, send_problem
from resilience.asgi.types import ASGIApp, Message, Receive, Scope, Send
from resilience.context import (
    BAGGAGE_HEADER,
    REQUEST_ID_HEADER,
    TRACEPARENT_HEADER,
    Context,
    enter,
    leave,
)
from resilience.errors import Code, DeadlineExpired, ServiceError
from resilience.policy.contract import Mode
from resilience.policy.deadline import ROUTE_BUDGET_S, clamp_s
from resilience.propagation import extract
from resilience.refusal import DECISION_KEY, decision_text
from resilience.summary import OK, Finished, OnFinish, ignore
from resilience.switches import Switches
from resilience.wire import GRPC_TIMEOUT_HEADER, TIMEOUT_MS_HEADER, parse_deadline

ROUTE_KEY = "squall.route"  # an app may name its route in the scope; else the framework's is taken
UNMATCHED = "unmatched"

_READ = frozenset(
    name.encode()
    for name in (
        BAGGAGE_HEADER,
        GRPC_TIMEOUT_HEADER,
        REQUEST_ID_HEADER,
        TIMEOUT_MS_HEADER,
        TRACEPARENT_HEADER,
    )
)

Budget = Callable[[Scope], float]


def default_budget(scope: Scope) -> float:
    """Give every route the same time."""
    return ROUTE_BUDGET_S


class ContextMiddleware:
    """Begin and end a request on this hop.

    The switch ``deadline``: on, the Context gets one; off, it gets none and nothing is passed on;
    in shadow likewise, and a request that took longer than it had is noted.

    Args:
        app: The application inside.
        instance: This hop, e.g. ``gateway.1``; its service names the Server-Timing entry.
        switches: Asked for ``deadline``.
        budget: Seconds a request may take, by its scope (path and method; no route is known yet).
        on_finish: Gets each request's summary.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        instance: str,
        switches: Switches,
        budget: Budget = default_budget,
        on_finish: OnFinish = ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._instance = instance
        self._switches = switches
        self._budget = budget
        self._on_finish = on_finish
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        context = extract(headers.get, self._clock())
        answer = _Answer(send, context, self._instance, self._clock)
        started_unix_s = time.time()
        token = enter(context)
        remaining_in_s: float | None = None
        budget_s = self._budget(scope)
        try:
            remaining_in_s = self._give_time(context, headers, budget_s)
            await self._app(scope, receive, answer.send)
        except ServiceError as error:
            self._sign(error, context)
            await answer.fail(error)
        except Exception as error:
            await answer.fail(internal_error(error))
        finally:
            self._end(scope, context, answer, started_unix_s, remaining_in_s, budget_s)
            leave(token)

    def _give_time(
        self, context: Context, headers: dict[str, str], budget_s: float
    ) -> float | None:
        """Set the deadline; return how much time there is.

        Raises:
            ServiceError: The header makes no sense (400).
            DeadlineExpired: Nothing is left (504).
        """
        try:
            asked_s = parse_deadline(
                headers.get(TIMEOUT_MS_HEADER), headers.get(GRPC_TIMEOUT_HEADER)
            )
        except ValueError as error:
            raise ServiceError(
                Code.INVALID_ARGUMENT, "DEADLINE_INVALID", str(error), started=False
            ) from error
        if self._switches.mode("deadline") is not Mode.ON:
            return None
        allowed_s = clamp_s(asked_s, budget_s)
        context.deadline_s = context.arrived_s + allowed_s
        if allowed_s <= 0:
            context.note("deadline", "rejected", context.arrived_s, value=allowed_s)
            raise DeadlineExpired(
                Code.DEADLINE_EXCEEDED,
                "DEADLINE_EXCEEDED",
                "no time was left when the request arrived",
                started=False,
            )
        return allowed_s

    def _sign(self, error: ServiceError, context: Context) -> None:
        """Say whose deadline it was, unless a policy further in has said so."""
        if isinstance(error, DeadlineExpired) and context.deadline_s is not None:
            allowed_s = context.deadline_s - context.arrived_s
            spent_s = self._clock() - context.arrived_s
            decision = decision_text(
                "deadline", self._instance, round(spent_s, 3), round(allowed_s, 3)
            )
            error.metadata.setdefault(DECISION_KEY, decision)

    def _end(
        self,
        scope: Scope,
        context: Context,
        answer: "_Answer",
        started_unix_s: float,
        remaining_in_s: float | None,
        budget_s: float,
    ) -> None:
        now_s = self._clock()
        duration_s = now_s - context.arrived_s
        if duration_s > budget_s and self._switches.mode("deadline") is Mode.SHADOW:
            context.note("deadline", "shadow-rejected", now_s, value=duration_s, limit=budget_s)
        self._on_finish(
            Finished(
                context,
                _route(scope),
                answer.reason,
                answer.status,
                started_unix_s,
                duration_s,
                remaining_in_s,
                context.remaining_s(now_s),
            )
        )


class _Answer:
    """Watch the answer go out, and put this hop's headers on it."""

    __slots__ = (
        "_clock",
        "_context",
        "_instance",
        "_send",
        "has_begun",
        "is_complete",
        "reason",
        "status",
    )

    def __init__(
        self, send: Send, context: Context, instance: str, clock: Callable[[], float]
    ) -> None:
        self._send = send
        self._context = context
        self._instance = instance
        self._clock = clock
        self.has_begun = False
        self.is_complete = False
        self.status = Code.CANCELLED.http_status  # until an answer says otherwise
        self.reason = Code.CANCELLED.name

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            self.status = message["status"]
            self.reason = OK if self.status < 400 else f"HTTP_{self.status}"
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_complete = True
        await self._send(message)

    async def fail(self, error: ServiceError) -> None:
        """Answer with the error, or break off an answer that has begun."""
        if not self.has_begun:
            await send_problem(self.send, error)
        self.status, self.reason = error.code.http_status, error.reason

    def _headers(self) -> list[tuple[bytes, bytes]]:
        context = self._context
        return [
            (REQUEST_ID_HEADER.encode(), context.request_id.encode()),
            (b"server-timing", server_timing(context, self._instance, self._clock()).encode()),
        ]


def server_timing(context: Context, instance: str, now_s: float) -> str:
    """Write one entry for this hop, and one for each attempt it made."""
    entries = [_entry(instance.partition(".")[0], instance, (now_s - context.arrived_s) * 1000)]
    entries += [
        _entry(str(note.detail["upstream"]), str(note.detail["endpoint"]), note.detail["ms"])
        for note in context.notes
        if note.policy == "attempt"
    ]
    return ", ".join(entries)


def _entry(name: str, where: str, ms: object) -> str:
    return f'{name};desc="{where}";dur={ms:.3f}'


def _headers(scope: Scope) -> dict[str, str]:
    """Pick what is read here; a header sent twice is joined by a comma, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            key, text = name.decode(), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _route(scope: Scope) -> str:
    named = scope.get(ROUTE_KEY)
    if named is None:
        named = getattr(scope.get("route"), "path", UNMATCHED)  # Starlette's, once it has matched
    return str(named)
