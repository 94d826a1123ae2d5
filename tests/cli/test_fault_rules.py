"""A rule in a few words, as `squall fault list` shows it."""

import pytest

from faults.rule import FaultRule
from squall.fault_rules import describe

pytestmark = pytest.mark.unit

LINK = "link:video>store-1"


@pytest.mark.parametrize(
    ("kind", "target", "of"),
    [
        ("latency", "video", "requests"),
        ("latency", LINK, "connections"),
        ("slow_headers", "link:l7>gateway", "connections"),
        ("loading", LINK, "commands"),
        ("reset_stream", "link:gateway>video", "streams"),
    ],
)
def test_a_share_is_said_of_what_it_is_drawn_for(kind: str, target: str, of: str) -> None:
    """Of requests in a service; on a link of connections, unless the kind knows a smaller unit."""
    rule = FaultRule("f", kind, target, {"ms": 5}, share=0.3)
    assert describe(rule) == f"{kind} ms=5 on {target}, 30% of {of}"
    assert "%" not in describe(FaultRule("f", kind, target))
