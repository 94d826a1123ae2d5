"""The cache's promise against everything at once: several clients, nodes that die, freeze, return.

The machine plays the network as well: a command to a frozen node waits in its socket and may run
when the node goes on, or never; a command that ran may lose its answer; each client's way to each
node can be cut. Every read is judged by the deletes that had returned when it began.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shard.cache_scripts import GAP_S
from shard.policy.coherence import Coherence
from shard.policy.presence import Presence
from tests.shard.model_cache import ModelNode

pytestmark = pytest.mark.property

NODES = ("cache-1", "cache-2", "cache-3")
CLIENTS = ("ann", "bob")
KEY = "k"

nodes = st.sampled_from(NODES)
clients = st.sampled_from(CLIENTS)
steps = st.sampled_from([0.01, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0])


@dataclass
class Client:
    """What one client knows, and its misses that the origin has answered or has yet to answer."""

    name: str
    coherence: Coherence
    presence: dict[str, Presence] = field(  # two looks, so that it is wrong often enough
        default_factory=lambda: {name: Presence(gone_looks=2) for name in NODES}
    )
    cut: set[str] = field(default_factory=set)
    flushing: list[tuple[str, int]] = field(default_factory=list)  # done, and not yet known
    misses: list[tuple[str, int, str]] = field(default_factory=list)  # node, run, token
    answers: list[tuple[str, int, str, int]] = field(default_factory=list)  # and the origin's word

    @property
    def gone(self) -> set[str]:
        """The nodes it takes for gone; it may be wrong: they are frozen, or its own way is cut."""
        return {name for name, each in self.presence.items() if each.is_gone}


@dataclass
class Delete:
    """A delete under way or returned: how each candidate was dealt with."""

    client: str
    version: int
    waits: dict[str, int] = field(default_factory=dict)  # node -> number of its notice
    unproven: set[str] = field(default_factory=set)
    witnesses: dict[str, set[tuple[str, int]]] = field(default_factory=dict)  # node -> (board, run)


@dataclass(frozen=True)
class Read:
    """A read as it began: what must not be seen any more, by node."""

    client: str
    node: str
    floor: int
    history: str


class CacheMachine(RuleBasedStateMachine):
    """Clients, nodes, one key, and an origin that never forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.nodes = {name: ModelNode(name) for name in NODES}
        self.saved: dict[str, ModelNode] = {}
        self.frozen: dict[str, list[Callable[[], object]]] = {}
        self.clients = {name: Client(name, Coherence(name, NODES)) for name in CLIENTS}
        self.origin = 0  # the version it holds
        self.under_way: list[tuple[str, Delete]] = []
        self.returned: list[Delete] = []
        self.left_in_run: dict[tuple[str, str, int, str], int] = {}
        self.token_count = 0
        self.life_count = 0

    @initialize()
    def everybody_looks(self) -> None:
        """Begin with all nodes in use and the key on each."""
        for client in CLIENTS:
            self.look_around(client, answer="comes")
        self.read_through(CLIENTS[0])

    # Time and trouble

    @rule(step_s=steps, lookers=st.sets(clients), unseen=st.none() | nodes)
    def time_passes(self, step_s: float, lookers: set[str], unseen: str | None) -> None:
        """Let the clock go on; who doesn't look afterwards was paused, or hasn't got to it yet."""
        self.now_s += step_s
        for client in sorted(lookers):
            me = self.clients[client]
            while me.flushing:
                me.coherence.on_flushed(*me.flushing.pop())
            for node in NODES:
                if node != unseen:
                    self._look(me, node, "comes")

    @rule(node=nodes, goes_on=st.booleans(), keeps=st.booleans())
    def freeze_or_thaw(self, node: str, goes_on: bool, keeps: bool) -> None:
        """Stop a node, which then takes commands and answers none, or let it go on.

        What waits in its sockets runs when it goes on, or is gone with its connections.
        """
        if not goes_on:
            self.frozen.setdefault(node, [])
            return
        for command in self.frozen.pop(node, []):
            if keeps:
                command()

    @rule(node=nodes, what=st.sampled_from(["save", "restart empty", "restart with data"]))
    def save_or_restart(self, node: str, what: str) -> None:
        """Take a snapshot, or kill a node and start it with its last one or with nothing."""
        if what == "save":
            self.saved[node] = copy.deepcopy(self.nodes[node])
            return
        self.frozen.pop(node, None)
        self.nodes[node].restart(self.saved.get(node) if what == "restart with data" else None)

    @rule(client=clients, cut=st.sets(nodes, max_size=2))
    def rewire(self, client: str, cut: set[str]) -> None:
        """Cut a client's way to some nodes, and mend it to the others."""
        self.clients[client].cut = cut

    @rule(client=clients)
    def replace_client(self, client: str) -> None:
        """Kill a client and start another in its place, which knows nothing."""
        self.life_count += 1
        name = f"{client}{self.life_count}"
        self.clients[client] = Client(name, Coherence(name, NODES), cut=self.clients[client].cut)
        self.under_way = [each for each in self.under_way if each[0] != client]
        self.look_around(client, answer="comes")

    # What clients do

    @rule(client=clients, answer=st.sampled_from(["comes", "is late", "is lost"]))
    def look_around(self, client: str, answer: str) -> None:
        """Look at every node, as a round of the watch does, and settle what they owe."""
        for node in NODES:
            self._look(self.clients[client], node, answer)

    @rule(client=clients)
    def read_through(self, client: str) -> None:
        """Read wherever it may be read, ask the origin after a miss, fill; all at once."""
        me = self.clients[client]
        for node in NODES:
            missed = len(me.misses)
            self._get(client, node)
            for miss in me.misses[missed:]:
                self._fill(client, (*miss, self.origin))
            del me.misses[missed:]

    @rule(client=clients, node=nodes)
    def go_on_with_a_slow_read(self, client: str, node: str) -> None:
        """Fill what the origin said a while ago; else let it answer a miss; else begin a read."""
        me = self.clients[client]
        if me.answers:
            self._fill(client, me.answers.pop())
        elif me.misses:
            me.answers.append((*me.misses.pop(), self.origin))
        else:
            self._get(client, node)

    @rule(client=clients, missed=st.sets(nodes, max_size=2), loses_answer=st.booleans())
    def begin_delete(self, client: str, missed: set[str], loses_answer: bool) -> None:
        """Change the origin, then delete at all three candidates, to some of which the way is cut.

        With ``loses_answer`` the others have executed it without our knowing.
        """
        me = self.clients[client]
        me.cut |= missed
        self.origin += 1
        delete = Delete(me.name, self.origin)
        for name in NODES:
            there = self.nodes[name]
            if name in me.cut or name in self.frozen or loses_answer:
                self._send(client, name, partial(there.unlink, KEY))
                delete.waits[name] = me.coherence.bar(name, self.now_s, me.gone)
            else:
                there.unlink(KEY)
        self.under_way.append((client, delete))

    @invariant()
    def a_read_that_begins_now_is_not_past_a_delete(self) -> None:
        """Deletes return as early as they may; then every client reads wherever it may."""
        self._return_what_may()
        for client, me in self.clients.items():
            for node in set(NODES) - me.gone - me.cut - set(self.frozen):
                if me.coherence.may_read(node, self.now_s, me.gone):
                    read = self._begin_read(me, node)
                    _, value = self.nodes[node].entries.get((self.nodes[node].run, KEY), ("", None))
                    gap_s = self.now_s - (self.nodes[node].beat_s or 0.0)
                    if gap_s <= GAP_S and value is not None:
                        assert value >= read.floor, f"{client}: {value} is older than {read}"

    # How it is judged

    def _return_what_may(self) -> None:
        for client, delete in list(self.under_way):
            me = self.clients[client]
            for node, number in list(delete.waits.items()):
                if me.coherence.is_settled(node, number, self.now_s, me.gone):
                    if me.coherence.is_barred(node):  # else it was flushed: nothing is left there
                        delete.witnesses[node] = self._boards_reached(me, node)
                elif not me.coherence.can_settle(me.gone):
                    delete.unproven.add(node)
                else:
                    continue
                del delete.waits[node]
            if not delete.waits:
                self.under_way.remove((client, delete))
                self.returned.append(delete)

    def _boards_reached(self, me: Client, node: str) -> set[tuple[str, int]]:
        """Return what a deleter has for boards: in the life in which it left its notice there.

        One that has lost the notice by restarting since is no board between it and anybody.
        """
        number = me.coherence.notices()[node]
        return {
            (name, self.left_in_run.get((me.name, node, number, name), there.run))
            for name, there in self.nodes.items()
            if name != node and name not in me.gone
        }

    def _begin_read(self, me: Client, node: str) -> Read:
        """Work out the oldest version that a read of a node may yield."""
        live = {(name, self.nodes[name].run) for name in NODES if name not in me.gone}
        floor, why = 0, ""
        for delete in self.returned:
            if delete.version <= floor or node in delete.unproven:
                continue
            witnesses = delete.witnesses.get(node)
            if witnesses is None or witnesses & live:
                floor, why = delete.version, repr(delete)
        return Read(me.name, node, floor, why)

    def _run_get(self, me: Client, read: Read) -> None:
        there = self.nodes[read.node]
        self.token_count += 1
        entry = there.get(KEY, f"{me.name}{self.token_count}", self.now_s)
        if entry is None:
            return
        token, value = entry
        if value is None:
            me.misses.append((read.node, there.run, token))
        else:
            assert value >= read.floor, f"{value} is older than {read}"

    def _look(self, me: Client, node: str, answer: str) -> None:
        if node in me.cut or node in self.frozen:
            me.presence[node].on_silence(self.now_s)
            return
        me.presence[node].on_answer()
        there, now_s = self.nodes[node], self.now_s
        notices = me.coherence.notices()
        board = there.look(me.name, notices, now_s)
        for barred, number in notices.items():
            self.left_in_run[me.name, barred, number, node] = there.run
        me.coherence.on_look(node, now_s, now_s, board, me.gone)
        owed = me.coherence.begin_flush(node)
        if owed is not None:
            there.flush(me.name, owed)
            if answer == "is lost":
                me.coherence.on_flush_failed(node)
            elif answer == "is late":
                me.flushing.append((node, owed))
            else:
                me.coherence.on_flushed(node, owed)
        for other, orphan in me.coherence.orphans(node, now_s):
            there.flush(other, orphan)

    def _get(self, client: str, node: str) -> None:
        """Read at a candidate, if it may be read."""
        me = self.clients[client]
        if node in me.gone or not me.coherence.may_read(node, self.now_s, me.gone):
            return
        read = self._begin_read(me, node)
        self._send(client, node, lambda: self._run_get(me, read))

    def _fill(self, client: str, answer: tuple[str, int, str, int]) -> None:
        node, run, token, value = answer

        def run_fill() -> None:
            if self.nodes[node].run == run:
                self.nodes[node].fill(KEY, token, value)

        self._send(client, node, run_fill)

    def _send(self, client: str, node: str, command: Callable[[], object]) -> None:
        if node in self.clients[client].cut:
            return
        if node in self.frozen:
            self.frozen[node].append(command)
        else:
            command()


CacheMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTheCachesPromise = CacheMachine.TestCase


@pytest.fixture
def outage() -> CacheMachine:
    """Ann, cut off from cache-1, has deleted; her notice stands and her delete has returned."""
    machine = CacheMachine()
    machine.everybody_looks()
    machine.begin_delete("ann", {"cache-1"}, loses_answer=False)
    for _ in range(3):
        machine.time_passes(0.3, {"ann", "bob"}, None)
    machine.a_read_that_begins_now_is_not_past_a_delete()
    assert len(machine.returned) == 1
    return machine


@pytest.mark.parametrize("answer", ["is late", "is lost"])
def test_a_flush_whose_answer_is_missing_covers_no_later_delete(
    outage: CacheMachine, answer: str
) -> None:
    """Ann is back and flushes, Bob sees it and fills; before Ann knows, she is cut off again."""
    outage.rewire("ann", set())
    outage.look_around("ann", answer)
    outage.time_passes(0.01, {"bob"}, None)
    outage.read_through("bob")
    outage.begin_delete("ann", {"cache-1"}, loses_answer=False)
    outage.a_read_that_begins_now_is_not_past_a_delete()

    assert len(outage.under_way) == 1


def test_a_notice_that_is_renewed_is_flushed_by_nobody_else(outage: CacheMachine) -> None:
    """Bob reaches the node all the time; it stays out of use, so Ann's deletes may rely on it."""
    for _ in range(20):
        outage.time_passes(0.3, {"ann", "bob"}, None)
        outage.read_through("bob")
    outage.begin_delete("ann", set(), loses_answer=False)
    outage.a_read_that_begins_now_is_not_past_a_delete()

    assert len(outage.returned) == 2


def test_a_deleter_that_was_away_begins_anew(outage: CacheMachine) -> None:
    """Bob took Ann for dead, flushed the node and fills; her next delete waits again."""
    for _ in range(12):
        outage.time_passes(0.5, {"bob"}, None)
        outage.read_through("bob")
    assert outage.nodes["cache-1"].flushed == {"ann": 1}
    outage.begin_delete("ann", set(), loses_answer=False)
    outage.a_read_that_begins_now_is_not_past_a_delete()

    assert len(outage.under_way) == 1


def test_a_reader_that_sees_one_node_only_reads_none(outage: CacheMachine) -> None:
    """Bob's looks at the boards are old, those at the barred node fresh."""
    bob = Client("bob2", Coherence("bob2", NODES))
    outage.clients["bob"] = bob
    outage._look(bob, "cache-1", "comes")
    outage.a_read_that_begins_now_is_not_past_a_delete()

    assert not bob.coherence.may_read("cache-1", outage.now_s, bob.gone)


def test_two_that_lose_sight_of_different_nodes_wait_and_read_nothing() -> None:
    """On a starved machine Ann hears from cache-1 alone, Bob from the two others."""
    machine = CacheMachine()
    machine.everybody_looks()
    machine.rewire("bob", {"cache-1"})
    machine.begin_delete("ann", {"cache-2", "cache-3"}, loses_answer=False)
    for _ in range(4):
        machine.time_passes(0.3, {"ann", "bob"}, None)
    machine.a_read_that_begins_now_is_not_past_a_delete()

    assert len(machine.under_way) == 1
    bob = machine.clients["bob"].coherence
    assert not any(bob.may_read(node, machine.now_s, ()) for node in NODES)
