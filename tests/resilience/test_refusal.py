"""Refusals: codes by kind of policy, the decision in words, notes."""

from collections.abc import Mapping

import pytest

from resilience.errors import BreakerOpen, Code, DeadlineExpired, LimitExceeded
from resilience.policy.contract import Permit, Rejection
from resilience.policy.keyed import KeyedRejection
from resilience.policy.switch import PassPermit
from resilience.refusal import decision_text, note_rejection, note_shadow, to_error
from tests.resilience.fakes import make_context


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (6, 5, "limiter; video.2; 6/5"),
        (0.5, None, "limiter; video.2; 0.5"),
        (2_345_678, 2.5, "limiter; video.2; 2345678/2.5"),
        (None, 3, "limiter; video.2"),
    ],
)
def test_a_decision_says_policy_scope_and_figures(
    value: float | None, limit: float | None, text: str
) -> None:
    """``policy; scope; value/limit``, as far as they are known."""
    assert decision_text("limiter", "video.2", value, limit) == text


@pytest.mark.parametrize(
    ("policy", "code", "kind"),
    [
        ("limiter", Code.UNAVAILABLE, LimitExceeded),
        ("bulkhead", Code.UNAVAILABLE, LimitExceeded),
        ("breaker", Code.UNAVAILABLE, BreakerOpen),
        ("quota", Code.RESOURCE_EXHAUSTED, LimitExceeded),
    ],
)
def test_a_refusal_is_503_and_a_quota_429(policy: str, code: Code, kind: type) -> None:
    """No work has begun, and the caller is told when to come back."""
    error = to_error(Rejection(policy, "R", 2.0, 6, 5), "video.2")

    assert isinstance(error, kind)
    assert (error.code, error.reason, error.retry_after_s, error.started) == (code, "R", 2.0, False)
    assert error.metadata == {"decision": f"{policy}; video.2; 6/5"}


def test_a_deadline_passed_in_a_queue_is_504() -> None:
    """The queue says whose time it was."""
    error = to_error(Rejection("bulkhead", "DEADLINE_EXCEEDED", None, 1, 1), "x")

    assert isinstance(error, DeadlineExpired)
    assert (error.code, error.started) == (Code.DEADLINE_EXCEEDED, False)


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, object]) -> None:
        self.heard.append((policy, what, scope))


class Told:
    """An observer that keeps the details."""

    def __init__(self) -> None:
        self.details: list[Mapping[str, object]] = []

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, object]) -> None:
        self.details.append(detail)


def test_refusals_are_noted_and_heard_shadow_ones_by_their_name() -> None:
    """The Context keeps both kinds; a plain permit says nothing."""
    context, ear = make_context(), Ear()
    rejection = Rejection("limiter", "LIMIT_EXCEEDED", 1.0, 6, 5)
    note_rejection(rejection, "video", context, context.arrived_s + 1, observer=ear)
    note_shadow(PassPermit(0.0, rejection), "video", context, context.arrived_s + 2, observer=ear)
    note_shadow(PassPermit(0.0), "video", context, 0.0, observer=ear)
    note_shadow(Permit(0, 0.0), "video", context, 0.0, observer=ear)
    note_rejection(rejection, "video", None, 0.0)

    assert ear.heard == [("limiter", "rejected", "video"), ("limiter", "shadow-rejected", "video")]
    assert [note.what for note in context.notes] == ["rejected", "shadow-rejected"]
    assert context.notes[0].detail == {
        "scope": "video",
        "reason": "LIMIT_EXCEEDED",
        "value": 6,
        "limit": 5,
    }


def test_figures_are_rounded_where_they_are_told() -> None:
    """A policy gives them as they are: three places are enough for whoever reads them."""
    context, told = make_context(), Told()
    rejection = Rejection("quota", "QUOTA_EXCEEDED", None, 0.1 + 0.2, 1_234_567)

    note_rejection(rejection, "video", context, context.arrived_s, observer=told)

    figures = {"reason": "QUOTA_EXCEEDED", "value": 0.3, "limit": 1_234_567}
    assert told.details == [figures]
    assert context.notes[0].detail == {"scope": "video", **figures}


def test_either_listener_alone_is_told() -> None:
    """A Context without an observer, and an observer outside of any request."""
    context, told = make_context(), Told()
    rejection = Rejection("limiter", "LIMIT_EXCEEDED", 1.0, 6, 5)

    note_rejection(rejection, "video", context, context.arrived_s)
    note_rejection(rejection, "video", None, 0.0, observer=told)

    assert [note.what for note in context.notes] == ["rejected"]
    assert [each["value"] for each in told.details] == [6]


@pytest.mark.parametrize(
    ("key", "shown"),
    [("blue", "blue"), ("", "(none)"), ("a; 1/9", "a? 1/9"), ("x" * 65, "x" * 64)],
)
def test_a_limit_for_each_key_says_whose(key: str, shown: str) -> None:
    """In the decision and in the note; what a caller calls itself cannot break either."""
    context, rejection = make_context(), Rejection("rate", "RATE_EXCEEDED", 0.5, 5, 4)
    refused = KeyedRejection(key, rejection)
    note_rejection(refused, "gateway.1", context, context.arrived_s)

    error = to_error(refused, "gateway.1")
    assert error.metadata["decision"] == f"rate; gateway.1/{shown}; 5/4"
    assert (error.code, error.retry_after_s) == (Code.RESOURCE_EXHAUSTED, 0.5)
    assert context.notes[0].detail["key"] == shown
    assert context.notes[0].detail["scope"] == "gateway.1"
