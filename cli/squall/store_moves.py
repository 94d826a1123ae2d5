"""What ``squall shard plan|add|…`` do once they reach the store."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer

from kit.errors import ConfigError, LabEnvironmentError
from shard.connection import Limits
from shard.form import read_nodes
from shard.move.joining import join_shard, let_go
from shard.move.journal import LEASE_MS, Journal, Taken
from shard.move.mover import Mover, Progress
from shard.move.node import Cluster
from shard.move.pace import Rates
from shard.policy.plan import (
    Plan,
    PlanRefused,
    make_plan,
    owners_of,
)
from shard.policy.plan_file import from_text, to_text
from shard.policy.survey import ShardState, join
from shard.policy.topology import Address
from shard.store import StoreClient
from squall.output import emit, nearest, say
from squall.store_bar import Bar
from squall.store_change import Change
from squall.store_plan import plan_data, plan_text

NEWCOMER = "new"
CLIENT_LIMITS = Limits(reply_timeout_s=2.0)
EVERY_S = 1.0


def confirm() -> None:
    """Ask; anything but yes ends the command.

    Raises:
        ConfigError: Nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked whether it may move: give --yes")
    typer.confirm("Move it?", abort=True, err=True)


async def show_plan(
    nodes: Sequence[Address], change: Change, out: Path | None, *, as_json: bool
) -> None:
    """Show what a change would move."""
    cluster = Cluster(nodes)
    try:
        shards = join(await cluster.look())
        plan = _plan(shards, change)
        data = await plan_data(cluster, shards, plan)
        if out is not None:
            _write(out, to_text(plan))
        emit("squall.shard-move/1", data, as_json=as_json, text=plan_text(data))
    finally:
        cluster.close()


async def carry_out(
    nodes: Sequence[Address],
    change: Change,
    file: Path | None,
    rates: Rates,
    *,
    ask: bool,
    as_json: bool,
) -> None:
    """Plan, show, ask and move; or go on with the same change where it was broken off.

    Raises:
        LabEnvironmentError: Another change was broken off: it is ended first, one way or the other.
    """
    given = _refused(from_text, _read(file)) if file is not None else None
    wanted = to_text(given) if given else " ".join(change.argv)
    async with _at_work(nodes) as (cluster, journal):
        under_way = await _refusing(journal.plan())
        if under_way is not None:
            if await _refusing(journal.wanted()) != wanted:
                raise LabEnvironmentError(
                    "another move was broken off: squall shard resume goes on with it, squall "
                    "shard cancel ends it; then give this command again"
                )
            say("squall: going on where this was broken off (to end it: squall shard cancel)")
            await _run(cluster, journal, under_way, rates, as_json=as_json)
            return
        shards = join(await cluster.look())
        plan = given or _plan(shards, change)
        say(plan_text(await plan_data(cluster, shards, plan)))
        if ask:
            confirm()
        if change.add and given is None:
            first, second = read_nodes(",".join(change.add))
            await _refusing(join_shard(cluster, first, second))
            plan = _plan(join(await cluster.look()), change)
        await journal.begin(plan, wanted)
        await _run(cluster, journal, plan, rates, as_json=as_json)


async def go_on(nodes: Sequence[Address], rates: Rates, *, as_json: bool) -> None:
    """Go on with the plan under way."""
    async with _at_work(nodes) as (cluster, journal):
        plan = await _refusing(journal.plan())
        if plan is None:
            raise LabEnvironmentError("no move is under way: squall shard plan shows what could be")
        await _run(cluster, journal, plan, rates, as_json=as_json)


async def call_off(nodes: Sequence[Address], *, as_json: bool) -> None:
    """Have the mover at work cancel; without one, take its slots back."""
    async with _opened(nodes) as (cluster, journal):
        plan = await _refusing(journal.plan())
        if plan is None:
            raise LabEnvironmentError("no move is under way: nothing to cancel")
        try:
            await journal.take()
        except Taken:
            await journal.ask_to_stop()
            holder = await journal.holder()
            emit_end("asked to stop", plan, None, as_json=as_json)
            say(f"squall: {holder} ends with its next slots")
            return
        try:
            await Mover(cluster, journal).back(plan)
        finally:
            await journal.release()
        emit_end("cancelled", plan, None, as_json=as_json)


def emit_end(word: str, plan: Plan, last: Progress | None, *, as_json: bool) -> None:
    """Say how a move ended."""
    slots = last.slots if last else None
    keys = last.keys if last else None
    data = {"is": word, "slots": slots, "of_slots": len(plan.moves), "keys": keys}
    done = (
        f": {slots} of {len(plan.moves)} slots, {keys} keys, {last.seconds:.1f} s" if last else ""
    )
    emit("squall.shard-moved/1", data, as_json=as_json, text=f"{word}{done}")


async def _run(
    cluster: Cluster, journal: Journal, plan: Plan, rates: Rates, *, as_json: bool
) -> None:
    bar = Bar()
    try:
        moved = await Mover(cluster, journal, rates=rates, report=bar).run(plan)
    finally:
        bar.end()
    if moved:
        owning = {move.target for move in plan.moves}
        left = {move.source for move in plan.moves} - owning
        shards = {
            one.primary.node_id for one in join(await cluster.look()) if one.primary.row.slots
        }
        gone = [node for name in left - shards for node in plan.members[name]]
        await let_go(cluster, gone)
    emit_end("moved" if moved else "cancelled", plan, bar.last, as_json=as_json)


@asynccontextmanager
async def _opened(nodes: Sequence[Address]) -> AsyncIterator[tuple[Cluster, Journal]]:
    import asyncio

    store = StoreClient(nodes, limits=CLIENT_LIMITS)
    cluster = Cluster(nodes)
    try:
        await _refusing(cluster.require_valkey())
        async with asyncio.timeout(LEASE_MS / 1000):
            await store.connect()
        yield cluster, Journal(store)
    except TimeoutError:
        raise LabEnvironmentError("the store doesn't answer: squall shard status") from None
    finally:
        cluster.close()
        await store.close()


@asynccontextmanager
async def _at_work(nodes: Sequence[Address]) -> AsyncIterator[tuple[Cluster, Journal]]:
    """Hold the lease; of a mover that was killed it ends within five seconds, waited for here."""
    import asyncio
    import time

    async with _opened(nodes) as (cluster, journal):
        limit_s = time.monotonic() + LEASE_MS / 1000 + EVERY_S
        while True:
            try:
                await journal.take()
                break
            except Taken as error:
                if time.monotonic() > limit_s:
                    raise Taken(f"{error} (to end it: squall shard cancel)") from None
                await asyncio.sleep(EVERY_S / 4)
        try:
            yield cluster, journal
        finally:
            await journal.release()


def _plan(shards: Sequence[ShardState], change: Change) -> Plan:
    """Plan a change; shards that aren't in yet stand for themselves."""
    members = {one.primary.node_id: one.node_ids for one in shards}
    owned = {one.primary.node_id: one.primary.row.slots for one in shards}
    dead = frozenset(one.primary.node_id for one in shards if one.primary.trouble)
    by_address = {
        str(each.address): one.primary.node_id
        for one in shards
        for each in (one.primary, *one.replicas)
    }
    wanted = [name for name in members if owned[name]]
    if change.add:
        name = by_address.get(change.add[0], NEWCOMER)
        if owned.get(name):
            raise ConfigError(f"{change.add[0]} is a shard with slots already: it can't be added")
        members.setdefault(name, change.add)
        wanted.append(name)
    if change.remove:
        if change.remove not in by_address:
            raise ConfigError(f"no node {change.remove} here; {nearest(change.remove, by_address)}")
        wanted = [name for name in wanted if name != by_address[change.remove]]
    return _refused(
        lambda: make_plan(owners_of(owned), members, wanted, algorithm=change.algorithm, dead=dead)
    )


def _refused(work: Any, *arguments: Any) -> Plan:
    """Call what may refuse a plan; the refusal is the user's to mend."""
    try:
        plan: Plan = work(*arguments)
    except PlanRefused as error:
        raise ConfigError(str(error)) from None
    return plan


async def _refusing(work: Any) -> Any:
    try:
        return await work
    except PlanRefused as error:
        raise ConfigError(str(error)) from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--plan {file}: {error}") from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {file}: {error.strerror}") from None
