"""Fallback decided: which errors may be covered, and by how old an answer."""

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import fallback
from resilience.policy.fallback import LastGood, may_cover
from tests.golden import transcript


def test_defaults() -> None:
    """A thousand and some answers are kept."""
    assert fallback.DEFAULT_MAX_KEYS == 1024
    assert repr(LastGood[int](60.0)) == "<LastGood 0/1024 up to 60 s old>"


@pytest.mark.paper
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_errors_of_stale_if_error_may_be_covered(status: int) -> None:
    """RFC 5861, section 4: these four."""
    assert may_cover(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 499, 501])
def test_errors_of_the_caller_s_own_making_are_the_answer(status: int) -> None:
    """4xx, the caller who left (499), and 501, which asks for what is not there."""
    assert not may_cover(status)


def test_an_answer_serves_until_its_age() -> None:
    """At 59.9 s it stands in, at 60 s it is gone."""
    kept = LastGood[str](60.0)
    kept.keep("tea", "3.50", 0.0)

    assert kept.find("tea", 59.9) == (59.9, "3.50")
    assert kept.find("tea", 60.0) is None
    assert (kept.find("milk", 0.0), len(kept)) == (None, 0)


def test_a_new_answer_takes_the_old_one_s_place() -> None:
    """The age begins anew."""
    kept = LastGood[str](60.0)
    kept.keep("tea", "3.50", 0.0)
    kept.keep("tea", "3.80", 50.0)
    assert kept.find("tea", 60.0) == (10.0, "3.80")


def test_the_answer_unused_for_longest_makes_room() -> None:
    """Keeping and finding both count as use."""
    kept = LastGood[int](60.0, max_keys=2)
    kept.keep("a", 1, 0.0)
    kept.keep("b", 2, 0.0)
    kept.find("a", 1.0)
    kept.keep("c", 3, 1.0)
    assert (kept.find("b", 1.0), kept.find("a", 1.0)) == (None, (1.0, 1))
    kept.keep("c", 4, 2.0)
    kept.keep("d", 5, 2.0)
    assert kept.find("a", 2.0) is None
    kept.reset(2.0)
    assert len(kept) == 0


@pytest.mark.parametrize(("age_s", "keys"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_impossible_sizes_are_errors(age_s: float, keys: int) -> None:
    """An answer must live for some time, and there must be room for one."""
    with pytest.raises(ValueError, match=r"must be > 0 and max_keys=\d >= 1"):
        LastGood[int](age_s, keys)
    assert len(LastGood[int](0.001, 1)) == 0


class LastGoodMachine(RuleBasedStateMachine):
    """Against a model: a dict in order of use, cut to size."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = LastGood[int](2.0, max_keys=3)
        self.model: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.now_s = 0.0

    @rule(gap_s=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    def time_passes(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule(key=st.sampled_from("abcde"), value=st.integers())
    def keep(self, key: str, value: int) -> None:
        self.kept.keep(key, value, self.now_s)
        self.model[key] = (self.now_s, value)
        self.model.move_to_end(key)
        while len(self.model) > 3:
            self.model.popitem(last=False)

    @rule(key=st.sampled_from("abcde"))
    def find(self, key: str) -> None:
        then_s, value = self.model.get(key, (-9.0, 0))
        age_s = self.now_s - then_s
        if age_s < 2.0:
            self.model.move_to_end(key)
            assert self.kept.find(key, self.now_s) == (age_s, value)
        else:
            self.model.pop(key, None)
            assert self.kept.find(key, self.now_s) is None

    @invariant()
    def size_is_bounded(self) -> None:
        assert len(self.kept) == len(self.model) <= 3


TestLastGoodMachine = LastGoodMachine.TestCase
TestLastGoodMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.golden
def test_transcript() -> None:
    """A shop's prices, two of them kept, for a minute."""
    kept = LastGood[str](60.0, max_keys=2)
    lines = []
    for now_s, verb, key, value in [
        (0, "keep", "tea", "3.50"),
        (1, "keep", "milk", "1.20"),
        (30, "find", "tea", ""),
        (31, "keep", "salt", "0.90"),
        (32, "find", "milk", ""),
        (59.9, "find", "tea", ""),
        (60, "find", "tea", ""),
    ]:
        if verb == "keep":
            kept.keep(key, value, now_s)
            lines.append(f"t={now_s:g} keep {key} {value}: {kept!r}")
        else:
            lines.append(f"t={now_s:g} find {key}: {kept.find(key, now_s)}; {kept!r}")
    lines += [f"may cover {status}: {may_cover(status)}" for status in (404, 429, 499, 500, 501)]
    transcript.check("fallback", lines)
