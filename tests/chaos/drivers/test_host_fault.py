"""Faults of hosts as values: what is let through, and what a refusal says."""

from typing import Any

import pytest

from chaos.drivers.contract import (
    DEFAULT_LEASE_S,
    NEEDS,
    Capability,
    HostFault,
    HostProof,
    InstanceStatus,
    capabilities_of,
    require,
)
from chaos.drivers.host_fault import (
    KINDS,
    MAX_CORES,
    MAX_MEMORY_MB,
    MAX_TTL_S,
    MIN_CORES,
    MIN_MEMORY_MB,
    check_host_fault,
    read_host_fault,
)
from chaos.drivers.processes import ProcessDriver
from kit.errors import ConfigError, LabEnvironmentError

pytestmark = pytest.mark.unit

GOOD: dict[str, dict[str, float]] = {
    "kill": {},
    "pause": {},
    "stop": {},
    "restart": {},
    "cpu": {"cores": 0.1},
    "memory": {"mb": 64},
}


@pytest.mark.parametrize("kind", sorted(GOOD))
@pytest.mark.parametrize("target", ["video", "video.2", "store-1", "store-1.1"])
def test_every_kind_on_a_service_and_on_an_instance_is_let_through(kind: str, target: str) -> None:
    """Read back from JSON it is the same value."""
    fault = HostFault("f-1", kind, target, 20.0, GOOD[kind])
    check_host_fault(fault)
    fields: dict[str, Any] = {
        **{"id": "f-1", "kind": kind, "target": target, "ttl_s": 20.0, "params": GOOD[kind]}
    }
    assert read_host_fault(fields) == fault
    assert NEEDS[kind] in Capability


def test_every_kind_is_known_and_only_store_nodes_are_cut_off() -> None:
    """Other services don't talk to each other as nodes do."""
    assert set(KINDS) == {*GOOD, "isolate"}
    for target in ("store-1", "store-12.1"):
        check_host_fault(HostFault("f-1", "isolate", target, 20.0))
    for target in ("video", "video.2", "store-1.2", "cache-1"):
        with pytest.raises(ConfigError, match="isolate cuts a store node off: give store-1"):
            check_host_fault(HostFault("f-1", "isolate", target, 20.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "a b"}, "id is 'a b'"),
        ({"kind": "puase"}, "unknown: did you mean pause"),
        ({"target": "Video"}, "target is 'Video': give video or video.2"),
        ({"target": "*"}, "give video or video.2"),
        ({"target": "link:gateway>video"}, "to cut a link use the kind down"),
        ({"ttl_s": 0}, "ttl_s is 0"),
        ({"ttl_s": float("nan")}, "ttl_s is nan"),
        ({"ttl_s": MAX_TTL_S + 1}, "up to 86400"),
        ({"params": {"cores": 1}}, "no param 'cores': it takes none"),
        ({"kind": "cpu"}, "cores is None: give a number from 0.01 to 64"),
        ({"kind": "cpu", "params": {"cores": 0}}, "cores is 0"),
        ({"kind": "cpu", "params": {"cores": True}}, "cores is True"),
        ({"kind": "memory", "params": {"mb": "64"}}, "mb is '64'"),
        ({"kind": "memory", "params": {"mb": 64, "cores": 1}}, "it takes mb"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named(change: dict[str, Any], said: str) -> None:
    """The field, its value, and what is allowed or nearest."""
    fields = {"id": "f-1", "kind": "pause", "target": "video.1", "ttl_s": 20.0, "params": {}}
    with pytest.raises(ConfigError) as caught:
        read_host_fault({**fields, **change})
    assert said in str(caught.value)


def test_documented_limits_hold() -> None:
    """A day at most; Docker's least of CPU and memory."""
    assert (MAX_TTL_S, MIN_CORES, MAX_CORES) == (86_400.0, 0.01, 64.0)
    assert (MIN_MEMORY_MB, MAX_MEMORY_MB) == (6.0, 65_536.0)
    assert DEFAULT_LEASE_S == 3.0


def test_a_fault_says_itself_in_a_few_words() -> None:
    """Kind, params and target."""
    assert HostFault("f", "cpu", "video.1", 9.0, {"cores": 0.1}).describe() == (
        "cpu cores=0.1 on video.1"
    )
    assert HostFault("f", "pause", "video", 9.0).describe() == "pause on video"


def test_cut_needs_the_links_process() -> None:
    """Everything else any driver with instances can do, and not all can isolate."""
    everything = frozenset(Capability)
    assert capabilities_of({"links", "video"}, isolates=True) == everything
    assert capabilities_of({"video"}, isolates=True) == everything - {Capability.CUT}
    assert capabilities_of({"links"}, isolates=False) == everything - {Capability.ISOLATE}


class Unable(ProcessDriver):
    """A driver that can do only what it is given."""

    given: frozenset[Capability] = frozenset()

    def __init__(self, *given: Capability) -> None:
        self.given = frozenset(given)

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.given


def test_a_driver_that_cannot_says_so() -> None:
    """Exit code 3: with nothing at all, where to run it; else what it can do."""
    with pytest.raises(LabEnvironmentError, match="no Docker socket in here: run it on the host"):
        require(Unable(), NEEDS["pause"])
    with pytest.raises(LabEnvironmentError, match="cannot pause; it can kill"):
        require(Unable(Capability.KILL), NEEDS["pause"])
    with pytest.raises(LabEnvironmentError, match="it can kill; to isolate takes a lab of pro"):
        require(Unable(Capability.KILL), NEEDS["isolate"])
    require(Unable(Capability.PAUSE), NEEDS["pause"])
    assert LabEnvironmentError.exit_code == 3


def test_a_proof_needs_no_more_than_it_always_had() -> None:
    """What was added later has defaults."""
    proof = HostProof("f", "kill", "video", ("video.1",), 1, 2.0, "exit code 137", True)
    assert (proof.params, proof.left_s, proof.is_renewed) == ({}, 0.0, False)


def test_done_one_shots_count_as_up() -> None:
    """So a status says of a seed that has ended well."""
    assert InstanceStatus("seed.1", "seed", "done", "", None, 0, 0).is_up
    assert not InstanceStatus("seed.1", "seed", "failed", "", None, 1, 0).is_up
