"""Proof that a fault of a link bit: what it has done to how much.

Why: drills.md R6: a fault without proof makes a drill inconclusive. Same shape as the injector's
(``faults.injector.Proof``): ``hits`` is what everybody looks at, the others say how hard it bit.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class WireProof:
    """What a fault has done here since the last reset.

    Args:
        kind: Of the fault.
        hits: What it disturbed: reads of a stream, ends, commands or streams, as its kind says.
        connections: How many connections it disturbed.
        bytes: Of what it disturbed.
        delayed_ms: Waiting added, over all that it held up.
        resets: Connections or streams it cut.
        error: Why it can't act; "" when it can.
    """

    kind: str
    hits: int = 0
    connections: int = 0
    bytes: int = 0
    delayed_ms: float = 0.0
    resets: int = 0
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON; ``error`` only when there is one."""
        figures: dict[str, Any] = {
            "kind": self.kind,
            "hits": self.hits,
            "connections": self.connections,
            "bytes": self.bytes,
            "delayed_ms": round(self.delayed_ms, 3),
            "resets": self.resets,
        }
        return figures | {"error": self.error} if self.error else figures


class WireProofs:
    """Keep the proofs by fault id."""

    def __init__(self) -> None:
        self._proofs: dict[str, WireProof] = {}

    def of(self, fault: str, kind: str) -> WireProof:
        """Return a fault's proof, beginning one if need be."""
        proof = self._proofs.get(fault)
        if proof is None or proof.kind != kind:
            proof = self._proofs[fault] = WireProof(kind)
        return proof

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return fault id to figures."""
        return {fault: proof.as_dict() for fault, proof in self._proofs.items()}

    def reset(self) -> None:
        """Start counting anew; what can't act still says why."""
        for proof in self._proofs.values():
            proof.hits = proof.connections = proof.bytes = proof.resets = 0
            proof.delayed_ms = 0.0

    def keep(self, faults: set[str]) -> None:
        """Forget those who neither act now nor ever did."""
        self._proofs = {
            fault: proof for fault, proof in self._proofs.items() if proof.hits or fault in faults
        }
