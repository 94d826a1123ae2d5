"""The proxy by itself, as a process, and from a file that changes under it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.errors import ConfigError
from lb.l7.standalone import Standalone
from tests.lb.l7.rig import WAIT_S, Backend, RawClient, answering, ok, until
from tests.ports import free_port

RELOADS = 10


def write(path: Path, port: int, *backends: Backend, more: str = "") -> None:
    """Name these backends in the file, and whatever more is given."""
    listed = ", ".join(f"{{address: '127.0.0.1:{one.port}', name: {one.name}}}" for one in backends)
    rewrite(path, f"listen: 127.0.0.1:{port}\nbackends: [{listed}]\n{more}")


def rewrite(path: Path, text: str) -> None:
    """Put a whole file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@asynccontextmanager
async def two_backends() -> AsyncIterator[tuple[Backend, Backend]]:
    """Run two that answer with their names."""
    one, two = (Backend(name, answering(ok(name.encode()))) for name in ("one", "two"))
    await one.start()
    await two.start()
    try:
        yield one, two
    finally:
        await one.stop()
        await two.stop()


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Process]:
    """Run ``python -m lb.l7 FILE``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lb.l7", str(path), stdin=DEVNULL, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: Process) -> tuple[int, str]:
    """Return its exit code and what it said."""
    async with asyncio.timeout(3 * WAIT_S):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def connected(port: int) -> RawClient:
    """Connect as soon as somebody listens."""
    async with asyncio.timeout(3 * WAIT_S):
        while True:
            try:
                return RawClient(*await asyncio.open_connection("127.0.0.1", port))
            except OSError:
                await asyncio.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "l7.yaml"


@pytest.mark.integration
async def test_it_serves_without_control_and_ends_in_order(path: Path) -> None:
    """A request passes; SIGTERM ends it with 0."""
    port = free_port()
    async with two_backends() as (one, _):
        write(path, port, one, more="policies: {checks: off}\n")
        async with running(path) as process:
            client = await connected(port)
            client.get()
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"one")
            client.writer.close()
            process.send_signal(signal.SIGTERM)
            assert (await ended(process))[0] == 0


@pytest.mark.integration
@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("lisen: 'a:1'", 2, "l7.yaml:1:1: unknown key lisen; did you mean listen"),
        ("listen: '127.0.0.1:1'", 2, "no backend; write backends: [{address: 'host:port'}]"),
        ("backends: [", 2, "l7.yaml:"),
    ],
)
async def test_a_wrong_file_is_one_line_and_exit_code_2(
    path: Path, text: str, code: int, told: str
) -> None:
    """The place, the mistake, and no traceback."""
    rewrite(path, text)
    async with running(path) as process:
        exit_code, said = await ended(process)
    assert exit_code == code
    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.integration
async def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    """With its name."""
    async with running(path) as process:
        exit_code, said = await ended(process)
    assert exit_code == 2
    assert f"can't read {path}" in said


@pytest.mark.integration
async def test_a_taken_port_is_the_machine_s_fault(path: Path) -> None:
    """Exit code 3 and the port."""
    async with two_backends() as (one, two):
        write(path, one.port, two)
        async with running(path) as process:
            exit_code, said = await ended(process)
    assert exit_code == 3
    assert f"cannot listen on 127.0.0.1:{one.port}" in said


async def test_ten_reloads_lose_no_request(path: Path) -> None:
    """Under a steady stream on two kept connections the backends change ten times."""
    port = free_port()
    async with two_backends() as (one, two):
        write(path, port, one, more="policies: {checks: off}\n")
        alone = Standalone(path)
        serving = asyncio.create_task(alone.run())
        bodies: list[bytes] = []
        is_over = False

        async def stream() -> None:
            client = await connected(port)
            while not is_over:
                client.get()
                answer = await client.answer()
                assert answer.status == 200
                bodies.append(answer.body)
            client.writer.close()

        streams = [asyncio.create_task(stream()) for _ in range(2)]
        for turn in range(RELOADS):
            used = two if turn % 2 == 0 else one
            before = len(bodies)
            await until(lambda before=before: len(bodies) >= before + 10)  # type: ignore[misc]
            write(path, port, used, more=f"policies: {{checks: off}}\n# {turn}\n")
            alone.look()
            await until(
                lambda used=used: bodies[-1] == used.name.encode()  # type: ignore[misc]
            )
        is_over = True
        await asyncio.gather(*streams)
        assert alone.file.reloads == RELOADS
        assert alone.file.failed_reloads == 0
        assert set(bodies) == {b"one", b"two"}
        alone.lifecycle.request_stop()
        await asyncio.wait_for(serving, 2 * WAIT_S)


async def test_a_mistake_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The backends stay, the place is told, and the next right file is taken."""
    port = free_port()
    async with two_backends() as (one, two):
        write(path, port, one, more="policies: {checks: off}\n")
        alone = Standalone(path)
        serving = asyncio.create_task(alone.run())
        client = await connected(port)
        write(path, port, two, more="polices: {checks: off}\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: alone.file.failed_reloads == 1)
        assert "unknown key polices; did you mean policies" in str(caplog.records[-1].error)  # type: ignore[attr-defined]
        client.get()
        assert (await client.answer()).body == b"one"
        write(path, port, two, more="policies: {checks: off}\nrequests: {attempts: 1}\n")
        alone.look()
        client.get()
        assert (await client.answer()).body == b"two"
        assert alone.proxy.settings.max_attempts == 1
        client.writer.close()
        alone.lifecycle.request_stop()
        await asyncio.wait_for(serving, 2 * WAIT_S)


async def test_what_only_a_start_changes_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A port that changes is named; the rest of the file is taken."""
    port = free_port()
    async with two_backends() as (one, two):
        write(path, port, one, more="policies: {checks: off}\n")
        alone = Standalone(path)
        serving = asyncio.create_task(alone.run())
        client = await connected(port)
        write(path, free_port(), two, more="policies: {checks: off}\n")
        alone.look()
        told = [record for record in caplog.records if "at a start only" in record.message]
        assert [record.sections for record in told] == [["listen"]]  # type: ignore[attr-defined]
        client.get()
        assert (await client.answer()).body == b"two"
        client.writer.close()
        alone.lifecycle.request_stop()
        await asyncio.wait_for(serving, 2 * WAIT_S)


def test_a_file_without_backends_is_refused(path: Path) -> None:
    """Without a registry there would be nobody."""
    path.write_text("{}")
    with pytest.raises(ConfigError, match="no backend"):
        Standalone(path)
