"""The gateway's way to each service: endpoints from the registry, one balancer, one pipeline.

    call ▸ pipeline (deadline, retry, breaker ▸ pick ▸ bulkhead ▸ try) ▸ channel of the endpoint

The pipeline is built from one object of settings. Its breaker is chosen live (choice ``breaker``):
the SRE Book's throttle, or the one with states. A hedge waits for the 95th percentile of what this
service took in the last minute, all its methods together.

What is known of an endpoint comes from three sides: the registry says who exists, checks say who
answers, and a connection that breaks says so at once.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import grpc.aio

from gateway.channels import Channels, StubT
from gateway.checks import run_checks
from gateway.settings import DEFAULT_BULKHEAD
from kit.choices import default_choice
from kit.directory import Endpoint
from lb.policy.algorithms import DEFAULT_ALGORITHM
from lb.policy.balancer import Balancer
from lb.policy.outlier import small_fleet
from resilience.detached import Detached
from resilience.errors import Code, ServiceError, UpstreamReset
from resilience.observer import Observer
from resilience.pipeline_settings import PipelineSettings, build_pipeline
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.chosen_gate import ChosenGate
from resilience.policy.contract import Gate, Mode, Snapshot
from resilience.policy.hedge import HedgeSettings
from resilience.policy.sre_breaker import SreBreaker
from resilience.policy.state_breaker import StateBreaker
from resilience.rpc.client import unary

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

SERVICES = ("account", "video", "comment", "counter")

# Hystrix: 20 requests in a window of 10 s, 50 % of them failed, 5 s until it looks again. The
# library's own defaults are resilience4j's, for hundreds of calls a second and a minute's patience.
STATES = BreakerSettings(
    window_s=10.0, min_calls=20, failure_ratio=0.5, open_s=5.0, half_open_calls=3
)


class Resettable(Protocol):
    """A policy that can be shown and reset."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""


class Registry(Protocol):
    """Who tells which endpoints a service has."""

    def on_change(self, service: str, callback: Callable[[list[Endpoint]], None]) -> None:
        """Call this with the endpoints now, and each time they change."""


class Lab(Protocol):
    """What an upstream needs of the node it runs on."""

    instance: str
    rng: random.Random

    @property
    def directory(self) -> Registry:
        """Who serves what."""

    @property
    def events(self) -> Observer:
        """Who hears of every decision."""

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""

    def choice(self, name: str, default: str) -> str:
        """Return what was chosen, or the default."""

    def register_gate(self, name: str, gate: Resettable) -> None:
        """Show a policy, and reset it when told to."""


class Upstream(Generic[StubT]):
    """One service, called through its policies; ``start`` it on the running loop.

    Args:
        service: Its name, e.g. ``video``.
        make_stub: Makes its stub on a channel.
        lab: The node: endpoints, switches, chance.
    """

    def __init__(
        self, service: str, make_stub: Callable[[grpc.aio.Channel], StubT], lab: Lab
    ) -> None:
        self.service = service
        self._lab = lab
        self._channels: Channels[StubT] = Channels(make_stub)
        self._balancer = Balancer(
            random.Random(lab.rng.random()),
            lab.mode,
            choice=lambda: lab.choice("balance", DEFAULT_ALGORITHM),
            outlier=small_fleet(),
        )
        self._pipeline = build_pipeline(
            service,
            PipelineSettings(
                timeout_s=None,  # the route's budget and the part's own deadline bind
                hedge=HedgeSettings(),
                breaker=lambda rng: _breaker(lab, rng),
                max_concurrent=int(DEFAULT_BULKHEAD),
            ),
            self._balancer,
            lab,
            scope=f"{lab.instance}>{service}",
            rng=random.Random(lab.rng.random()),
            observer=lab.events,
        )
        self._detached = Detached()
        self._checking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Upstream {self.service} {self._channels!r}>"

    def start(self) -> None:
        """Follow the registry and begin to check."""
        self._lab.register_gate(f"{self.service}.balancer", self._balancer)
        self._lab.register_gate(f"{self.service}.abandoned", self._detached)
        for name, policy in self._pipeline.policies.items():
            self._lab.register_gate(f"{self.service}.{name}", policy)
        self._lab.directory.on_change(self.service, self._set_endpoints)
        checking = run_checks(self._channels, self._balancer, self._lab)
        self._checking = asyncio.create_task(checking, name=f"checks of {self.service}")

    def set_bulkhead(self, limit: int) -> None:
        """Change how many calls may be here at once; those that are go on."""
        self._pipeline.set_max_concurrent(limit)

    def set_attempts(self, max_attempts: int, per_try_s: float | None) -> None:
        """Change how often later calls are tried and how long a try may take; None: no limit."""
        self._pipeline.set_attempts(max_attempts, per_try_s)

    async def close(self) -> None:
        """End the checks and all connections."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self._detached.close()
        await self._channels.close()

    async def call(
        self,
        method: Callable[[StubT], grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT]],
        request: RequestT,
        *,
        idempotent: bool = True,
    ) -> AnswerT:
        """Call one method through every policy.

        Args:
            method: Chooses the method of a stub.
            request: Its message.
            idempotent: Whether sending twice does no harm.

        Raises:
            ServiceError: Refused, out of time, unreachable, or the service's own error.
        """

        async def send(endpoint: str, timeout_s: float | None) -> AnswerT:
            """Send one attempt."""
            return await self._send(method, request, endpoint, timeout_s)

        return await self._pipeline.call(send, idempotent=idempotent)

    async def _send(
        self,
        method: Callable[[StubT], grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT]],
        request: RequestT,
        endpoint: str,
        timeout_s: float | None,
    ) -> AnswerT:
        connection = self._channels.get(endpoint)
        if connection is None:
            raise _left(endpoint)
        try:
            if self._lab.mode("cancellation") is Mode.ON:
                return await unary(method(connection.stub), request, timeout_s)
            # A time that is ours alone would make gRPC cancel the call over there.
            passed_on_s = timeout_s if self._lab.mode("deadline") is Mode.ON else None
            return await self._detached.run(unary(method(connection.stub), request, passed_on_s))
        except UpstreamReset:
            self._balancer.on_unreachable(endpoint, time.monotonic())
            raise

    def _set_endpoints(self, endpoints: list[Endpoint]) -> None:
        self._channels.set_endpoints(endpoints)
        self._balancer.set_endpoints([each.instance for each in endpoints], time.monotonic())


def _breaker(lab: Lab, rng: random.Random) -> Gate:
    """Make the breaker that is chosen, each time another one is."""
    by_default = default_choice("breaker")
    return ChosenGate(
        "breaker",
        {"sre": lambda: SreBreaker(rng), "states": lambda: StateBreaker(STATES, rng)},
        lambda: lab.choice("breaker", by_default),
    )


def _left(endpoint: str) -> ServiceError:
    return ServiceError(
        Code.UNAVAILABLE, "ENDPOINT_LEFT", f"{endpoint} left before the call", started=False
    )
