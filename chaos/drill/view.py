"""A drill on a terminal: at most a dozen lines, redrawn once a second; plain lines when piped."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from chaos.drill.arms import Arm, FaultWindow
from chaos.drill.bound import parse_bound
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.probes import Protection
from chaos.drill.report import figure
from chaos.drill.schema import Drill

if TYPE_CHECKING:
    from rich.live import Live

BAR_CELLS = 14
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_SECONDS = 30
MAX_LINES = 12  # a small terminal keeps its scroll-back
PLAIN_EVERY_S = 5.0  # lines of a pipe are kept; one a second would be noise


class View:
    """Show a run while it goes on; a context manager.

    Args:
        drill: What runs.
        seconds: How long all arms take, about.
        arms: Their names.
        live: Whether to redraw; None asks whether stderr is a terminal.
    """

    def __init__(
        self, drill: Drill, seconds: float, arms: Sequence[str], live: bool | None = None
    ) -> None:
        self._drill = drill
        self._headline = headline(drill, seconds, arms)
        self._is_live = sys.stderr.isatty() if live is None else live
        self._live: Live | None = None
        self._kept: list[str] = []
        self._told: tuple[str, int] = ("", -1)

    def __enter__(self) -> Self:
        if self._is_live:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
            self._draw([])
        else:
            _say(self._headline)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, text: str) -> None:
        """Say something that stays."""
        self._kept.append(text)
        if self._live is not None:
            self._draw([])
        else:
            _say(text)

    def watch(
        self,
        arm: Arm,
        load: LoadProcess,
        arrivals: Arrivals,
        protections: Sequence[Protection],
        faults: Sequence[FaultWindow],
    ) -> None:
        """Show how an arm goes; called about once a second."""
        lines = [
            arm_line(arm, load),
            *fault_line(faults, load.at_s),
            *self._figure_lines(arrivals),
            *map(str, protections),
            generator_line(load),
        ]
        if self._live is not None:
            self._draw(lines)
            return
        turn = (arm.name, int(load.at_s // PLAIN_EVERY_S))
        if turn != self._told:
            self._told = turn
            _say("   ".join((lines[0], *fault_line(faults, load.at_s))))

    def _figure_lines(self, arrivals: Arrivals) -> list[str]:
        width = max(len(hypothesis.name) for hypothesis in self._drill.hypotheses)
        lines = []
        for hypothesis in self._drill.hypotheses:
            must = f"(must be {parse_bound(hypothesis.bound)})"
            seen = "…"
            if arrivals.has(hypothesis.phase) and hypothesis.metric != "seconds_to_recover":
                value = observe(hypothesis, arrivals).value
                seen = "…" if value is None else figure(value)
            text = f"{hypothesis.name:<{width}} {seen:>5} {hypothesis.unit:<12} {must}"
            lines.append(text)
        if lines:
            lines[0] += f"   {sparkline(arrivals)}"
        return lines

    def _draw(self, lines: Sequence[str]) -> None:
        from rich.text import Text

        assert self._live is not None
        text = "\n".join(fit([self._headline, *self._kept], lines))
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def fit(kept: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return at most MAX_LINES; what gives way is in the middle, the generator's line stays.

    Args:
        kept: The headline, and what stays of earlier arms.
        lines: Of this arm.
    """
    room = MAX_LINES - len(kept)
    if len(lines) <= room:
        return [*kept, *lines]
    return [*kept, *lines[: room - 1], lines[-1]]


def fault_line(faults: Sequence[FaultWindow], at_s: float) -> list[str]:
    """Say which faults act now, in one line; none when none does."""
    acting = [
        f"{one.describe()} for {at_s - one.window.from_s:.0f} s"
        for one in faults
        if one.window.from_s <= at_s < one.window.to_s
    ]
    return [f"fault     {' · '.join(acting)}"] if acting else []


def headline(drill: Drill, seconds: float, arms: Sequence[str]) -> str:
    """Return a drill's first line."""
    then = f", then control without {' and '.join(drill.control.off)}" if len(arms) > 1 else ""
    return (
        f"{drill.drill} · {drill.chapter} · {drill.title} · main{then} · "
        f"about {seconds:.0f} s · Ctrl-C restores everything"
    )


def arm_line(arm: Arm, load: LoadProcess) -> str:
    """Return where an arm stands and what its last second was like."""
    at_s = min(max(0.0, load.at_s), arm.seconds)
    phase = arm.phase_at(at_s) or "ending"
    window = arm.windows.get(phase)
    where = f"{phase} {at_s - window.from_s:.0f}/{window.seconds:.0f} s" if window else phase
    kinds = load.progress().get("kinds", {})
    counts = "  ".join(
        f"{name.replace('_', ' ')} {kinds[name]}"
        for name in ("in_time", "rejected", "expired", "late", "failed", "unsent")
        if kinds.get(name)
    )
    in_flight = load.progress().get("in_flight", 0)
    filled = round(at_s / arm.seconds * BAR_CELLS)
    bar = "█" * filled + "░" * (BAR_CELLS - filled)
    return f"arm {arm.name:<9} ▕{bar}▏ {where}   {counts}  in flight {in_flight}"


def generator_line(load: LoadProcess) -> str:
    """Return whether the generator keeps up."""
    progress = load.progress()
    kinds = progress.get("kinds", {})
    ended = sum(kinds.values())
    sent = 1 - kinds.get("unsent", 0) / ended if ended else 1.0
    return f"generator: sent {sent:.0%}, lag p99 {progress.get('lag_p99_ms', 0):.0f} ms"


def sparkline(arrivals: Arrivals) -> str:
    """Return answers in time by the second in which they were due, newest last."""
    counts: dict[int, int] = {}
    for record in arrivals.records:
        counts.setdefault(int(record.scheduled_s), 0)
        if record.is_within(arrivals.budget_s):
            counts[int(record.scheduled_s)] += 1
    recent = [counts[second] for second in sorted(counts)][-SPARK_SECONDS:]
    top = max(recent, default=0)
    if top == 0:
        return SPARKS[0] * len(recent)
    return "".join(SPARKS[round(count / top * (len(SPARKS) - 1))] for count in recent)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
