"""Guard: put any gate or queue around a plain function, or a block of one.

    search_guard = guard(Bulkhead(25, max_waiting=50), scope="shop>search")

    @search_guard
    async def search(words: str) -> list[str]: ...

    async with search_guard.permit(): ...

What goes in is settled exactly once on the way out, by cause (``outcome.classify``): answered,
failed, out of time, or cut from outside, which teaches nothing. A refusal is raised as the error
that an edge would answer with, and the guarded code is not begun. An ``async`` function waits for
a place where a queue has room to wait in; a plain one cannot, so a full queue refuses it.

Retries, and the rest of a ``ClientPipeline``, for a plain function: ``retried``.

Threads: a policy has no lock, so one guard belongs to one thread. Functions that run in several
(FastAPI's plain ``def``, ``asyncio.to_thread``) share a guard over ``threads.Locked(policy)``.

Source: resilience4j's decorators; purgatory's context manager (sync and async alike).
Not handled: generators (their body runs after the call returned, so they are refused); a plain
function that returns an awaitable (it is settled when that is returned: make it ``async``); an
``asyncio.timeout`` outside of the guard, which asyncio shows as a caller who left.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from resilience.admission import Admission, Clock
from resilience.context import current
from resilience.observer import SILENT, Observer
from resilience.outcome import Judge, classify
from resilience.policy.bulkhead import RETRY_AFTER_S
from resilience.policy.contract import (
    Gate,
    Outcome,
    Permit,
    Queue,
    Rejection,
    Request,
    Ticket,
)
from resilience.refusal import note_rejection, note_shadow, to_error
from resilience.threads import is_queue

P = ParamSpec("P")
R = TypeVar("R")

_OK = Outcome.OK  # see Outcome
_ANYBODY = Request()  # of a call outside of any request; a policy only reads it


class Guard:
    """One policy around functions and blocks; make it with ``guard`` and keep it.

    As a decorator it takes plain and ``async`` functions and leaves their signature as it is.

    Attribute ``policy`` is what it asks, for pages and resets.
    """

    __slots__ = (
        "_admission",
        "_clock",
        "_gate",
        "_ignored",
        "_judge",
        "_observer",
        "_request_of",
        "policy",
        "scope",
    )

    def __init__(
        self,
        policy: Gate | Queue,
        *,
        scope: str,
        judge: Judge,
        ignored: tuple[type[Exception], ...],
        request_of: Callable[..., Request] | None,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.policy = policy
        self.scope = scope
        self._judge = judge
        self._ignored = ignored
        self._request_of = request_of
        self._observer = observer
        self._clock = clock
        self._gate: Gate | None = None
        self._admission: Admission | None = None
        if is_queue(policy):
            self._admission = Admission(policy, clock)
        else:
            self._gate = cast(Gate, policy)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Guard each call of a function.

        Raises:
            TypeError: It is a generator, whose body runs after the call has returned.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__qualname__", function)
            raise TypeError(f"{name} is a generator: use permit() inside of it")
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", self._guarded_async(function))

        # Not ``with self.permit()``, here and below: the object and its calls cost 0.4 µs.
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            permit = self.enter(self._request(args, kwargs))
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                self.leave(permit, error)
                raise
            self.leave(permit, None)
            return value

        return guarded

    def _guarded_async(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            request = self._request(args, kwargs)
            if self._admission is None:
                permit = self.enter(request)
            else:
                permit = await self.wait_entered(request)
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                self.leave(permit, error)
                raise
            self.leave(permit, None)
            return value

        return guarded

    def permit(self, request: Request | None = None) -> "PermitScope":
        """Make a ``with`` or ``async with`` block that holds a permit; for one use.

        Args:
            request: What the policy may know; None takes it from the current Context.

        Raises:
            Rejected: On entering: the policy refused.
            DeadlineExpired: On entering: the deadline passed while waiting for a place.
        """
        return PermitScope(self, request or _request_of_context())

    def enter(self, request: Request) -> Permit:
        """Take a permit without waiting, or raise; it must go to ``leave``."""
        if self._gate is not None:
            return self._unwrap(self._gate.admit(request, self._clock()))
        admission = cast(Admission, self._admission)
        decision = admission.acquire_nowait(request)
        if isinstance(decision, Ticket):
            admission.apply(admission.queue.cancel(decision, self._clock()))
            name = self.policy.name
            decision = Rejection(name, f"{name.upper()}_FULL", RETRY_AFTER_S)
        return self._unwrap(decision)

    async def wait_entered(self, request: Request) -> Permit:
        """Take a permit, waiting for it where a queue lets us; a cancelled wait holds none."""
        if self._admission is None:
            return self.enter(request)
        return self._unwrap(await self._admission.acquire(request))

    def leave(self, permit: Permit, error: BaseException | None) -> None:
        """Settle a permit by how the guarded code ended; None means that it returned."""
        outcome = self._outcome(error)
        if self._gate is not None:
            self._gate.settle(permit, outcome, self._clock())
        else:
            cast(Admission, self._admission).release(permit, outcome)

    def _outcome(self, error: BaseException | None) -> Outcome:
        if error is None:
            return _OK
        if isinstance(error, self._ignored):
            return Outcome.IGNORED
        if isinstance(error, asyncio.CancelledError):
            context = current()
            return classify(self._judge, error, cut=context.cut if context else None)
        if isinstance(error, Exception):
            return classify(self._judge, error)
        return Outcome.IGNORED  # KeyboardInterrupt, SystemExit, GeneratorExit: ended from outside

    def _unwrap(self, decision: Permit | Rejection) -> Permit:
        """Return the permit or raise the refusal; tell of either."""
        if type(decision) is Permit:  # a plain one holds nothing to tell
            return decision
        context = current()
        now_s = self._clock()
        if isinstance(decision, Rejection):
            note_rejection(decision, self.scope, context, now_s, observer=self._observer)
            raise to_error(decision, self.scope)
        note_shadow(decision, self.scope, context, now_s, observer=self._observer)
        return decision

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        if self._request_of is None:
            return _request_of_context()
        return self._request_of(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Guard {self.scope} {self.policy!r}>"


class PermitScope:
    """A block that holds a permit of a guard; made by ``Guard.permit``, for one use."""

    __slots__ = ("_guard", "_permit", "_request")

    def __init__(self, guard: Guard, request: Request) -> None:
        self._guard = guard
        self._request: Request | None = request
        self._permit: Permit | None = None

    def __enter__(self) -> Permit:
        self._permit = self._guard.enter(self._take_request())
        return self._permit

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._guard.leave(cast(Permit, self._permit), error)

    async def __aenter__(self) -> Permit:
        self._permit = await self._guard.wait_entered(self._take_request())
        return self._permit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._guard.leave(cast(Permit, self._permit), error)

    def _take_request(self) -> Request:
        request, self._request = self._request, None
        if request is None:
            raise RuntimeError("a permit block is for one use: call permit() again")
        return request


def guard(
    policy: Gate | Queue,
    *,
    scope: str = "",
    judge: Judge = Judge.BREAKER,
    ignored: tuple[type[Exception], ...] = (),
    request_of: Callable[..., Request] | None = None,
    observer: Observer = SILENT,
    clock: Clock = time.monotonic,
) -> Guard:
    """Make a guard of a policy; ``@guard(policy)`` decorates at once.

    Args:
        policy: Any gate or queue; a ``SwitchedGate`` or ``SwitchedQueue`` can be put in shadow.
        scope: What decisions are reported under; "" takes the policy's name.
        judge: Whether it judges the other side (a breaker) or ourselves (a limiter); says what it
            means that our own time ran out.
        ignored: Exceptions that say nothing about either, e.g. those of bad arguments.
        request_of: Makes the request of the function's arguments; None takes the Context's.
        observer: Hears of each refusal.
        clock: Monotonic seconds.

    Raises:
        TypeError: The policy is neither a gate nor a queue.
    """
    if not hasattr(policy, "admit") and not is_queue(policy):
        raise TypeError(f"{policy!r} has neither admit nor offer: give a Gate or a Queue")
    return Guard(
        policy,
        scope=scope or policy.name,
        judge=judge,
        ignored=ignored,
        request_of=request_of,
        observer=observer,
        clock=clock,
    )


def _request_of_context() -> Request:
    context = current()
    if context is None:
        return _ANYBODY
    return Request(
        criticality=context.criticality, tenant=context.tenant, deadline_s=context.deadline_s
    )
