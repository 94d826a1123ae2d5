"""L4 from its file over real sockets: who gets a client, who is told of it, what may change."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lb.l4.standalone import Standalone, run_file
from lb.proxy_protocol import Address, Header, parse, render_v2
from tests.lb.l7.rig import until
from tests.ports import free_port

pytestmark = pytest.mark.integration
WAIT_S = 10.0
CLIENTS = [f"127.0.1.{n}" for n in range(1, 41)]


class Named:
    """A backend that tells its name first, then echoes; it keeps what it got."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.received: list[bytearray] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def stop(self) -> None:
        """Stop listening, and end what is open."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = bytearray()
        self.received.append(mine)
        self._writers.add(writer)
        writer.write(self.name.encode())
        try:
            while data := await reader.read(65536):
                mine += data
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Bench:
    """Three backends, and a file that a balancer runs by."""

    def __init__(self, folder: Path) -> None:
        self.backends = [Named(name) for name in ("one", "two", "three")]
        self.path = folder / "l4.yaml"
        self.port = free_port()
        self.open: list[asyncio.StreamWriter] = []

    def write(self, rest: str = "", *, without: str = "", drained: str = "") -> None:
        """Write the file; its time of change differs from the last one's."""
        lines = [f"listen: 127.0.0.1:{self.port}", "backends:"]
        for one in self.backends:
            if one.name != without:
                drain = ", drain: true" if one.name == drained else ""
                lines.append(f"  - {{address: '127.0.0.1:{one.port}', name: {one.name}{drain}}}")
        before = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.path.write_text("\n".join([*lines, rest]))
        os.utime(self.path, ns=(before + 1_000_000, before + 1_000_000))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Standalone]:
        """Run a balancer by the file until the block ends."""
        alone = Standalone(self.path)
        task = asyncio.create_task(alone.run())
        await until(lambda: alone.server._server is not None or alone.server._arrivals is not None)
        try:
            yield alone
        finally:
            for writer in self.open:
                writer.transport.abort()
            self.open.clear()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def connect(
        self, source: str = "127.0.0.1", first: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect from an address, and send these bytes first."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0)
        )
        self.open.append(writer)
        writer.write(first)
        return reader, writer

    async def home(self, source: str = "127.0.0.1", first: bytes = b"") -> str:
        """Say which backend a client gets; "" when it is closed at once. The connection ends."""
        reader, writer = await self.connect(source, first)
        name = await name_from(reader)
        writer.transport.abort()
        return name


async def name_from(reader: asyncio.StreamReader) -> str:
    """Read a backend's name, "" at the end of the stream."""
    try:
        return (await asyncio.wait_for(reader.read(16), WAIT_S)).decode()
    except ConnectionError:
        return ""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Three backends that listen."""
    made = Bench(tmp_path)
    for one in made.backends:
        await one.start()
    yield made
    for one in made.backends:
        one.stop()


MAGLEV = "balance: maglev\nmaglev: {size: 251}\nchecks: {enabled: false}"


async def test_maglev_keeps_clients_over_a_restart_of_the_balancer(bench: Bench) -> None:
    """Each address has one backend, whoever runs the file; all backends have some."""
    bench.write(MAGLEV)
    async with bench.running():
        before = {source: await bench.home(source) for source in CLIENTS}
        again = {source: await bench.home(source) for source in CLIENTS}
    async with bench.running():
        after = {source: await bench.home(source) for source in CLIENTS}
    assert before == again == after
    assert set(before.values()) == {"one", "two", "three"}


async def test_of_a_backend_that_leaves_the_clients_move_and_come_back(bench: Bench) -> None:
    """Nearly nobody else does: Maglev's table is filled anew for two."""
    bench.write(MAGLEV)
    async with bench.running() as alone:
        before = {source: await bench.home(source) for source in CLIENTS}
        bench.write(MAGLEV, without="two")
        alone.look()
        away = {source: await bench.home(source) for source in CLIENTS}
        bench.write(MAGLEV)
        alone.look()
        back = {source: await bench.home(source) for source in CLIENTS}
    assert "two" not in away.values()
    stayed = sum(away[source] == home for source, home in before.items() if home != "two")
    assert stayed >= 0.8 * sum(home != "two" for home in before.values())
    assert back == before


async def test_turns_are_taken_by_weight(bench: Bench) -> None:
    """Three backends, thirty connections, ten each."""
    bench.write("balance: round_robin\nchecks: {enabled: false}")
    async with bench.running():
        seen = Counter([await bench.home() for _ in range(30)])
    assert seen == {"one": 10, "two": 10, "three": 10}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_backends_are_told_who_the_client_is(bench: Bench, version: str) -> None:
    """Before its first byte, in the version of the file."""
    bench.write(f"proxy_protocol: {{send: {version}}}\nchecks: {{enabled: false}}")
    async with bench.running():
        _, writer = await bench.connect("127.0.1.7", b"hello")
        port = writer.get_extra_info("sockname")[1]
        await until(
            lambda: any(one.received and b"hello" in one.received[0] for one in bench.backends)
        )
    (got,) = [bytes(one.received[0]) for one in bench.backends if one.received]
    found = parse(got)
    assert found is not None
    header, size = found
    assert header == Header(Address("127.0.1.7", port), Address("127.0.0.1", bench.port))
    assert got[size:] == b"hello"


async def test_a_header_from_a_proxy_in_front_names_the_client(bench: Bench) -> None:
    """By whom Maglev places, and who the backends are told of; nobody else's is believed."""
    told = Header(Address("203.0.113.9", 4711), Address("203.0.113.1", 80))
    bench.write(
        "proxy_protocol: {mode: require, trusted: [127.0.1.0/24], send: v1}\n"
        "checks: {enabled: false}"
    )
    async with bench.running() as alone:
        await bench.connect("127.0.1.7", render_v2(told) + b"hello")
        await until(
            lambda: any(one.received and b"hello" in one.received[0] for one in bench.backends)
        )
        assert await bench.home("127.0.0.1", render_v2(told)) == ""
        await until(lambda: alone.server.snapshot()["refused_proxy_headers"] == 1)
    (got,) = [bytes(one.received[0]) for one in bench.backends if one.received]
    assert got == b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 %d\r\nhello" % bench.port


async def test_limits_are_kept_and_counted(bench: Bench) -> None:
    """By address, by backend, and all together."""
    bench.write(
        "limits: {connections: 5, connections_per_client: 2, backend_connections: 1}\n"
        "checks: {enabled: false}"
    )
    async with bench.running() as alone:
        names = [await name_from((await bench.connect("127.0.1.1"))[0]) for _ in range(2)]
        assert await bench.home("127.0.1.1") == ""
        assert alone.server.refused_per_client == 1
        names.append(await name_from((await bench.connect("127.0.1.2"))[0]))
        assert sorted(names) == ["one", "three", "two"]
        assert await bench.home("127.0.1.3") == ""  # each backend has one
        assert alone.server.unserved_connections == 1
        bench.write("limits: {connections: 3}\nchecks: {enabled: false}")
        alone.look()
        assert await bench.home("127.0.1.4") == ""
        assert alone.server.refused_connections == 1


async def test_a_drained_backend_keeps_what_it_has(bench: Bench) -> None:
    """And gets nobody new until the file says otherwise."""
    bench.write("balance: round_robin\nchecks: {enabled: false}")
    async with bench.running() as alone:
        held = {}
        for _ in range(3):
            reader, writer = await bench.connect()
            held[await name_from(reader)] = writer
        bench.write("balance: round_robin\nchecks: {enabled: false}", drained="two")
        alone.look()
        assert {await bench.home() for _ in range(9)} == {"one", "three"}
        held["two"].write(b"still here")
        two = bench.backends[1]
        await until(lambda: any(bytes(got) == b"still here" for got in two.received))
        await until(lambda: alone.server.snapshot()["two.bytes_in"] == 10)
        assert alone.server.snapshot()["two.bytes_out"] == 3
        bench.write("balance: round_robin\nchecks: {enabled: false}")
        alone.look()
        assert {await bench.home() for _ in range(9)} == {"one", "two", "three"}


async def test_checks_find_who_is_down_and_who_is_back(bench: Bench) -> None:
    """No client has to be the first to notice."""
    bench.write("checks: {interval_s: 0.02, unhealthy_after: 2, healthy_after: 1}")
    two = bench.backends[1]
    async with bench.running() as alone:
        two.stop()
        await until(lambda: candidates(alone) == {"one", "three"})
        await two.start()
        await until(lambda: candidates(alone) == {"one", "two", "three"})


async def test_a_file_that_is_wrong_changes_nothing(bench: Bench) -> None:
    """It is counted, and what is wrong is kept to be told."""
    bench.write("checks: {enabled: false}")
    async with bench.running() as alone:
        bench.write("balance: maglv")
        alone.look()
        assert "there is no maglv; did you mean maglev" in alone.file.mistake
        assert alone.file.snapshot()["failed_reloads"] == 1
        assert await bench.home() != ""


def test_the_command_line_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2: no file, one that isn't there, one that is wrong."""
    assert run_file([]) == 2
    assert "usage: python -m lb.l4 FILE" in capsys.readouterr().err
    assert run_file([str(tmp_path / "none.yaml")]) == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("listen: 1")
    assert run_file([str(wrong)]) == 2
    assert capsys.readouterr().err.startswith("l4: ")


def candidates(alone: Standalone) -> set[str]:
    """Return who may be picked now; a balancer notices at a pick, or when somebody looks."""
    alone.server.balancer.look(time.monotonic())
    return set(alone.server.balancer.candidates)
