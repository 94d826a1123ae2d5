"""The processes of one run: start them, wait until they are ready, end them whatever happens.

Each is in a session of its own, so that Ctrl-C reaches the parent alone, which then ends them. A
parent that is killed outright ends their standard input, at which service and client end too.
Not handled: Envoy reads no standard input, so a parent killed outright leaves it behind.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from kit.errors import LabEnvironmentError
from kit.listen import is_free

START_LIMIT_S = 30.0  # a Python with uvicorn starts in 0.5 s; 60 times that is a stuck machine
END_LIMIT_S = 5.0
LAST_LINES = 3  # of standard error: the end of a traceback, and where it came from
HOST = "127.0.0.1"
READY_EVERY_S = 0.02

Process = asyncio.subprocess.Process


def python(module: str, *args: str) -> list[str]:
    """Return the command that runs a module of ours with this interpreter."""
    return [sys.executable, "-m", module, *args]


@asynccontextmanager
async def running(command: Sequence[str], *fds: int) -> AsyncIterator[Process]:
    """Run a command with its streams in our hands; it is gone when this ends.

    Args:
        command: Program and arguments.
        fds: File descriptors it inherits.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=fds,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # also reads what is left on the pipes, else their transports outlive the loop
        await process.communicate()


async def wait_ready(process: Process, what: str) -> None:
    """Return when a child of ours has said that it is ready.

    Raises:
        LabEnvironmentError: It ended or said nothing in time; with its last lines of error.
    """
    if await _line(process, what, START_LIMIT_S) != "ready\n":
        why = await last_words(process, END_LIMIT_S)
        raise LabEnvironmentError(f"the {what} did not start: {why}")


async def tell(process: Process, text: str) -> None:
    """Write a line to a child."""
    assert process.stdin is not None
    process.stdin.write(text.encode() + b"\n")
    await process.stdin.drain()


async def result(process: Process, what: str, limit_s: float) -> str:
    """Return a child's next line.

    Raises:
        LabEnvironmentError: There is none in time.
    """
    line = await _line(process, what, limit_s)
    if not line.endswith("\n"):
        why = await last_words(process, END_LIMIT_S)
        raise LabEnvironmentError(f"the {what} ended early: {why}")
    return line


async def finished(process: Process, what: str, limit_s: float) -> None:
    """Return when a child has ended well; its standard input is closed and its output dropped.

    Raises:
        LabEnvironmentError: It left with another code than 0, with its last lines of error; or is
            still there after the limit.
    """
    try:
        async with asyncio.timeout(limit_s):
            _, errors = await process.communicate()
    except TimeoutError:
        raise LabEnvironmentError(f"the {what} did not end within {limit_s:g} s") from None
    if process.returncode:
        raise LabEnvironmentError(f"the {what} failed: {_words(process, errors)}")


def end_input(process: Process) -> None:
    """Tell a child that it may end."""
    assert process.stdin is not None
    process.stdin.close()


async def wait_answering(process: Process, port: int, what: str) -> None:
    """Return when somebody listens on a port.

    Raises:
        LabEnvironmentError: The process ended, or nobody does in time.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + START_LIMIT_S
    while not _listens(port):
        if process.returncode is not None or loop.time() > until_s:
            raise LabEnvironmentError(f"{what} did not start: {await last_words(process)}")
        await asyncio.sleep(READY_EVERY_S)


async def last_words(process: Process, patience_s: float = 0.0) -> str:
    """End a child and return how it left, with the last lines it wrote to standard error.

    Args:
        process: The child.
        patience_s: How long it may take to end by itself, so that the exit code is its own.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await process.wait()
    if process.returncode is None:
        process.kill()
    _, errors = await process.communicate()
    return _words(process, errors)


def _words(process: Process, errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    said = " / ".join(line.strip() for line in lines) or "it said nothing"
    return f"{said} (exit code {process.returncode})"


def free_port(taken: set[int], first: int, most: int = 100) -> int:
    """Return a port nobody listens on, and count it as taken.

    Raises:
        LabEnvironmentError: All of them are busy.
    """
    for port in range(first, first + most):
        if port not in taken and is_free(HOST, port):
            taken.add(port)
            return port
    raise LabEnvironmentError(f"no free port from {first} to {first + most - 1}; give --port")


async def _line(process: Process, what: str, limit_s: float) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            return (await process.stdout.readline()).decode()
    except TimeoutError:
        raise LabEnvironmentError(f"the {what} said nothing for {limit_s:g} s") from None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0
