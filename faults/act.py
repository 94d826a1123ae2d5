"""Carry out what the injector decided, as far as it is the same at every injection point.

Why: waiting, blocking and failing need nothing of the protocol; only dropping the connection does,
and is left to the caller. What was done is noted on the request for ``squall explain``.
"""

import asyncio
import time
from collections.abc import Sequence

from faults.injector import Abort, Action, Block, Delay, Fail
from resilience.context import current
from resilience.errors import ServiceError

REASON = "FAULT_INJECTED"


async def act(actions: Sequence[Action]) -> bool:
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
        elif isinstance(action, Fail):
            _note(action.fault, "failed", code=action.code.name)
            raise ServiceError(
                action.code, REASON, f"fault {action.fault}", metadata={"fault": action.fault}
            )
        elif isinstance(action, Abort):
            _note(action.fault, "aborted")
            return True
    return False


def _note(fault: str, what: str, **detail: float | str) -> None:
    context = current()
    if context is not None:
        context.note("fault", what, time.monotonic(), fault=fault, **detail)
