"""Faults of three depths: what they need, name and say."""

from typing import Any

import msgspec
import pytest

from chaos.drill.arms import fault_windows, main_arm
from chaos.drill.fault import (
    NEEDS,
    Fault,
    ends_of,
    has_shard_role,
    names_in,
    replace_shard_role,
    service_of,
)
from chaos.drill.fault_mistakes import KINDS
from chaos.drivers import host_fault
from chaos.drivers.contract import Capability
from faults.kinds import LINK_KINDS, SERVICE_KINDS
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit


def fault(kind: str, on: str, **more: Any) -> Fault:
    """Read a fault as a drill file has it."""
    return msgspec.convert({"kind": kind, "on": on, **more}, Fault)


def test_every_kind_of_every_depth_can_be_said() -> None:
    """A kind that the lab learns is one of drills at once."""
    assert {*SERVICE_KINDS, *LINK_KINDS, *host_fault.KINDS, "cut", "detach", "slowloris"} == set(
        KINDS
    )


def test_params_of_every_kind_are_fields() -> None:
    """Nothing that the lab understands is unsayable in a drill."""
    tables = (SERVICE_KINDS, LINK_KINDS, host_fault.PARAMS)
    params = {name for table in tables for specs in table.values() for name in specs}
    assert params <= set(Fault.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "on", "need"),
    [
        ("latency", "video", None),
        ("latency", "link:gateway>video", "cut"),
        ("down", "link:video>store-1", "cut"),
        ("kill", "control", "kill"),
        ("memory", "video.1", "memory-limit"),
        ("isolate", "shard.1.primary", "isolate"),
    ],
)
def test_needs_follow_from_kind_and_target(kind: str, on: str, need: str | None) -> None:
    """The same kind on a link needs somebody who carries it out."""
    assert fault(kind, on).need == need


def test_needs_are_words_that_drivers_declare() -> None:
    """One for each host kind."""
    assert set(NEEDS) == set(host_fault.KINDS)
    assert set(NEEDS.values()) | {"cut"} <= {capability.value for capability in Capability}


def test_drill_needs_what_its_faults_need_and_what_it_says() -> None:
    """Nobody has to write it twice."""
    small = drill(
        needs={"seconds": 1, "cores": 1, "faults": ["logs"]},
        faults=[
            {"kind": "pause", "on": "video.1", "for": 1},
            {"kind": "cut", "on": "link:gateway>video", "for": 1},
        ],
    )

    assert small.capabilities == ["cut", "logs", "pause"]


def test_cut_is_the_wire_kind_down() -> None:
    """Under the name that people use."""
    small = drill(faults=[{"kind": "cut", "on": "link:gateway>video", "for": 1}])

    (window,) = fault_windows(small, main_arm(small))

    assert window.rule["kind"] == "down"
    assert window.rule["target"] == "link:gateway>video"
    assert window.names == ["gateway", "video"]


def test_targets_are_taken_apart() -> None:
    """Services, instances, the two ends of a link; a shard's role has no name yet."""
    assert (service_of("video.2"), service_of("store-1"), service_of("*")) == (
        "video", "store-1", "*",
    )  # fmt: skip
    assert ends_of("link:gateway>video.1") == ("gateway", "video.1")
    assert names_in("link:gateway>video.1") == ["gateway", "video.1"]
    assert names_in("*") == []
    assert names_in("shard.1.primary") == []
    assert names_in("link:counter>shard.2.replica") == ["counter"]


def test_shard_roles_are_replaced_wherever_they_stand() -> None:
    """As a target and as the end of a link."""
    name = {(1, "primary"): "store-4", (2, "replica"): "store-2"}

    def node(shard: int, role: str) -> str:
        return name[shard, role]

    assert replace_shard_role("shard.1.primary", node) == "store-4"
    assert replace_shard_role("link:video>shard.2.replica", node) == "link:video>store-2"
    assert replace_shard_role("video.1", node) == "video.1"
    assert has_shard_role("shard.1.primary")
    assert not has_shard_role("store-1")


def test_control_is_silent_only_under_faults_of_its_host() -> None:
    """And only when it is the target."""
    assert fault("kill", "control").silences_control
    assert fault("pause", "control.1").silences_control
    assert not fault("kill", "video").silences_control
    assert not fault("latency", "link:gateway>video").silences_control


def test_fault_is_told_in_words() -> None:
    """With its params, and what it really acted on."""
    slow = fault("latency", "link:gateway>video", ms=50, stream="upstream", **{"for": 2})

    assert slow.describe() == "latency (ms 50, stream upstream) on link:gateway>video"
    assert fault("pause", "shard.1.primary").describe("store-4") == "pause on store-4"


def test_restart_without_a_length_lasts_to_the_end_of_its_phase() -> None:
    """So that its proof is asked for at the end; the host's id is whatever the engine says."""
    small = drill(faults=[{"kind": "restart", "on": "video.1", "at": 1}])

    (window,) = fault_windows(small, main_arm(small))

    assert (window.window.from_s, window.window.to_s) == (4.0, 7.0)
    assert window.host_fault("one").id == "one"
    assert window.host_fault("one").ttl_s == 5.0
