"""The processes of a run: real ones, told apart from those that fail."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from bench.limiters import processes
from bench.limiters.processes import (
    end_input,
    finished,
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
    """Its last line of error and its own exit code are in ours."""
    async with running(script("raise SystemExit('no such thing')")) as child:
        with pytest.raises(
            LabEnvironmentError, match=r"service did not start: no such thing \(exit code 1\)"
        ):
            await wait_ready(child, "service")


async def test_a_child_that_ends_early_is_an_error() -> None:
    """Even when it said nothing."""
    async with running(script("print('ready'); raise SystemExit(4)")) as child:
        await wait_ready(child, "client")
        with pytest.raises(LabEnvironmentError, match=r"early: it said nothing \(exit code 4\)"):
            await result(child, "client", 10.0)


async def test_a_child_that_ends_well_has_finished() -> None:
    """Whatever it still writes is dropped."""
    async with running(script("print('x' * 200_000)")) as child:
        await finished(child, "client", 10.0)
        assert child.returncode == 0


async def test_a_child_that_dies_half_way_is_told_by_its_code_and_last_lines(
    tmp_path: Path,
) -> None:
    """Though the file it was writing is there, and looks like one."""
    path = tmp_path / "records.json"
    halfway = f"open({str(path)!r}, 'w').write('[[0.5,0,'); raise ValueError('disk full')"
    async with running(script(halfway)) as child:
        with pytest.raises(LabEnvironmentError) as caught:
            await finished(child, "client", 10.0)

    assert path.exists()
    assert str(caught.value).startswith("the client failed: ")
    assert str(caught.value).endswith("ValueError: disk full (exit code 1)")


async def test_a_child_that_was_killed_is_told_by_its_signal() -> None:
    """As when the machine ran out of memory."""
    async with running(script("import os; os.kill(os.getpid(), 9)")) as child:
        with pytest.raises(LabEnvironmentError, match=r"said nothing \(exit code -9\)"):
            await finished(child, "client", 10.0)


async def test_only_the_last_lines_of_a_child_are_told() -> None:
    """Three of a traceback, not all of it."""
    talk = "import sys; sys.stderr.write('one\\ntwo\\nthree\\nfour\\n'); sys.exit(2)"
    async with running(script(talk)) as child:
        with pytest.raises(LabEnvironmentError, match=r"failed: two / three / four \(exit"):
            await finished(child, "client", 10.0)


async def test_a_child_that_does_not_end_is_not_waited_for() -> None:
    """The limit is told, and the block still ends it."""
    async with running(script("while True: pass")) as child:
        with pytest.raises(LabEnvironmentError, match=r"client did not end within 0\.05 s"):
            await finished(child, "client", 0.05)
    assert child.returncode == -9


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
