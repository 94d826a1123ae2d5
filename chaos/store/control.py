"""The negative control: the same sequence loses LOCAL writes, and must, and no REPLICATED ones.

A checker that has never found anything may be blind. This sequence makes a store lose what it
acknowledged, each time: the replica stands still and its link to the primary is cut, so nothing
written from then on can reach it; the primary dies; the replica goes on and takes over. A plain
kill loses something in 2 of 20 runs only.
"""

import asyncio
import time
from pathlib import Path

from chaos.store.check import QUIET_S, Checked, Options, Say, Stand, judge_file, stand
from chaos.store.injector import pairs_of, wait_replicated
from chaos.store.own import REJOIN_DELAY_S, OwnStore
from kit.errors import LabEnvironmentError
from shard.check.ending import role_of
from shard.store import Durability

BEHIND_S = 0.3  # below the node timeout: nobody takes the replica for dead
TAKEOVER_LIMIT_S = 15.0
POLL_S = 0.02


async def lose_by_force(durability: Durability, seed: int, path: Path, say: Say) -> Checked:
    """Run the sequence and judge it; arguments and errors as ``check_store``."""
    options = Options(("pause", "kill"), durability=durability, seed=seed)
    with path.open("w") as file:
        async with stand(options, file, say) as made:
            seen = await _sequence(made)
            await asyncio.sleep(QUIET_S)
    say(f"{durability.value} writes: {seen}")
    return judge_file(path)


async def _sequence(made: Stand) -> str:
    own, recorder = made.own, made.recorder
    pair = (await pairs_of(own))[0]
    primary, replica = (str(own.addresses[each]) for each in (pair.primary, pair.replica))
    paused = recorder.fault("pause", replica, "replica", pair.slots)
    own.pause(pair.replica)
    own.wires.cut(own.hosts[pair.replica], [own.hosts[pair.primary]])
    await asyncio.sleep(BEHIND_S)
    killed = recorder.fault("kill", primary, "primary", pair.slots)
    has_stood = own.state(pair.replica) == "stopped"
    own.kill(pair.primary)
    recorder.mended(paused, has_bit=has_stood, proof=f"it stood still for {BEHIND_S:g} s")
    own.resume(pair.replica)
    took_s = await _taken_over(own, pair.replica)
    own.wires.heal()
    await asyncio.sleep(max(0.0, REJOIN_DELAY_S - took_s))
    seen = f"{replica} stood still, {primary} died, {replica} took over after {took_s:.1f} s"
    recorder.mended(killed, has_bit=own.state(pair.primary) == "dead", proof=seen)
    await own.start(pair.primary)
    await own.whole()
    await wait_replicated(made.writer, made.keys.probes[0])
    return seen


async def _taken_over(own: OwnStore, node: int) -> float:
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < TAKEOVER_LIMIT_S:
        row = await role_of(own.addresses[node])
        if row is not None and not row.is_replica:
            return at_s
        await asyncio.sleep(POLL_S)
    raise LabEnvironmentError(f"{own.addresses[node]} did not take over in {TAKEOVER_LIMIT_S:g} s")
