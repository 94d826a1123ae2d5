"""The channel's two ends: what is asked, what is answered, what goes wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chaos.supervisor.channel import ask, exchange, listen, result_of
from chaos.supervisor.serve import CommandServer
from kit.errors import ConfigError, LabEnvironmentError

pytestmark = pytest.mark.integration

NAME = "test.sock"


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with somebody who echoes, refuses and fails."""

    async def echo(request: dict[str, Any]) -> object:
        return request["word"]

    async def refuse(request: dict[str, Any]) -> object:
        raise ConfigError("no such thing")

    async def fail(request: dict[str, Any]) -> object:
        raise OSError("disk is full")

    commands = {"echo": echo, "refuse": refuse, "fail": fail}
    server = CommandServer(commands, "the echo")
    await server.start(listen(tmp_path, NAME))
    yield tmp_path
    await server.close()


async def send(folder: Path, **request: Any) -> Any:
    """Ask from a thread, since asking blocks."""
    return result_of(await asyncio.to_thread(exchange, folder, NAME, request, 20.0))


async def test_an_answer_comes_back(folder: Path) -> None:
    """And the socket is nobody else's."""
    assert await send(folder, do="echo", word="hello") == "hello"
    assert (folder / NAME).stat().st_mode & 0o077 == 0


async def test_what_goes_wrong_keeps_its_kind(folder: Path) -> None:
    """A wrong command is the user's error, a failed one the environment's."""
    with pytest.raises(ConfigError, match="the echo has no command 'shout': echo, refuse, fail"):
        await send(folder, do="shout")
    with pytest.raises(ConfigError, match="no such thing"):
        await send(folder, do="refuse")
    with pytest.raises(LabEnvironmentError, match="OSError: disk is full"):
        await send(folder, do="fail")
    with pytest.raises(LabEnvironmentError, match="KeyError: 'word'"):
        await send(folder, do="echo")


async def test_garbage_is_answered_and_the_next_line_too(folder: Path) -> None:
    """One connection may ask many times."""

    def talk() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(folder / NAME))
            with client.makefile("rwb") as stream:
                answers = []
                for line in (b"{\n", b"[]\n", b'{"do": "echo", "word": 5}\n'):
                    stream.write(line)
                    stream.flush()
                    answers.append(stream.readline())
                return answers

    first, second, third = await asyncio.to_thread(talk)
    assert b"JSONDecodeError" in first
    assert b"one JSON object a line" in second
    assert third == b'{"result": 5}\n'


async def test_closing_waits_for_the_answer_of_who_asked(tmp_path: Path) -> None:
    """Whoever ends us by a command is told that it worked."""
    closing: list[asyncio.Task[None]] = []

    async def end(_: dict[str, Any]) -> object:
        closing.append(asyncio.get_running_loop().create_task(server.close()))
        await asyncio.sleep(0.05)
        return "ended"

    server = CommandServer({"end": end}, "the ender")
    await server.start(listen(tmp_path, NAME))
    assert await send(tmp_path, do="end") == "ended"
    await closing[0]
    with pytest.raises(OSError, match="refused"):
        await send(tmp_path, do="end")


def test_nobody_there_says_how_to_mend_it(tmp_path: Path) -> None:
    """The supervisor's absence is the usual reason."""
    with pytest.raises(LabEnvironmentError, match=r"supervisor doesn't answer .*: make up"):
        ask(tmp_path, "status")
