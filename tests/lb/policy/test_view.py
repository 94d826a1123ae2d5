"""How an endpoint stands, an operator's word over it, and the rule behind a pick."""

import random

import pytest

from lb.policy.balancer import REFRESH_S, Balancer
from lb.policy.canary import Canary
from lb.policy.outlier import DEFAULT_EJECTION_S
from lb.policy.p2c import P2C
from lb.policy.panic import DEFAULT_PANIC_THRESHOLD
from lb.policy.roster import rule_of
from lb.policy.slow_start import SlowStart
from lb.policy.sticky import Sticky
from lb.policy.view import BY_OPERATOR, EndpointView
from resilience.policy.contract import Mode, Outcome, Request
from resilience.switches import FixedSwitches

pytestmark = pytest.mark.unit
REQUEST = Request()
SECRET = b"sixteen bytes it"


def balancer(*names: str, **modes: Mode) -> Balancer:
    """Make one over these names, with these switches."""
    made = Balancer(random.Random(1), FixedSwitches(modes).mode)
    made.set_endpoints(names, 0.0)
    return made


def standing(one: Balancer, name: str, now_s: float) -> EndpointView:
    """Return how one endpoint stands."""
    [found] = [each for each in one.look(now_s).endpoints if each.name == name]
    return found


def test_an_endpoint_is_up_until_it_is_known_to_be_otherwise() -> None:
    """Weight 1, nothing missed, no change since it was added at 0."""
    assert standing(balancer("a", "b"), "a", 0.0) == EndpointView(
        "a", 1.0, "up", True, 0, "", None, 0.0
    )


def test_missed_checks_are_counted_until_they_take_it_out() -> None:
    """Two of three are shown; the third makes it down, and the moment is kept."""
    one = balancer("a", "b", "c")
    for now_s in (1.0, 2.0):
        one.on_check("a", False, now_s)
    assert standing(one, "a", 2.5).missed_checks == 2
    one.on_check("a", False, 3.0)
    seen = standing(one, "a", 3.0)
    assert (seen.state, seen.is_candidate, seen.missed_checks, seen.changed_s) == (
        "down", False, 0, 3.0,
    )  # fmt: skip
    assert standing(one, "b", 3.0).changed_s == 0.0


def test_an_ejection_is_shown_with_its_rule_and_its_end() -> None:
    """Five failures in a row: out for 30 s; then up again, changed at the first look after it."""
    one = balancer("a", "b", "c")
    for _ in range(5):
        one.on_start("a", 1.0)
        one.on_finish("a", Outcome.FAILED, 1.0)
    seen = standing(one, "a", 1.0)
    assert (seen.state, seen.ejected_by) == ("ejected", "CONSECUTIVE")
    assert seen.ejected_until_s == 1.0 + DEFAULT_EJECTION_S
    back = standing(one, "a", 40.0)
    assert (back.state, back.ejected_until_s, back.changed_s) == ("up", None, 40.0)


@pytest.mark.parametrize("mode", list(Mode))
def test_an_operators_word_holds_whatever_the_switches_say(mode: Mode) -> None:
    """With ejection, panic and checks on, in shadow or off: two of three are never picked."""
    one = balancer("a", "b", "c", outlier=mode, panic=mode, checks=mode, p2c=mode)
    one.hold_out(["a", "b"], 1.0)
    assert {one.pick(REQUEST, (), 1.0 + step * REFRESH_S) for step in range(50)} == {"c"}
    assert standing(one, "a", 9.0).ejected_by == BY_OPERATOR
    assert not one.look(9.0).is_panicking
    one.hold_out((), 10.0)
    assert {one.pick(REQUEST, (), 10.0) for _ in range(200)} == {"a", "b", "c"}


def test_panic_looks_at_who_is_in_service_and_brings_nobody_held_out_back() -> None:
    """Of three in service two are down: all three are used, the fourth isn't."""
    assert DEFAULT_PANIC_THRESHOLD == 0.5
    one = balancer("a", "b", "c", "d")
    one.hold_out(["d"], 0.0)
    one.on_unreachable("a", 1.0)
    one.on_unreachable("b", 1.0)
    view = one.look(1.0)
    assert view.is_panicking
    assert [each.is_candidate for each in view.endpoints] == [True, True, True, False]
    assert [each.state for each in view.endpoints] == ["down", "down", "up", "ejected"]


def test_holding_everybody_out_leaves_nobody() -> None:
    """It is the operator's word: no pick, and no panic."""
    one = balancer("a", "b")
    one.hold_out(["a", "b"], 0.0)
    assert one.pick(REQUEST, (), 1.0) is None


def test_a_view_stays_the_same_value_until_something_may_have_changed() -> None:
    """So that a pick which is remembered costs a reference."""
    one = balancer("a", "b")
    view = one.look(0.0)
    assert one.look(REFRESH_S / 2) is view
    one.on_unreachable("a", REFRESH_S / 2)
    assert one.look(REFRESH_S / 2) is not view


def test_who_left_and_came_back_was_added_then() -> None:
    """A drained endpoint that returns begins anew, held out or not."""
    one = balancer("a", "b", "c")
    one.on_unreachable("a", 1.0)
    one.set_endpoints(("b", "c"), 2.0)
    one.hold_out(["d"], 2.0)
    one.set_endpoints(("a", "b", "c", "d"), 3.0)
    assert standing(one, "d", 3.0).changed_s == 3.0
    assert standing(one, "a", 3.0).changed_s == 3.0


def test_loads_are_a_copy() -> None:
    """What is remembered of a pick doesn't move with the requests that come after it."""
    one = balancer("a", "b")
    one.on_start("a", 0.0)
    loads = one.loads()
    one.on_start("a", 0.0)
    assert (loads, one.loads()) == ({"a": 1}, {"a": 2})


def test_the_rule_behind_a_pick_names_every_layer() -> None:
    """Cookie or not, canary or stable, slow start, and in the middle the algorithm."""
    rng = random.Random(1)
    canary = Canary(rng, "b".__eq__, lambda: SlowStart(P2C(rng), window_s=5.0), 0.1)
    sticky = Sticky(canary, SECRET)
    sticky.set_endpoints(["a", "b"])
    assert rule_of(sticky, REQUEST, "a") == "canary stable, slow_start, p2c"
    assert rule_of(sticky, REQUEST, "b") == "canary canary, slow_start, p2c"
    named = Request(key=sticky.cookie_of("a"))
    assert rule_of(sticky, named, "a") == "sticky cookie"
    assert rule_of(sticky, named, "b") == "canary canary, slow_start, p2c"
    assert rule_of(canary, REQUEST, "gone") == "canary"
    assert rule_of(P2C(rng), REQUEST, "a") == "p2c"
