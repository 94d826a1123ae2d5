"""Sticky: who has a cookie stays while that may be, and a cookie tells nothing."""

import random

import pytest

from lb.policy.p2c import P2C
from lb.policy.sticky import MIN_SECRET_BYTES, TOKEN_BYTES, Sticky
from resilience.policy.contract import Outcome, Request

pytestmark = pytest.mark.unit
SECRET = b"of sixteen bytes"


def sticky(secret: bytes = SECRET) -> Sticky:
    """Make one over three."""
    one = Sticky(P2C(random.Random(1)), secret)
    one.set_endpoints({"a": 1.0, "b": 1.0, "c": 1.0})
    return one


def test_a_client_with_a_cookie_stays_even_where_it_is_busy() -> None:
    """The cookie's endpoint is picked every time, on every balancer with the secret."""
    one, other = sticky(), sticky()
    request = Request(key=one.cookie_of("b"))
    for _ in range(20):
        assert one.pick(request, (), 0.0) == "b"
        one.on_start("b", 0.0)
    assert other.pick(request, (), 0.0) == "b"
    assert one.snapshot() == {"kept": 20, "moved": 0, "a": 0, "b": 20, "c": 0}
    one.on_finish("b", Outcome.OK, 1.0)
    assert one.snapshot()["b"] == 19


@pytest.mark.parametrize("how", ["excluded", "not usable", "gone"])
def test_a_client_moves_when_its_endpoint_may_not_be_picked(how: str) -> None:
    """Another answers, and the client is back when the endpoint is."""
    one = sticky()
    request = Request(key=one.cookie_of("b"))
    if how == "not usable":
        one.set_candidates(["a", "c"])
    elif how == "gone":
        one.set_endpoints(["a", "c"])
    exclude = ("b",) if how == "excluded" else ()
    assert {one.pick(request, exclude, 0.0) for _ in range(50)} == {"a", "c"}
    assert one.snapshot()["moved"] == 50
    one.set_endpoints(["a", "b", "c"])
    assert one.pick(request, (), 0.0) == "b"


def test_no_cookie_and_a_made_up_one_are_balanced() -> None:
    """A name, or another secret's cookie, chooses nothing."""
    one = sticky()
    forged = sticky(b"another of sixteen").cookie_of("b")
    for key in ("", "b", forged):
        assert {one.pick(Request(key=key), (), 0.0) for _ in range(100)} == {"a", "b", "c"}


def test_a_cookie_does_not_tell_the_address() -> None:
    """It is 24 hexadecimal digits, without the name in it."""
    cookie = sticky().cookie_of("10.0.0.7:8000")
    assert (TOKEN_BYTES, MIN_SECRET_BYTES) == (12, 16)
    assert len(cookie) == 24
    assert int(cookie, 16) > 0


@pytest.mark.parametrize("length", [0, 15, 65])
def test_bad_secret_is_refused(length: int) -> None:
    """Too short could be guessed, too long is more than the hash takes."""
    with pytest.raises(ValueError, match=f"secret must be 16 to 64 bytes, not {length}"):
        sticky(bytes(length))
