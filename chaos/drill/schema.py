"""What a drill is: one value, read from YAML, checked before anything is touched.

Why: a scenario that is a value can be listed, shown, overridden, replayed and judged by code that
knows nothing of it (Maelstrom's lesson). Everything that decides the outcome stands in it:
capacity, the whole policy set, settings, load, faults, bounds, and what must fail without the
protection.
Source: drills.md, rules R1 to R9 and "Schema, sketched".
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from chaos.drill.fault import Fault
from kit.source_types import Part
from resilience.policy.contract import Mode

WARM, STEADY, FAULT, RECOVER = "warm", "steady", "fault", "recover"
PHASE_ORDER = (WARM, STEADY, FAULT, RECOVER)  # R1
ALL = "all"  # of a hypothesis: the whole arm, from the first arrival to the last
ROUTES = ("home", "list", "page", "comments", "like", "comment")  # what loadtests can send

ENGINE_POLICIES = frozenset({"replicated", "slot_map"})
"""Protections of the engine's own work; no process of the lab has such a switch."""

DEFAULT_SEED = 17
DEFAULT_BUDGET_MS = 1000.0  # the gateway's default route budget
DEFAULT_GIVE_UP_S = 5.0
DEFAULT_MAX_IN_FLIGHT = 1024
DEFAULT_VIDEOS = 200  # what `squall seed` writes
DEFAULT_STEADY_SHARE = 0.95  # of what is sent before the fault, answered in time: else no verdict
DEFAULT_CV = 0.25  # R2
DEFAULT_SLOTS_PER_S = 640.0  # 4,096 and two movers' deaths take 19 s: as long as R1 lets a fault be

PhaseName = Literal["warm", "steady", "fault", "recover"]
Span = Literal["warm", "steady", "fault", "recover", "all"]
PolicySwitch: TypeAlias = Mode | dict[str, Mode]
"""One position everywhere, or one per target (``{video: on}``; other targets: off)."""


class Needs(Part, frozen=True):
    """What the machine must give.

    Args:
        seconds: Wall time of all arms.
        cores: At peak.
        faults: Capabilities of the lab; what the drill's faults need is added to them.
    """

    seconds: float
    cores: float
    faults: tuple[str, ...] = ()


class Station(Part, frozen=True):
    """A service's declared capacity: workers, mean in ms, coefficient of variation."""

    workers: int
    mean_ms: float
    cv: float = DEFAULT_CV


class Setup(Part, frozen=True):
    """What is set in every arm.

    Args:
        stations: By target.
        settings: Target to name to number, e.g. the gateway's ``cap``.
        choices: Target to name to value, e.g. which ``limiter`` (``kit.choices``).
        drains: Targets that get no requests.
    """

    stations: dict[str, Station] = msgspec.field(default_factory=dict)
    settings: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    choices: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    drains: tuple[str, ...] = ()


class Capacity(Part, frozen=True):
    """Declared, and what goodput is held against (R2): of which service, how many a second."""

    of: str
    rps: float


class LoadClass(Part, frozen=True):
    """Requests of one kind: a route, by whom, and how much they matter.

    Args:
        route: What is asked for.
        criticality: In the request's baggage; "" sends none.
        tenant: The same.
        video: Always this one; None draws one for each arrival.
    """

    route: str
    criticality: Literal["", "critical_plus", "critical", "sheddable_plus", "sheddable"] = ""
    tenant: str = ""
    video: int | None = None


class LoadPhase(Part, frozen=True):
    """One of warm, steady, fault, recover: how long, and how many a second of each class."""

    name: PhaseName
    seconds: float
    rates: dict[str, float]


class Load(Part, frozen=True):
    """The arrivals, open-loop.

    Args:
        phases: All four, in order.
        classes: Names for requests that differ in more than their route; each may stand wherever a
            route may, and is what records call it. A route is a class of its own.
        gaps: ``poisson`` or ``constant``.
        zipf: Exponent of the choice of videos.
        videos: How many of them are asked for, >= 1: 1, 2, 3 and so on.
        budget_ms: An answer later than this after it was due isn't in time.
        give_up_s: When a client leaves.
        max_in_flight: Beyond it an arrival counts as unsent.
        keep_alive: Whether connections are used again; else every client is a newcomer.
    """

    phases: tuple[LoadPhase, ...]
    classes: dict[str, LoadClass] = msgspec.field(default_factory=dict)
    gaps: Literal["poisson", "constant"] = "poisson"
    zipf: float = 1.0
    videos: int = DEFAULT_VIDEOS
    budget_ms: float = DEFAULT_BUDGET_MS
    give_up_s: float = DEFAULT_GIVE_UP_S
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    keep_alive: bool = True

    @property
    def names(self) -> Sequence[str]:
        """What may be sent: routes and classes."""
        return (*ROUTES, *self.classes)


class Writes(Part, frozen=True):
    """Writes straight to one shard of the store, whose answers are judged (``shard.check``).

    With the policy ``replicated`` on they are REPLICATED, else LOCAL.

    Args:
        rate: How many a second.
        shard: To which.
    """

    rate: float
    shard: int = 1


class Growth(Part, frozen=True):
    """The store grows by its two spare nodes in the fault phase (``squall shard add``).

    With the policy ``slot_map`` on by the algorithm slot-map, else by modulo. When the phase ends,
    what still moves is called off, and the new shard leaves again.

    Args:
        kills_after_s: How long after its first slots each mover but the last is killed.
        slots_per_s: How many move a second at most.
    """

    kills_after_s: tuple[float, ...] = ()
    slots_per_s: float = DEFAULT_SLOTS_PER_S


class AbortIf(Part, frozen=True):
    """End early, inconclusive, when a figure of the running load breaks its bound.

    Args:
        metric: ``sent_share``, ``lag_p99_ms`` or ``failed_share``.
        bound: What ends the run, e.g. ``>= 0.5``.
    """

    metric: Literal["sent_share", "lag_p99_ms", "failed_share"]
    bound: str


class Hypothesis(Part, frozen=True):
    """What must hold with the protection.

    Args:
        name: Short, for people; names it in ``control.refutes``.
        metric: One of ``chaos.drill.metrics.METRICS``.
        bound: E.g. ``>= 0.85``.
        phase: In which phase, or ``all`` of them; by arrivals, not by answers.
        unit: For people.
        route: Only this route or class; "" for all.
        within_ms: For ``share_within``: counted from the scheduled time.
        of: Shares of what was ``sent``, or of what was ``answered`` with success.
        last_s: For ``goodput_of_offered``: only the last so many seconds of the phase.
        at: For what a service counts (``calls_per_request``, ``origin_calls``): which one; for
            ``share_of_calls`` which replica, for ``node_share`` which node of the cache.
        command: For ``command_seconds``: a `squall` command line, without the word itself.
        exits: The code with which it must exit to count.
    """

    name: str
    metric: str
    bound: str
    phase: Span = "fault"
    unit: str = ""
    route: str = ""
    within_ms: float | None = None
    of: Literal["sent", "answered"] = "sent"
    last_s: float | None = None
    at: str = ""
    command: str = ""
    exits: int = 0


class Refutation(Part, frozen=True):
    """What must fail in the control arm, and how badly.

    Args:
        name: A hypothesis.
        bound: What the control must show, e.g. ``<= 0.30``; "" is content with any failure.
    """

    name: str
    bound: str = ""


class Ablation(Part, frozen=True):
    """Short arms with one policy off at a time: which of them would do alone.

    Args:
        warm_seconds: In front.
        fault_seconds: Under the fault; there is nothing after it.
    """

    warm_seconds: float = 2.0
    fault_seconds: float = 6.0


class Control(Part, frozen=True):
    """The same without the protection.

    Args:
        off: Policies that are off here.
        refutes: Hypotheses that must fail here.
        ablation: Where several policies are off; None for none.
    """

    off: tuple[str, ...]
    refutes: tuple[str | Refutation, ...]
    ablation: Ablation | None = None

    def refutations(self) -> Sequence[Refutation]:
        """Return ``refutes`` in its long form."""
        return [
            item if isinstance(item, Refutation) else Refutation(name=item) for item in self.refutes
        ]


class Drill(Part, frozen=True):
    """One drill.

    Args:
        drill: Its name, as on the command line.
        chapter: Where the lesson belongs.
        incident: What really happened once.
        lesson: One sentence.
        title: What is done, in a few words, for the first line on a terminal.
        needs: Of the machine.
        policies: The whole set of the main arm; what isn't named is off (R5).
        setup: ``set`` in the file.
        capacity: None when no hypothesis needs one.
        load: The arrivals.
        faults: In the fault phase; none when the load itself is the fault.
        abort_if: Any of them ends the run.
        hypotheses: All must hold.
        control: The arm without the protection.
        writes: To the store, beside the load; None for none.
        growth: Of the store; None for none.
        steady_share: Share of arrivals answered in time before the fault, or there is no verdict.
        tags: For choosing several at once, e.g. ``smoke``.
    """

    drill: str
    chapter: str
    incident: str
    lesson: str
    title: str
    needs: Needs
    policies: dict[str, PolicySwitch]
    load: Load
    hypotheses: tuple[Hypothesis, ...]
    control: Control
    setup: Setup = msgspec.field(name="set", default_factory=Setup)
    capacity: Capacity | None = None
    faults: tuple[Fault, ...] = ()
    abort_if: tuple[AbortIf, ...] = ()
    writes: Writes | None = None
    growth: Growth | None = None
    steady_share: float = DEFAULT_STEADY_SHARE
    tags: tuple[str, ...] = ()

    def phase(self, name: str) -> LoadPhase:
        """Return a phase by name."""
        return next(phase for phase in self.load.phases if phase.name == name)

    @property
    def capabilities(self) -> list[str]:
        """What the lab must be capable of: what is said, and what the faults need."""
        needed = {fault.need for fault in self.faults if fault.need}
        return sorted(needed | set(self.needs.faults))

    def control_policies(self) -> Mapping[str, PolicySwitch]:
        """Return the control arm's whole set."""
        return without(self.policies, self.control.off)


def without(policies: Mapping[str, PolicySwitch], off: Sequence[str]) -> Mapping[str, PolicySwitch]:
    """Return a policy set with some of them off everywhere."""
    return {name: Mode.OFF if name in off else switch for name, switch in policies.items()}
