"""Fan-out: several calls for one answer, where only some may fail it.

A part turns its own failure into a value: in a TaskGroup a child that raises cancels its siblings,
and one slow dependency would take the whole page with it. Cancellation isn't a failure and passes.
Each part has a deadline of its own, so that the whole still has time to be put together and sent.
"""

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from resilience import context as request_context
from resilience.errors import Code, ServiceError
from resilience.outcome import UPSTREAM_KEY
from resilience.policy.contract import Mode
from resilience.policy.deadline import is_spent, part_deadline_s
from resilience.refusal import DECISION_KEY, decision_text
from resilience.switches import Switches

T = TypeVar("T")
PART_SKIPPED = "PART_SKIPPED"


class Missing(NamedTuple):
    """A part that didn't come, and why.

    Args:
        part: Its name.
        error: What its call ended with.
        waited_ms: For how long it was waited for.
        given_ms: How long it might have taken; None when nothing limited it.
    """

    part: str
    error: ServiceError
    waited_ms: int = 0
    given_ms: int | None = None

    def decision(self, instance: str) -> str:
        """Say who took the part away, e.g. ``deadline; gateway.1>comment; 300/300`` in ms.

        A failure of the service itself was nobody's decision here: ``upstream; comment; BROKEN``.
        """
        said = self.error.metadata.get(DECISION_KEY, "")
        if not said and self.error.reason == PART_SKIPPED:
            said = decision_text("deadline", f"{instance}>{self.part}", None, None)
        if not said:
            upstream = self.error.metadata.get(UPSTREAM_KEY, self.part)
            return f"upstream; {upstream}; {self.error.reason}"
        if said.startswith("deadline; ") and said.count("; ") == 1 and self.given_ms is not None:
            return f"{said}; {self.waited_ms}/{self.given_ms}"
        return said


async def attempt(call: Awaitable[T]) -> T | ServiceError:
    """Await a call and return its answer, or its error as a value."""
    try:
        return await call
    except ServiceError as error:
        return error


async def optional_part(
    part: str, call: Callable[[], Awaitable[T]], switches: Switches
) -> T | Missing:
    """Make one optional call under its own deadline; run it in a task of its own.

    The deadline is min(remaining - 50 ms, 300 ms) from now; none when the request has none or the
    policy ``deadline`` isn't on.

    Args:
        part: What ``degraded`` shall name.
        call: Begins the call; not called when no time is left for it.
        switches: Says how ``deadline`` stands.
    """
    context = request_context.current()
    if context is None:
        return _named(part, await attempt(call()))
    now_s = time.monotonic()
    deadline_s = context.deadline_s
    if switches.mode("deadline") is Mode.ON:
        deadline_s = part_deadline_s(deadline_s, now_s)
        if is_spent(deadline_s, now_s):
            context.note("page", "part-skipped", now_s, part=part)
            return Missing(part, _skipped(part), 0, 0)
    # The copy shares the list of notes, so that the request's summary has what the part decided.
    request_context.enter(dataclasses.replace(context, deadline_s=deadline_s))
    result = await attempt(call())
    if not isinstance(result, ServiceError):
        return result
    ended_s = time.monotonic()
    context.note("page", "part-missing", ended_s, part=part, reason=result.reason)
    given_ms = None if deadline_s is None else round((deadline_s - now_s) * 1000)
    return Missing(part, result, round((ended_s - now_s) * 1000), given_ms)


def _named(part: str, result: T | ServiceError) -> T | Missing:
    return Missing(part, result) if isinstance(result, ServiceError) else result


def _skipped(part: str) -> ServiceError:
    return ServiceError(
        Code.DEADLINE_EXCEEDED,
        PART_SKIPPED,
        f"no time was left to ask for {part}",
        started=False,
    )
