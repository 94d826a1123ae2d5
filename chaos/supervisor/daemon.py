"""The supervisor: parent of every process of the lab in process mode.

Why: what Docker's engine does for containers (start, restart rules, logs, published ports, one
place to ask), on a machine without it. State lies in one folder; when the supervisor ends, however
it ends, nothing of the lab goes on.
Source: design.md, "One topology, two ways to run it".
Not handled: limits of CPU and memory (the compose file's are for containers).
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from chaos.supervisor.channel import LONGEST_LINE_BYTES, SOCKET_NAME, listen
from chaos.supervisor.child import Child, State
from chaos.supervisor.forward import Forwarder
from chaos.supervisor.logs import rotate
from chaos.supervisor.memory import proportional_bytes
from chaos.supervisor.plan import ProcessPlan
from kit.errors import ConfigError, LabError

ROTATE_EVERY_S = 10.0

Answer = Awaitable[object]


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
        self._commands: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "status": self._status,
            "memory": self._memory,
            "start": self._start,
            "stop": self._stop,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "restart": self._restart,
            "shutdown": self._shutdown,
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
        server = None
        try:
            for forwarder in self._forwarders:
                await forwarder.start()
            server = await asyncio.start_unix_server(
                self._serve, sock=listen(self._folder), limit=LONGEST_LINE_BYTES
            )
            for child in self._children.values():
                child.start()
            on_ready()
            await self._rotate_until_over()
        finally:
            for forwarder in self._forwarders:
                forwarder.close()
            await self._stop_all()
            if server is not None:
                server.close()
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # who asked has left; the command was carried out all the same
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            return {"result": await self._command(request)(request)}
        except LabError as error:
            return {"error": str(error), "usage": isinstance(error, ConfigError)}
        except (ValueError, KeyError, TypeError, TimeoutError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _command(self, request: dict[str, Any]) -> Callable[[dict[str, Any]], Answer]:
        do = str(request.get("do"))
        if do not in self._commands:
            raise ConfigError(f"the supervisor has no command {do!r}: {', '.join(self._commands)}")
        return self._commands[do]

    def _targets(self, request: dict[str, Any]) -> list[Child]:
        target = str(request["target"])
        found = [
            child
            for name, child in self._children.items()
            if target in (name, child.plan.service, "*")
        ]
        if not found:
            known = sorted({*self._children, *(c.plan.service for c in self._children.values())})
            close = get_close_matches(target, known, n=3, cutoff=0.4) or known
            raise ConfigError(f"nothing called {target!r} runs here; there is {', '.join(close)}")
        return found

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
