"""What the engine asks the processes while a drill runs, and how it reads their answers.

A process that stays silent is left out: a drill may have killed it. So every figure is of those who
answered, and reading never fails on an answer of another shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.drill.readings import number
from kit.control import ControlClient
from kit.errors import LabError

ASK_TIMEOUT_S = 1.0
OUTER_TIERS = ("l4", "l7", "gateway")  # they wait for the others; their time says nothing new
TELLING_KINDS = ("rejected", "degraded", "expired", "late", "failed")
"""How requests ended that are worth explaining: in the main arm what the protection did first."""
HURT_KINDS = ("expired", "late", "failed", "degraded", "rejected")
"""The same for arms without the protection: what went wrong first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One request, told by every hop that saw it.

    Args:
        request_id: For `squall explain`.
        arm: In which arm.
        kind: How it ended.
        hops: In the order in which they saw it, each as plain JSON.
    """

    request_id: str
    arm: str
    kind: str
    hops: Sequence[Mapping[str, Any]]


async def ask_stats(control: ControlClient) -> dict[str, dict[str, Any]]:
    """Return everybody's counters since the arm began; {} when control doesn't answer."""
    return await _ask(control, "stats", {})


@dataclass(frozen=True, slots=True)
class Protection:
    """What one policy does right now, where it does most.

    Args:
        policy: E.g. ``limiter``.
        where: The instance, and the dependency where there is one: ``gateway.1>comment``.
        in_flight: Requests it has let in.
        limit: What it lets in at most; None when it has no such number.
        rejected: Since the arm began.
    """

    policy: str
    where: str
    in_flight: float
    limit: float | None
    rejected: float

    def __str__(self) -> str:
        of = "" if self.limit is None else f" of {self.limit:.0f}"
        return (
            f"{self.policy} {self.where}: {self.in_flight:.0f}{of} in flight, "
            f"{self.rejected:.0f} rejected"
        )


async def ask_protections(
    control: ControlClient, policies: Iterable[str], targets: Iterable[str]
) -> list[Protection]:
    """Return each policy's busiest place among some services."""
    answers = await _ask(control, "policies", {}, sorted(targets))
    return busiest(answers, policies)


def busiest(answers: Mapping[str, Mapping[str, Any]], policies: Iterable[str]) -> list[Protection]:
    """Pick from everybody's policy snapshots where each policy refuses most."""
    found = []
    for policy in sorted(policies):
        places = [
            _protection(policy, instance, gate, snapshot)
            for instance, gates in answers.items()
            for gate, snapshot in gates.items()
            if gate.rpartition(".")[2] == policy and "rejected" in snapshot
        ]
        if places:
            found.append(max(places, key=lambda place: (place.rejected, place.in_flight)))
    return found


def _protection(policy: str, instance: str, gate: str, snapshot: Mapping[str, Any]) -> Protection:
    dependency = gate.rpartition(".")[0]
    return Protection(
        policy,
        f"{instance}>{dependency}" if dependency else instance,
        number(snapshot, "in_flight"),
        number(snapshot, "limit") if "limit" in snapshot else None,
        number(snapshot, "rejected"),
    )


async def ask_proofs(control: ControlClient) -> dict[str, dict[str, Any]]:
    """Return how often each fault bit, all processes together: id to figures."""
    totals: dict[str, dict[str, Any]] = {}
    for answer in (await _ask(control, "faults", {})).values():
        for fault_id, figures in answer.items():
            total = totals.setdefault(str(fault_id), {})
            for name, value in figures.items() if isinstance(figures, dict) else ():
                if isinstance(value, int | float):
                    total[name] = round(total.get(name, 0) + value, 3)
    return totals


async def ask_hops(control: ControlClient, request_id: str) -> list[dict[str, Any]]:
    """Return what every process remembers of a request, in the order in which they saw it."""
    hops: list[dict[str, Any]] = []
    for answer in (await _ask_any(control, "explain", {"request_id": request_id})).values():
        found = answer if isinstance(answer, list) else [answer]
        hops.extend(hop for hop in found if isinstance(hop, dict) and "instance" in hop)
    return sorted(hops, key=lambda hop: number(hop, "started_unix_s"))


async def collect_evidence(
    control: ControlClient, arm: str, recent: Mapping[str, Sequence[str]], known: list[Evidence]
) -> None:
    """Explain one recent request of each telling kind, once per kind.

    Args:
        control: Whom to ask.
        arm: Which arm the requests are from.
        recent: Kind to request ids, newest last.
        known: What was collected; added to.
    """
    have = {evidence.kind for evidence in known if evidence.arm == arm}
    for kind in TELLING_KINDS:
        ids = recent.get(kind, ())
        if kind in have or not ids:
            continue
        hops = await ask_hops(control, ids[-1])
        if hops:
            known.append(Evidence(ids[-1], arm, kind, hops))


def most_telling_first(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Order evidence within its arm."""

    def rank(one: Evidence) -> int:
        kinds = TELLING_KINDS if one.arm == "main" else HURT_KINDS
        return kinds.index(one.kind)

    return sorted(evidence, key=rank)


def tell(evidence: Evidence) -> str:
    """Say in one clause what became of a request."""
    total_ms = max(number(hop, "duration_ms") for hop in evidence.hops)
    waited_ms, where = _longest_wait(evidence.hops)
    if waited_ms > total_ms / 2:
        return (
            f"request {evidence.request_id} waited {waited_ms:.0f} of its {total_ms:.0f} ms "
            f"in {where}"
        )
    refusal = next(filter(None, map(_refusal, reversed(evidence.hops))), "")
    if refusal:
        return f"request {evidence.request_id} was refused by {refusal} after {total_ms:.0f} ms"
    inner = [hop for hop in evidence.hops if _service(hop) not in OUTER_TIERS] or evidence.hops
    slowest = max(inner, key=lambda hop: number(hop, "duration_ms"))
    spent_ms = number(slowest, "duration_ms")
    return (
        f"request {evidence.request_id} took {total_ms:.0f} ms, {spent_ms:.0f} of them in "
        f"{slowest['instance']} ({slowest.get('status', '?')})"
    )


def _longest_wait(hops: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Return the longest time that a hop's notes call waiting, and in whose queue."""
    waits = [
        (number(note.get("detail"), "ms"), f"{hop['instance']}'s {note.get('policy')} queue")
        for hop in hops
        for note in hop.get("notes") or ()
        if isinstance(note, dict) and note.get("what") == "waited"
    ]
    return max(waits, default=(0.0, ""))


def _service(hop: Mapping[str, Any]) -> str:
    return str(hop["instance"]).partition(".")[0]


def _refusal(hop: Mapping[str, Any]) -> str:
    for note in hop.get("notes") or ():
        if isinstance(note, dict) and note.get("what") == "rejected":
            return f"{hop['instance']}'s {note.get('policy')}"
    return ""


async def _ask(
    control: ControlClient,
    kind: str,
    args: Mapping[str, Any],
    targets: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    answers = await _ask_any(control, kind, args, targets)
    return {name: answer for name, answer in answers.items() if isinstance(answer, dict)}


async def _ask_any(
    control: ControlClient,
    kind: str,
    args: Mapping[str, Any],
    targets: Sequence[str] | None = None,
) -> dict[str, Any]:
    try:
        return dict(await control.ask(kind, args, timeout_s=ASK_TIMEOUT_S, targets=targets))
    except LabError:
        return {}
