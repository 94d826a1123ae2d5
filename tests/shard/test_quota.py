"""Quota on a real node: what the script divides, and what three nodes let in together."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from resilience.policy.contract import Outcome, Permit, Request
from resilience.policy.fair_share import jain_index
from resilience.policy.lease import Fallback, LeaseGrant, LeaseRequest, TenantAsk
from resilience.policy.token_lease import TokenLease
from shard import quota, quota_script
from shard.connection import Connection, Limits
from shard.quota import QuotaClient
from shard.quota_script import KEY_PREFIX, LeaseCall, parse_grant
from shard.resp import ReplyError, pack
from tests.shard.fake import fake_node, until
from tests.valkey import Valkey, launch, start_valkey

pytestmark = pytest.mark.integration

QUOTA_RPS = 600.0
TENANTS = ("ann", "bob", "cat")
SPANS = 4  # looks at what is let in; one on a quiet machine
PATIENT_S = 0.4  # a question's timeout that a busy machine keeps


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Run one node for the module."""
    with start_valkey() as node:
        yield node


class Store:
    """One connection to the node under test."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def ask(
        self, node: str, sequence: int, quota_rps: float = 100.0, **asks: TenantAsk
    ) -> LeaseGrant | None:
        """Send a question, by its source."""
        call = LeaseCall("g", node, quota_rps, LeaseRequest(sequence, asks))
        answer = await self.connection.send(call.by_source())
        assert not isinstance(answer, ReplyError), answer
        return parse_grant(answer, sequence)

    async def fill(self, seconds: float = 10.0) -> None:
        """Pretend that tokens were last divided so long ago."""
        key = KEY_PREFIX + "g"
        time_reply = await self.connection.send(pack(("TIME",)))
        assert isinstance(time_reply, list)
        now_us = int(time_reply[0]) * 1_000_000 + int(time_reply[1])
        at_us = now_us - round(seconds * 1e6)
        await self.connection.send(pack(("HSET", key, "at", at_us)))


@pytest.fixture
async def store(server: Valkey) -> AsyncIterator[Store]:
    """Connect to a node that is empty."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(Limits()), server.host, server.port
    )
    await connection.send(pack(("FLUSHALL",)))
    yield Store(connection)
    connection.close()


def ask(demand: float, want: float = 1e6, back: float = 0.0, weight: float = 1.0) -> TenantAsk:
    """Ask with a demand, for all there is."""
    return TenantAsk(weight, demand, want, back)


def tokens(grant: LeaseGrant | None) -> dict[str, float]:
    """Return what was granted, to the token: a little time passes between two questions."""
    assert grant is not None
    return {name: round(each) for name, each in grant.tokens.items()}


def test_defaults_are_those_documented() -> None:
    """A second of burst, a lease of the lab for nodes, a minute for a group; 50 ms to answer."""
    values = (quota_script.BURST_S, quota_script.NODE_TTL_S, quota_script.KEY_TTL_S)
    assert values == (1.0, 3.0, 60.0)
    assert quota.DEFAULT_TIMEOUT_S == 0.05


async def test_a_new_group_begins_empty_and_earns_by_the_servers_clock(store: Store) -> None:
    """Nothing at first; after a second a second's worth; no more than that after ten."""
    assert tokens(await store.ask("a", 1, a=ask(500))) == {"a": 0}
    await store.fill(0.5)
    assert tokens(await store.ask("a", 2, a=ask(500)))["a"] in range(50, 60)
    await store.fill(10.0)
    assert tokens(await store.ask("a", 3, a=ask(500))) == {"a": 100}


async def test_tenants_share_by_weighted_max_min_over_all_nodes(store: Store) -> None:
    """10 of 10, and 90 as 2 to 1: whoever asks for most gets no more than his due."""
    await store.ask("a", 1, small=ask(10), heavy=ask(500, weight=2.0))
    await store.ask("b", 1, shout=ask(9000))
    await store.fill()

    one = tokens(await store.ask("a", 2, small=ask(10), heavy=ask(500, weight=2.0)))
    other = tokens(await store.ask("b", 2, shout=ask(9000)))
    assert (one, other) == ({"small": 10, "heavy": 60}, {"shout": 30})


async def test_nodes_share_a_tenant_by_their_part_of_his_demand(store: Store) -> None:
    """Three quarters of the demand, three quarters of the tokens; both nodes are counted."""
    await store.ask("a", 1, t=ask(300))
    await store.ask("b", 1, t=ask(100))
    await store.fill()

    grant = await store.ask("a", 2, t=ask(300))
    assert tokens(grant) == {"t": 75}
    assert grant is not None
    assert grant.nodes == 2


async def test_the_same_number_gets_the_same_answer_and_an_older_none(store: Store) -> None:
    """A lost answer is asked for again, and nothing is booked twice."""
    await store.ask("a", 1, t=ask(500))
    await store.fill()
    first = await store.ask("a", 2, t=ask(500, want=40.0))
    await store.fill()

    assert await store.ask("a", 2, t=ask(500, want=40.0)) == first
    assert tokens(first) == {"t": 40}
    assert await store.ask("a", 1, t=ask(500)) is None
    assert tokens(await store.ask("b", 1, t=ask(500)))["t"] == 50  # half of a full bucket


async def test_what_is_given_back_is_there_for_others_and_credit_is_booked(store: Store) -> None:
    """Thirty come back into an empty bucket; a debt of 150 is booked as 100, and paid off first."""
    await store.ask("a", 1, t=ask(500))
    await store.fill()
    await store.ask("a", 2, t=ask(500))
    assert tokens(await store.ask("a", 3, t=ask(500, back=30.0)))["t"] in range(30, 40)

    await store.ask("a", 4, t=ask(500, back=-150.0))
    await store.fill(0.5)
    assert tokens(await store.ask("a", 5, t=ask(500))) == {"t": 0}
    await store.fill(0.75)
    assert 20 <= tokens(await store.ask("a", 6, t=ask(500)))["t"] <= 35


async def test_a_silent_node_and_its_demand_are_forgotten(store: Store) -> None:
    """Three seconds after its last question the other one has it all, and is alone."""
    gone = '{"at":1,"sequence":9,"demand":{"t":900,"old":5},"weight":{"t":1,"old":1},"reply":[]}'
    await store.connection.send(pack(("HSET", KEY_PREFIX + "g", "n:b", gone, "b:old", "7")))
    await store.ask("a", 1, t=ask(100))
    await store.fill()
    grant = await store.ask("a", 2, t=ask(100))

    assert grant == LeaseGrant(2, 1, {"t": 100.0})
    left = await store.connection.send(pack(("HKEYS", KEY_PREFIX + "g")))
    assert isinstance(left, list)
    assert sorted(left) == [b"at", b"b:t", b"n:a"]


async def test_what_nobody_asks_for_is_kept_by_weight_and_a_group_expires(store: Store) -> None:
    """A tenant of 10 may be given 55 at once, half of what is spare; the hash lives a minute."""
    await store.ask("a", 1, one=ask(10), other=ask(0))
    await store.fill()
    assert tokens(await store.ask("a", 2, one=ask(10), other=ask(0))) == {"one": 55, "other": 45}

    left_ms = await store.connection.send(pack(("PTTL", KEY_PREFIX + "g")))
    assert isinstance(left_ms, int)
    assert 50_000 < left_ms <= 60_000


async def test_a_slow_tenant_still_gets_whole_tokens(store: Store) -> None:
    """A bucket holds one token at least, however small the share: half of one at a time."""
    for number in range(1, 6):
        await store.ask("a", number, quota_rps=0.5, t=ask(0.4, want=0.0))
        await store.fill()

    assert tokens(await store.ask("a", 6, quota_rps=0.5, t=ask(0.4, want=9.0))) == {"t": 1}


@pytest.mark.parametrize(
    "answer", [None, 1, [], [b"1", b"t"], [b"x"], [1], [b"1", b"t", b"much"], ReplyError("ERR no")]
)
def test_what_is_no_answer_is_none(answer: object) -> None:
    """Nothing that isn't a count and pairs is taken for a grant."""
    assert parse_grant(answer, 1) is None


class Fleet(NamedTuple):
    """Nodes under load and what they let in, by tenant."""

    leases: list[TokenLease]
    admitted: dict[str, int]

    async def keep(self, low: float, high: float, seconds: float) -> None:
        """Fail unless a span keeps within these bounds, evenly.

        A machine that stops us for half a second stops the supply too: then the next span counts.
        """
        spans: list[tuple[float, float]] = []
        for _ in range(SPANS):
            spans.append(await self.span(seconds))
            if low <= spans[-1][0] <= high and spans[-1][1] >= 0.95:
                return
        raise AssertionError(f"admitted (in quotas, evenness): {spans}")

    def is_supplied(self) -> bool:
        """Whether every node has its lease, and knows of the others."""
        return all(not lease.is_alone and lease.nodes == 3 for lease in self.leases)

    async def span(self, seconds: float) -> tuple[float, float]:
        """Run on; return what was admitted, in quotas, and how even tenants were."""
        before, began_s = dict(self.admitted), time.monotonic()
        await asyncio.sleep(seconds)
        counts = [self.admitted[each] - before[each] for each in TENANTS]
        return sum(counts) / (QUOTA_RPS * (time.monotonic() - began_s)), jain_index(counts)


@asynccontextmanager
async def fleet(server: Valkey, fallback: Fallback = Fallback.LOCAL_SHARE) -> AsyncIterator[Fleet]:
    """Run three nodes, each sent two thirds of the quota by each of three tenants: 2x in all."""
    leases = [TokenLease(QUOTA_RPS, fallback=fallback, expected_nodes=3) for _ in range(3)]
    address = [(server.host, server.port)]
    clients = [QuotaClient(address, "g", lease, timeout_s=PATIENT_S) for lease in leases]
    load = Fleet(leases, dict.fromkeys(TENANTS, 0))
    for client in clients:
        await client.start()
    tasks = [asyncio.ensure_future(_send(lease, load.admitted)) for lease in leases]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for client in clients:
            await client.close()


async def _send(lease: TokenLease, admitted: dict[str, int]) -> None:
    """Send at 2/3 of the quota by the clock, however late a turn of the loop comes."""
    began_s, sent = time.monotonic(), 0
    while True:
        now_s = time.monotonic()
        due = int((now_s - began_s) * 2.0 * QUOTA_RPS / 3.0)
        for number in range(sent, due):
            tenant = TENANTS[number % 3]
            decision = lease.admit(Request(tenant=tenant), now_s)
            if isinstance(decision, Permit):
                admitted[tenant] += 1
                lease.settle(decision, Outcome.OK, now_s)
        sent = due
        await asyncio.sleep(0.005)


async def test_three_nodes_keep_the_quota_and_the_peace_and_outlive_the_store() -> None:
    """All well 0.95 to 1.05 quotas, even, local; node killed 0.7 to 1.3; and back again."""
    with start_valkey() as server:
        async with fleet(server) as load:
            await asyncio.sleep(0.6)
            await load.keep(0.95, 1.05, 1.8)
            await until(load.is_supplied)
            for lease in load.leases:
                local_ratio = lease.snapshot()["local_ratio"]
                assert isinstance(local_ratio, float)
                assert local_ratio >= 0.95

            server.stop()
            await load.keep(0.7, 1.3, 1.0)
            await until(lambda: all(lease.is_alone for lease in load.leases))

            again = launch(server.port, folder=server.folder)
            try:
                await load.keep(0.7, 1.3, 1.2)
                await until(load.is_supplied)
            finally:
                again.stop()


@pytest.mark.parametrize(("fallback", "quotas"), [(Fallback.OPEN, 2.0), (Fallback.CLOSED, 0.0)])
async def test_without_a_store_open_lets_all_in_and_closed_nobody(
    fallback: Fallback, quotas: float
) -> None:
    """From the first request on, when the store never answers."""
    with start_valkey() as server:
        server.stop()
        async with fleet(server, fallback) as load:
            spans = [(await load.span(0.5))[0]]
            while spans[-1] != pytest.approx(quotas, abs=0.15) and len(spans) < SPANS:
                spans.append((await load.span(0.5))[0])  # the machine stopped us, and the load

    assert spans[-1] == pytest.approx(quotas, abs=0.15), spans


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"+what\r\n",
        b"*1\r\n$1\r\n0\r\n",
        b"-ERR wrong\r\n",
        b"*3\r\n$1\r\n1\r\n$1\r\nt\r\n$4\r\n1e99\r\n",
    ],
)
async def test_a_store_that_is_slow_or_wrong_leaves_a_node_on_its_own(reply: bytes | None) -> None:
    """Silence, nonsense, no nodes, an error, more than was asked for: none is believed."""

    def handler(command: list[bytes]) -> bytes | None:
        return b"+PONG\r\n" if command[0] == b"PING" else reply

    lease = TokenLease(100.0, expected_nodes=2)
    lease.admit(Request(tenant="t"), time.monotonic())
    results: list[str] = []

    class Ear:
        def on_trip(self, group: str, result: str, duration_s: float) -> None:
            results.append(result)

    async with fake_node(handler) as node:
        client = QuotaClient([node.address], "g", lease, timeout_s=0.05, observer=Ear())
        await client.start()
        await until(lambda: len(results) >= 2)
        await client.close()

    assert lease.is_alone
    assert lease.nodes == 2
    assert set(results) <= {"failed", "wrong"}


async def test_after_close_nobody_asks_any_more(server: Valkey) -> None:
    """Starting twice is one loop, closing ends it, closing again or unstarted does nothing."""
    before = asyncio.all_tasks()
    client = QuotaClient([(server.host, server.port)], "closed", TokenLease(1.0))
    await client.close()
    client = QuotaClient([(server.host, server.port)], "closed", TokenLease(1.0))
    await client.start()
    await client.start()
    assert len(asyncio.all_tasks() - before) == 1
    await client.close()
    await client.close()

    assert asyncio.all_tasks() == before


async def test_all_clients_ask_the_owner_of_the_groups_key() -> None:
    """Groups are spread over the nodes as keys are, and each is on one."""
    nodes = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)]
    owners = [QuotaClient(nodes, f"g{n}", TokenLease(1.0)).owner for n in range(60)]
    again = [QuotaClient(nodes, f"g{n}", TokenLease(9.0)).owner for n in range(60)]

    assert owners == again
    assert set(owners) == {"cache-1", "cache-2", "cache-3"}
    assert repr(QuotaClient(nodes[:1], "g", TokenLease(1.0))).startswith(
        "<QuotaClient g on cache-1"
    )


async def test_bad_arguments_are_errors() -> None:
    """Nobody to ask, and no time to wait for him."""
    with pytest.raises(ValueError, match="no cache nodes"):
        QuotaClient([], "g", TokenLease(1.0))
    with pytest.raises(ValueError, match="timeout_s=0 must be above 0"):
        QuotaClient([("127.0.0.1", 1)], "g", TokenLease(1.0), timeout_s=0)
