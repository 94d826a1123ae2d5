"""Writes to one shard of the store beside an arm's load, and the judge's word on them.

The engine writes by itself, since a drill that is about acknowledgements must know each of them.
Some seconds before the arm ends everything is read back; what the judge says stands in the arm's
folder, as a history that `squall shard check --history` judges again.
Where the drill cuts off the primary that it writes to, its clients are on that side: until the cut
is over they reach no other node (``chaos.drill.side``).
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.drill import shard_role
from chaos.drill.arms import Arm
from chaos.drill.loadgen import LoadProcess
from chaos.drill.notes import Notes
from chaos.drill.readings import Written
from chaos.drill.records import Window
from chaos.drill.schema import Drill
from chaos.drill.shard_role import PRIMARY, StoreNode
from chaos.drill.side import Side, last_good_s, side_of
from chaos.drivers.host_fault import ISOLATE
from chaos.store.check import LIMITS
from chaos.store.injector import key_in
from resilience.policy.contract import Mode
from shard.check.ending import NotAsked, record_end, slots_of
from shard.check.events import History, Op, Outcome
from shard.check.history import parse_history
from shard.check.judge import judge
from shard.check.recorder import Recorder
from shard.check.workload import Keys, Workload
from shard.policy.topology import Address
from shard.store import Durability, StoreClient

WRITERS = 10  # each waits for its answer: at 100 a second ten of them have 100 ms for one
READ_BACK_S = 4.0  # before the arm ends: reading takes 10 ms, unless the store is ill
HISTORY = "history.jsonl"


async def write_and_judge(
    drill: Drill,
    arm: Arm,
    seed: int,
    nodes: Sequence[StoreNode],
    load: LoadProcess,
    folder: Path,
    notes: Notes,
) -> None:
    """Write all through an arm, then judge; what isn't known in time stays unknown."""
    if drill.writes is None:
        return
    addresses = [Address(node.host, node.port) for node in nodes]
    durability = _durability(arm)
    side = await side_of(drill, arm, nodes)
    store = StoreClient(addresses, limits=LIMITS, dial=side.dial)
    try:
        await store.connect()
        prefix = f"drill:{os.getpid()}:{time.time_ns()}:"
        keys = await _keys(drill.writes.shard, nodes, prefix)
        await load.sleep_until(0.0)
        with (folder / HISTORY).open("w") as file:
            began_s = load.at_s
            recorder = Recorder(file, {"seed": seed, "durability": durability.value})
            pace_s = WRITERS / drill.writes.rate
            work = Workload(store, store, recorder, durability, seed, pace_s)
            work.start(keys)
            try:
                await _wait(side, store, load, arm.seconds - READ_BACK_S)
            finally:
                await work.stop()
            await record_end(store, addresses, keys, prefix, recorder)
        history = parse_history((folder / HISTORY).read_text())
        notes.written = judged(history, _killed_s(notes), began_s, _cut(side, notes))
        await asyncio.gather(*(store.write("UNLINK", key) for key in (*keys.sets, *keys.probes)))
    except NotAsked:
        return  # a hypothesis about it then has nothing to go by, and is not held
    finally:
        await store.close()


def judged(
    history: History, killed_s: float | None, began_s: float, cut: Window | None = None
) -> Written:
    """Sum up a history.

    Args:
        history: Of an arm.
        killed_s: When a node was killed, on the run's clock; None for never.
        began_s: When the history began, on that clock.
        cut: When its clients reached only a primary that was cut off, on that clock; None for
            never.
    """
    good = [e for e in history.operations if e.op is Op.ADD and e.outcome is Outcome.OK]
    first_s = None if killed_s is None else _first_good_s(history, killed_s - began_s)
    last_s = None if cut is None else last_good_s(history, cut.from_s - began_s, cut.to_s - began_s)
    at_s = tuple(began_s + each.began_s for each in good)
    return Written(len(good), judge(history).lost, first_s, last_s, at_s)


def _first_good_s(history: History, since_s: float) -> float | None:
    """Return when writes were good again: seconds since a kill, None for never or never bad.

    A driver needs a moment to kill, and what was good in it says nothing: so it is the first good
    one that began after one that wasn't.
    """
    probes = [each for each in history.operations if each.op is Op.PROBE and each.ended_s]
    bad_s = next(
        (
            e.began_s
            for e in probes
            if e.outcome is not Outcome.OK and (e.ended_s or 0.0) >= since_s
        ),
        None,
    )
    if bad_s is None:
        return None
    good = (e.ended_s for e in probes if e.outcome is Outcome.OK and e.began_s > bad_s)
    first_s = next(good, None)
    return None if first_s is None else first_s - since_s


def _durability(arm: Arm) -> Durability:
    is_on = arm.policies.get("replicated") is Mode.ON
    return Durability.REPLICATED if is_on else Durability.LOCAL


async def _keys(shard: int, nodes: Sequence[StoreNode], prefix: str) -> Keys:
    roles = await shard_role.ask_roles(nodes)
    slots = slots_of(roles[shard_role.holder(roles, shard, PRIMARY)])
    sets = [key_in(slots, f"{prefix}set:{number}:") for number in range(WRITERS)]
    return Keys([], sets, [], [key_in(slots, f"{prefix}probe:")])


def _killed_s(notes: Notes) -> float | None:
    kills = [each.window.from_s for each in notes.faults.values() if each.fault.kind == "kill"]
    return min(kills, default=None)


async def _wait(side: Side, store: StoreClient, load: LoadProcess, until_s: float) -> None:
    """Let clients write; those on one side of a cut reach all nodes once it is over."""
    if side.is_apart:
        await load.sleep_until(side.until_s)
        side.rejoin()
        store.redial()
    await load.sleep_until(until_s)


def _cut(side: Side, notes: Notes) -> Window | None:
    """Return when clients reached only a node that was cut off."""
    begun = [each.window.from_s for each in notes.faults.values() if each.fault.kind == ISOLATE]
    return Window(min(begun), side.until_s) if begun and side.only is not None else None
