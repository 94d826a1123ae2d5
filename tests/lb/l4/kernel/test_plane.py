"""The control plane against a kernel that only notes what it is told."""

import asyncio

import pytest

from kit.errors import ConfigError, LabEnvironmentError
from lb.l4.kernel.config import KernelConfig, parse_kernel_config
from lb.l4.kernel.plane import Plane, connect
from lb.l4.kernel.table import Target
from lb.probe import Answer

A, B = Target("10.92.0.11", 8000), Target("10.92.0.12", 8000)
LIMIT_S = 10.0


def config(extra: str = "", weight_b: int = 1) -> KernelConfig:
    """Return a file of two backends."""
    return parse_kernel_config(
        "listen: 10.91.0.1:80\nplaces: 251\nrebuilds_per_s: 1000\ncheck_interval_s: 0.01\n"
        "backends:\n  - address: 10.92.0.11:8000\n  - address: 10.92.0.12:8000\n"
        f"    weight: {weight_b}\n{extra}"
    )


class Kernel:
    """Notes transactions and forgotten backends, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.refusals = 0
        self.answers = {A: Answer(ok=True), B: Answer(ok=True)}
        self._noted = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def apply(self, transaction: str) -> None:
        """Take a transaction, or refuse it."""
        if self.refusals:
            self.refusals -= 1
            raise LabEnvironmentError("refused")
        kind = "change" if "element" in transaction else "remove"
        self._note("install" if "chain in" in transaction else kind)

    def forget(self, service: Target, backend: Target) -> int:
        """Note who is forgotten."""
        self._note(f"forget {backend.host}")
        return 1

    async def check(self, target: Target, timeout_s: float) -> Answer:
        """Answer as set."""
        return self.answers[target]

    async def until(self, count: int) -> None:
        """Wait until so many notes are there."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.notes) < count:
                self._noted.clear()
                await self._noted.wait()

    def _note(self, text: str) -> None:
        def add() -> None:
            self.notes.append(text)
            self._noted.set()

        self._loop.call_soon_threadsafe(add)

    def plane(self, of: KernelConfig) -> Plane:
        """Make a plane on this kernel."""
        return Plane(of, apply=self.apply, forget=self.forget, check=self.check)


async def test_dead_backend_is_out_of_the_table_before_its_connections_are_forgotten() -> None:
    """The other order would let a packet be sent to the dead one again."""
    kernel = Kernel()
    plane = kernel.plane(config())
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.run())
        await kernel.until(1)
        kernel.answers[B] = Answer(ok=False, refused=True)
        await kernel.until(3)
        assert set(plane.table) == {A}
        plane.stop()
    await kernel.until(4)
    assert kernel.notes == ["install", "change", "forget 10.92.0.12", "remove"]


async def test_two_missed_checks_change_nothing_and_the_third_does() -> None:
    """Slowness is believed at the third time, refusal at the first."""
    kernel = Kernel()
    plane = kernel.plane(config())
    backend = plane.config.backends[0]
    plane._health.set_endpoints([backend.address])
    for _ in range(2):
        plane.on_answer(backend, Answer(ok=False), 0.0)
    assert not plane._changed.is_set()
    plane.on_answer(backend, Answer(ok=False), 0.0)
    assert plane._changed.is_set()


async def test_refused_change_is_answered_by_a_whole_table() -> None:
    """Somebody flushed our table: one refusal, and everything is installed anew."""
    kernel = Kernel()
    plane = kernel.plane(config())
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.run())
        await kernel.until(1)
        kernel.refusals = 1
        plane.set_config(config(weight_b=3))
        await kernel.until(2)
        plane.stop()
    assert kernel.notes[:2] == ["install", "install"]
    assert plane.table.count(B) > 2 * plane.table.count(A)


async def test_change_that_stays_refused_is_tried_again() -> None:
    """Two refusals (change, install) leave the old table; the next turn succeeds."""
    kernel = Kernel()
    plane = kernel.plane(config())
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.run())
        await kernel.until(1)
        kernel.refusals = 2
        plane.set_config(config(weight_b=3))
        await kernel.until(2)
        plane.stop()
    assert kernel.notes[1] == "change"


async def test_first_refusal_ends_the_run() -> None:
    """Nothing was installed, so nothing is removed."""
    kernel = Kernel()
    kernel.refusals = 1
    with pytest.raises(LabEnvironmentError, match="refused"):
        await kernel.plane(config()).run()
    assert kernel.notes == []


async def test_running_table_refuses_another_size() -> None:
    """Listen, places, masquerade and table need a restart; the old file stays."""
    plane = Kernel().plane(config())
    with pytest.raises(ConfigError, match="masquerade can't change"):
        plane.set_config(config("masquerade: false\n"))
    assert plane.config.masquerade


async def test_connect_tells_refusal_from_success() -> None:
    """A listener accepts; after it closed, the port refuses."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await connect(Target("127.0.0.1", port), LIMIT_S) == Answer(ok=True)
    server.close()
    await server.wait_closed()
    assert await connect(Target("127.0.0.1", port), LIMIT_S) == Answer(ok=False, refused=True)
