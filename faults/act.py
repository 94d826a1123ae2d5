"""Carry out what the injector decided, as far as it is the same at every injection point.

Why: waiting, blocking, burning and failing need nothing of the protocol; only dropping the
connection does, and is left to the caller. What was done is noted on the request for
``squall explain``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from faults.actions import Abort, Action, Block, Burn, Delay, Fail, Slow
from faults.burn import Burner
from faults.injector import Injector
from faults.slowness import Slowness, slowness
from resilience.context import current
from resilience.errors import ServiceError

REASON = "FAULT_INJECTED"

AnswerT = TypeVar("AnswerT")


class Actor:
    """Carries out decisions; one per injection point.

    Args:
        injector: Who decided; told what was measured.
    """

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self._burner = Burner()

    async def act(self, actions: Sequence[Action]) -> bool:
        """Carry out the actions in order; True when the caller is to drop the connection.

        Raises:
            ServiceError: For an ``error`` fault.
        """
        for action in actions:
            if isinstance(action, Delay):
                _note(action.fault, "delayed", ms=round(action.seconds * 1000.0, 1))
                await asyncio.sleep(action.seconds)
            elif isinstance(action, Block):
                _note(action.fault, "blocked", ms=round(action.seconds * 1000.0, 1))
                time.sleep(action.seconds)  # noqa: ASYNC251  blocking the loop is what it is for
            elif isinstance(action, Burn):
                _note(action.fault, "burnt", ms=round(action.seconds * 1000.0, 1))
                await self._burner.burn(
                    action.seconds, partial(self._injector.on_burnt, action.fault)
                )
            elif isinstance(action, Fail):
                _note(action.fault, "failed", code=action.code.name)
                raise ServiceError(
                    action.code, REASON, f"fault {action.fault}", metadata={"fault": action.fault}
                )
            elif isinstance(action, Abort):
                _note(action.fault, "aborted")
                return True
        return False

    async def serve(
        self, actions: Sequence[Action], inner: Callable[[], Awaitable[AnswerT]]
    ) -> AnswerT:
        """Serve what is left after ``act``, slowed if that was decided."""
        slow = [action for action in actions if isinstance(action, Slow)]
        if not slow:
            return await inner()
        faults = [action.fault for action in slow]
        for action in slow:
            _note(action.fault, "slowed", factor=action.factor)
        token = slowness.set(
            Slowness(
                partial(self._injector.factor, faults), partial(self._injector.on_slowed, faults)
            )
        )
        try:
            return await inner()
        finally:
            slowness.reset(token)


def _note(fault: str, what: str, **detail: float | str) -> None:
    context = current()
    if context is not None:
        context.note("fault", what, time.monotonic(), fault=fault, **detail)
