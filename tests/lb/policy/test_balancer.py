"""The balancer: health, ejection and panic in one list of candidates, each with its switch."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.balancer import REFRESH_S, Balancer
from lb.policy.outlier import OutlierEjection
from lb.policy.p2c import P2C
from lb.policy.weighted_round_robin import SmoothWeighted
from resilience.policy.contract import Mode, Outcome, Request
from resilience.switches import FixedSwitches
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
REQUEST = Request()


def balancer(*names: str, **modes: Mode) -> tuple[Balancer, FixedSwitches]:
    """Make one over these names, with these switches."""
    switches = FixedSwitches(modes)
    made = Balancer(random.Random(1), switches.mode)
    made.set_endpoints(names, 0.0)
    return made, switches


def miss(one: Balancer, name: str, now_s: float = 0.0) -> None:
    """Miss three checks."""
    for _ in range(3):
        one.on_check(name, False, now_s)


def fail(one: Balancer, name: str, now_s: float = 0.0) -> None:
    """Fail five requests."""
    for _ in range(5):
        one.on_start(name, now_s)
        one.on_finish(name, Outcome.FAILED, now_s)


def test_who_picks_can_be_chosen_while_requests_are_under_way() -> None:
    """Within a moment; what is in flight ends where it is, and an unknown name changes nothing."""
    chosen = "least_request"
    one = Balancer(random.Random(1), FixedSwitches().mode, choice=lambda: chosen)
    one.set_endpoints({"a": 2.0, "b": 1.0}, 0.0)
    one.on_start("a", 0.0)
    assert one.snapshot()["picks"] == "p2c"
    chosen = "weighted_round_robin"
    picked = [one.pick(REQUEST, (), REFRESH_S) for _ in range(3)]
    assert one.snapshot()["picks"] == "weighted_round_robin"
    assert sorted(filter(None, picked)) == ["a", "a", "b"]
    one.on_finish("a", Outcome.OK, REFRESH_S)
    assert one.snapshot()["a.active"] == 0
    chosen = "peak"
    one.pick(REQUEST, (), 3 * REFRESH_S)
    assert one.snapshot()["picks"] == "weighted_round_robin"


def test_rules_of_ejection_can_change() -> None:
    """Whoever is out returns; the snapshot tells which rule it was."""
    one, _ = balancer("a", "b", "c", panic=Mode.OFF)
    fail(one, "b")
    assert list(one.candidates) == ["a", "c"]
    assert one.snapshot()["b.ejected_by"] == "CONSECUTIVE"
    one.eject_by(OutlierEjection(consecutive_failures=1), 0.0)
    assert list(one.candidates) == ["a", "b", "c"]
    one.on_start("a", 0.0)
    one.on_finish("a", Outcome.FAILED, 0.0)
    assert list(one.candidates) == ["b", "c"]


def test_dead_ejected_and_well() -> None:
    """Of three, the one that misses checks and the one that fails requests are left out."""
    one, _ = balancer("a", "b", "c", panic=Mode.OFF)
    miss(one, "a")
    fail(one, "b")
    assert one.candidates == ("c",)
    assert one.pick(REQUEST, (), 0.0) == "c"
    assert one.pick(REQUEST, ("c",), 0.0) is None


def test_half_is_believed_and_less_is_not() -> None:
    """One of two dead is left; both dead means that nobody is."""
    one, _ = balancer("a", "b")
    one.on_unreachable("a", 0.0)
    assert list(one.candidates) == ["b"]
    one.on_unreachable("b", 0.0)
    assert list(one.candidates) == ["a", "b"]
    snapshot = one.snapshot()
    assert (snapshot["panicking"], snapshot["panics"]) == (True, 1)


def test_panic_off_leaves_nobody() -> None:
    """Without the policy a balancer that believes its checks has nobody to send to."""
    one, _ = balancer("a", "b", panic=Mode.OFF)
    miss(one, "a")
    miss(one, "b")
    assert one.pick(REQUEST, (), 0.0) is None


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
def test_switches_move_nobody_when_off_or_in_shadow(mode: Mode) -> None:
    """Checks and ejections are learned, and not acted upon."""
    one, switches = balancer("a", "b", "c", checks=mode, outlier=mode)
    miss(one, "a")
    fail(one, "b")
    assert list(one.candidates) == ["a", "b", "c"]
    switches.set("checks", Mode.ON)
    switches.set("outlier", Mode.ON)
    switches.set("panic", Mode.SHADOW)
    one.pick(REQUEST, (), REFRESH_S)
    assert list(one.candidates) == ["c"]
    assert one.snapshot()["panicking"] is True  # in shadow: it would have


def test_switch_is_noticed_within_the_refresh_time() -> None:
    """No news is needed: the next pick after a tenth of a second sees it."""
    assert REFRESH_S == 0.1
    one, switches = balancer("a", "b")
    one.on_unreachable("a", 0.0)
    switches.set("checks", Mode.OFF)
    assert one.pick(REQUEST, (), 0.05) == "b"
    one.pick(REQUEST, (), 0.1)
    assert one.candidates == ("a", "b")


def test_ejection_ends_by_time() -> None:
    """After thirty seconds the endpoint is picked again without any news."""
    one, _ = balancer("a", "b")
    fail(one, "a")
    assert list(one.candidates) == ["b"]
    one.pick(REQUEST, (), 30.1)
    assert list(one.candidates) == ["a", "b"]


def test_reset_forgets_what_was_learned_and_keeps_what_is_in_flight() -> None:
    """A reset brings everybody back; counts in flight stay true."""
    one, _ = balancer("a", "b")
    one.on_start("b", 0.0)
    one.on_unreachable("a", 0.0)
    one.reset(0.0)
    assert one.candidates == ("a", "b")
    assert one.snapshot()["b.active"] == 1


def test_endpoints_that_stay_keep_what_is_known_of_them() -> None:
    """A new neighbour doesn't bring a dead endpoint back."""
    one, _ = balancer("a", "b", "c")
    one.on_unreachable("a", 0.0)
    one.set_endpoints({"a": 1.0, "b": 1.0, "d": 1.0}, 0.0)
    assert one.candidates == ("b", "d")


NAMES = ("a", "b", "c")
EVENTS = st.tuples(
    st.sampled_from(["miss", "good", "refused", "failed", "ok", "leave", "join"]),
    st.sampled_from(NAMES),
)


@pytest.mark.property
@PATIENT
@given(st.lists(EVENTS, max_size=80), st.integers(0, 100))
def test_with_panic_on_a_known_endpoint_is_always_picked(
    events: list[tuple[str, str]], seed: int
) -> None:
    """Whatever is believed, somebody present is picked as long as anybody is present."""
    one = Balancer(random.Random(seed), FixedSwitches().mode)
    present = set(NAMES)
    one.set_endpoints(sorted(present), 0.0)
    for step, (event, name) in enumerate(events):
        now_s = step * 0.05
        if event in ("leave", "join"):
            (present.discard if event == "leave" else present.add)(name)
            one.set_endpoints(sorted(present), now_s)
        elif event == "refused":
            one.on_unreachable(name, now_s)
        elif event in ("miss", "good"):
            one.on_check(name, event == "good", now_s)
        else:
            one.on_start(name, now_s)
            one.on_finish(name, Outcome.OK if event == "ok" else Outcome.FAILED, now_s)
        chosen = one.pick(REQUEST, (), now_s)
        assert (chosen in present) if present else chosen is None


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
def test_without_p2c_everyone_has_a_turn(mode: Mode) -> None:
    """An endpoint that stands still with ten requests is picked as often as the others."""
    one, switches = balancer("a", "b", "c", p2c=mode)
    for _ in range(10):
        one.on_start("a", 0.0)
    assert [one.pick(REQUEST, (), 0.0) for _ in range(6)] == ["a", "b", "c"] * 2
    assert one.snapshot()["picks"] == "in turn"

    switches.set("p2c", Mode.ON)
    picked = [one.pick(REQUEST, (), REFRESH_S) for _ in range(60)]
    assert picked.count("a") == 0  # of any two the other is less busy
    assert one.snapshot()["picks"] == "p2c"


def test_turns_pass_over_who_may_not_be_picked() -> None:
    """Round robin chooses among the candidates, not among all."""
    one, _ = balancer("a", "b", "c", p2c=Mode.OFF)
    miss(one, "b")
    assert [one.pick(REQUEST, (), 0.0) for _ in range(4)] == ["a", "c", "a", "c"]


def test_another_algorithm_takes_over_in_flight() -> None:
    """What was picked before ends without telling it; what is in flight stays counted."""
    one = Balancer(random.Random(3), lambda _: Mode.ON)
    one.set_endpoints(["a", "b"], 0.0)
    for _ in range(2):
        one.on_start("a", 0.0)
    one.use(SmoothWeighted(), 1.0)
    one.on_start("a", 1.0)
    assert one.snapshot()["a.active"] == 3
    assert one.snapshot()["picks"] == "weighted_round_robin"
    for _ in range(3):
        one.on_finish("a", Outcome.OK, 2.0)
    assert one.snapshot()["a.active"] == 0
    assert [one.pick(Request(), (), 2.0) for _ in range(4)] == ["a", "b", "a", "b"]


@given(st.lists(st.sampled_from(["start", "finish", "change", "leave", "return"]), max_size=60))
def test_no_change_of_algorithm_loses_count(steps: list[str]) -> None:
    """Whatever is changed in between, starts minus finishes are in flight, and nothing breaks."""
    one = Balancer(random.Random(3), lambda _: Mode.ON)
    one.set_endpoints(["a", "b"], 0.0)
    in_flight = 0
    for step in steps:
        if step == "start":
            one.on_start("a", 0.0)
            in_flight += 1
        elif step == "finish" and in_flight:
            one.on_finish("a", Outcome.OK, 0.0)
            in_flight -= 1
        elif step == "change":
            one.use(P2C(random.Random(4)), 0.0)
        elif step == "leave":
            one.set_endpoints(["b"], 0.0)
        elif step == "return":
            one.set_endpoints(["a", "b"], 0.0)
    one.set_endpoints(["a", "b"], 0.0)
    assert one.snapshot()["a.active"] == in_flight
