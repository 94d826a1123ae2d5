"""The answering side of the channel: one JSON line asks, one answers.

Why: the supervisor and the keeper of containers' faults are asked the same way.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from chaos.supervisor.channel import LONGEST_LINE_BYTES
from kit.errors import ConfigError, LabError

Request = dict[str, Any]
Command = Callable[[Request], Awaitable[object]]

ANSWER_LIMIT_S = 1.0  # who asked reads its answer and leaves; nobody is waited for longer


class CommandServer:
    """Answers on a socket from `start` to `close`.

    Args:
        commands: What can be asked, by the request's ``do``.
        who: We, in an error's words.
    """

    def __init__(self, commands: Mapping[str, Command], who: str) -> None:
        self._commands = commands
        self._who = who
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None] | None] = set()

    async def start(self, listener: socket.socket) -> None:
        """Answer on a bound and listening socket."""
        self._server = await asyncio.start_unix_server(
            self._talk, sock=listener, limit=LONGEST_LINE_BYTES
        )

    async def close(self) -> None:
        """Take no more connections; whoever asked already still gets its answer."""
        if self._server is not None:
            self._server.close()
        talks = {talk for talk in self._talks if talk is not None}
        if talks:
            await asyncio.wait(talks, timeout=ANSWER_LIMIT_S)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._talks.add(task)
        try:
            while line := await reader.readline():
                answer = await _answer(line, self._commands, self._who)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # who asked has left; the command was carried out all the same
        finally:
            self._talks.discard(task)
            writer.close()


async def _answer(line: bytes, commands: Mapping[str, Command], who: str) -> dict[str, object]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ConfigError(f"{who} is asked with one JSON object a line, not {line[:40]!r}")
        do = str(request.get("do"))
        if do not in commands:
            raise ConfigError(f"{who} has no command {do!r}: {', '.join(commands)}")
        return {"result": await commands[do](request)}
    except LabError as error:
        return {"error": str(error), "usage": isinstance(error, ConfigError)}
    except (ValueError, KeyError, TypeError, TimeoutError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
