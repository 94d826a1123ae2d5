"""A command that was slow because the machine was busy refutes nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.drill import command
from chaos.drill.arms import control_arm, main_arm
from chaos.drill.command import run_command
from chaos.drill.command_doubts import command_doubts
from chaos.drill.engine import _judge
from chaos.drill.judge import examine, examine_control
from chaos.drill.metrics import Arrivals
from chaos.drill.outcome import ArmOutcome
from chaos.drill.readings import CommandRun, Readings
from chaos.drill.report import DrillRun
from chaos.drill.schema import Drill
from tests.chaos.drill.build import arrivals, drill, record

KERNEL_TELLS = Path("/proc/self/schedstat").exists()
CLAIM = {
    "name": "says so", "metric": "command_seconds", "command": "status", "exits": 3,
    "bound": "<= 2",
}  # fmt: skip


def claiming(must_show: str = "") -> Drill:
    """Make a drill that claims a quick command, and perhaps a slow one without protection."""
    refutes = [{"name": "says so", "bound": must_show}] if must_show else []
    control = {"off": ["limiter"], "refutes": refutes}
    return drill(hypotheses=[CLAIM], capacity=None, control=control)


def seen(run: CommandRun, lag_s: float = 0.004) -> Arrivals:
    """An arm with one run of the command, and a generator as late as this while it ran."""
    due = [record(100 + n, 5 + n / 20) for n in range(20)]
    late = [one._replace(sent_s=one.scheduled_s + lag_s) for one in due]
    of = arrivals([*(record(n, n * 0.1) for n in range(40)), *late])
    return Arrivals(of.records, of.windows, of.budget_s, of.capacity_rps, Readings((), [run]))


def messages(run: CommandRun, lag_s: float = 0.004) -> list[str]:
    """Return the doubts about one run in the main arm."""
    arm = seen(run, lag_s)
    return [doubt.message for doubt in command_doubts("main", examine(claiming(), arm), arm)]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("run", "lag_s", "says"),
    [
        (CommandRun("status", 2.4, 3, 0.5, 5.0), 0.004, "2.40 s, 0.50 of them ready to run"),
        (CommandRun("status", 10.0, None, 8.5, 5.0), 0.004, "10.00 s, 8.50 of them"),
        (CommandRun("status", 2.4, 3, 0.1, 5.0), 0.08, "the generator sent 80 ms late"),
        (CommandRun("status", 2.4, 3, None, 5.0), 0.08, "the generator sent 80 ms late"),
    ],
)
def test_what_the_machine_explains_is_doubted(run: CommandRun, lag_s: float, says: str) -> None:
    """By the command's own wait for a CPU, or by a generator that was late meanwhile."""
    (message,) = messages(run, lag_s)

    assert message.startswith("main arm: squall status took ")
    assert says in message


@pytest.mark.unit
@pytest.mark.parametrize(
    ("run", "lag_s"),
    [
        (CommandRun("status", 1.9, 3, 1.5, 5.0), 0.08),  # it held, whatever the machine did
        (CommandRun("status", 5.0, 3, 0.5, 5.0), 0.004),  # it waited, and not for a CPU
        (CommandRun("status", 2.4, 3, None, 5.0), 0.004),  # nothing says that anything was busy
        (CommandRun("status", 2.4, 3, 0.1, 7.0), 0.08),  # late at another time
        (CommandRun("status", 2.4, 0, 2.0, 5.0), 0.08),  # the wrong exit code is no slowness
        (CommandRun("status", 10.0, None, 0.2, 6.5), 0.004),  # hangs
    ],
)
def test_what_the_machine_does_not_explain_is_not(run: CommandRun, lag_s: float) -> None:
    """A slow command stays a slow command, and a quick one is no doubt."""
    assert messages(run, lag_s) == []


@pytest.mark.unit
def test_control_that_is_slow_for_want_of_a_cpu_shows_nothing() -> None:
    """It must be slow for want of the protection."""
    of = claiming(">= 3")
    starved, hanging = (seen(CommandRun("status", 4.0, 3, wait_s, 5.0)) for wait_s in (1.5, 0.1))

    assert len(command_doubts("control", examine_control(of, starved), starved)) == 1
    assert command_doubts("control", examine_control(of, hanging), hanging) == []


@pytest.mark.unit
@pytest.mark.parametrize(("wait_s", "verdict"), [(0.5, "inconclusive"), (0.1, "refuted")])
def test_verdict_is_inconclusive_only_on_a_busy_machine(
    tmp_path: Path, wait_s: float, verdict: str
) -> None:
    """A control that is slow too, and needn't be, has no say."""
    of = claiming()
    load = {"scheduled": 60, "sent": 60, "lag_p99_ms": 6.0}
    slow = seen(CommandRun("status", 2.4, 3, wait_s, 5.0))
    starved = seen(CommandRun("status", 2.4, 3, 2.0, 5.0))
    outcomes = [ArmOutcome(main_arm(of), slow, load), ArmOutcome(control_arm(of), starved, load)]
    run = DrillRun(of, "processes", 17, [], tmp_path, outcomes)

    _judge(run, cores=2.0)

    assert run.verdict.verdict == verdict
    assert len(run.verdict.reasons) == 1


@pytest.fixture
def one_busy_core() -> Iterator[None]:
    """Everything of this thread shares one core with a process that never rests."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield
    busy.kill()
    busy.wait()
    os.sched_setaffinity(0, allowed)


@pytest.mark.integration
@pytest.mark.usefixtures("one_busy_core")
async def test_a_commands_wait_for_a_cpu_is_measured() -> None:
    """Half of one core is not enough for a command that computes all the time."""
    done = await run_command("drill list")

    assert done.exit_code == 0
    if KERNEL_TELLS:
        assert done.cpu_wait_s is not None
        assert 0.05 < done.cpu_wait_s < done.seconds


@pytest.mark.integration
async def test_a_command_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no exit code, and where the kernel says nothing its wait is unknown."""
    monkeypatch.setattr(command, "LIMIT_S", 0.05)
    monkeypatch.setattr(command, "_cpu_wait_s", lambda _, before_s: before_s)

    done = await run_command("drill list")

    assert (done.exit_code, done.cpu_wait_s) == (None, None)
    assert done.seconds >= 0.05


@pytest.mark.unit
def test_constants_are_the_documented_ones() -> None:
    """A command has 10 s, and is looked at fifty times a second."""
    assert (command.LIMIT_S, command.LOOK_EVERY_S) == (10.0, 0.02)
