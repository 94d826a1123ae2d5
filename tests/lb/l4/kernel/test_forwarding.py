"""Kernel mode for real: three namespaces, nftables and conntrack of this machine's kernel."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bench.proxies.netns import BACKENDS, VIP, Network, lacks, network

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[4]
_ELEMENT = re.compile(r"(\d+) : ([\d.]+) \. 8000")
LIMIT_S = 10.0


class Lab:
    """Three backends that say their address and echo, and the control plane's process."""

    def __init__(self, net: Network, file: Path) -> None:
        self.net = net
        self.file = file
        self.listeners: dict[str, asyncio.Server] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    async def serve(self, address: str) -> None:
        """Begin to listen at a backend's address."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(f"{address}\n".encode())
                while line := await reader.readline():
                    writer.write(line)
            except ConnectionError:
                pass
            finally:
                writer.close()

        listener = self.net.socket("backends")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its old connections linger
        listener.bind((address, 8000))
        self.listeners[address] = await asyncio.start_server(answer, sock=listener)

    def write(self, *, drained: str = "") -> None:
        """Write the file, with one backend drained."""
        lines = [f"listen: {VIP}:80", "check_interval_s: 0.05", "check_timeout_s: 5"]
        lines += ["rebuilds_per_s: 50", "backends:"]
        for address in BACKENDS:
            drain = "true" if address == drained else "false"
            lines.append(f"  - {{address: '{address}:8000', drain: {drain}}}")
        self.file.write_text("\n".join(lines) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the control plane inside the balancer's namespace."""
        command = ["ip", "netns", "exec", self.net.names["lb"], sys.executable]
        process = subprocess.Popen([*command, "-m", "lb.l4.kernel", str(self.file)], cwd=ROOT)
        self.processes.append(process)
        return process

    def table(self) -> dict[int, str]:
        """Read the kernel's map: the address of each place."""
        rules = self.net.run("lb", "nft", "list", "ruleset")
        return {int(place): address for place, address in _ELEMENT.findall(rules)}

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, at most ten seconds."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not condition():  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"not within {LIMIT_S:g} s: {what}")

    async def until_targets(self, *addresses: str) -> None:
        """Wait until exactly these have places."""
        await self.until(lambda: set(self.table().values()) == set(addresses), f"{addresses}")

    async def connect(self) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as the client; returns which backend answered, and the streams."""
        async with asyncio.timeout(LIMIT_S):
            sock = self.net.socket("client")
            try:
                await asyncio.get_running_loop().sock_connect(sock, (VIP, 80))
            except OSError:
                sock.close()
                raise
            reader, writer = await asyncio.open_connection(sock=sock)
            return (await reader.readline()).decode().strip(), reader, writer

    async def ask(self, count: int) -> Counter[str]:
        """Connect so many times; returns who answered how often."""
        found: Counter[str] = Counter()
        for _ in range(count):
            name, _, writer = await self.connect()
            found[name] += 1
            writer.transport.abort()
        return found


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    """Have namespaces, or skip saying why."""
    reason = lacks()
    if reason:
        pytest.skip(reason)
    with network() as built:
        yield built


@pytest.fixture
async def lab(net: Network, tmp_path: Path) -> AsyncIterator[Lab]:
    """Run three backends and a control plane that sees them all."""
    lab = Lab(net, tmp_path / "kernel.yaml")
    try:
        for address in BACKENDS:
            await lab.serve(address)
        lab.write()
        lab.start()
        await lab.until_targets(*BACKENDS)
        yield lab
    finally:
        for process in lab.processes:
            process.kill()
            process.wait()
        for server in lab.listeners.values():
            server.close()


async def test_connections_spread_over_all_and_leave_a_dead_one(lab: Lab) -> None:
    """90 connections: each backend's count lies within six standard deviations of 30."""
    before = lab.table()
    found = await lab.ask(90)
    assert set(found) == set(BACKENDS)
    assert all(3 <= count <= 57 for count in found.values()), found

    dead, *living = BACKENDS
    lab.listeners[dead].close()
    await lab.until_targets(*living)
    assert set(await lab.ask(30)) == set(living)
    after = lab.table()
    moved = sum(before[place] != after[place] for place in before)
    assert len(after) == len(before) == 4093
    assert 4093 // 3 <= moved <= 4093 // 3 + 4093 // 10

    await lab.serve(dead)
    await lab.until_targets(*BACKENDS)
    assert lab.table() == before


async def test_established_connection_to_a_dead_backend_is_reset_at_its_next_packet(
    lab: Lab,
) -> None:
    """The backend would still echo on it: only the forgotten entry can reset the client."""
    name, reader, writer = await lab.connect()
    flows = ("conntrack", "-L", "-p", "tcp", "--reply-src", name, "--state", "ESTABLISHED")
    assert name in lab.net.run("lb", *flows)

    lab.listeners[name].close()
    await lab.until_targets(*(address for address in BACKENDS if address != name))
    await lab.until(lambda: name not in lab.net.run("lb", *flows), "the entry is deleted")

    writer.write(b"still there?\n")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.readline(), LIMIT_S)
    writer.transport.abort()


async def test_drained_backend_keeps_its_connection_and_gets_no_new_one(lab: Lab) -> None:
    """The file read again at SIGHUP takes places away; conntrack keeps the open connection."""
    name, reader, writer = await lab.connect()
    lab.write(drained=name)
    lab.processes[0].send_signal(signal.SIGHUP)
    await lab.until_targets(*(address for address in BACKENDS if address != name))

    assert name not in await lab.ask(30)
    writer.write(b"still there?\n")
    assert await asyncio.wait_for(reader.readline(), LIMIT_S) == b"still there?\n"
    writer.transport.abort()


async def test_with_nobody_up_a_client_is_refused_at_once(lab: Lab) -> None:
    """An empty table rewrites nothing, and nothing listens at the service's own address."""
    for listener in lab.listeners.values():
        listener.close()
    await lab.until_targets()
    with pytest.raises(ConnectionRefusedError):
        await lab.connect()


async def test_table_goes_at_the_end_and_a_leftover_is_replaced_by_the_same(lab: Lab) -> None:
    """Killed, it leaves a table that forwards; a successor installs it alike; TERM removes it."""
    before = lab.table()
    lab.processes[0].kill()
    await lab.until(lambda: lab.processes[0].poll() is not None, "it is dead")
    assert lab.table() == before
    assert set(await lab.ask(1)) <= set(BACKENDS)
    lab.net.run("lb", "nft", "delete element ip squall_l4 maglev { 7 }")

    successor = lab.start()
    await lab.until(lambda: lab.table() == before, "the successor's table")
    successor.terminate()
    await lab.until(lambda: successor.poll() is not None, "it ended")
    assert successor.returncode == 0
    assert lab.net.run("lb", "nft", "list", "ruleset") == ""
