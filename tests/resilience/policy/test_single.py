"""The single endpoint is offered until it is excluded, and counts its uses."""

import pytest

from resilience.policy.contract import Outcome, Request
from resilience.policy.single import SingleEndpoint


def test_the_endpoint_is_picked_unless_excluded() -> None:
    """A picker with one place names it, and None when that one has been tried."""
    picker = SingleEndpoint("prices:80")

    assert picker.pick(Request(), (), 0.0) == "prices:80"
    assert picker.pick(Request(), ("prices:80",), 0.0) is None


def test_uses_are_counted_in_and_out_and_failures_kept() -> None:
    """Two uses, one of which fails, leave none in flight and one failure."""
    picker = SingleEndpoint("prices:80")
    picker.on_start("prices:80", 0.0)
    picker.on_start("prices:80", 0.0)

    picker.on_finish("prices:80", Outcome.FAILED, 1.0)
    assert picker.snapshot() == {"in_flight": 1, "failed": 1}

    picker.on_finish("prices:80", Outcome.OK, 1.0)
    assert repr(picker) == "<SingleEndpoint prices:80, in flight 0>"


def test_an_empty_endpoint_is_refused() -> None:
    """The message says what to give."""
    with pytest.raises(ValueError, match="give the one place"):
        SingleEndpoint("")
