"""A local cache: copies of a few hot keys in the reader's own memory, dropped when they change.

Why: placement spreads keys, not requests, so one hot key is one node's load and one link's traffic
whatever the number of nodes. The copy is read where the reader is; the node is asked once for it
and says by itself when it has changed (RESP3 client tracking).

A copy is given only while nothing speaks against it:

- its key hasn't been named in an invalidation, and the connection that brings these stands;
- the node has *answered* on that connection a question that left less than ``PROOF_S`` ago. Replies
  and invalidations come in one order, so whatever changed before that question has been heard of.
  So even a connection that has silently died hides a change for ``PROOF_S`` at most;
- it is younger than ``max_age_s``, and fresh (``shard.policy.freshness``);
- no delete of its key is under way in this client: from the begin of a delete to its end the key is
  *held*. Then what this client has written, it reads: nothing fetched before the delete is kept.

While a copy is fetched, whatever would have dropped it spoils the fetch instead.
Source: RESP3 tracking in its default mode (redis.io, "Client-side caching reference"; valkey:
src/tracking.c). That only hot keys are worth a copy: aegis:hotkey/hotkey.go, which keeps them for a
time to live alone. Proof by an answered question: a lease as in Gray and Cheriton, SOSP 1989.
Not handled: negative answers; several threads.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from resilience.policy.contract import Snapshot
from shard.policy.coherence import LEASE_S
from shard.policy.heavy_keeper import Hot

DEFAULT_MAX_ENTRIES = 32  # three times what HeavyKeeper names
DEFAULT_MAX_BYTES = 1 << 20  # of keys and values together: a service has some 100 MiB in the lab
DEFAULT_MAX_AGE_S = 5.0  # a change that nobody was told of, by whatever bug, ends then
DEFAULT_HOT_RATE = 5.0  # reads a second: 25 for each fetch
PROOF_S = LEASE_S  # as old as a look may be that lets a node be read

_COUNTS = ("hits", "kept", "invalidations", "dropped", "evicted", "expired", "unproven")


class Copy(NamedTuple):
    """A value that is kept here.

    Args:
        node: Whom it was read from, and who says when it changes.
        value: Its bytes.
        filled_s: When it was filled, by this process's clock.
        until_s: From then on it isn't given.
    """

    node: str
    value: bytes
    filled_s: float
    until_s: float


class _Fetch(NamedTuple):
    """A question for a key under way."""

    number: int
    node: str
    asked_s: float


class LocalCache:
    """The copies of one client. Every call is O(1), but for bounds and for a node's loss.

    Args:
        max_entries: Copies at a time, >= 1.
        max_bytes: Of keys and values together, >= 1.
        max_age_s: Longest time a copy is given, seconds, > 0.
        hot_rate: Reads a second from which on a key is worth a copy, >= 0.

    Raises:
        ValueError: One of them is out of range.
    """

    def __init__(
        self,
        *,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        hot_rate: float = DEFAULT_HOT_RATE,
    ) -> None:
        if min(max_entries, max_bytes) < 1 or not max_age_s > 0 or not hot_rate >= 0:
            raise ValueError(
                f"max_entries {max_entries} and max_bytes {max_bytes} must be 1 at least, "
                f"max_age_s {max_age_s:g} more than 0 and hot_rate {hot_rate:g} 0 at least"
            )
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._hot_rate = hot_rate
        self._copies: OrderedDict[str, Copy] = OrderedDict()  # the least recently given first
        self._bytes = 0
        self._fetches: dict[str, _Fetch] = {}
        self._number = 0
        self._held: Counter[str] = Counter()  # key -> deletes of this client under way
        self._proven_s: dict[str, float] = {}  # node -> when its last answered question left
        self._hot: frozenset[str] = frozenset()
        self.reset(0.0)

    def __repr__(self) -> str:
        return f"<LocalCache {len(self._copies)} copies, {self._bytes} bytes>"

    def __len__(self) -> int:
        return len(self._copies)

    # Reading

    def node_of(self, key: str) -> str | None:
        """Name the node that a key's copy is of; None when there is none."""
        copy = self._copies.get(key)
        return None if copy is None else copy.node

    def get(self, key: str, now_s: float) -> Copy | None:
        """Return a key's copy, if it may be given to a read that begins now."""
        copy = self._copies.get(key)
        if copy is None:
            return None
        if now_s >= copy.until_s:
            self._drop(key, "expired")
            return None
        # The copy stays: it is good again as soon as the node has answered a later question.
        if now_s >= self._proven_s.get(copy.node, float("-inf")) + PROOF_S:
            self._counts["unproven"] += 1
            return None
        self._copies.move_to_end(key)
        self._counts["hits"] += 1
        return copy

    # Keeping

    def set_hot(self, keys: Iterable[Hot]) -> None:
        """Take over which keys are asked for most; of these, who is asked for often is hot."""
        self._hot = frozenset(each.key for each in keys if each.rate >= self._hot_rate)

    def is_wanted(self, key: str) -> bool:
        """Whether a copy of this key is worth fetching now."""
        return (
            key in self._hot
            and key not in self._copies
            and key not in self._fetches
            and key not in self._held
        )

    def ask(self, key: str, node: str, now_s: float) -> int:
        """Note that a node is asked for a key by the connection that brings its invalidations.

        Returns:
            The question's number, for ``keep`` or ``give_up``.
        """
        assert key not in self._copies, f"{key} is here already"
        self._number += 1
        self._fetches[key] = _Fetch(self._number, node, now_s)
        return self._number

    def keep(
        self, key: str, number: int, value: bytes, age_s: float, fresh_s: float, now_s: float
    ) -> bool:
        """Take the answer to a question; False when it may not be kept.

        Args:
            key: What was asked for.
            number: Of the question.
            value: The answer.
            age_s: Seconds since it was filled.
            fresh_s: Seconds for which it is fresh; 0 or less means not at all.
            now_s: When the answer came.
        """
        fetch = self._fetches.get(key)
        if fetch is None or fetch.number != number:  # spoiled meanwhile, or another one's
            return False
        del self._fetches[key]
        self.on_answer(fetch.node, fetch.asked_s)
        size = _size(key, value)
        if fresh_s <= 0 or size > self._max_bytes:
            return False
        self._make_room(size)
        until_s = now_s + min(fresh_s, self._max_age_s)
        self._copies[key] = Copy(fetch.node, value, now_s - age_s, until_s)
        self._bytes += size
        self._counts["kept"] += 1
        return True

    def give_up(self, key: str, number: int) -> None:
        """Note that a question wasn't answered, or not with a value."""
        fetch = self._fetches.get(key)
        if fetch is not None and fetch.number == number:
            del self._fetches[key]

    # What a node says

    def on_answer(self, node: str, asked_s: float) -> None:
        """Note that a question of ``asked_s`` was answered by the connection of invalidations."""
        self._proven_s[node] = max(asked_s, self._proven_s.get(node, float("-inf")))

    def on_invalidated(self, node: str, key: str) -> None:
        """Drop a key: it has changed, expired, or been evicted or deleted at its node."""
        fetch = self._fetches.get(key)
        if fetch is not None and fetch.node == node:
            del self._fetches[key]
        if self.node_of(key) == node:
            self._drop(key, "invalidations")

    def drop_node(self, node: str, count: str = "dropped") -> None:
        """Drop all that is of a node: nobody will say any more when it changes."""
        for key in [key for key, fetch in self._fetches.items() if fetch.node == node]:
            del self._fetches[key]
        for key in [key for key, copy in self._copies.items() if copy.node == node]:
            self._drop(key, count)
        self._proven_s.pop(node, None)

    def on_flushed(self, node: str) -> None:
        """Drop all that is of a node that was emptied."""
        self.drop_node(node, "invalidations")

    def has_any_of(self, node: str) -> bool:
        """Whether a copy is of this node, so that it must go on answering."""
        return any(copy.node == node for copy in self._copies.values())

    # What this client writes

    def hold(self, keys: Iterable[str]) -> None:
        """Drop keys whose delete begins, and keep no copy of them until ``release``."""
        for key in keys:
            self._held[key] += 1
            self._fetches.pop(key, None)
            if key in self._copies:
                self._drop(key, "invalidations")

    def release(self, keys: Iterable[str]) -> None:
        """Note that a delete has ended; as often as ``hold``."""
        for key in keys:
            self._held[key] -= 1
            if self._held[key] <= 0:
                del self._held[key]

    def clear(self) -> None:
        """Drop everything; keys that are held stay so."""
        for key in list(self._copies):
            self._drop(key, "dropped")
        self._fetches.clear()
        self._proven_s.clear()
        self._hot = frozenset()

    # Figures

    def snapshot(self) -> Snapshot:
        """Return the counts since the last reset, and what is kept now."""
        return {**self._counts, "entries": len(self._copies), "bytes": self._bytes}

    def reset(self, now_s: float) -> None:
        """Zero the counts; what is kept stays."""
        self._counts = dict.fromkeys(_COUNTS, 0)

    def _make_room(self, size: int) -> None:
        while len(self._copies) >= self._max_entries or self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._copies)), "evicted")

    def _drop(self, key: str, count: str) -> None:
        self._bytes -= _size(key, self._copies.pop(key).value)
        self._counts[count] += 1


def _size(key: str, value: bytes) -> int:
    return len(key.encode()) + len(value)
