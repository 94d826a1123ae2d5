"""The local cache's promise against a network that delays, stops and breaks.

One key at one node. The machine plays the node, which remembers who has read the key and names it
once when it changes, and the two directions of the connection: each is in order and may take as
long as it likes, fall silent for good, or break. Every read is judged by what the node had done.
"""

from collections import deque

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shard.policy.heavy_keeper import Hot
from shard.policy.local_cache import PROOF_S, LocalCache

pytestmark = pytest.mark.property

KEY, NODE = "k", "n"
MAX_AGE_S = 20.0

arrivals = st.sampled_from([True, True, True, False])


class LocalCacheMachine(RuleBasedStateMachine):
    """One client with a local cache, one node, and whoever else writes there."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = LocalCache(max_age_s=MAX_AGE_S)
        self.cache.set_hot([Hot(KEY, 9.0, 1.0)])
        self.now_s = 100.0
        self.version = 0
        self.writes: list[tuple[float, int]] = [(0.0, 0)]  # when the node did it
        self.is_tracked = False
        self.questions: deque[tuple[str, float]] = deque()  # on their way to the node
        self.words: deque[tuple[str, float]] = deque()  # on their way back
        self.is_silent = False
        self.own: str | None = None  # what our delete has come to
        self.floor = 0  # what a delete of ours that has ended was for

    @rule(seconds=st.sampled_from([0.1, 0.3, 0.6]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    @rule()
    def somebody_writes(self) -> None:
        """Change the key at its node, which tells who has read it."""
        self._change()

    @precondition(lambda self: self.own is None)
    @rule()
    def begin_delete(self) -> None:
        """Begin a delete of our own."""
        self.cache.hold([KEY])
        self.own = "begun"

    @precondition(lambda self: self.own is not None)
    @rule()
    def go_on_with_delete(self) -> None:
        """Let it arrive, by another connection; then hear of it: nothing older is read from now."""
        if self.own == "begun":
            self._change()
            self.own = "done"
        else:
            self.cache.release([KEY])
            self.own, self.floor = None, self.version

    @rule(arrives=arrivals)
    def ask(self, arrives: bool) -> None:
        """Send a question: for the key if it is wanted, else one that only has to be answered."""
        if self.cache.is_wanted(KEY):
            self.questions.append(("get", self.cache.ask(KEY, NODE, self.now_s)))
        else:
            self.questions.append(("ping", self.now_s))
        while self.questions and arrives and not self.is_silent:
            kind, number = self.questions.popleft()
            self.is_tracked |= kind == "get"
            self.words.append(("pong" if kind == "ping" else f"value {self.version}", number))

    @precondition(lambda self: self.words)
    @rule(count=st.integers(1, 3))
    def hear(self, count: int) -> None:
        """Take the next words of the node's."""
        for _ in range(min(count, len(self.words))):
            word, number = self.words.popleft()
            if word == "pong":
                self.cache.on_answer(NODE, number)
            elif word == "invalidate":
                self.cache.on_invalidated(NODE, KEY)
            else:
                value = word.removeprefix("value ").encode()
                self.cache.keep(KEY, int(number), value, 0.0, 60.0, self.now_s)

    @rule()
    def fall_silent(self) -> None:
        """Cut the connection so that nobody notices: what is heard was on its way."""
        self.is_silent = True

    @precondition(lambda self: self.is_silent)
    @rule()
    def lose(self) -> None:
        """Notice, and make another connection."""
        self.questions.clear()
        self.words.clear()
        self.is_tracked = self.is_silent = False
        self.cache.drop_node(NODE)

    @invariant()
    def no_read_is_older_than_promised(self) -> None:
        """Read: what others did half a second ago is seen, what we did is seen at once."""
        copy = self.cache.get(KEY, self.now_s)
        if copy is None:
            return
        oldest = max(version for at_s, version in self.writes if at_s <= self.now_s - PROOF_S)
        assert int(copy.value) >= oldest, "older than the bound"
        assert int(copy.value) >= self.floor, "older than a delete of our own"
        assert self.own is None, "given while our own delete is under way"
        assert self.now_s < copy.filled_s + MAX_AGE_S

    def _change(self) -> None:
        self.version += 1
        self.writes.append((self.now_s, self.version))
        if self.is_tracked:
            self.is_tracked = False
            if not self.is_silent:
                self.words.append(("invalidate", 0))


check = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much],
)
TestLocalCache = LocalCacheMachine.TestCase
TestLocalCache.settings = check
