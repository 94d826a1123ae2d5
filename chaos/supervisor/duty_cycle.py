"""How long a process may run in the next slice, so that it uses a share of the cores on average.

Why: without root and without cgroups a process can still be stopped and continued. What it used is
measured, not assumed from the time it was let run: a process that sleeps pays nothing, one that
overran a slice pays in the following ones.
Source: cpulimit (opsengine/cpulimit, src/cpulimit.c: SIGSTOP and SIGCONT in slots, the working rate
corrected by the CPU measured); the account is a token bucket of one slice.
Not handled: memory and I/O, and fairness between the process's threads.

    account   gains `cores` seconds a second, holds at most one slice's worth, loses what was used
    slice     50 ms: run while the account is above 0, stay stopped for the rest
"""

from dataclasses import dataclass

SLICE_S = 0.05  # a request meets at most one stop of this length; cpulimit's slots are 100 ms
SHORTEST_RUN_S = 0.001  # the event loop's timers count milliseconds


@dataclass(slots=True)
class DutyCycle:
    """The account of one process.

    Args:
        cores: What it may use on average; fractions and more than one are fine.
        balance_s: CPU seconds in hand; below 0 it must wait.
        used_s: Its CPU seconds at the last look.
        looked_s: When that was.
        rate: Cores it used while it was let run, smoothed; at first as much as one thread can.

    Invariant: balance_s <= cores * SLICE_S.
    """

    cores: float
    used_s: float
    looked_s: float
    balance_s: float = 0.0
    rate: float = 1.0

    def charge(self, used_s: float, now_s: float, *, ran: bool) -> None:
        """Book what it used since the last look, and what it earned.

        Args:
            used_s: Its CPU seconds so far.
            now_s: Now.
            ran: Whether it was let run since the last look (a stopped process teaches no rate).
        """
        spent_s, passed_s = used_s - self.used_s, now_s - self.looked_s
        if ran and passed_s > 0.0:
            self.rate += 0.5 * (spent_s / passed_s - self.rate)
        earned_s = self.balance_s + self.cores * passed_s - spent_s
        self.balance_s = min(self.cores * SLICE_S, earned_s)
        self.used_s, self.looked_s = used_s, now_s

    def run_s(self) -> float:
        """Return for how long it may run before the next look; 0 means stay stopped.

        The account drains at the rate it uses less what it gains; one that uses less than its
        share runs for the whole slice.
        """
        if self.balance_s <= 0.0:
            return 0.0
        drain = self.rate - self.cores
        lasts_s = self.balance_s / drain if drain > 0.0 else SLICE_S
        return min(SLICE_S, max(SHORTEST_RUN_S, lasts_s))

    def wait_s(self) -> float:
        """Return how long it must stay stopped: until a whole slice's worth is in hand again."""
        return max(SHORTEST_RUN_S, (self.cores * SLICE_S - self.balance_s) / self.cores)
