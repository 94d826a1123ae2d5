"""Calls through a state breaker, told in letters; shared by its tests."""

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_states import State
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.state_breaker import StateBreaker

REQUEST = Request()
SMALL = BreakerSettings(
    window_calls=10, min_calls=4, slow_s=1.0, open_s=5.0, half_open_calls=3, max_half_open_s=20.0
)


def take(breaker: StateBreaker, now_s: float) -> Permit:
    """Be let through."""
    permit = breaker.admit(REQUEST, now_s)
    assert isinstance(permit, Permit)
    return permit


def refused(breaker: StateBreaker, now_s: float) -> Rejection:
    """Be refused."""
    rejection = breaker.admit(REQUEST, now_s)
    assert isinstance(rejection, Rejection)
    return rejection


def run(breaker: StateBreaker, outcomes: str, now_s: float, took_s: float = 0.0) -> None:
    """Let one call after the other end: ``o`` OK, ``f`` FAILED, ``v`` OVERLOADED, ``i`` IGNORED."""
    names = {"o": Outcome.OK, "f": Outcome.FAILED, "v": Outcome.OVERLOADED, "i": Outcome.IGNORED}
    for letter in outcomes:
        breaker.settle(take(breaker, now_s - took_s), names[letter], now_s)


def state_of(breaker: StateBreaker) -> State:
    """Read the state anew: to a type checker an attribute is what it was last compared with."""
    return breaker.state


def opened(settings: BreakerSettings = SMALL, now_s: float = 0.0) -> StateBreaker:
    """Make a breaker that has just opened."""
    breaker = StateBreaker(settings)
    run(breaker, "ffff", now_s)
    assert state_of(breaker) is State.OPEN
    return breaker
