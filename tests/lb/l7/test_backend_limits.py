"""Limits of backends over real sockets: who waits, who is refused, who never has to wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.errors import ConfigError
from lb.l7.config import parse_config
from lb.l7.standalone import Standalone
from tests.lb.l7.rig import Answer, Backend, Handler, RawClient, Rig, ok, rig, until
from tests.lb.l7.test_standalone import connected, rewrite
from tests.ports import free_port


class Gate:
    """A backend that answers when it is told to, one request at a time."""

    def __init__(self) -> None:
        self.held = 0
        self.most = 0
        self._open = asyncio.Semaphore(0)

    async def handle(
        self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Hold each request until one is let through."""
        while True:
            await backend.read_head(reader)
            self.held += 1
            self.most = max(self.most, self.held)
            try:
                await self._open.acquire()
            finally:
                self.held -= 1
            writer.write(ok(backend.name.encode()))

    def let(self, count: int) -> None:
        """Answer so many, those that come later too."""
        for _ in range(count):
            self._open.release()


@asynccontextmanager
async def limited(limit: int, pending: int, *handlers: Handler) -> AsyncIterator[Rig]:
    """Run a proxy whose backends may hold so many each."""
    async with rig(*handlers, route_budget_s=30.0) as lab:
        use(lab, limit, pending)
        yield lab


def use(lab: Rig, limit: int, pending: int) -> None:
    """Change the limits."""
    lab.proxy.line.use({one.name: limit for one in lab.backends}, pending)


def waiting(lab: Rig) -> int:
    """Return how many stand in line."""
    return lab.proxy.line.waiting


async def ask(lab: Rig, count: int, method: str = "GET") -> list[RawClient]:
    """Send so many, each on a connection of its own, in this order."""
    clients = []
    for _ in range(count):
        clients.append(await lab.client())
        clients[-1].get(method=method)
    return clients


async def test_a_backend_never_holds_more_than_its_limit() -> None:
    """Twelve requests, two at a time; all are answered."""
    gate = Gate()
    async with limited(2, 100, gate.handle) as lab:
        clients = await ask(lab, 12)
        await until(lambda: gate.held == 2 and waiting(lab) == 10)
        gate.let(12)
        answers = [await client.answer() for client in clients]
        assert {one.status for one in answers} == {200}
        assert gate.most == 2
        assert lab.backends[0].connections <= 2
        assert waiting(lab) == 0


async def test_another_backend_with_room_is_picked_before_anybody_waits() -> None:
    """Three that hold one each take three requests at once."""
    gates = [Gate() for _ in range(3)]
    async with limited(1, 100, *(gate.handle for gate in gates)) as lab:
        await ask(lab, 3)
        await until(lambda: all(gate.held == 1 for gate in gates))
        assert waiting(lab) == 0


async def test_whoever_has_room_first_serves_the_line() -> None:
    """One backend never answers; the other serves everybody who waits."""
    stuck, quick = Gate(), Gate()
    async with limited(1, 100, stuck.handle, quick.handle) as lab:
        await ask(lab, 2)
        await until(lambda: stuck.held == quick.held == 1)
        others = await ask(lab, 5)
        await until(lambda: waiting(lab) == 5)
        quick.let(6)
        assert [(await one.answer()).body for one in others] == [b"gateway.2"] * 5
        assert stuck.held == 1


async def test_the_line_is_served_in_order() -> None:
    """First come, first served; a newcomer doesn't overtake."""
    gate = Gate()
    async with limited(1, 100, gate.handle) as lab:
        clients: list[RawClient] = []
        for count in range(4):
            clients += await ask(lab, 1)
            await until(lambda count=count: gate.held + waiting(lab) == count + 1)  # type: ignore[misc]
        ended: list[int] = []

        async def note(index: int) -> None:
            await clients[index].answer()
            ended.append(index)

        notes = [asyncio.create_task(note(index)) for index in range(4)]
        for count in range(1, 5):
            gate.let(1)
            await until(lambda count=count: len(ended) == count)  # type: ignore[misc]
        await asyncio.gather(*notes)
        assert ended == [0, 1, 2, 3]


async def test_beyond_the_line_it_is_503_at_once_and_nothing_was_started() -> None:
    """One is under way, one waits, the third is refused with what to do."""
    gate = Gate()
    async with limited(1, 1, gate.handle) as lab:
        clients = await ask(lab, 1)
        await until(lambda: gate.held == 1)
        clients += await ask(lab, 1)
        await until(lambda: waiting(lab) == 1)
        refused = await lab.ask()
        assert refused.status == 503
        assert b'"reason":"BACKENDS_FULL"' in refused.body
        assert refused.headers["retry-after"] == "1"
        assert lab.proxy.snapshot()["rooms.overflows"] == 1
        gate.let(2)
        assert [(await one.answer()).status for one in clients] == [200, 200]
        assert lab.backends[0].requests == 2


async def test_without_a_line_a_full_backend_is_503() -> None:
    """``pending`` 0."""
    gate = Gate()
    async with limited(1, 0, gate.handle) as lab:
        await ask(lab, 1)
        await until(lambda: gate.held == 1)
        assert (await lab.ask(method="POST")).status == 503


async def test_waiting_ends_with_the_deadline_and_says_that_nothing_was_sent() -> None:
    """504, and the line is empty again."""
    gate = Gate()
    async with limited(1, 100, gate.handle) as lab:
        await ask(lab, 1)
        await until(lambda: gate.held == 1)
        answer = await lab.ask("/", "x-envoy-expected-rq-timeout-ms: 50")
        assert answer.status == 504
        assert b"before it was sent to a backend" in answer.body
        assert waiting(lab) == 0
        assert lab.backends[0].requests == 1


async def test_a_client_that_leaves_leaves_the_line() -> None:
    """And its place is free for another."""
    gate = Gate()
    async with limited(1, 1, gate.handle) as lab:
        first = await ask(lab, 1)
        await until(lambda: gate.held == 1)
        (leaving,) = await ask(lab, 1)
        await until(lambda: waiting(lab) == 1)
        leaving.writer.transport.abort()
        await until(lambda: waiting(lab) == 0)
        other = await ask(lab, 1)
        await until(lambda: waiting(lab) == 1)
        gate.let(2)
        assert [(await one.answer()).status for one in (*first, *other)] == [200, 200]


async def test_a_body_waits_with_its_request() -> None:
    """What was uploaded meanwhile arrives whole."""
    gate = Gate()
    async with limited(1, 100, gate.handle) as lab:
        await ask(lab, 1)
        await until(lambda: gate.held == 1)
        client = await lab.client()
        client.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello")
        await until(lambda: waiting(lab) == 1)
        gate.let(1)
        await until(lambda: lab.backends[0].requests == 2)
        gate.let(1)
        assert (await client.answer()).status == 200


async def test_a_try_beside_a_slow_one_does_not_wait() -> None:
    """The second of two backends is full: the slow first one answers in the end, no try is held."""
    slow, full = Gate(), Gate()
    async with limited(1, 100, slow.handle, full.handle) as lab:
        clients = await ask(lab, 2)
        await until(lambda: slow.held == full.held == 1)
        assert waiting(lab) == 0
        slow.let(1)
        full.let(1)
        assert {(await one.answer()).status for one in clients} == {200}
        assert [one.requests for one in lab.backends] == [1, 1]


async def test_a_backend_that_dies_sends_its_requests_into_the_line() -> None:
    """Two are at their limit; what the dead one held waits for the other and is answered."""
    dying, other = Gate(), Gate()
    async with limited(2, 100, dying.handle, other.handle) as lab:
        clients = await ask(lab, 4)
        await until(lambda: dying.held == other.held == 2)
        await lab.backends[0].stop()
        await until(lambda: waiting(lab) == 2)
        other.let(4)
        answers = [await one.answer() for one in clients]
        assert [(one.status, one.body) for one in answers] == [(200, b"gateway.2")] * 4


async def test_when_all_have_left_nobody_waits_in_vain() -> None:
    """The fleet is empty: the line is answered 503 NO_BACKEND."""
    gate = Gate()
    async with limited(1, 100, gate.handle) as lab:
        await ask(lab, 1)
        await until(lambda: gate.held == 1)
        (client,) = await ask(lab, 1)
        await until(lambda: waiting(lab) == 1)
        lab.proxy.set_endpoints([])
        lab.proxy.line.call()
        answer = await client.answer()
        assert answer.status == 503
        assert b"NO_BACKEND" in answer.body


async def test_a_limit_by_file_changes_while_requests_wait(tmp_path: Path) -> None:
    """A backend's own limit stands above the section's; raising it lets who waits through."""
    gate = Gate()
    backend = Backend("one", gate.handle)
    await backend.start()
    port, path = free_port(), tmp_path / "l7.yaml"

    def write(limit: int) -> None:
        where = f"{{address: '127.0.0.1:{backend.port}', name: one, max_connections: {limit}}}"
        more = "policies: {checks: off}\nlimits: {backend_connections: 1, backend_pending: 5}\n"
        rewrite(path, f"listen: 127.0.0.1:{port}\nbackends: [{where}]\n{more}")

    write(2)
    alone = Standalone(path)
    serving = asyncio.create_task(alone.run())
    clients = []
    for _ in range(4):
        clients.append(await connected(port))
        clients[-1].get()
    await until(lambda: gate.held == 2 and alone.proxy.line.waiting == 2)
    write(4)
    alone.look()
    await until(lambda: gate.held == 4)
    gate.let(4)
    answers: list[Answer] = [await one.answer() for one in clients]
    assert {one.status for one in answers} == {200}
    for client in clients:
        client.writer.close()
    alone.lifecycle.request_stop()
    await serving
    await backend.stop()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits: {backend_connections: -1}", "backend_connections is -1; give 0 at least"),
        ("limits: {backend_pending: -2}", "backend_pending is -2; give 0 at least"),
        ("limits: {backend_conections: 1}", "did you mean backend_connections"),
        ("backends: [{address: 'a:1', max_connections: -3}]", "max_connections is -3"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, told: str) -> None:
    """And the nearest key."""
    with pytest.raises(ConfigError, match=r"^l7\.yaml:1:") as caught:
        parse_config(text)
    assert told in str(caught.value)
