"""``squall lb``: tables, an operator's word, and why; against a real proxy on a real control."""

import time
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from kit.directory import Endpoint
from lb.l7.operator import obey
from lb.l7.picks import DEFAULT_EVERY, seen
from lb.l7.proxy import Proxy
from resilience.policy.contract import Outcome, Request
from squall.backends import PROXIES, backends_text, left_without_any, still_out, why_text
from squall.commands import lb as command
from tests.cli.conftest import Squall
from tests.cli.nodes import Nodes

ROW: dict[str, Any] = {
    "name": "gateway.1", "state": "up", "picked": True, "weight": 1.0, "in_flight": 2,
    "connections": 3, "picks": 120, "failed": 0, "failures": {}, "p99_ms": 12.34,
    "missed_checks": 0, "ejected_by": "", "ejected_for_s": None, "changed_ago_s": None,
}  # fmt: skip
OUT = ROW | {
    "name": "gateway.2", "state": "ejected", "picked": False, "failed": 6, "p99_ms": None,
    "failures": {"reset": 1, "5xx": 5}, "ejected_by": "CONSECUTIVE", "ejected_for_s": 12.4,
    "changed_ago_s": 17.6,
}  # fmt: skip
FLEETS: dict[str, list[dict[str, Any]]] = {
    "l7.1": [
        {"service": "gateway", "algorithm": "p2c", "panicking": False, "backends": [ROW, OUT]},
        {"service": "hello", "algorithm": "p2c", "panicking": True, "backends": []},
    ]
}
ASKED = (
    ("backends",), ("drain", "gateway.1"), ("undrain", "gateway.1"), ("eject", "gateway.1"),
    ("restore", "gateway.1"), ("why", "r"),
)  # fmt: skip


class Balanced:
    """The control plane's l7, with a proxy that knows two gateways."""

    def __init__(self, nodes: Nodes) -> None:
        self.node = nodes.nodes["l7.1"]
        self._nodes = nodes
        self.proxy = Proxy(self.node, self.node.recorder.add, instance="l7.1")

    async def start(self) -> None:
        """Follow the lab as the process does."""
        obey(self.node, self.proxy)
        self.node.on_change(lambda state: self._use())
        self._use()

    def pick(self, request_id: str) -> str:
        """Pick once, as a request would that is answered."""
        return self._nodes.run(self._pick(request_id))

    async def _pick(self, request_id: str) -> str:
        proxy, now_s = self.proxy, time.monotonic()
        picked = proxy.pick(Request(), (), now_s)
        assert picked is not None
        assert proxy.picks is not None
        proxy.picks.open(request_id, "gateway", now_s, 1, []).append(
            seen(proxy.balancer, picked[0], now_s, (), "", Request())
        )
        proxy.balancer.on_finish(picked[0], Outcome.OK, now_s)
        return picked[0]

    def _use(self) -> None:
        state = self.node.state
        wheres = [Endpoint(f"gateway.{number}", "127.0.0.1", 8000) for number in (1, 2)]
        self.proxy.set_endpoints(
            [one for number, one in enumerate(wheres, 1) if not state.is_drained("gateway", number)]
        )


@pytest.fixture(scope="session")
def shared_balanced(shared_nodes: Nodes) -> Balanced:
    """Let the control plane's l7 answer as a proxy for the rest of the session."""
    made = Balanced(shared_nodes)
    shared_nodes.run(made.start())
    return made


@pytest.fixture
def balanced(shared_balanced: Balanced, nodes: Nodes) -> Iterator[Balanced]:
    """The same, with what a test says taken back after it."""
    yield shared_balanced
    nodes.run(nodes.forget())


def row_of(squall: Squall, name: str) -> dict[str, Any]:
    """Return one backend's row as the command shows it."""
    done = squall("lb", "backends", "--json")
    assert (done.code, done.json["schema"]) == (0, "squall.backends/1")
    rows: list[dict[str, Any]] = done.json["processes"]["l7.1"][0]["backends"]
    [found] = [row for row in rows if row["name"] == name]
    return found


@pytest.mark.unit
def test_the_table_says_how_each_stands_and_why_it_is_out() -> None:
    """A fleet's head names who picks and by what; failures stand by kind, an ejection with its end.

    A service without a replica is told, too.
    """
    assert backends_text(FLEETS).splitlines() == [
        "l7.1 to gateway, by p2c",
        "backend    state    weight  in flight  connections  picks  failed  missed checks  p99 ms"
        "  changed   notes",
        "gateway.1  up            1          2            3    120       0              0    12.3",
        "gateway.2  ejected       1          2            3    120       6              0        "
        "  18 s ago  CONSECUTIVE, 12 s left; 1 reset, 5 5xx",
        "",
        "l7.1 to hello, by p2c, in a panic: all are used",
        "no backend",
    ]


@pytest.mark.unit
def test_who_leaves_nobody_is_told_so() -> None:
    """Only when none of the same fleet can be picked any more."""
    assert left_without_any("gateway.2", FLEETS) == []
    alone = deepcopy(FLEETS)
    alone["l7.1"][0]["backends"][0]["picked"] = False
    [told] = left_without_any("gateway.2", alone)
    assert told.startswith("l7.1 has no gateway left")
    assert left_without_any("hello.1", alone) == []


@pytest.mark.unit
def test_who_was_let_back_and_stays_out_is_told_why() -> None:
    """By the policies, with the rule and the time left; by a drain of the whole service."""
    assert still_out("gateway.2", "eject", FLEETS) == [
        "gateway.2 stays ejected: CONSECUTIVE, 12 s left"
    ]
    assert still_out("gateway.1", "eject", FLEETS) == []
    assert still_out("gateway.2", "drain", FLEETS) == []
    drained = deepcopy(FLEETS)
    drained["l7.1"][0]["backends"][1]["state"] = "drained"
    [told] = still_out("gateway.2", "drain", drained)
    assert "whole service" in told


@pytest.mark.unit
def test_why_shows_each_attempt_and_those_it_chose_among() -> None:
    """Who was picked by what, who could have been, who was tried before, how busy they were."""
    first: dict[str, Any] = {
        "attempt": 1, "at_ms": 0.08, "after": "", "picked": "gateway.2", "rule": "p2c",
        "ended": "reset", "took_ms": 3.02,
        "backends": [
            {"name": "gateway.1", "candidate": True, "in_flight": 4, "weight": 1.0, "state": "up",
             "ejected_by": "", "tried": False},
            {"name": "gateway.2", "candidate": True, "in_flight": 0, "weight": 1.0, "state": "up",
             "ejected_by": "", "tried": False},
        ],
    }  # fmt: skip
    second: dict[str, Any] = deepcopy(first) | {
        "attempt": 2, "at_ms": 3.12, "after": "reset", "picked": None, "rule": "nobody left",
        "ended": None, "took_ms": None,
    }  # fmt: skip
    second["backends"][0] |= {"candidate": False, "state": "ejected", "ejected_by": "OPERATOR"}
    second["backends"][1] |= {"candidate": False, "tried": True}
    told = {
        "instance": "l7.1", "service": "gateway", "status": "NO_BACKEND", "code": 503,
        "took_ms": 3.2, "attempts": [first, second],
    }  # fmt: skip
    assert why_text("7f3a", [told]).splitlines() == [
        "request 7f3a at l7.1 to gateway: NO_BACKEND after 3.2 ms",
        "attempt 1 at 0.1 ms: gateway.2 by p2c; reset after 3.0 ms",
        "    backend    pick      in flight  weight  state",
        "    gateway.1  possible          4       1  up",
        "    gateway.2  picked            0       1  up",
        "attempt 2 at 3.1 ms after reset: nobody left",
        "    backend    pick          in flight  weight  state",
        "    gateway.1  left out              4       1  ejected by OPERATOR",
        "    gateway.2  tried before          0       1  up",
    ]


@pytest.mark.unit
def test_what_help_and_messages_say_of_numbers_is_so() -> None:
    """One request in 16 is kept, a look a second, both tiers are asked."""
    assert (DEFAULT_EVERY, command.WATCH_EVERY_S, PROXIES) == (16, 1.0, ("l4", "l7"))


@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("argv", ASKED, ids=" ".join)
def test_without_a_lab_it_says_so(argv: tuple[str, ...], squall: Squall) -> None:
    """Exit 3, and with --json one object that says the same."""
    done = squall("lb", *argv, "--json")
    assert (done.code, done.err) == (3, "squall: the lab is not running: make up\n")
    assert done.json["exit_code"] == 3


@pytest.mark.unit
def test_a_time_that_is_none_is_refused() -> None:
    """The option's own message; nothing is asked."""
    from kit.errors import ConfigError
    from squall.durations import parse_duration

    with pytest.raises(ConfigError, match="--for '30' is not a duration"):
        parse_duration("30", "--for")


@pytest.mark.integration
@pytest.mark.usefixtures("balanced")
@pytest.mark.parametrize("verb", ["drain", "undrain", "eject", "restore"])
def test_an_unknown_backend_is_named_with_the_nearest(verb: str, squall: Squall) -> None:
    """Exit 2, and nothing is written."""
    done = squall("lb", verb, "gateway.7")
    assert (done.code, done.out) == (2, "")
    assert "did you mean gateway.2, gateway.1?" in done.err


@pytest.mark.integration
def test_a_drained_backend_gets_nothing_until_it_is_let_back(
    balanced: Balanced, squall: Squall
) -> None:
    """Live when the command returns; it stays in the table as drained; twice is no mistake."""
    done = squall("lb", "drain", "gateway.2", "--json")
    assert (done.code, done.json["schema"], done.json["is"]) == (0, "squall.backend/1", "drained")
    assert (done.json["live"], done.json["total"], done.json["missing"]) == (1, 1, [])
    assert {balanced.pick("r") for _ in range(30)} == {"gateway.1"}
    assert row_of(squall, "gateway.2")["state"] == "drained"

    back = squall("lb", "undrain", "gateway.2")
    assert back.out.startswith("gateway.2 not drained: live in 1 of 1 after ")
    assert (back.code, back.err) == (0, "")
    assert squall("lb", "undrain", "gateway.2").code == 0
    assert {balanced.pick("r") for _ in range(100)} == {"gateway.1", "gateway.2"}


@pytest.mark.integration
def test_an_ejection_is_the_operators_and_ends_when_he_said_or_says(
    balanced: Balanced, squall: Squall
) -> None:
    """With the policy off, too; shown with who and how long; the other one out is warned of."""
    squall("policy", "set", "outlier", "off", "--on", "l7")
    done = squall("lb", "eject", "gateway.1", "--for", "90s", "--json")
    assert (done.code, done.json["is"], done.json["for_s"]) == (0, "ejected", 90.0)
    assert {balanced.pick("r") for _ in range(30)} == {"gateway.2"}
    row = row_of(squall, "gateway.1")
    assert (row["state"], row["ejected_by"], row["picked"]) == ("ejected", "OPERATOR", False)
    assert 0 < row["ejected_for_s"] <= 90.0

    last = squall("lb", "eject", "gateway.2")
    assert last.out.startswith("gateway.2 ejected for 30 s: live in 1 of 1")
    assert "l7.1 has no gateway left to pick" in last.err

    assert squall("lb", "restore", "gateway.1", "--json").json["is"] == "not ejected"
    assert {balanced.pick("r") for _ in range(30)} == {"gateway.1"}


@pytest.mark.integration
def test_a_short_ejection_ends_by_itself(balanced: Balanced, squall: Squall) -> None:
    """The entry has a life of its own, by the proxy's clock."""
    squall("lb", "eject", "gateway.1", "--for", "200ms")
    limit_s = time.monotonic() + 10.0
    while row_of(squall, "gateway.1")["state"] != "up":
        assert time.monotonic() < limit_s
    assert {balanced.pick("r") for _ in range(100)} == {"gateway.1", "gateway.2"}


@pytest.mark.integration
def test_why_tells_who_was_picked_among_whom(balanced: Balanced, squall: Squall) -> None:
    """The setting turns it off, and then nothing is remembered: exit 1."""
    picked = balanced.pick("asked-for")
    done = squall("lb", "why", "asked-for", "--json")
    assert (done.code, done.json["schema"]) == (0, "squall.why/1")
    [decision] = done.json["decisions"]
    [attempt] = decision["attempts"]
    assert (decision["instance"], attempt["picked"], attempt["rule"]) == ("l7.1", picked, "p2c")
    assert [each["name"] for each in attempt["backends"]] == ["gateway.1", "gateway.2"]
    assert f"{picked} by p2c" in squall("lb", "why", "asked-for").out

    squall("setting", "set", "picks_every", "0")
    assert balanced.proxy.picks is None
    done = squall("lb", "why", "asked-for")
    assert (done.code, done.out) == (1, "")
    assert "picks_every 1" in done.err


@pytest.mark.integration
@pytest.mark.usefixtures("balanced")
def test_a_watch_shows_it_again_until_it_is_ended(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --json a line a look; Ctrl-C ends it as a shell expects."""
    waits = []

    async def end_at_the_third(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("squall.commands.lb.asyncio.sleep", end_at_the_third)
    done = squall("lb", "backends", "--watch", "--json")
    assert (done.code, waits) == (130, [1.0, 1.0, 1.0])
    assert len(done.out.splitlines()) == 3
