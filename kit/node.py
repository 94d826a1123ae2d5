"""Node: what every Python process of the lab stands on.

Why: a service, the gateway and a balancer differ in what they serve, not in how they live. A node
starts in any order (it waits for control as long as it takes), follows control, holds the lease,
answers asks, and goes on with what it knows when control is dead.

    node = Node(load_settings("video"))
    await node.start()
    ...                                  # node.mode("limiter"), node.station, node.directory, ...
    await node.lifecycle.serve(close)    # ready until SIGTERM, then drained
    await node.stop()
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from faults.injector import Injector
from faults.rule import FaultRule
from kit.changes import Changes
from kit.control import SETTLE_S, Ask, ControlClient
from kit.directory import Directory
from kit.errors import LabError
from kit.events import Events
from kit.follower import Follower
from kit.lifecycle import Lifecycle
from kit.listeners import call_all
from kit.members import Digest, Member, select
from kit.metrics import Metrics
from kit.pressure import Pressure
from kit.recorder import Recorder
from kit.settings import Settings
from kit.state import LabState
from kit.station import Station
from kit.station_schedule import no_station
from kit.vitals import local_address, rss_bytes
from kit.watchdog import Watchdog
from resilience.policy.contract import Mode, Snapshot

log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Any]], object]


class Resettable(Protocol):
    """A policy as a node sees it: any Gate, Queue or Picker that can be reset and looked at."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return its figures."""


class Node:
    """One process's place in the lab; make it on the running loop.

    Args:
        settings: From ``load_settings``.
        settle_s: How long a new control server listens for offers; tests take less.

    ``port`` is what the lease announces; whoever listens sets it before it becomes ready.
    """

    def __init__(self, settings: Settings, *, settle_s: float = SETTLE_S) -> None:
        self.settings = settings
        self.instance = settings.instance
        self.port = 0
        self.host = settings.host
        self.state = LabState()
        self.control = ControlClient(settings.control, settle_s=settle_s)
        self.directory = Directory(settings.service)
        self.recorder = Recorder()
        self.events = Events(settings.instance)
        self.lifecycle = Lifecycle(self.announce, lambda: self.mode("drain") is not Mode.OFF)
        # Seeded by name: the same lab draws the same service times, and replicas differ.
        self.rng = random.Random(settings.instance)
        self.station = Station(no_station(random.Random(settings.instance + "/station")))
        self.faults = Injector(self._faults_now, random.Random(settings.instance + "/faults"))
        self.watchdog = Watchdog(self._on_beat)
        self._pressure = Pressure(
            self.station.busy_share, lambda: self.watchdog.lag_s, self.station.wait_s
        )
        self.gates: dict[str, Resettable] = {}
        self.metrics = Metrics(self.policies)
        self._modes: dict[str, Mode] = {}
        self._choices: dict[str, str] = {}
        self._rules: Sequence[FaultRule] = ()
        self._on_change: list[Callable[[LabState], None]] = []
        self._on_reset: list[Callable[[float], None]] = []
        self._answers: dict[str, Answer] = {}
        self._via: dict[str, str] = {}
        self._changes = Changes(self, self.events)
        self._epoch: int | None = None
        self._counted_from = (time.monotonic(), time.process_time())
        self._started_unix_s = time.time()
        self._follower = Follower(
            self.control,
            self.directory,
            self._member,
            self._apply,
            self._answer,
            is_static=lambda: self.mode("static") is Mode.ON,
        )
        self._following: asyncio.Task[None] | None = None
        self._wire()

    def __repr__(self) -> str:
        return f"<Node {self.instance} {self.lifecycle.phase.value}, version {self.state.version}>"

    async def start(self) -> None:
        """Wait for control, take its state, begin to follow it."""
        self.watchdog.start()
        await self._follower.first_contact()
        self.host = self.host or local_address(self.settings.control)
        self._following = asyncio.create_task(self._follower.run(), name="follower")

    async def stop(self) -> None:
        """Give the lease back and let go of everything; safe to call after a failed start."""
        self.watchdog.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        try:
            await self.control.leave(self.instance)
        except LabError:
            log.debug("control is away, the lease will end by itself")
        await self.control.close()

    async def announce(self) -> None:
        """Tell control at once what we are now, e.g. not ready."""
        if self._following is not None:
            await self._follower.announce()

    def set_via(self, via: Mapping[str, str]) -> None:
        """Say in the lease which ways round are kept open (``Member.via``); ``announce`` tells it.

        Args:
            via: ``<client>><host>:<port>`` of a server to ``<host>:<port>`` to dial instead.
        """
        self._via = dict(via)

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands for this process; a dictionary look-up."""
        mode = self._modes.get(policy)
        if mode is None:
            mode = self.state.mode(policy, self.settings.service, self.settings.replica)
            self._modes[policy] = mode
        return mode

    def setting(self, name: str, default: float) -> float:
        """Return a number set for this process, or the default."""
        return self.state.setting(self.settings.service, self.settings.replica, name, default)

    def choice(self, name: str, default: str) -> str:
        """Return what was chosen for this process (``kit.choices``); a dictionary look-up."""
        chosen = self._choices.get(name)
        if chosen is None:
            chosen = self.state.choice(self.settings.service, self.settings.replica, name, default)
            self._choices[name] = chosen
        return chosen

    def pressure(self) -> float:
        """Return how full this process is: 0 idle, 1 full; sampled four times a second."""
        return self._pressure.value

    def on_change(self, callback: Callable[[LabState], None]) -> None:
        """Call this with each new state; it must be quick."""
        self._on_change.append(callback)

    def on_reset(self, callback: Callable[[float], None]) -> None:
        """Call this with ``now_s`` when a drill wants everything learned to be forgotten."""
        self._on_reset.append(callback)

    def register_gate(self, name: str, gate: Resettable) -> None:
        """Show a policy in asks, admin pages and metrics, and reset it when told to."""
        self.gates[name] = gate
        self.on_reset(gate.reset)

    def answer(self, kind: str, handler: Answer) -> None:
        """Answer asks of a kind; the last handler given for a kind holds."""
        self._answers[kind] = handler

    def policies(self) -> dict[str, Snapshot]:
        """Return the snapshots of the registered policies."""
        return {name: gate.snapshot() for name, gate in sorted(self.gates.items())}

    def stats(self) -> dict[str, Any]:
        """Return the counters since the last reset."""
        since_s, cpu_s = self._counted_from
        return {
            "seconds": time.monotonic() - since_s,
            "cpu_s": time.process_time() - cpu_s,
            "rss_bytes": rss_bytes(),
            "in_flight": self.lifecycle.in_flight,
            "station": self.station.stats()._asdict(),
            "loop": {**self.watchdog.stats()._asdict(), "blocks": self.watchdog.named()},
            "blocks": [block._asdict() for block in self.watchdog.blocks],
            "codes": self.recorder.by_code(),
        }

    def _wire(self) -> None:
        self.recorder.on_add(self.metrics.observe)
        self.metrics.gauges(self._gauges)
        self.answer("explain", lambda args: self.explain(str(args.get("request_id", ""))))
        self.answer("policies", lambda args: self.policies())
        self.answer("faults", lambda args: self.faults.proofs())
        self.answer("stats", lambda args: self.stats())
        self.answer("events", self.events.answer)
        self.lifecycle.on_ready_change(self._changes.on_ready)

    def explain(self, request_id: str) -> list[Any]:
        """Return this hop's summaries of a request, as plain JSON."""
        return [msgspec.to_builtins(one) for one in self.recorder.find(request_id)]

    def _apply(self, state: LabState) -> None:
        service, replica = self.settings.service, self.settings.replica
        self.state = state
        self._modes = {}
        self._choices = {}
        self._rules = state.faults_for(service, replica)
        self.station.set(state.station(service, replica))
        self.directory.set_state(state)
        epoch = state.reset_epoch()
        if self._epoch is not None and epoch != self._epoch:
            self._reset()
        self._epoch = epoch
        self._changes.on_state(self._rules)
        call_all(self._on_change, state)

    def _reset(self) -> None:
        self.station.reset()
        self.watchdog.reset()
        self.recorder.reset_counts()
        self.faults.reset()
        self._counted_from = (time.monotonic(), time.process_time())
        call_all(self._on_reset, time.monotonic())

    def _answer(self, ask: Ask) -> tuple[str, object] | None:
        if not select([self._member(self.state.version)], ask.targets):
            return None
        handler = self._answers.get(ask.kind)
        if handler is None:
            return self.instance, None
        try:
            return self.instance, handler(ask.args)
        except Exception as error:
            log.exception("an ask failed", extra={"kind": ask.kind})
            return self.instance, {"error": type(error).__name__}

    def _member(self, version: int) -> Member:
        rates = self.recorder.rates()
        digest = Digest(
            rps=round(rates.rps, 1),
            p99_ms=round(rates.p99_ms, 2),
            failures=round(rates.failures, 1),
            in_flight=self.lifecycle.in_flight,
            rss_bytes=rss_bytes(),
            cpu_ratio=round(self._pressure.cpu_ratio, 3),
            lag_ms=round(self.watchdog.p99_s() * 1000.0, 1),
        )
        return Member(
            instance=self.instance,
            service=self.settings.service,
            replica=self.settings.replica,
            host=self.host,
            port=self.port,
            admin_port=self.settings.admin_port,
            ready=self.lifecycle.is_ready,
            version_seen=version,
            pid=os.getpid(),
            started_unix_s=self._started_unix_s,
            digest=digest,
            via=self._via,
        )

    def _faults_now(self) -> Sequence[FaultRule]:
        return self._rules

    def _on_beat(self) -> None:
        self._pressure.tick()
        self._changes.on_beat(time.monotonic())

    def _gauges(self) -> Mapping[str, float]:
        return {
            "process_resident_memory_bytes": rss_bytes(),
            "process_cpu_seconds": time.process_time(),
            "squall_loop_lag_seconds": self.watchdog.p99_s(),
            "squall_pressure_ratio": self.pressure(),
            "squall_in_flight_requests": self.lifecycle.in_flight,
            "squall_ready": float(self.lifecycle.is_ready),
            "squall_state_version": self.state.version,
        }
