"""The processes of a run: real ones, told apart from those that fail."""

import asyncio
import socket
import sys

import pytest

from bench.limiters import processes
from bench.limiters.processes import (
    end_input,
    free_port,
    result,
    running,
    tell,
    wait_answering,
    wait_ready,
)
from kit.errors import LabEnvironmentError

ECHO = "print('ready', flush=True); print(input(), flush=True); input()"


def script(text: str) -> list[str]:
    """Return a command that runs a line of Python without its site packages."""
    return [sys.executable, "-I", "-S", "-c", text]


async def test_a_child_is_told_answers_and_ends_with_its_input() -> None:
    """The protocol of service and client."""
    async with running(script(ECHO)) as child:
        await wait_ready(child, "child")
        await tell(child, "12.5")
        assert await result(child, "child", 10.0) == "12.5\n"
        end_input(child)
        await child.wait()


async def test_a_child_is_gone_when_its_block_ends() -> None:
    """Also when the block fails while it still works."""
    children = []

    async def fail() -> None:
        async with running(script(ECHO)) as child:
            children.append(child)
            await wait_ready(child, "child")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert children[0].returncode is not None


async def test_a_child_that_does_not_start_says_why() -> None:
    """Its last line of error is in ours."""
    async with running(script("raise SystemExit('no such thing')")) as child:
        with pytest.raises(LabEnvironmentError, match="service did not start: no such thing"):
            await wait_ready(child, "service")


async def test_a_child_that_ends_early_is_an_error() -> None:
    """Even when it said nothing."""
    async with running(script("print('ready'); raise SystemExit(4)")) as child:
        await wait_ready(child, "client")
        with pytest.raises(LabEnvironmentError, match="ended early: it said nothing and left"):
            await result(child, "client", 10.0)


async def test_a_silent_child_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hangs on a machine that is stuck."""
    monkeypatch.setattr(processes, "START_LIMIT_S", 0.05)
    async with running(script("input()")) as child:
        with pytest.raises(LabEnvironmentError, match=r"client said nothing for 0\.05 s"):
            await wait_ready(child, "client")
        with pytest.raises(LabEnvironmentError, match="Envoy did not start"):
            await wait_answering(child, 1, "Envoy")


async def test_a_port_that_answers_is_ready() -> None:
    """As soon as somebody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with running(script("input()")) as child:
            async with asyncio.timeout(10):
                await wait_answering(child, listener.getsockname()[1], "Envoy")


def test_a_port_is_given_once_and_only_if_free() -> None:
    """A taken one is passed over; none left is an error that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        taken = {port + 1}
        with pytest.raises(LabEnvironmentError, match="give --port"):
            free_port(taken, port, 2)
    assert free_port(taken, port, 1) == port
    assert port in taken
