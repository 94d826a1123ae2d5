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


async def serve_commands(
    listener: socket.socket, commands: Mapping[str, Command], who: str
) -> asyncio.Server:
    """Answer on a socket until the server is closed.

    Args:
        listener: Bound and listening.
        commands: What can be asked, by the request's ``do``.
        who: We, in an error's words.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await _answer(line, commands, who)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # who asked has left; the command was carried out all the same
        finally:
            writer.close()

    return await asyncio.start_unix_server(serve, sock=listener, limit=LONGEST_LINE_BYTES)


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
