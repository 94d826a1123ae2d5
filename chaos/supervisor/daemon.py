"""The supervisor: parent of every process of the lab in process mode.

Why: what Docker's engine does for containers (start, restart rules, logs, published ports, one
place to ask), on a machine without it. State lies in one folder; when the supervisor ends, however
it ends, nothing of the lab goes on.
Source: design.md, "One topology, two ways to run it".
It is also the keeper of host faults, since nobody else may touch its children.
Not handled: the compose file's limits of CPU and memory (they are for containers).
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.keeper.commands import keeper_commands
from chaos.keeper.file import LEDGER_FILE
from chaos.keeper.keeper import Keeper
from chaos.supervisor.channel import SOCKET_NAME, listen
from chaos.supervisor.child import Child, State
from chaos.supervisor.forward import Forwarder
from chaos.supervisor.hands import ProcessHands, named
from chaos.supervisor.logs import rotate
from chaos.supervisor.memory import proportional_bytes
from chaos.supervisor.plan import ProcessPlan
from chaos.supervisor.serve import Command, CommandServer

ROTATE_EVERY_S = 10.0

STARTED_ANEW = "the supervisor was started anew, and every process with it"
LAB_ENDED = "the lab was ended"


class Supervisor:
    """All processes of one lab.

    Args:
        folder: The lab's state folder; logs go to ``logs/`` in it.
        plans: What to run.
        environment: What every process gets beside its plan's.
        cwd: The repository, where the processes run.
    """

    def __init__(
        self,
        folder: Path,
        plans: Sequence[ProcessPlan],
        *,
        environment: Mapping[str, str],
        cwd: Path,
    ) -> None:
        self._folder = folder
        self._children = {
            plan.instance: Child(
                plan,
                environment=environment,
                log=folder / "logs" / f"{plan.instance}.log",
                cwd=cwd,
            )
            for plan in plans
        }
        self._forwarders = [Forwarder(forward) for plan in plans for forward in plan.forwards]
        self._hands = ProcessHands(self._children)
        self._keeper = Keeper(self._hands, folder / LEDGER_FILE)
        self._commands: dict[str, Command] = {
            "status": self._status,
            "memory": self._memory,
            "start": self._start,
            "stop": self._stop,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "restart": self._restart,
            "shutdown": self._shutdown,
            **keeper_commands(self._keeper),
        }
        self._is_over = asyncio.Event()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start everything, carry out commands until told to end, and end everything.

        Args:
            on_ready: Called once ports are published and processes started.

        Raises:
            LabEnvironmentError: A published port is taken.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_over.set)
        server = keeping = None
        try:
            for forwarder in self._forwarders:
                await forwarder.start()
            server = CommandServer(self._commands, "the supervisor")
            await server.start(listen(self._folder))
            # Whatever an earlier supervisor left undone ended with its processes, but for cuts.
            self._hands.heal_all()
            self._keeper.forget_standing(STARTED_ANEW)
            for child in self._children.values():
                child.start()
            keeping = loop.create_task(self._keeper.run())
            on_ready()
            await self._rotate_until_over()
        finally:
            if keeping is not None:
                keeping.cancel()
                await self._keeper.close(LAB_ENDED)
                self._hands.heal_all()
            for forwarder in self._forwarders:
                forwarder.close()
            await self._stop_all()
            if server is not None:
                await server.close()
            (self._folder / SOCKET_NAME).unlink(missing_ok=True)

    async def _rotate_until_over(self) -> None:
        while not self._is_over.is_set():
            try:
                await asyncio.wait_for(self._is_over.wait(), ROTATE_EVERY_S)
            except TimeoutError:
                for child in self._children.values():
                    rotate(child.log)

    async def _stop_all(self) -> None:
        """End our own code first, while the stores it writes to still answer."""
        children = list(self._children.values())
        for group in (
            [child for child in children if child.plan.is_member or child.plan.is_one_shot],
            children,
        ):
            await asyncio.gather(*(child.stop() for child in group))

    def _targets(self, request: dict[str, Any]) -> list[Child]:
        return named(self._children, str(request["target"]))

    async def _status(self, request: dict[str, Any]) -> object:
        return [describe(child) for child in self._children.values()]

    async def _memory(self, request: dict[str, Any]) -> object:
        pids = {name: child.pid for name, child in self._children.items()} | {
            "supervisor": os.getpid()
        }
        sizes = {name: proportional_bytes(pid) for name, pid in pids.items() if pid is not None}
        return {name: size for name, size in sizes.items() if size is not None}

    async def _start(self, request: dict[str, Any]) -> object:
        targets = self._targets(request)
        for child in targets:
            child.start()
        return _names(targets)

    async def _stop(self, request: dict[str, Any]) -> object:
        targets = self._targets(request)
        await asyncio.gather(*(child.stop() for child in targets))
        return _names(targets)

    async def _kill(self, request: dict[str, Any]) -> object:
        targets = self._targets(request)
        await asyncio.gather(*(child.kill() for child in targets))
        return _names(targets)

    async def _pause(self, request: dict[str, Any]) -> object:
        targets = self._targets(request)
        for child in targets:
            child.pause()
        return _names(targets)

    async def _resume(self, request: dict[str, Any]) -> object:
        targets = self._targets(request)
        for child in targets:
            child.resume()
        return _names(targets)

    async def _restart(self, request: dict[str, Any]) -> object:
        await self._stop(request)
        return await self._start(request)

    async def _shutdown(self, request: dict[str, Any]) -> object:
        self._is_over.set()
        return os.getpid()


def describe(child: Child) -> dict[str, object]:
    """Say everything about one process, as ``status`` answers it."""
    is_alive = child.state in (State.RUNNING, State.PAUSED)
    return {
        "instance": child.plan.instance,
        "service": child.plan.service,
        "state": child.state.value,
        "host": child.plan.host,
        "pid": child.pid,
        "exit_code": child.exit_code,
        "restarts": child.restarts,
        "up_s": time.monotonic() - child.started_s if is_alive else None,
    }


def _names(children: Sequence[Child]) -> list[str]:
    return [child.plan.instance for child in children]
