"""Whether a command was slow by itself, or because the machine had no CPU for it: pure.

Why: `command_seconds` is wall time. Two cores that do something else meanwhile make a good command
slow, and that refutes nothing. A busy machine never makes a command quicker, so only a figure that
refutes can be doubted, and only where the machine explains it:

- without the time in which the command was ready to run and had no CPU (the kernel counts it, see
  ``chaos.drill.command``) it wouldn't be refuted; or
- the generator was late (R6's limit) just while the command ran: then those whom the command waited
  for may have been late as well, which its own time on the run queue doesn't tell.

A command that waits for what never answers has no CPU either, but isn't ready to run: it stays
refuted. Not handled: a command that ends with the wrong exit code; no busy machine explains that.
Source: drills.md R6.
"""

from collections.abc import Sequence
from dataclasses import replace

from chaos.drill.judge import Finding
from chaos.drill.metrics import Arrivals, percentile_ms
from chaos.drill.readings import CommandRun
from chaos.drill.records import Window
from chaos.drill.soundness import MAX_GENERATOR_LAG_P99_MS, Doubt


def command_doubts(arm: str, findings: Sequence[Finding], arrivals: Arrivals) -> list[Doubt]:
    """Return a doubt per command whose figure refutes and may be the machine's.

    Args:
        arm: Its name.
        findings: Those that decide in it.
        arrivals: Of the arm, with its readings.
    """
    found = []
    for finding in findings:
        command = finding.hypothesis.command
        runs = [run for run in arrivals.readings.commands if run.command == command]
        reason = _reason(finding, runs, arrivals) if command and finding.is_refuted else ""
        if reason:
            found.append(Doubt("command", f"{arm} arm: squall {command} {reason}"))
    return found


def _reason(finding: Finding, runs: Sequence[CommandRun], arrivals: Arrivals) -> str:
    if not runs or any(run.exit_code not in (finding.hypothesis.exits, None) for run in runs):
        return ""
    slowest = max(runs, key=lambda run: run.seconds)
    if not _without_waiting(finding, runs).is_refuted:
        return (
            f"took {slowest.seconds:.2f} s, {slowest.cpu_wait_s or 0.0:.2f} of them ready to run "
            "and without a CPU: too busy a machine to refute anything"
        )
    lag_ms = max(_lag_p99_ms(run, arrivals) for run in runs)
    if lag_ms > MAX_GENERATOR_LAG_P99_MS:
        return (
            f"took {slowest.seconds:.2f} s on a machine where the generator sent {lag_ms:.0f} ms "
            f"late meanwhile (p99; at most {MAX_GENERATOR_LAG_P99_MS:.0f})"
        )
    return ""


def _without_waiting(finding: Finding, runs: Sequence[CommandRun]) -> Finding:
    """Return what would have been found with a CPU for the command whenever it wanted one."""
    seconds = max(run.seconds - (run.cpu_wait_s or 0.0) for run in runs)
    seen = replace(finding.observed, value=seconds)
    return replace(finding, observed=seen, held=finding.bound.holds(seconds))


def _lag_p99_ms(run: CommandRun, arrivals: Arrivals) -> float:
    """Return how late the generator sent while a command ran; 0 when nothing was due."""
    due = Window(run.began_s, run.began_s + run.seconds).of(arrivals.records)
    lags_ms = sorted((r.sent_s - r.scheduled_s) * 1000 for r in due if r.sent_s is not None)
    return percentile_ms(lags_ms, 0.99) or 0.0
