"""What ``squall drill list`` and ``show`` say of a drill, as data and as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from squall.output import table

if TYPE_CHECKING:
    from chaos.drill.schema import Drill

LIST_HEAD = ("drill", "chapter", "tags", "breaks", "needs", "seconds", "cores", "lesson")


def list_page(drills: Sequence["Drill"]) -> str:
    """Return a table: one drill a row, with what it needs of the lab and of the machine."""
    rows = [
        [
            d.drill,
            d.chapter,
            ", ".join(d.tags),
            ", ".join(dict.fromkeys(fault.kind for fault in d.faults)) or "load",
            ", ".join(d.capabilities),
            f"{d.needs.seconds:.0f}",
            f"{d.needs.cores:g}",
            d.lesson,
        ]
        for d in drills
    ]
    return table(LIST_HEAD, rows)


def brief(drill: "Drill") -> dict[str, Any]:
    """Return what the list says of a drill."""
    return {
        "drill": drill.drill,
        "chapter": drill.chapter,
        "incident": drill.incident,
        "lesson": drill.lesson,
        "tags": list(drill.tags),
        "needs": {
            "seconds": drill.needs.seconds,
            "cores": drill.needs.cores,
            "faults": drill.capabilities,
        },
    }


def details(drill: "Drill") -> dict[str, Any]:
    """Return what only ``show`` says."""
    from chaos.drill.arms import control_arm, main_arm, switch_positions

    return {
        "arms": {
            arm.name: {"policies": switch_positions(arm.policies), "off": list(arm.off)}
            for arm in (main_arm(drill), control_arm(drill))
        },
        "phases": [
            {"name": p.name, "seconds": p.seconds, "rates": p.rates} for p in drill.load.phases
        ],
        "faults": [
            {
                "kind": f.kind,
                "on": f.on,
                "at": f.at,
                "for": f.seconds,
                "params": f.params(),
                "needs": f.need,
                "words": f.describe(),
            }
            for f in drill.faults
        ],
        "hypotheses": [
            {"name": h.name, "metric": h.metric, "phase": h.phase, "bound": h.bound}
            for h in drill.hypotheses
        ],
        "refutes": [{"name": r.name, "bound": r.bound} for r in drill.control.refutations()],
    }


def show_page(drill: "Drill") -> str:
    """Return a drill for people: its arms, its load, its faults, what must hold."""
    needs = "".join(f", {name}" for name in drill.capabilities)
    lines = [
        f"{drill.drill} · {drill.chapter} · {drill.title}",
        f"incident   {drill.incident}",
        f"lesson     {drill.lesson}",
        f"needs      {drill.needs.seconds:.0f} s, {drill.needs.cores:g} cores{needs}",
        *_arm_lines(drill),
    ]
    for phase in drill.load.phases:
        rates = ", ".join(f"{route} {rate:g}/s" for route, rate in phase.rates.items())
        lines.append(f"{phase.name:<10} {phase.seconds:g} s: {rates}")
    lines += _fault_lines(drill)
    lines += [f"must hold  {h.name} {h.bound} {h.unit} ({h.phase})" for h in drill.hypotheses]
    lines += [
        f"control    {r.name} must fail{f', {r.bound}' if r.bound else ''}"
        for r in drill.control.refutations()
    ]
    return "\n".join(lines)


def _arm_lines(drill: "Drill") -> list[str]:
    from chaos.drill.arms import control_arm, main_arm, switch_positions

    lines = []
    for arm in (main_arm(drill), control_arm(drill)):
        positions = switch_positions(arm.policies)
        text = "; ".join(
            f"{target}: {', '.join(f'{n} {m}' for n, m in sorted(modes.items()))}"
            for target, modes in sorted(positions.items())
        )
        lines.append(f"{arm.name:<10} {text}; all others off")
    return lines


def _fault_lines(drill: "Drill") -> list[str]:
    lines = []
    if drill.writes:
        lines.append(f"writes     {drill.writes.rate:g}/s to shard {drill.writes.shard}, judged")
    for fault in drill.faults:
        length = f" for {fault.seconds:g} s" if fault.seconds else ""
        begins = f" from second {fault.at:g}" if fault.at else ""
        lines.append(f"fault      {fault.describe()}{begins}{length}")
    return lines
