"""What the tasks of an arm find out while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.drill.arms import FaultWindow
from chaos.drill.probes import Evidence, Protection
from chaos.drill.readings import CommandRun, Grown, Sample, Written


@dataclass(slots=True)
class Notes:
    """Shared by the tasks of one arm; each writes its own fields.

    Args:
        proofs: Fault id to figures.
        faults: Those that have begun, by id: what they really acted on, and when.
        evidence: Requests told by their hops.
        protections: What the protecting policies do now.
        samples: Everybody's counters, second by second.
        commands: Runs of the commands that hypotheses ask for.
        written: What became of the drill's writes; None until they are judged.
        grown: What the store's growth came to; None until it is counted.
    """

    proofs: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, FaultWindow] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    protections: list[Protection] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    commands: list[CommandRun] = field(default_factory=list)
    written: Written | None = None
    grown: Grown | None = None

    def add_proofs(self, proofs: Mapping[str, dict[str, Any]]) -> None:
        """Take newer proofs; one that shows less is of processes that were started anew since."""
        for fault_id, figures in proofs.items():
            known = self.proofs.get(fault_id, {})
            if figures.get("hits", 0) >= known.get("hits", 0):
                self.proofs[fault_id] = figures
