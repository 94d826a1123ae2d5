"""A driver that remembers what it was told, and does it to whatever a test gives it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.drivers.contract import Capability, InstanceStatus
from chaos.drivers.host_fault import HostFault, HostProof
from chaos.lab import Lab
from kit.errors import LabEnvironmentError


@dataclass
class FakeDriver:
    """Begins, renews and ends.

    Args:
        act: Called when a fault begins.
        undo: Called when it ends.
        hits: What its proofs say.
        up: Instances that run.
        capabilities: All, unless said otherwise.
        standing: Faults that act already.
    """

    act: Callable[[HostFault], None] = lambda fault: None
    undo: Callable[[HostFault], None] = lambda fault: None
    hits: int = 1
    up: Sequence[str] = ("control.1", "gateway.1", "video.1")
    capabilities: frozenset[Capability] = frozenset(Capability)
    standing: Sequence[HostProof] = ()
    is_deaf: bool = False
    begun: dict[str, HostFault] = field(default_factory=dict)
    renewed: list[Sequence[str]] = field(default_factory=list)
    refused_count: int = 0
    ended: list[str] = field(default_factory=list)

    def instances(self) -> Sequence[InstanceStatus]:
        return [
            InstanceStatus(name, name.partition(".")[0], "running", "127.0.0.1", 1.0, None, 0)
            for name in self.up
        ]

    def begin(self, fault: HostFault, *, lease_s: float = 3.0) -> None:
        assert fault.id not in self.begun, "drivers refuse an id that was used before"
        self.begun[fault.id] = fault
        self.act(fault)

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = 3.0) -> None:
        if self.is_deaf:
            self.refused_count += 1
            raise LabEnvironmentError("no supervisor answers")
        self.renewed.append(tuple(fault_ids))

    def end(self, fault_id: str) -> HostProof:
        fault = self.begun[fault_id]
        if fault_id not in self.ended:
            self.ended.append(fault_id)
            self.undo(fault)
        return HostProof(
            fault_id, fault.kind, fault.target, (f"{fault.target}.1",), self.hits, 1.0, "seen",
            True,
        )  # fmt: skip

    def host_faults(self) -> Sequence[HostProof]:
        return self.standing


@dataclass(frozen=True)
class DrivenLab(Lab):
    """A lab with a driver of a test's own."""

    fake: Any = None

    def driver(self) -> Any:
        return self.fake


def driven(lab: Lab, driver: FakeDriver) -> DrivenLab:
    """Give a lab that driver."""
    return DrivenLab(lab.root, lab.mode, lab.ports, lab.network, fake=driver)


def proof(fault_id: str, *, is_over: bool = False, **changes: Any) -> HostProof:
    """Make a proof."""
    data: Mapping[str, Any] = {
        "id": fault_id, "kind": "pause", "target": "video.1", "instances": ("video.1",),
        "hits": 1, "seconds": 2.0, "detail": "state T", "is_over": is_over, **changes,
    }  # fmt: skip
    return HostProof(**data)
