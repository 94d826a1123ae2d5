"""How far a move is: a line redrawn on a terminal, a line every few seconds elsewhere."""

import sys

from shard.move.mover import Progress

DRAWN_EVERY_S = 0.1
TOLD_EVERY_S = 5.0


class Bar:
    """A line redrawn on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self.last: Progress | None = None
        self._said_s = float("-inf")
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        """Tell of it, if enough time has passed since the last line."""
        self.last = progress
        every_s = DRAWN_EVERY_S if self._is_terminal else TOLD_EVERY_S
        is_last = progress.slots == progress.of_slots
        if progress.seconds - self._said_s < every_s and not is_last:
            return
        self._said_s = progress.seconds
        sys.stderr.write(
            f"\r\x1b[K{_bar(progress)}" if self._is_terminal else _bar(progress) + "\n"
        )
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self.last:
            sys.stderr.write("\n")


def _bar(progress: Progress) -> str:
    part = progress.slots / max(1, progress.of_slots)
    drawn = "█" * round(part * 20) + "░" * (20 - round(part * 20))
    left = f", {progress.left_s:.0f} s left" if progress.left_s is not None else ""
    waits = f", waiting: {progress.waiting_for}" if progress.waiting_for else ""
    slots = f"{progress.slots}/{progress.of_slots} slots"
    return f"{drawn} {slots}, {progress.keys} keys{left}{waits}"
