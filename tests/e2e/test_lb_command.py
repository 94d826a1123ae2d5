"""``squall lb`` in the whole lab: drain, eject, why, and the figures of each backend."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LIST = "/v1/videos"
LIMIT_S = 10.0
ASKED = 40  # with two gateways, all to one by chance: once in 10^12


@pytest.fixture
def operated(lab: Lab) -> Iterator[Lab]:
    """Both gateways take requests, before and after."""
    wait_until(lambda: picked(lab) == {"gateway.1", "gateway.2"}, limit_s=LIMIT_S)
    try:
        yield lab
    finally:
        for verb in ("undrain", "restore"):
            lab.run("lb", verb, "gateway.1", "--json")
        lab.run("setting", "reset", "picks_every", "--json")


def rows(lab: Lab, proxy: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a proxy's first table by name."""
    table = lab.json("lb", "backends")["processes"][proxy][0]
    return {row["name"]: row for row in table["backends"]}


def picked(lab: Lab) -> set[str]:
    """Name the gateways that may be picked now."""
    return {name for name, row in rows(lab, "l7.1").items() if row["picked"]}


def picks(lab: Lab, name: str) -> int:
    """Say how often one was picked."""
    count: int = rows(lab, "l7.1")[name]["picks"]
    return count


def served(lab: Lab) -> None:
    """Send requests that are all answered."""
    assert {lab.get(LIST).status for _ in range(ASKED)} == {200}


def test_a_drained_gateway_gets_no_new_request_until_it_is_let_back(operated: Lab) -> None:
    """The command returns when both proxies know; its picks stand still, nothing fails."""
    done = operated.json("lb", "drain", "gateway.1")
    assert (done["is"], done["missing"]) == ("drained", [])
    before = picks(operated, "gateway.1")
    served(operated)
    row = rows(operated, "l7.1")["gateway.1"]
    assert (row["state"], row["picks"], row["in_flight"]) == ("drained", before, 0)

    operated.json("lb", "undrain", "gateway.1")
    before = picks(operated, "gateway.1")
    served(operated)
    assert picks(operated, "gateway.1") > before


def test_an_ejected_gateway_is_left_until_it_is_restored(operated: Lab) -> None:
    """With the policy off, too: it is the operator's word; l4 shows l7 all the while."""
    operated.json("policy", "set", "outlier", "off", "--on", "l7")
    try:
        operated.json("lb", "eject", "gateway.1", "--for", "60s")
        before = picks(operated, "gateway.1")
        served(operated)
        row = rows(operated, "l7.1")["gateway.1"]
        assert (row["state"], row["ejected_by"]) == ("ejected", "OPERATOR")
        assert 0 < row["ejected_for_s"] <= 60
        assert row["picks"] == before
    finally:
        operated.json("policy", "reset", "outlier", "--on", "l7")
    operated.json("lb", "restore", "gateway.1")
    assert picked(operated) == {"gateway.1", "gateway.2"}
    assert rows(operated, "l4.1")["l7.1"]["picks"] > 0


def test_why_tells_of_a_request_who_was_picked_and_among_whom(operated: Lab) -> None:
    """While one is ejected the other is the only one possible; an unknown request ends 1."""
    operated.json("setting", "set", "picks_every", "1")
    operated.json("lb", "eject", "gateway.1")
    answer = operated.get(LIST)
    [decision] = operated.json("lb", "why", answer.headers["x-request-id"])["decisions"]
    attempt = decision["attempts"][0]
    assert (attempt["picked"], attempt["rule"]) == ("gateway.2", "p2c")
    assert [each["candidate"] for each in attempt["backends"]] == [False, True]
    assert attempt["backends"][0]["ejected_by"] == "OPERATOR"
    assert operated.json("lb", "why", "nobody-asked", code=1)["decisions"] == []


def test_a_backend_that_does_not_exist_is_named_with_the_nearest(operated: Lab) -> None:
    """Exit 2, and nothing changes."""
    told = operated.json("lb", "drain", "gateway.7", code=2)
    assert "did you mean gateway.2, gateway.1?" in told["error"]
    assert picked(operated) == {"gateway.1", "gateway.2"}
