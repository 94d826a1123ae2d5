"""One line per drill while several run: rewritten on a terminal, written once when piped."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from chaos.drill.arms import Arm, FaultWindow
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals
from chaos.drill.probes import Protection
from chaos.drill.schema import Drill
from chaos.drill.view import arm_line, fault_line

WIDTH = 100  # a line that wraps can't be rewritten
CLEAR = "\r\x1b[2K"


class BriefView:
    """Show a run in one line; a context manager.

    Args:
        drill: What runs.
        seconds: How long all arms take, about.
        place: Such as ``2 of 8``.
        live: Whether to rewrite the line; None asks whether stderr is a terminal.
    """

    def __init__(self, drill: Drill, seconds: float, place: str, live: bool | None = None) -> None:
        self._drill = drill
        self._seconds = seconds
        self._place = place
        self._is_live = sys.stderr.isatty() if live is None else live

    def __enter__(self) -> Self:
        text = (
            f"{self._place}  {self._drill.drill}: {self._drill.title}, about {self._seconds:.0f} s"
        )
        self._write(text if self._is_live else f"{text}\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_live:
            self._write("")

    def tell(self, text: str) -> None:
        """Say nothing of single arms: the summary does."""

    def watch(
        self,
        arm: Arm,
        load: LoadProcess,
        arrivals: Arrivals,
        protections: Sequence[Protection],
        faults: Sequence[FaultWindow],
    ) -> None:
        """Show how an arm goes; called about once a second."""
        if self._is_live:
            parts = (arm_line(arm, load), *fault_line(faults, load.at_s))
            self._write(f"{self._place}  {self._drill.drill}: {'   '.join(parts)}")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{CLEAR}{text[:WIDTH]}" if self._is_live else text)
        sys.stderr.flush()
