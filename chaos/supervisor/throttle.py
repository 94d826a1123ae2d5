"""Hold a process to a share of the cores with SIGSTOP and SIGCONT.

The account is `chaos.supervisor.duty_cycle`'s; this reads clocks and sends signals.
Not handled: a process that isn't ours to signal.
"""

import asyncio
import signal
import time
from collections.abc import Callable

from chaos.supervisor.child import Child, State
from chaos.supervisor.duty_cycle import SLICE_S, DutyCycle
from chaos.supervisor.tree import cpu_seconds, family, signal_tree


class Throttle:
    """Limits one child until `close`; follows it when it is started again.

    Args:
        child: Who is limited.
        cores: What it may use on average.
        clock: Monotonic seconds.
    """

    def __init__(
        self, child: Child, cores: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cores = cores
        self.held_s = 0.0  # of the process that runs now
        self._child = child
        self._clock = clock
        self._cycle: DutyCycle | None = None
        self._pid: int | None = None
        self._is_held = False
        self._held_since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    def __repr__(self) -> str:
        return f"<Throttle {self._child.plan.instance} to {self.cores:g} cores>"

    def set_cores(self, cores: float) -> None:
        """Change the limit."""
        self.cores = cores
        if self._cycle is not None:
            self._cycle.cores = cores

    def close(self) -> None:
        """Let it run freely again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()

    def _tick(self) -> None:
        delay_s = self._decide()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _decide(self) -> float:
        """Stop it or let it run; returns seconds until the next look."""
        pid, now_s = self._child.pid, self._clock()
        if pid is None or self._child.state is not State.RUNNING:
            self._forget()  # down, or frozen by a fault of its own: whose end continues it
            return SLICE_S
        used_s = cpu_seconds(family(pid))
        if pid != self._pid or self._cycle is None:
            self._forget()
            self._pid, self.held_s = pid, 0.0
            self._cycle = DutyCycle(self.cores, used_s, now_s)
        self._cycle.charge(used_s, now_s, ran=not self._is_held)
        run_s = self._cycle.run_s()
        if run_s > 0.0:
            self._let_go()
            return run_s
        self._hold(now_s)
        return self._cycle.wait_s()

    def _hold(self, now_s: float) -> None:
        if not self._is_held and self._pid is not None:
            signal_tree(self._pid, signal.SIGSTOP)
            self._is_held, self._held_since_s = True, now_s

    def _let_go(self) -> None:
        if not self._is_held:
            return
        self._is_held = False
        self.held_s += self._clock() - self._held_since_s
        is_ours = self._child.pid == self._pid and self._child.state is State.RUNNING
        if is_ours and self._pid is not None:
            signal_tree(self._pid, signal.SIGCONT)

    def _forget(self) -> None:
        self._is_held = False
        self._cycle = None
        self._pid = None
