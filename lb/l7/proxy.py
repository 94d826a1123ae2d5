"""What all connections of one L7 proxy share: backends, switches, budget, counts.

The balancer decides, the pools hold connections; both follow the registry. An endpoint that leaves
it gets no new request, and finishes what it has. A service of one's own gets a sibling: backends
and budget of its own, the same settings, drain and switches (``lb.l7.routes``).
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.recorder import RequestSummary
from lb.endpoints import Endpoint
from lb.l7.access_log import AccessLog
from lb.l7.affinity import Affinity
from lb.l7.errors import Problem, no_backend, no_room
from lb.l7.forwarded import Forwarding
from lb.l7.headers import Headers, Ids
from lb.l7.http2.options import Http2
from lb.l7.line import Line
from lb.l7.picks import PickLog
from lb.l7.pool import Pool
from lb.l7.request import HeadReader, RequestHead
from lb.l7.settings import BACKEND_SERVICE, ProxySettings
from lb.l7.timeouts import SlowClients, TimeoutOptions
from lb.policy.balancer import Balancer
from lb.policy.outlier import small_fleet
from lb.tallies import Tallies
from resilience.policy.budget import RetryBudget, SwitchedBudget
from resilience.policy.contract import Mode, Outcome, Request, Snapshot
from resilience.switches import Switches

_ANY_REQUEST = Request()


class Tally(Protocol):
    """Who counts requests in flight (``kit.lifecycle`` implements it)."""

    def begin_request(self) -> None:
        """Count a request in."""

    def end_request(self) -> None:
        """Count a request out."""


@dataclass(slots=True)
class _Shared:
    """What siblings have in common and may change."""

    settings: ProxySettings
    is_draining: bool = False
    access_log: AccessLog | None = None


class Proxy:
    """Shared by every client connection.

    Args:
        switches: Positions of ``deadline``, ``retry``, ``retry_budget``, ``checks``, ``outlier``,
            ``panic`` and ``p2c``.
        record: Takes the summary of each finished request.
        tally: Counts what is in flight, so that a drain can wait for it.
        instance: Own name in summaries, e.g. ``l7.1``.
        service: Whose endpoints these are, for messages.
        rng: Source of chance.
        choice: Names who picks (``lb.policy.balancer``); None leaves that to the file.
    """

    def __init__(
        self,
        switches: Switches,
        record: Callable[[RequestSummary], None],
        tally: Tally | None = None,
        *,
        instance: str = "l7.1",
        service: str = BACKEND_SERVICE,
        rng: random.Random | None = None,
        choice: Callable[[], str] | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._switches = switches
        self._rng = rng
        self._shared = _Shared(ProxySettings())
        self._siblings: list[Proxy] = []
        self.proxy_for: Callable[[bytes], Proxy] = lambda target: self
        self.mode: Callable[[str], Mode] = switches.mode
        self.record = record
        self._tally = tally
        self.instance = instance
        self._timing_line = f'server-timing: l7;desc="{instance}";dur=%.2f\r\n'.encode()
        self.service = service
        self._choice = choice
        self.balancer = Balancer(rng, switches.mode, choice=choice, outlier=small_fleet())
        self.budget = SwitchedBudget(RetryBudget(), lambda: switches.mode("retry_budget"))
        self.key_of: Callable[[bytes, Headers], str] | None = None
        self.affinity: Affinity | None = None
        self.heads = HeadReader(Ids(rng))
        self.forwarding = Forwarding()
        self.http2 = Http2()
        self.timeouts = TimeoutOptions()
        self.slow_clients = SlowClients(switches.mode)
        self.shadow_retries = 0
        self.free_retries = 0  # that the budget didn't count: of requests nobody had begun
        self.tallies = Tallies()
        self.line = Line(lambda: self.balancer.candidates)
        self.picks: PickLog | None = None  # where picks are remembered; None: nowhere
        self._is_held_out: Callable[[str], bool] = lambda name: False
        self._pools: dict[str, Pool] = {}

    @property
    def settings(self) -> ProxySettings:
        """The live numbers."""
        return self._shared.settings

    @settings.setter
    def settings(self, settings: ProxySettings) -> None:
        self._shared.settings = settings

    @property
    def is_draining(self) -> bool:
        """Whether each answer ends its connection."""
        return self._shared.is_draining

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._shared.is_draining = is_draining

    @property
    def access_log(self) -> AccessLog | None:
        """Where finished requests are logged; None: nowhere."""
        return self._shared.access_log

    @access_log.setter
    def access_log(self, log: AccessLog | None) -> None:
        self._shared.access_log = log

    def sibling(self, service: str) -> "Proxy":
        """Make a proxy for another service; it is swept and closed with this one."""
        made = Proxy(
            self._switches,
            self.record,
            self._tally,
            instance=self.instance,
            service=service,
            rng=self._rng,
            choice=self._choice,
        )
        made._shared = self._shared
        made.picks, made._is_held_out = self.picks, self._is_held_out
        self._siblings.append(made)
        return made

    def set_endpoints(
        self, endpoints: Sequence[Endpoint], weights: Mapping[str, float] | None = None
    ) -> None:
        """Follow the registry: keep, add, retire; all weigh the same unless told otherwise."""
        wanted = {one.instance: (one.host, one.port) for one in endpoints}
        for name, pool in tuple(self._pools.items()):
            if wanted.get(name) != (pool.host, pool.port):
                self._pools.pop(name).retire()
        for name, address in wanted.items():
            if name not in self._pools:
                self._pools[name] = Pool(*address)
        self.tallies.keep(wanted)
        self.balancer.set_endpoints(weights or list(wanted), time.monotonic())
        self._hold_out()

    def hold_out(self, is_held_out: Callable[[str], bool]) -> None:
        """Leave those that an operator ejected, here and in siblings, until told otherwise."""
        for proxy in self.fleets():
            proxy._is_held_out = is_held_out
            proxy._hold_out()

    def remember_picks(self, log: PickLog | None) -> None:
        """Keep what is known at each pick there, siblings' too; None: nowhere."""
        for proxy in self.fleets():
            proxy.picks = log

    def fleets(self) -> "list[Proxy]":
        """Return itself and its siblings: one for each service whose backends are picked here."""
        return [self, *self._siblings]

    def connections_to(self, name: str) -> int:
        """Connections open to one backend, idle ones included."""
        pool = self._pools.get(name)
        return pool.counts[1] if pool is not None else 0

    def asked_of(self, head: RequestHead) -> Request:
        """Return what the balancer may know of a request: its key, where one is wanted."""
        if self.key_of is None:
            return _ANY_REQUEST
        return Request(key=self.key_of(head.target, head.outline.headers))

    def pick(self, asked: Request, exclude: Sequence[str], now_s: float) -> tuple[str, Pool] | None:
        """Choose a backend and count a request in; None when there is none left to try."""
        line = self.line
        if line.full:
            exclude = (*exclude, *line.full)
        name = self.balancer.pick(asked, exclude, now_s)
        if name is None:
            return None
        self.balancer.on_start(name, now_s)
        line.on_start(name)
        return name, self._pools[name]

    def settle(self, name: str, outcome: Outcome, now_s: float) -> None:
        """Count a request out of a backend; whoever waits for one is called."""
        self.balancer.on_finish(name, outcome, now_s)
        self.line.on_finish(name)
        self.line.call()

    def server_timing(self, duration_s: float) -> bytes:
        """Return this hop's entry as a header line."""
        return self._timing_line % (duration_s * 1000)

    def no_backend(self, *, started: bool) -> Problem:
        """Say that nobody can be reached, and how many there are."""
        usable, known = len(self.balancer.candidates), len(self._pools)
        return no_backend(self.service, usable, known, started=started)

    def begin(self) -> None:
        """Count a request in."""
        self.budget.on_call_start()
        if self._tally is not None:
            self._tally.begin_request()

    def end(self) -> None:
        """Count a request out."""
        self.budget.on_call_end()
        if self._tally is not None:
            self._tally.end_request()

    def reset(self, now_s: float) -> None:
        """Forget what was learned about backends; connections and what is in flight stay."""
        self.balancer.reset(now_s)
        self.tallies.reset()

    def snapshot(self) -> Snapshot:
        """The balancer's view, the retry budget's counts, and connections by backend."""
        pools = {
            f"{name}.{what}": count
            for name, pool in self._pools.items()
            for what, count in zip(("idle", "connections"), pool.counts, strict=True)
        }
        budget = {f"budget.{key}": value for key, value in self.budget.snapshot().items()}
        return {
            **self.balancer.snapshot(),
            **budget,
            **pools,
            "shadow_retries": self.shadow_retries,
            "free_retries": self.free_retries,
            **self.line.snapshot(),
            **self._tunnel_counts(),
        }

    def no_room(self) -> Problem:
        """Say that every backend is at its limit, and how many wait."""
        return no_room(self.service, self.line.waiting)

    def _hold_out(self) -> None:
        names = [name for name in self._pools if self._is_held_out(name)]
        self.balancer.hold_out(names, time.monotonic())

    def _tunnel_counts(self) -> Snapshot:
        tunnels = self.heads.tunnels
        if not tunnels.options.enabled:
            return {}
        return {f"websocket.{name}": value for name, value in tunnels.snapshot().items()}

    def record_refusal(self, request_id: str, problem: Problem, peer: bytes) -> None:
        """Keep a summary of what was no request, and log it."""
        log = self.access_log
        if log is not None and log.takes(request_id, problem.status):
            log.add_refusal(request_id, peer, problem.status, problem.reason)
        self.record(
            RequestSummary(
                request_id=request_id,
                trace_id=self.heads.ids.fresh().trace_id,
                instance=self.instance,
                route="-",
                started_unix_s=time.time(),
                duration_ms=0.0,
                status=problem.reason,
                code=problem.status,
            )
        )

    def sweep(self, now_s: float) -> None:
        """Close backend connections that have been idle too long."""
        for pool in self._pools.values():
            pool.close_idle(now_s)
        self.line.call()  # backends may have left, or come, without a request that ended
        for sibling in self._siblings:
            sibling.sweep(now_s)

    def close(self) -> None:
        """Close every backend connection."""
        for pool in self._pools.values():
            pool.close()
        for sibling in self._siblings:
            sibling.close()
