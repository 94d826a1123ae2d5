"""Services of one's own behind l7: whose path it is, and where its replicas are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.entries import DrainEntry, Entry, RouteEntry
from kit.state import LabState
from lb.l7.routes import LOOK_UP_EVERY_S, LOOK_UP_LIMIT_S, Routes
from tests.lb.l7.rig import WAIT_S, Backend, Rig, answering, ok, rig, until

GATEWAY = answering(ok(b"gateway"))
HELLO = answering(ok(b"hello"))


def state(**entries: RouteEntry) -> LabState:
    """Control's entries for services of one's own."""
    return LabState(1, {f"route/{name}": entry for name, entry in entries.items()})


@asynccontextmanager
async def routed(made: Rig, routes: Routes, *backends: Backend) -> AsyncIterator[None]:
    """Run backends of one's own and the look-ups for the length of a with block."""
    for backend in backends:
        await backend.start()
    looking_up = asyncio.create_task(routes.run())
    try:
        yield
    finally:
        looking_up.cancel()
        await asyncio.gather(looking_up, return_exceptions=True)
        await routes.close()
        for backend in backends:
            await backend.stop()


@pytest.mark.unit
def test_names_are_looked_up_each_second() -> None:
    """The documented defaults."""
    assert (LOOK_UP_EVERY_S, LOOK_UP_LIMIT_S) == (1.0, 1.0)


@pytest.mark.integration
async def test_a_prefix_goes_to_its_service_and_all_else_to_the_gateways() -> None:
    """Whole segments only, the query left out of it; the service sees the path as it was sent."""
    own = Backend("hello.1", HELLO)
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, own):
            routes.follow(state(hello=RouteEntry("/hello", ["127.0.0.1"], own.port)))
            paths = ("/hello", "/hello/deep?x=1", "/hello?x=/v1", "/hellos", "/", "/v1/hello")
            bodies = {path: (await made.ask(path)).body for path in paths}

            assert [path for path, body in bodies.items() if body == b"hello"] == list(paths[:3])
            assert b"GET /hello/deep?x=1 HTTP/1.1" in own.received
            assert made.summaries[0].notes[-1].detail["upstream"] == "hello"
            assert made.summaries[0].notes[-1].detail["endpoint"] == "hello.1"


@pytest.mark.integration
async def test_the_longest_prefix_wins_and_an_entry_that_is_gone_gives_its_path_back() -> None:
    """As it was before the service came."""
    outer, inner = Backend("a.1", answering(ok(b"a"))), Backend("b.1", answering(ok(b"b")))
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, outer, inner):
            a = RouteEntry("/x", ["127.0.0.1"], outer.port)
            b = RouteEntry("/x/y", ["127.0.0.1"], inner.port)
            routes.follow(state(a=a, b=b))
            assert [(await made.ask(p)).body for p in ("/x/z", "/x/y/z")] == [b"a", b"b"]

            routes.follow(state(b=b))
            assert [(await made.ask(p)).body for p in ("/x/z", "/x/y/z")] == [b"gateway", b"b"]


@pytest.mark.integration
async def test_a_dead_replica_is_left_for_its_sibling() -> None:
    """Retries and balancing are those of the gateways."""
    own = Backend("hello.2", HELLO)
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, own):
            # 127.0.0.9 refuses: nobody listens on that port there.
            routes.follow(state(hello=RouteEntry("/hello", ["127.0.0.9", "127.0.0.1"], own.port)))
            answers = [await made.ask("/hello") for _ in range(8)]

            assert {answer.status for answer in answers} == {200}


@pytest.mark.integration
async def test_a_service_without_replicas_is_a_503_that_names_it() -> None:
    """A name that nobody has yet brings no endpoint."""

    async def nobody(host: str, port: int) -> str:
        raise OSError("no such name")

    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy, resolve=nobody)
        async with routed(made, routes):
            routes.follow(state(hello=RouteEntry("/hello", ["lab-hello-1"])))
            answer = await made.ask("/hello")

            assert answer.status == 503
            assert b"no hello can be reached now" in answer.body
            assert (await made.ask("/")).body == b"gateway"


@pytest.mark.integration
async def test_a_name_keeps_its_last_number_while_it_cannot_be_looked_up() -> None:
    """And takes the new one once it can."""
    own = Backend("hello.1", HELLO)
    numbers = iter(["127.0.0.1", None, None])
    asked = []

    async def resolve(host: str, port: int) -> str:
        asked.append(host)
        if (number := next(numbers, None)) is None:
            raise OSError("away")
        return number

    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy, resolve=resolve)
        async with routed(made, routes, own):
            routes.follow(state(hello=RouteEntry("/hello", ["lab-hello-1"], own.port)))
            await until(lambda: len(asked) == 1)
            routes.refresh()
            await until(lambda: len(asked) >= 2)

            assert (await made.ask("/hello")).body == b"hello"
            assert set(asked) == {"lab-hello-1"}


@pytest.mark.integration
async def test_a_name_that_cannot_be_leaves_the_others_alone() -> None:
    """Looking up an empty label raises no OSError; the balancer must outlive the entry."""
    own = Backend("hello.1", HELLO)
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, own):
            routes.follow(state(odd=RouteEntry("/odd", ["a..b"])))
            assert (await made.ask("/odd")).status == 503
            both = state(
                odd=RouteEntry("/odd", ["a..b"]),
                hello=RouteEntry("/hello", ["localhost"], own.port),
            )
            routes.follow(both)
            async with asyncio.timeout(WAIT_S):
                while (await made.ask("/hello")).body != b"hello":  # noqa: ASYNC110  each turn asks
                    await asyncio.sleep(0.01)


@pytest.mark.integration
async def test_a_disturbed_link_is_dialled_by_the_name_that_the_entry_has() -> None:
    """The links process names its ways round by what stands in control."""
    own = Backend("hello.1", HELLO)
    async with rig(GATEWAY) as made:
        asked = []

        def dial(host: str, port: int) -> tuple[str, int]:
            asked.append((host, port))
            return "127.0.0.1", own.port

        routes = Routes(made.proxy, dial)
        async with routed(made, routes, own):
            routes.follow(state(hello=RouteEntry("/hello", ["lab-hello-1"], 8000)))

            assert (await made.ask("/hello")).body == b"hello"
            assert set(asked) == {("lab-hello-1", 8000)}


@pytest.mark.integration
async def test_a_drained_replica_gets_no_new_request() -> None:
    """`drain/hello.1` means it as it does for the lab's own."""
    one, two = Backend("hello.1", HELLO), Backend("hello.2", HELLO)
    two.port = one.port
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, one):
            entry = RouteEntry("/hello", ["127.0.0.9", "127.0.0.1"], one.port)
            fields: dict[str, Entry] = {
                "route/hello": entry,
                "drain/hello.1": DrainEntry(drained=True),
            }
            routes.follow(LabState(1, fields))
            for _ in range(4):
                assert (await made.ask("/hello")).status == 200

            notes = [note for summary in made.summaries for note in summary.notes]
            assert {note.detail["endpoint"] for note in notes} == {"hello.2"}
            assert two.requests == 0


@pytest.mark.integration
async def test_draining_ends_the_connections_of_every_service() -> None:
    """Siblings share the drain, settings and switches of the one in front."""
    own = Backend("hello.1", HELLO)
    async with rig(GATEWAY) as made:
        routes = Routes(made.proxy)
        async with routed(made, routes, own):
            routes.follow(state(hello=RouteEntry("/hello", ["127.0.0.1"], own.port)))
            assert "connection" not in (await made.ask("/hello")).headers
            made.server.begin_drain()

            assert (await made.ask("/hello")).headers["connection"] == "close"
