"""What changes between copy and leave: the target's replica has it before the source lets go."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from shard.move import relay as relays
from shard.move.mover import Progress
from shard.move.node import NodeLink, NodeTrouble
from shard.move.relay import (
    MAX_COMMAND_BYTES,
    MAX_STRANGER_BYTES,
    PORT_ATTEMPTS,
    PORTS,
    TAKE_LIMIT_S,
    WAIT_TIMEOUT_MS,
    Parcel,
    Relay,
)
from shard.move.slot import CARRIER_TTL_MS, MIGRATE_TIMEOUT_MS, MOST_CHANGED
from shard.policy.plan import Plan
from shard.policy.slot_move import Step
from shard.policy.topology import Address
from shard.resp import Argument, pack
from shard.store import StoreClient
from tests.shard.cluster import StoreCluster
from tests.shard.move.moving import check_whole, fill, mover_at, plan_for, slots_of
from tests.valkey import Valkey, start_valkey

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def test_documented_defaults() -> None:
    """Ports, bytes, milliseconds; the relay gives up before MIGRATE does."""
    assert (PORTS.start, PORTS.stop, PORT_ATTEMPTS) == (20_000, 30_000, 50)
    assert (MAX_COMMAND_BYTES, MAX_STRANGER_BYTES) == (536_870_912, 65_536)
    assert (WAIT_TIMEOUT_MS, MIGRATE_TIMEOUT_MS, CARRIER_TTL_MS) == (300, 500, 60_000)
    assert (TAKE_LIMIT_S, MOST_CHANGED) == (0.4, 5000)
    assert WAIT_TIMEOUT_MS < MIGRATE_TIMEOUT_MS
    assert TAKE_LIMIT_S * 1000 < MIGRATE_TIMEOUT_MS


class OneSlot:
    """A slot with four keys and its way to another shard."""

    def __init__(self, cluster: StoreCluster, plan: Plan, values: dict[str, bytes]) -> None:
        nodes = {node.cli("CLUSTER", "MYID"): node for node in cluster.nodes}
        self.plan, self.values = plan, values
        self.slot, source, target = plan.moves[0]
        self.source, self.target = nodes[source], nodes[target]
        self.targets_replica: Valkey = nodes[plan.members[target][1]]

    def change(self, what: str) -> None:
        """Let a client write to the source, and know what it wrote."""
        first, second, *_ = self.values
        if what in ("changed", "both"):
            self.source.cli("SET", first, "late")
            self.values[first] = b"late"
        for key in {"gone": [first], "both": [second], "all gone": [*self.values]}.get(what, []):
            self.source.cli("DEL", key)
            del self.values[key]

    def keys_of(self, node: Valkey) -> int:
        """Count what a node has in the slot."""
        return int(node.cli("CLUSTER", "COUNTKEYSINSLOT", str(self.slot)))


@pytest.fixture
async def one(cluster: StoreCluster, store: StoreClient) -> OneSlot:
    """Write the keys and plan the move."""
    values = await fill(store, "between")
    slot = slots_of(values)[0]
    here = {key: value for key, value in values.items() if slots_of({key: b""}) == [slot]}
    return OneSlot(cluster, await plan_for(cluster, [slot]), here)


async def move(
    cluster: StoreCluster,
    one: OneSlot,
    change: Callable[[], None],
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Move the slot; something is written between copy and leave."""

    async def watch(step: Step, slot: int) -> None:
        if step is Step.COPY:
            change()

    async with mover_at(cluster, watch) as (mover, journal):
        mover._report = report
        await journal.take()
        await journal.begin(one.plan)
        assert await mover.run(one.plan)
        await journal.release()


@pytest.mark.parametrize("what", ["changed", "gone", "both", "all gone"])
@pytest.mark.parametrize("is_proven", [True, False])
async def test_what_changed_arrives_and_what_is_gone_stays_gone(
    cluster: StoreCluster,
    one: OneSlot,
    what: str,
    is_proven: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the relay or without; no key that carried word of it is left."""
    brought: list[Sequence[tuple[Argument, ...]]] = []
    real = relays._deliver

    async def deliver(target: NodeLink, work: Sequence[tuple[Argument, ...]]) -> None:
        brought.append(work)
        await real(target, work)

    monkeypatch.setattr(relays, "_deliver", deliver)
    if not is_proven:
        monkeypatch.setattr(Relay, "reaches", lambda self, source: False)

    await move(cluster, one, lambda: one.change(what))

    await check_whole(cluster, one.plan, one.values)
    assert one.keys_of(one.target) == len(one.values)
    work = {"changed": 1, "gone": 1, "both": 2, "all gone": 4}[what]
    assert [len(each) for each in brought] == ([work] if is_proven else [])


@pytest.mark.parametrize("what", ["changed", "gone"])
async def test_nothing_leaves_before_the_targets_replica_has_it(
    cluster: StoreCluster, one: OneSlot, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it can't have it, all keys are at the source; then they go, and nothing comes back."""
    real = relays._deliver
    kept: list[tuple[int, int]] = []

    async def deliver(target: NodeLink, work: Sequence[tuple[Argument, ...]]) -> None:
        if not kept:
            cluster.pause(cluster.nodes.index(one.targets_replica))
        await real(target, work)

    def report(progress: Progress) -> None:
        if "no replica in step" in progress.waiting_for and not kept:
            kept.append((one.keys_of(one.source), len(one.values)))
            cluster.resume(cluster.nodes.index(one.targets_replica))

    monkeypatch.setattr(relays, "_deliver", deliver)
    await move(cluster, one, lambda: one.change(what), report)

    [(left, written)] = kept
    assert left == written
    await check_whole(cluster, one.plan, one.values)
    assert one.keys_of(one.target) == len(one.values)


async def test_a_source_that_cannot_connect_speaks_to_the_target_itself(
    cluster: StoreCluster, one: OneSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries once, and the slot arrives all the same."""
    asked: list[str] = []

    async def nobodys(self: Relay, host: str) -> Address:
        asked.append(host)
        return Address(host, 1)

    monkeypatch.setattr(Relay, "address", nobodys)
    await move(cluster, one, lambda: one.change("both"))
    assert len(asked) == 1
    await check_whole(cluster, one.plan, one.values)


@pytest.mark.parametrize(
    "said",
    [
        pack(("PING",)),
        pack(("AUTH", "squall", "00000000000000000000000000000000:")),
        pack(("RESTORE-ASKING", "key", 0, "payload", "REPLACE")),
        b"+OK\r\n",
        b"hello\r\n",
        b"*1000000000\r\n",
        b"$" + b"x" * MAX_STRANGER_BYTES,
        b"*2\r\n$5\r\nAUTH",
    ],
)
async def test_who_is_not_expected_is_sent_away(said: bytes) -> None:
    """Whatever it says, and soon; a parcel is expected meanwhile."""
    parcel = Parcel(NodeLink(Address("127.0.0.1", 1)), b"carrier", {})
    with closing(Relay()) as relay, relay.expecting(parcel):
        where = await relay.address("127.0.0.1")
        assert where.port in PORTS
        assert await relay.address("127.0.0.1") == where
        reader, writer = await asyncio.open_connection(*where)
        writer.write(said)
        writer.write_eof()
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer == b"" or answer.startswith(b"-ERR ")


async def test_what_comes_too_late_is_refused() -> None:
    """The source may have handed the keys to the target by then."""
    late = Parcel(NodeLink(Address("127.0.0.1", 1)), b"carrier", {}, time.monotonic() - 0.41)
    with closing(Relay()) as relay, relay.expecting(late) as word:
        reader, writer = await asyncio.open_connection(*await relay.address("127.0.0.1"))
        writer.write(pack(("AUTH", "squall", f"{word}:")))
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer == b"-ERR that is too late\r\n"


async def test_too_many_changes_are_copied_again(
    cluster: StoreCluster, one: OneSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source serves alone meanwhile: its mark is taken off, and no carrier is left."""
    monkeypatch.setattr("shard.move.slot.MOST_CHANGED", 0)
    said: list[str] = []

    def report(progress: Progress) -> None:
        if progress.waiting_for:
            said.append(one.source.cli("CLUSTER", "NODES"))
            assert one.keys_of(one.source) == len(one.values)
            monkeypatch.undo()

    await move(cluster, one, lambda: one.change("changed"), report)
    assert said
    assert "->-" not in said[0]
    await check_whole(cluster, one.plan, one.values)


async def test_a_target_that_refuses_is_believed(tmp_path: Path) -> None:
    """All commands that came together are answered with what it said."""
    with start_valkey() as node:
        link = NodeLink(Address(node.host, node.port))
        with closing(Relay()) as relay, relay.expecting(Parcel(link, b"carrier", {})) as word:
            reader, writer = await asyncio.open_connection(*await relay.address("127.0.0.1"))
            restores = [("RESTORE-ASKING", key, 0, "payload") for key in ("carrier", "key")]
            for command in (("AUTH", "squall", f"{word}:"), ("SELECT", 0), *restores):
                writer.write(pack(command))
            async with asyncio.timeout(5):
                answers = [await reader.readline() for _ in range(4)]
            writer.close()
        link.close()
    assert len(set(answers)) == 1
    assert b"DUMP payload version or checksum are wrong" in answers[0]


async def test_no_port_is_an_error() -> None:
    """A host that isn't this machine's has none."""
    with (
        closing(Relay()) as relay,
        pytest.raises(NodeTrouble, match=r"of 50 ports of 192\.0\.2\.1"),
    ):
        await relay.address("192.0.2.1")
