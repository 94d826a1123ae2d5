"""Break things on time: an arm's faults begin and end on the load generator's clock.

Faults of processes and links lie in the arm's overlay, which is written anew at each moment at
which one begins or ends. Faults of the host go to the driver, each in a task of its own: stopping
an instance takes seconds, and nobody else should wait for that. Crowds of clients are processes.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chaos.drill import shard_role
from chaos.drill.arms import FaultWindow
from chaos.drill.crowd import Crowd
from chaos.drill.fault import has_shard_role
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drill.loadgen import LoadProcess
from chaos.drill.notes import Notes
from chaos.drill.probes import ask_proofs
from chaos.drill.records import Window
from chaos.drill.shard_role import StoreNode
from chaos.drivers.host_fault import HostProof
from kit.control import ControlClient

PROOF_BEFORE_END_S = 0.4  # proofs are counted while the rule stands
AT_ONCE_BAND_S = 1.0  # a fault that is done and over is shown at least so long

Overlay = Callable[[Sequence[FaultWindow]], dict[str, Any]]
"""Makes the arm's overlay with these faults in it."""


class FaultSchedule:
    """The faults of one arm.

    Args:
        windows: As planned.
        overlay: Makes the arm's overlay.
        lease: Holds it.
        host: Holds the host's faults.
        control: Asked for proof.
        store: The store's nodes, where roles are looked up.
        load: Whose clock counts.
        notes: Where proofs and what really happened go.
        crowd: Makes the crowd of a fault of this id.
        token: Makes this arm's ids at the driver its own.
    """

    def __init__(
        self,
        windows: Sequence[FaultWindow],
        overlay: Overlay,
        lease: OverlayLease,
        host: HostLease,
        control: ControlClient,
        store: Sequence[StoreNode],
        load: LoadProcess,
        notes: Notes,
        crowd: Callable[[str], Crowd],
        token: str,
    ) -> None:
        self._windows = windows
        self._overlay = overlay
        self._lease = lease
        self._host = host
        self._control = control
        self._store = store
        self._load = load
        self._notes = notes
        self._crowd = crowd
        self._token = f"{token}.{os.getpid()}"
        self._silencing = 0
        self._has_bitten = {each.id: asyncio.Event() for each in windows if each.fault.is_host}

    async def run(self) -> None:
        """Let every fault begin and end; returns after the last.

        Raises:
            LabError: The lab refuses a fault, or doesn't answer and should.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry_out_rules([w for w in self._windows if _is_rule(w)]))
            for window in self._windows:
                if window.fault.is_host:
                    tasks.create_task(self._carry_out_host_fault(window))
                elif window.fault.is_detach:
                    tasks.create_task(self._carry_out_detach(window))
                elif window.fault.is_crowd:
                    tasks.create_task(self._carry_out_crowd(window))

    async def _carry_out_rules(self, planned: Sequence[FaultWindow]) -> None:
        windows = list(planned)
        moments = sorted({t for w in windows for t in (w.window.from_s, w.window.to_s)})
        for moment_s in moments:
            if any(w.window.to_s == moment_s for w in windows):
                await self._load.sleep_until(moment_s - PROOF_BEFORE_END_S)
                self._notes.add_proofs(await ask_proofs(self._control))
            await self._load.sleep_until(moment_s)
            for place, window in enumerate(windows):
                if window.window.from_s == moment_s:
                    windows[place] = await self._look_up(window)
                    self._notes.faults[window.id] = windows[place]
            active = [w for w in windows if w.window.from_s <= moment_s < w.window.to_s]
            await self._lease.change(self._overlay(active))

    async def _carry_out_host_fault(self, planned: FaultWindow) -> None:
        await self._load.sleep_until(planned.window.from_s)
        window = await self._look_up(planned)
        fault = window.host_fault(f"{window.id[:30]}.{self._token}")
        began_s = self._load.at_s
        self._expect_silence(window)
        await self._host.begin(fault)
        self._has_bitten[window.id].set()
        # Shown from now on, though its end isn't known yet.
        shown_to_s = began_s + AT_ONCE_BAND_S if window.fault.is_at_once else window.window.to_s
        self._notes.faults[window.id] = replace(window, window=Window(began_s, shown_to_s))
        await self._load.sleep_until(window.window.to_s)
        proof = await self._host.end(fault.id)
        self._expect_answers(window)
        self._notes.proofs[window.id] = as_proof(proof)
        to_s = self._load.at_s
        if window.fault.is_at_once:
            to_s = began_s + max(AT_ONCE_BAND_S, proof.seconds)
        self._notes.faults[window.id] = replace(window, window=Window(began_s, to_s))

    async def _carry_out_detach(self, planned: FaultWindow) -> None:
        """Drop replicas once each host fault that was to come before has bitten.

        An engine takes some 0.3 s to pause a container; dropped before that, its replica would be
        back at once.
        """
        await self._load.sleep_until(planned.window.from_s)
        for other in self._windows:
            if other.fault.is_host and other.window.from_s < planned.window.from_s:
                await self._has_bitten[other.id].wait()
        window = await self._look_up(planned)
        ended = await shard_role.drop_replicas(window.target, self._store)
        began_s = self._load.at_s
        shown = Window(began_s, began_s + AT_ONCE_BAND_S)
        self._notes.faults[window.id] = replace(window, window=shown)
        detail = f"{window.target} ended {ended} connections of replicas"
        self._notes.proofs[window.id] = {"hits": ended, "seconds": 0.0, "detail": detail}

    async def _carry_out_crowd(self, window: FaultWindow) -> None:
        await self._load.sleep_until(window.window.from_s)
        crowd = self._crowd(window.id)
        try:
            await crowd.begin(window.fault, window.window.seconds)
            self._notes.faults[window.id] = window
            await self._load.sleep_until(window.window.to_s)
            seconds = round(self._load.at_s - window.window.from_s, 2)
            self._notes.proofs[window.id] = {"seconds": seconds, **await crowd.end()}
        finally:
            await crowd.stop()

    async def _look_up(self, window: FaultWindow) -> FaultWindow:
        if not has_shard_role(window.target):
            return window
        return replace(window, target=await shard_role.resolve(window.target, self._store))

    def _expect_silence(self, window: FaultWindow) -> None:
        if window.fault.silences_control:
            self._silencing += 1
            self._lease.expect_silence()

    def _expect_answers(self, window: FaultWindow) -> None:
        if window.fault.silences_control:
            self._silencing -= 1
            if not self._silencing:
                self._lease.expect_answers()


def as_proof(proof: HostProof) -> dict[str, Any]:
    """Return a driver's proof as the run's files show it, beside those of rules."""
    return {
        "hits": proof.hits,
        "seconds": round(proof.seconds, 2),
        "instances": list(proof.instances),
        "detail": proof.detail,
    }


def _is_rule(window: FaultWindow) -> bool:
    fault = window.fault
    return not (fault.is_host or fault.is_crowd or fault.is_detach)
