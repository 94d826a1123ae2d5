"""A proxy's backends as rows and as metrics, drained ones included."""

import random

import pytest
from prometheus_client.core import Metric

from kit.entries import DrainEntry, EjectEntry, Entry, RouteEntry
from kit.members import Member
from kit.metrics import Metrics
from kit.state import LabState
from lb.fleet import drained_names, is_held_out, names_of, table_of, tables_of
from lb.fleet_metrics import families
from lb.policy.balancer import Balancer
from lb.policy.outlier import DEFAULT_EJECTION_S
from lb.tallies import KINDS, Tallies
from resilience.policy.contract import Outcome
from resilience.switches import FixedSwitches

pytestmark = pytest.mark.unit


class Fleet:
    """Two gateways and their figures."""

    def __init__(self, *names: str) -> None:
        self.service = "gateway"
        self.balancer = Balancer(random.Random(1), FixedSwitches().mode)
        self.balancer.set_endpoints(names, 0.0)
        self.tallies = Tallies()

    def connections_to(self, name: str) -> int:
        """Seven to everybody."""
        return 7


def member(instance: str) -> Member:
    """Make a lease."""
    service, _, number = instance.rpartition(".")
    return Member(instance, service, int(number), "127.0.0.1", ready=True, version_seen=0)


def test_a_row_has_what_is_believed_and_what_came_of_it() -> None:
    """In flight, counts, and how long ago it changed; ejected: by whom and for how long."""
    fleet = Fleet("gateway.1", "gateway.2", "gateway.3")
    for _ in range(5):
        fleet.balancer.on_start("gateway.2", 10.0)
        fleet.tallies.on_pick("gateway.2")
        fleet.balancer.on_finish("gateway.2", Outcome.FAILED, 10.0)
        fleet.tallies.on_end("gateway.2", "500", 0.25)
    fleet.balancer.on_start("gateway.1", 11.0)
    table = table_of(fleet, (), 14.0)
    assert (table["service"], table["algorithm"], table["panicking"]) == ("gateway", "p2c", False)
    assert table["backends"][0] == {
        "name": "gateway.1", "state": "up", "picked": True, "weight": 1.0, "in_flight": 1,
        "connections": 7, "picks": 0, "failed": 0, "failures": {}, "p99_ms": None,
        "missed_checks": 0, "ejected_by": "", "ejected_for_s": None, "changed_ago_s": 14.0,
    }  # fmt: skip
    out = table["backends"][1]
    assert (out["state"], out["picked"], out["ejected_by"]) == ("ejected", False, "CONSECUTIVE")
    assert (out["ejected_for_s"], out["changed_ago_s"]) == (DEFAULT_EJECTION_S - 4.0, 4.0)
    assert (out["picks"], out["failed"], out["failures"]) == (5, 5, {"5xx": 5})
    assert out["p99_ms"] == 250.0


def test_a_drained_backend_keeps_its_place_until_its_last_request_has_ended() -> None:
    """By number, not by text; what is in flight there is shown, its weight isn't."""
    fleet = Fleet("gateway.2", "gateway.10")
    fleet.balancer.on_start("gateway.2", 1.0)
    fleet.balancer.set_endpoints(["gateway.10"], 2.0)
    table = table_of(fleet, ["gateway.2"], 3.0)
    assert list(names_of([table])) == ["gateway.2", "gateway.10"]
    row = table["backends"][0]
    assert (row["state"], row["picked"], row["weight"]) == ("drained", False, None)
    assert (row["in_flight"], row["connections"]) == (1, 1)


def test_drained_are_the_live_ones_and_those_a_drain_names() -> None:
    """Of this service only: by its own name, its service's, and replicas of a service's route."""
    entries: dict[str, Entry] = {
        "drain/gateway.2": DrainEntry(drained=True),
        "drain/gateway.9": DrainEntry(drained=True),
        "drain/gateway.3": DrainEntry(drained=False),
        "drain/video": DrainEntry(drained=True),
        "drain/hello.2": DrainEntry(drained=True),
        "route/hello": RouteEntry("/hello", ["a", "b"]),
    }
    state = LabState(1, entries)
    members = [member(name) for name in ("gateway.1", "gateway.2", "gateway.3", "video.1")]
    assert drained_names("gateway", state, members) == ["gateway.2", "gateway.9"]
    assert drained_names("video", state, members) == ["video.1"]
    assert drained_names("hello", state, members) == ["hello.2"]
    [table] = tables_of([Fleet("gateway.1")], state, members)
    assert list(names_of([table])) == ["gateway.1", "gateway.2", "gateway.9"]


def test_held_out_is_who_an_operator_ejected() -> None:
    """A name without a number, as a file may give one, is nobody in the lab."""
    asked = is_held_out(LabState(1, {"eject/gateway.1": EjectEntry(5.0)}))
    assert [asked(name) for name in ("gateway.1", "gateway.2", "gateway")] == [True, False, False]


def test_prometheus_reads_every_figure_by_backend() -> None:
    """Gauges of now, counters with zeros for each kind, a cumulative histogram."""
    fleet = Fleet("gateway.1", "gateway.2")
    fleet.balancer.hold_out(["gateway.2"], 0.0)
    fleet.balancer.on_start("gateway.1", 1.0)
    fleet.tallies.on_pick("gateway.1")
    fleet.tallies.on_end("gateway.1", "503", 0.02)
    fleet.tallies.on_end("gateway.1", "reset", 0.02)
    metrics = Metrics(dict)
    metrics.families(lambda: families([fleet]))
    text = metrics.text().decode()
    for line in (
        'squall_backend_up{backend="gateway.1"} 1.0',
        'squall_backend_up{backend="gateway.2"} 0.0',
        'squall_backend_ejected{backend="gateway.2"} 1.0',
        'squall_backend_weight{backend="gateway.1"} 1.0',
        'squall_backend_in_flight{backend="gateway.1"} 1.0',
        'squall_backend_connections{backend="gateway.2"} 7.0',
        'squall_backend_picks_total{backend="gateway.1"} 1.0',
        'squall_backend_failures_total{backend="gateway.1",kind="5xx"} 1.0',
        'squall_backend_failures_total{backend="gateway.1",kind="reset"} 1.0',
        'squall_backend_failures_total{backend="gateway.2",kind="deadline"} 0.0',
        'squall_backend_seconds_bucket{backend="gateway.1",le="0.01"} 0.0',
        'squall_backend_seconds_bucket{backend="gateway.1",le="0.025"} 1.0',
        'squall_backend_seconds_bucket{backend="gateway.1",le="+Inf"} 1.0',
        'squall_backend_seconds_sum{backend="gateway.1"} 0.02',
    ):
        assert line in text.splitlines()


def test_labels_are_names_of_backends_and_kinds_only() -> None:
    """So a metric has as many lines as there are backends, whatever clients send."""
    fleet = Fleet("gateway.1", "gateway.2")
    for status in range(100, 600):
        fleet.tallies.on_end("gateway.1", str(status), 0.001)
    made: list[Metric] = list(families([fleet, Fleet()]))
    by_name = {one.name: one.samples for one in made}
    assert len(by_name["squall_backend_failures"]) == 2 * len(KINDS)
    assert {key for one in made for each in one.samples for key in each.labels} == {
        "backend", "kind", "le",
    }  # fmt: skip
