"""``squall shard …`` as a process of its own beside a drill, which may be killed."""

import asyncio
import os
import sys
from collections.abc import Sequence

from chaos.drill.catalogue import ROOT
from chaos.parent import die_with_parent
from kit.errors import LabEnvironmentError
from shard.policy.topology import Address

_IS_MOVING = b" slots, "  # in each line of the bar (``squall.store_bar``)


NICENESS = 10  # a mover takes what is left, so that the arm's generator isn't late for it


class MoverProcess:
    """One ``squall shard`` command, behind everybody else; it dies with the drill's engine.

    Args:
        words: After ``squall shard``.
        seeds: Nodes of the store.
    """

    def __init__(self, words: Sequence[str], seeds: Sequence[Address]) -> None:
        self._words = [*words, "--seeds", ",".join(map(str, seeds))]
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, kill_after_s: float | None = None) -> bool:
        """Run to the end, or kill it; say whether it was killed.

        Args:
            kill_after_s: So long after its first slots have moved; None for never.

        Raises:
            LabEnvironmentError: It ended with an error; says which.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "squall.main", "shard", *self._words,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli")))},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_be_a_background_job,
        )  # fmt: skip
        try:
            said = await self._first_slots(self._process)
            try:
                async with asyncio.timeout(kill_after_s):
                    said += (await self._process.communicate())[1]
            except TimeoutError:
                return True
        finally:
            await self.kill()
        if self._process.returncode:
            words = said.decode(errors="replace").strip()[-300:]
            raise LabEnvironmentError(f"squall shard {self._words[0]} failed: {words}")
        return False

    async def kill(self) -> None:
        """End it at once; it may have ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _first_slots(self, process: asyncio.subprocess.Process) -> bytes:
        """Read what it says until it says that slots move, or nothing more."""
        assert process.stderr is not None
        said = b""
        async for line in process.stderr:
            said += line
            if _IS_MOVING in line:
                break
        return said


def _be_a_background_job() -> None:
    os.nice(NICENESS)
    die_with_parent()
