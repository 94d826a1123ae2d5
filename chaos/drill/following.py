"""What is asked and done beside an arm's load: counters, evidence, protections, commands.

Each is a task that ends by itself or is cancelled with the arm. None of them fails because a
process, or control itself, doesn't answer: a drill may have silenced it.
"""

import asyncio
from collections.abc import Mapping, Sequence

from chaos.drill.arms import Arm, fault_windows
from chaos.drill.command import run_command
from chaos.drill.loadgen import LoadProcess
from chaos.drill.notes import Notes
from chaos.drill.probes import ask_proofs, ask_protections, ask_stats, collect_evidence
from chaos.drill.readings import Sample
from chaos.drill.schema import ENGINE_POLICIES, FAULT, Drill
from kit.control import ControlClient

EVERY_S = 1.0
EVIDENCE_AFTER_S = 2.0  # into the fault: what came first is not yet typical
COMMAND_AFTER_S = 3.0  # into the fault: by then a lease has ended, and every cache of the lab
COMMAND_RUNS = 3  # one run says nothing of how much they differ
PROTECTED_BY_DEFAULT = "gateway"  # where a policy acts that is on everywhere


async def read_counters(control: ControlClient, arm: Arm, load: LoadProcess, notes: Notes) -> None:
    """Read everybody's counters each second, and at the borders of the phases; proofs as well.

    A fault's last proof is asked for just before it ends, when control may be silent.
    """
    moments = sorted({window.from_s for window in arm.windows.values()} | {arm.seconds})
    at_s = 0.0
    while True:
        await load.sleep_until(at_s)
        began_s = load.at_s
        # At once: each waits a second for somebody who is silent.
        answers, proofs = await asyncio.gather(ask_stats(control), ask_proofs(control))
        notes.samples.append(Sample(began_s, answers))
        notes.add_proofs(proofs)
        border_s = next((moment for moment in moments if moment > began_s), began_s + EVERY_S)
        at_s = min(border_s, began_s + EVERY_S)


async def gather_evidence(
    control: ControlClient, arm: Arm, load: LoadProcess, notes: Notes
) -> None:
    """Ask about requests soon after they ended: a busy process forgets within seconds.

    Where control was silent all through the fault, the fault's last requests are asked about when
    it is back: processes that could not be asked have gone on remembering.
    """
    window = arm.windows[FAULT]
    recent: Mapping[str, Sequence[str]] = {}
    await load.sleep_until(window.from_s + EVIDENCE_AFTER_S)
    while load.at_s < arm.seconds:
        if load.at_s < window.to_s:
            recent = load.progress().get("recent", {})
        elif any(one.arm == arm.name for one in notes.evidence):
            return
        await collect_evidence(control, arm.name, recent, notes.evidence)
        await asyncio.sleep(EVERY_S)


async def look_at_protections(control: ControlClient, drill: Drill, arm: Arm, notes: Notes) -> None:
    """Follow what the policies do that the control arm goes without."""
    off = (*arm.off, *ENGINE_POLICIES)
    policies = [name for name in drill.control.off if name not in off]
    targets = {PROTECTED_BY_DEFAULT}
    for name in policies:
        switch = arm.policies[name]
        targets |= set(switch) if isinstance(switch, dict) else set()
    while policies:
        notes.protections = await ask_protections(control, policies, targets)
        await asyncio.sleep(EVERY_S)


async def run_commands(drill: Drill, arm: Arm, load: LoadProcess, notes: Notes) -> None:
    """Run the commands that hypotheses ask for, some seconds into the first fault.

    Again and again as long as another run fits in before the first fault ends: what a command does
    afterwards proves nothing, and it would really be done.
    """
    commands = dict.fromkeys(h.command for h in drill.hypotheses if h.command)
    lasting = [w.window for w in fault_windows(drill, arm) if not w.fault.is_at_once]
    if not commands or not lasting:
        return
    ends_s = min(window.to_s for window in lasting)
    await load.sleep_until(min(window.from_s for window in lasting) + COMMAND_AFTER_S)
    for _ in range(COMMAND_RUNS):
        began_s = load.at_s
        for command in commands:
            command_began_s = load.at_s
            done = await run_command(command)
            notes.commands.append(done._replace(began_s=round(command_began_s, 3)))
        if load.at_s + 2 * (load.at_s - began_s) > ends_s:
            return
