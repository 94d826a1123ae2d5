"""Active checks: ask each backend again and again whether it is well, and tell the balancer."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from kit.source import DataPath
from kit.source_types import Part
from lb.endpoints import Endpoint
from lb.l7.check_kinds import Checker, GrpcChecker, HttpChecker, TcpChecker
from lb.l7.settings import CHECK_INTERVAL_S, CHECK_PATH, CHECK_TIMEOUT_S
from lb.policy.balancer import Balancer
from lb.policy.health import DEFAULT_MISSES_TO_LEAVE, DEFAULT_PASSES_TO_RETURN, CheckedHealth
from resilience.policy.contract import Mode


class CheckOptions(Part, frozen=True):
    """Section ``checks``; the switch of that name stands above it.

    Args:
        kind: What is asked: an HTTP path, a TCP connect, or the gRPC health service.
        path: ``http``: what to GET; an answer 2xx is good.
        service: ``grpc``: whose health; "" is the server's as a whole.
        interval_s: From one check of a backend to the next, > 0.
        timeout_s: One without an answer by then is missed, > 0.
        unhealthy_after: Missed ones in a row until a backend is left, >= 1.
        healthy_after: Good ones in a row until it is back, >= 1.
        jitter: Up to this share of the interval is added to each, so that many balancers don't ask
            at the same moment; 0..1.
    """

    kind: Literal["http", "tcp", "grpc"] = "http"
    path: str = CHECK_PATH
    service: str = ""
    interval_s: float = CHECK_INTERVAL_S
    timeout_s: float = CHECK_TIMEOUT_S
    unhealthy_after: int = DEFAULT_MISSES_TO_LEAVE
    healthy_after: int = DEFAULT_PASSES_TO_RETURN
    jitter: float = 0.0

    def checker(self, endpoint: Endpoint) -> Checker:
        """Make what asks one endpoint."""
        if self.kind == "tcp":
            return TcpChecker(endpoint, timeout_s=self.timeout_s)
        if self.kind == "grpc":
            return GrpcChecker(endpoint, service=self.service, timeout_s=self.timeout_s)
        return HttpChecker(endpoint, path=self.path, timeout_s=self.timeout_s)

    def health(self) -> CheckedHealth:
        """Make what believes the answers."""
        return CheckedHealth(
            misses_to_leave=self.unhealthy_after, passes_to_return=self.healthy_after
        )


def check_mistakes(options: CheckOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range, and what another kind would need."""
    for name in ("interval_s", "timeout_s"):
        value = getattr(options, name)
        if not 0 < value < math.inf:
            yield (*at, name), f"{name} is {value:g}; give more than 0"
    for name in ("unhealthy_after", "healthy_after"):
        count = getattr(options, name)
        if count < 1:
            yield (*at, name), f"{name} is {count}; give 1 or more"
    if not 0 <= options.jitter <= 1:
        yield (*at, "jitter"), f"jitter is {options.jitter:g}; give 0 to 1"
    if not options.path.startswith("/") or any(not "!" <= letter <= "~" for letter in options.path):
        yield (
            (*at, "path"),
            f"path is {options.path!r}; give one that begins with /, without blanks",
        )
    if options.path != CHECK_PATH and options.kind != "http":
        yield (*at, "path"), f"a check by {options.kind} has no path; take it out"
    if options.service and options.kind != "grpc":
        yield (*at, "service"), f"a check by {options.kind} has no service; take it out"


class Checks:
    """Check every endpoint of the registry, and tell the balancer.

    Args:
        balancer: Who is told.
        mode: Position of the switch ``checks``; off sends none.
        options: How they are asked; by default GET /readyz each 300 ms.
        rng: Source of chance, for jitter.
    """

    def __init__(
        self,
        balancer: Balancer,
        mode: Callable[[str], Mode],
        *,
        options: CheckOptions | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.options = options or CheckOptions()
        self._random = (rng or random.Random()).random
        self._balancer = balancer
        self._mode = mode
        self._tasks: dict[tuple[str, str, int], asyncio.Task[None]] = {}
        self._endpoints: Sequence[Endpoint] = ()

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Begin with new ones, end with those that left."""
        self._endpoints = endpoints
        wanted = {(one.instance, one.host, one.port): one for one in endpoints}
        for key in tuple(self._tasks):
            if key not in wanted:
                self._tasks.pop(key).cancel()
        loop = asyncio.get_running_loop()
        for key, endpoint in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = loop.create_task(self._watch(endpoint))

    def use(self, options: CheckOptions) -> None:
        """Check in another way from now on; what is believed of each endpoint begins anew."""
        if options == self.options:
            return
        self.options = options
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._balancer.check_by(options.health(), time.monotonic())
        self.set_endpoints(self._endpoints)

    async def close(self) -> None:
        """End all checks."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, endpoint: Endpoint) -> None:
        options = self.options
        checker = options.checker(endpoint)
        try:
            while True:
                began_s = time.monotonic()
                if self._mode("checks") is not Mode.OFF:
                    ok = await checker.check()
                    self._balancer.on_check(endpoint.instance, ok, time.monotonic())
                wait_s = options.interval_s * (1.0 + options.jitter * self._random())
                await asyncio.sleep(max(0.0, began_s + wait_s - time.monotonic()))
        finally:
            await checker.close()
