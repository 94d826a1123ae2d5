"""How one request is drawn."""

import pytest

from squall.commands.explain import waterfall

pytestmark = pytest.mark.unit

HOPS = [
    {
        "instance": "gateway.1",
        "route": "GET /v1/videos",
        "started_unix_s": 100.0,
        "duration_ms": 12.0,
        "remaining_in_ms": 1000.0,
        "remaining_out_ms": 988.0,
        "status": "503",
        "notes": [],
    },
    {
        "instance": "video.2",
        "route": "ListVideos",
        "started_unix_s": 100.004,
        "duration_ms": 1.0,
        "remaining_in_ms": None,
        "remaining_out_ms": None,
        "status": "UNAVAILABLE",
        "notes": [
            {"policy": "limiter", "what": "rejected", "at_s": 0.0005, "detail": {"value": 6.0}}
        ],
    },
]


def test_waterfall_shows_each_hop_with_its_budget_and_decisions() -> None:
    """Hops stand in order, times count from the first, decisions stand below their hop."""
    assert waterfall("7f3a", HOPS).splitlines() == [
        "request 7f3a",
        "hop        route           at ms  took ms  budget in  budget out  status",
        "gateway.1  GET /v1/videos    0.0     12.0  1000 ms    988 ms      503",
        "video.2    ListVideos        4.0      1.0  none       none        UNAVAILABLE",
        "    +0.5 ms limiter: rejected value=6",
    ]


def test_nothing_left_of_a_budget_is_zero_and_has_no_minus() -> None:
    """A deadline that was missed by 0.2 ms leaves 0 ms; one missed by 3 ms leaves -3 ms."""
    late = {**HOPS[0], "remaining_in_ms": -0.2, "remaining_out_ms": -3.0}

    row = waterfall("7f3a", [late]).splitlines()[2]
    assert row.split()[-5:] == ["0", "ms", "-3", "ms", "503"]
