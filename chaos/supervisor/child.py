"""One process of the lab: started, watched, stopped, killed, paused, started again.

Why: the supervisor is the parent of every process, so each end is noticed at once (pidfd) and
nothing is left behind: a child gets SIGKILL from the kernel when the supervisor dies, however it
dies.
Source: pidfd_open(2); ``chaos.parent``.
Not handled: processes that leave their process group and outlive their parent.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from chaos.parent import die_with_parent
from chaos.supervisor.logs import open_log
from chaos.supervisor.plan import ProcessPlan
from chaos.supervisor.restart import RestartRule
from chaos.supervisor.tree import signal_tree

KILL_WAIT_S = 5.0  # a killed process is gone in milliseconds; longer means the kernel holds it


class State(StrEnum):
    """What a process is doing, in the words `squall status` shows."""

    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"  # ended, and about to be started again
    DONE = "done"  # a one-shot that ended 0
    STOPPED = "stopped"  # on the user's word
    FAILED = "failed"  # ended, and its restart rule says to leave it


class Child:
    """One process and its restart rule.

    Args:
        plan: What to run.
        environment: The whole environment except what the plan adds.
        log: Its log file.
        cwd: Where it runs.
        on_change: Called after each change of state.
    """

    def __init__(
        self,
        plan: ProcessPlan,
        *,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path,
        on_change: Callable[["Child"], None] = lambda child: None,
    ) -> None:
        self.plan = plan
        self.log = log
        self.state = State.STOPPED
        self.exit_code: int | None = None
        self.restarts = 0
        self.started_s = 0.0
        self._environment = {**environment, **plan.environment}
        self._cwd = cwd
        self._on_change = on_change
        self._rule = RestartRule(plan.restart)
        self._process: subprocess.Popen[bytes] | None = None
        self._restart: asyncio.TimerHandle | None = None
        # Called with each new process, before it has run a line of its own.
        self.on_spawn: Callable[[int], None] = lambda pid: None
        self._ended = asyncio.Event()
        self._ended.set()
        self._is_wanted = False

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Run it, unless it runs; forgets earlier failures."""
        self._is_wanted = True
        self._rule.reset()
        if self._process is None:
            self._spawn()

    async def stop(self) -> None:
        """End it with SIGTERM, after its grace period with SIGKILL, and leave it ended."""
        self._leave_ended()
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process couldn't hear the first
        try:
            await asyncio.wait_for(self._ended.wait(), self.plan.stop_grace_s)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it with SIGKILL and leave it ended until `start`, as ``docker kill`` does."""
        self._leave_ended()
        self._signal(signal.SIGKILL)
        await asyncio.wait_for(self._ended.wait(), KILL_WAIT_S)

    def pause(self) -> None:
        """Freeze it and all it started with SIGSTOP: sockets stay open and answer nothing."""
        if self._process is not None:
            self._signal(signal.SIGSTOP)
            self._become(State.PAUSED)

    def resume(self) -> None:
        """Let a paused process go on."""
        if self.state is State.PAUSED:
            self._signal(signal.SIGCONT)
            self._become(State.RUNNING)

    def _spawn(self) -> None:
        self._restart = None
        if self.plan.data is not None:
            self.plan.data.mkdir(parents=True, exist_ok=True)
        log = open_log(self.log)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - commands of the compose file
                self.plan.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._environment,
                process_group=0,
                # The supervisor has one thread, so running Python between fork and exec is safe.
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            os.write(log, f"cannot start {self.plan.argv[0]}: {error.strerror}\n".encode())
            self._on_end(127)  # the shell's code for a command that cannot run
            return
        finally:
            os.close(log)
        self.started_s = time.monotonic()
        self._ended.clear()
        self.on_spawn(self._process.pid)
        self._watch(self._process.pid)
        self._become(State.RUNNING)

    def _watch(self, pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        loop = asyncio.get_running_loop()

        def on_exit() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            assert self._process is not None
            code = self._process.wait()
            self._process = None
            self._on_end(code)

        loop.add_reader(descriptor, on_exit)

    def _on_end(self, code: int) -> None:
        self.exit_code = code
        self._ended.set()
        ran_s = time.monotonic() - self.started_s
        delay_s = self._rule.on_end(code, ran_s) if self._is_wanted else None
        if delay_s is not None:
            self.restarts += 1
            self._restart = asyncio.get_running_loop().call_later(delay_s, self._spawn)
            self._become(State.WAITING)
        elif not self._is_wanted:
            self._become(State.STOPPED)
        else:
            self._become(State.DONE if code == 0 else State.FAILED)

    def _leave_ended(self) -> None:
        self._is_wanted = False
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
            self._become(State.STOPPED)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            signal_tree(self._process.pid, number)

    def _become(self, state: State) -> None:
        self.state = state
        self._on_change(self)
