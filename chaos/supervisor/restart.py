"""When a process that ended is started again, and after how long.

Why: the lab heals by itself as it would under Docker, and a process that cannot start doesn't burn
a core trying.
Source: Docker's restart policies: 100 ms at first, doubled each time, forgotten after 10 s of
running. Docker goes on to a minute; we stop at 5 s, since a lab's user waits for it.
Not handled: a limit on attempts (Docker's ``on-failure:N``).
"""

from dataclasses import dataclass

from chaos.compose import Restart

FIRST_DELAY_S = 0.1  # Docker's
LONGEST_DELAY_S = 5.0
STEADY_AFTER_S = 10.0  # Docker's: having run that long, the next end counts as the first


@dataclass(slots=True)
class RestartRule:
    """Decide after each end; one for each process.

    Args:
        restart: The compose file's word.
    """

    restart: Restart
    ends: int = 0

    def on_end(self, code: int, ran_s: float) -> float | None:
        """Return seconds until the next start, or None to leave it ended.

        Args:
            code: Exit code; negative for a signal.
            ran_s: How long it ran.
        """
        if self.restart == "no" or (self.restart == "on-failure" and code == 0):
            return None
        self.ends = 0 if ran_s >= STEADY_AFTER_S else self.ends
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**self.ends)
        self.ends += 1
        return delay_s

    def reset(self) -> None:
        """Forget past ends: the user started it."""
        self.ends = 0
