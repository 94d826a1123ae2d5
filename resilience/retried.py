"""Retried: a plain ``async`` function through a client pipeline, by decorating it.

    @retried(ClientPipeline("prices", SingleEndpoint("prices"), switches), idempotent=True)
    async def price(item: str) -> float: ...

Each call passes deadline, breaker, bulkhead, per-try timeout and retry budget as any call of the
pipeline does, and raises what it raises. At its time limit the function is cancelled.

Source: tenacity's and stamina's decorators, which have neither budget nor deadline.
Not handled: several endpoints (call the pipeline itself: it says which to send to).
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from resilience.pipeline import ClientPipeline

P = ParamSpec("P")
T = TypeVar("T")


def retried(
    pipeline: ClientPipeline, *, idempotent: bool
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Decorate an ``async`` function: each call goes through the pipeline, retries included.

    Args:
        pipeline: Its picker has one place to go: the function isn't told which endpoint.
        idempotent: Whether running the function twice does no harm.

    Raises:
        TypeError: When decorating: the function is not ``async``, so nothing could cut it.
    """

    def decorate(
        function: Callable[P, Coroutine[Any, Any, T]],
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__qualname__", function)
            raise TypeError(f"{name} is not async: call it in asyncio.to_thread")

        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await pipeline.call(lambda *_: function(*args, **kwargs), idempotent=idempotent)

        return call

    return decorate
