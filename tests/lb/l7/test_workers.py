"""Several workers behind one port: who serves, what each may take, and who is started again."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from kit.errors import ConfigError
from lb.l7.config import MAX_WORKERS, L7Config, parse_config
from lb.l7.worker_share import DIVIDED, divided, share_of
from lb.l7.workers import (
    FIRST_PAUSE_S,
    MAX_DEATHS,
    MAX_PAUSE_S,
    WELL_AFTER_S,
    Restarts,
    read_place,
)
from tests.lb.l7.rig import WAIT_S, Answer, Backend, RawClient
from tests.lb.l7.test_standalone import connected, ended, rewrite, running, two_backends, write
from tests.ports import free_port

COUNT = 3
MORE = f"workers: {COUNT}\npolicies: {{checks: off}}\n"


@pytest.mark.unit
def test_defaults_and_bounds() -> None:
    """One worker; a death costs 0.1 s and more, five within 10 s end all."""
    assert (L7Config().workers, MAX_WORKERS) == (1, 64)
    assert (FIRST_PAUSE_S, MAX_PAUSE_S, MAX_DEATHS, WELL_AFTER_S) == (0.1, 5.0, 5, 10.0)
    assert read_place("2/4") == (2, 4)


@pytest.mark.unit
@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_count_out_of_range_is_told(count: int) -> None:
    """With its place."""
    with pytest.raises(ConfigError, match=rf"l7.yaml:1:\d+: workers is {count}; give 1 to 64"):
        parse_config(f"workers: {count}")


@pytest.mark.unit
def test_counts_are_divided_and_no_limit_stays_none() -> None:
    """Down, to 1 at least; rates exactly; a burst is one request at least."""
    text = """
backends: [{address: 'a:1', max_connections: 10}, {address: 'b:1'}]
clients: {connections: 1000, connections_per_client: 2, client_rps: 10, client_burst: 2}
limits: {backend_connections: 0, backend_pending: 9}
websocket: {limit: 100}
"""
    share = share_of(parse_config(text), 4)
    clients, limits = share.clients, share.limits
    assert (clients.connections, clients.connections_per_client) == (250, 1)
    assert (clients.client_rps, clients.client_burst) == (2.5, 1.0)
    assert (limits.backend_connections, limits.backend_pending) == (0, 2)
    assert [one.max_connections for one in share.backends] == [2, 0]
    assert share.websocket.limit == 25


@pytest.mark.unit
def test_alone_nothing_is_divided() -> None:
    """The very same."""
    config = parse_config("clients: {client_rps: 10}")
    assert share_of(config, 1) is config
    assert not list(divided(config, config))


@pytest.mark.unit
def test_what_was_divided_is_named() -> None:
    """Only what is another number for a worker."""
    config = parse_config("backends: [{address: 'a:1', max_connections: 8}]")
    assert list(divided(config, share_of(config, 2))) == [
        ("clients.connections", 10_000, 5_000),
        ("limits.backend_connections", 1024, 512),
        ("limits.backend_pending", 1024, 512),
        ("websocket.limit", 1000, 500),
        ("a:1.max_connections", 8, 4),
    ]


@pytest.mark.unit
def test_every_divided_key_exists() -> None:
    """A key renamed would be left whole."""
    for section, keys in DIVIDED.items():
        assert all(hasattr(getattr(L7Config(), section), key) for key in keys)


@pytest.mark.unit
def test_restarts_wait_longer_each_time_and_end() -> None:
    """0.1, 0.2, 0.4, 0.8 s; the fifth death within 10 s is the last."""
    restarts = Restarts()
    assert [restarts.on_death(n * 1.0) for n in range(5)] == [0.1, 0.2, 0.4, 0.8, None]


@pytest.mark.unit
def test_deaths_far_apart_are_no_series() -> None:
    """Each costs the first pause."""
    restarts = Restarts()
    assert [restarts.on_death(n * 11.0) for n in range(8)] == [0.1] * 8


def children(pid: int) -> set[int]:
    """Return who a process has started and not yet buried."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in text.split()}


async def ask(client: RawClient) -> Answer:
    """Send one request on a connection that is kept."""
    client.get()
    return await client.answer()


def worker_of(answer: Answer) -> str:
    """Return which worker it was: Server-Timing says so."""
    return answer.headers["server-timing"].partition('desc="')[2].partition('"')[0]


class Front:
    """A proxy of three workers, and what was connected to it."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self._clients: list[RawClient] = []

    @property
    def workers(self) -> set[int]:
        """Who serves now."""
        return children(self.process.pid)

    def kill_one(self) -> None:
        """As the kernel does when memory is short."""
        os.kill(min(self.workers), signal.SIGKILL)

    async def connected(self) -> RawClient:
        """Connect to whoever the kernel gives it to."""
        client = await connected(self.port)
        self._clients.append(client)
        return client

    async def meet_all(self) -> dict[str, RawClient]:
        """Connect until every worker has one of the connections."""
        met: dict[str, RawClient] = {}
        async with asyncio.timeout(3 * WAIT_S):
            while len(met) < COUNT:
                client = await self.connected()
                with suppress(ConnectionError, asyncio.IncompleteReadError):  # just then killed
                    met.setdefault(worker_of(await ask(client)), client)
        return met

    async def all_say(self, body: bytes) -> None:
        """Wait until every worker answers with this."""
        async with asyncio.timeout(3 * WAIT_S):
            while True:
                met = await self.meet_all()
                if {(await ask(client)).body for client in met.values()} == {body}:
                    return

    async def close(self) -> None:
        """Let go of every connection."""
        for client in self._clients:
            client.writer.transport.abort()
        await asyncio.gather(
            *(client.writer.wait_closed() for client in self._clients), return_exceptions=True
        )


@asynccontextmanager
async def started(path: Path) -> AsyncIterator[tuple[Front, Backend, Backend]]:
    """Run three workers before two backends."""
    port = free_port()
    async with two_backends() as (one, two):
        write(path, port, one, two, more=MORE)
        async with running(path) as process:
            front = Front(process, port)
            try:
                yield front, one, two
            finally:
                await front.close()
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                assert process.stderr is not None
                await process.stderr.read()  # which ends with the last of them


def is_alive(pid: int) -> bool:
    """Whether a process is more than a name that its parent hasn't crossed out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "l7.yaml"


@pytest.mark.integration
async def test_all_serve_and_all_end_in_order(path: Path) -> None:
    """Each gets connections; what is divided is said; SIGTERM ends all with 0."""
    async with started(path) as (front, _, _):
        assert set(await front.meet_all()) == {"l7.1", "l7.2", "l7.3"}
        workers = front.workers
        assert len(workers) == COUNT
        front.process.send_signal(signal.SIGTERM)
        code, said = await ended(front.process)
        assert code == 0
        first = json.loads(said.splitlines()[0])
        assert first["workers"] == COUNT
        assert first["whole_and_part"]["clients.connections"] == [10_000, 3_333]
        assert not any(map(is_alive, workers))


@pytest.mark.integration
async def test_one_that_is_killed_costs_its_own_connections_and_comes_back(path: Path) -> None:
    """The others' connections stay; soon all three are there again."""
    async with started(path) as (front, _, _):
        met = await front.meet_all()
        before = front.workers
        front.kill_one()
        kept = 0
        for client in met.values():
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                kept += (await ask(client)).status == 200
        assert kept == COUNT - 1
        assert set(await front.meet_all()) == set(met)
        assert len(front.workers - before) == 1


@pytest.mark.integration
async def test_workers_whose_parent_is_killed_end_by_themselves(path: Path) -> None:
    """Nobody is left on the port."""
    async with started(path) as (front, _, _):
        await front.meet_all()
        workers = front.workers
        front.process.kill()
        await front.process.wait()
        async with asyncio.timeout(3 * WAIT_S):
            while any(map(is_alive, workers)):  # noqa: ASYNC110  /proc tells nobody
                await asyncio.sleep(0.05)


@pytest.mark.integration
async def test_reload_and_stop_under_traffic_lose_nothing(path: Path) -> None:
    """Each worker takes the file; connections that are kept never see an error."""
    async with started(path) as (front, one, two):
        is_over = False

        async def stream(client: RawClient) -> list[bytes]:
            bodies = []
            while not is_over:
                answer = await ask(client)
                assert answer.status == 200
                bodies.append(answer.body)
                if answer.headers.get("connection") == "close":
                    break
            return bodies

        met = await front.meet_all()
        streams = [asyncio.create_task(stream(client)) for client in met.values()]
        for used in (one, two, one):
            write(path, front.port, used, more=MORE)
            front.process.send_signal(signal.SIGHUP)
            await front.all_say(used.name.encode())
        front.process.send_signal(signal.SIGTERM)
        bodies = await asyncio.gather(*streams)
        assert all(each[-1] == b"one" for each in bodies)
        assert (await ended(front.process))[0] == 0


@pytest.mark.integration
async def test_a_taken_port_is_told_once(path: Path) -> None:
    """Exit code 3, though workers could share it."""
    async with two_backends() as (one, two):
        write(path, one.port, two, more=MORE)
        async with running(path) as process:
            code, said = await ended(process)
    assert code == 3
    assert said.strip() == (
        f"l7: cannot listen on 127.0.0.1:{one.port}: "
        "the port is taken; stop what listens there or choose another"
    )


@pytest.mark.integration
async def test_workers_that_die_again_and_again_end_all(path: Path) -> None:
    """Exit code 1 and no endless loop."""
    async with started(path) as (front, _, _):
        await front.meet_all()
        ending = asyncio.create_task(ended(front.process))
        while not ending.done():
            for pid in front.workers if is_alive(front.process.pid) else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        code, said = await ending
    assert code == 1
    assert "workers die again and again" in said


@pytest.mark.integration
async def test_what_a_worker_finds_wrong_at_the_start_ends_all(path: Path) -> None:
    """The file, here a pipe, says something else by then: its word, its exit code, nobody left."""
    os.mkfifo(path)
    async with running(path) as process:
        text = f"listen: 127.0.0.1:{free_port()}\nbackends: [{{address: 'a:1'}}]\n{MORE}"
        await asyncio.to_thread(path.write_text, text)
        async with asyncio.timeout(3 * WAIT_S):
            while len(children(process.pid)) < COUNT:  # noqa: ASYNC110  /proc tells nobody
                await asyncio.sleep(0.02)
        await asyncio.to_thread(path.write_text, "backends: [")
        code, said = await ended(process)
    assert code == 2
    assert f"l7: {path}:" in said


@pytest.mark.integration
async def test_a_file_that_is_wrong_costs_one_worker_until_it_is_mended(path: Path) -> None:
    """Who serves goes on; who was killed says what is wrong, and is back once it is right."""
    async with started(path) as (front, one, two):
        await front.meet_all()
        rewrite(path, "backends: [")
        front.kill_one()
        assert front.process.stderr is not None
        while f"l7: {path}:".encode() not in await front.process.stderr.readline():
            pass
        assert (await ask(await front.connected())).status == 200
        write(path, front.port, one, two, more=MORE)
        assert set(await front.meet_all()) == {"l7.1", "l7.2", "l7.3"}
        front.process.send_signal(signal.SIGTERM)
        assert (await ended(front.process))[0] == 0
