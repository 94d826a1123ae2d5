"""Free proxies over the HTTP API: shapes, statuses and errors as Toxiproxy's clients know them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from faults.wire.api import app
from tests.faults.wire.api.client import ApiClient, api_of
from tests.faults.wire.lab import server
from tests.ports import free_port
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(shared_control: Valkey) -> AsyncIterator[ApiClient]:
    """The API of a links process without rules."""
    shared_control.cli("flushall")
    async with api_of(shared_control) as client:
        yield client


async def made(api: ApiClient, upstream: int, name: str = "redis") -> str:
    """Make a free proxy; return where it listens."""
    answer = await api.post("/proxies", {"name": name, "upstream": f"127.0.0.1:{upstream}"})
    assert answer.status == 201
    listen = answer.body["listen"]
    assert isinstance(listen, str)
    return listen


async def says(listen: str, text: bytes = b"hello") -> bytes:
    """Connect, send, and return what comes back until the end."""
    host, port = listen.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(text)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def test_defaults_are_toxiproxys() -> None:
    """Port 8474, and the version whose API this is."""
    assert (app.PORT, app.VERSION, app.MAX_BODY_BYTES) == (8474, "2.12.0", 1_048_576)


async def test_version_is_plain(api: ApiClient) -> None:
    """What clients ask to see whether it is there."""
    assert await api.get("/version") == (200, {"version": "2.12.0"})


async def test_a_proxy_is_made_shown_listed_and_deleted(api: ApiClient) -> None:
    """201, 200, 200, 204, 404; and it carries meanwhile."""
    async with server() as port:
        listen = await made(api, port)
        shown = {
            "name": "redis",
            "listen": listen,
            "upstream": f"127.0.0.1:{port}",
            "enabled": True,
            "toxics": [],
        }
        assert await api.get("/proxies/redis") == (200, shown)
        assert (await api.get("/proxies")).body["redis"] == shown
        assert await says(listen) == b"hello"
        assert await api.delete("/proxies/redis") == (204, None)
        missing = await api.get("/proxies/redis")
        assert missing.status == 404
        assert missing.body["status"] == 404
        assert missing.body["error"].startswith("proxy not found: 'redis'")
        with pytest.raises(ConnectionRefusedError):
            await says(listen)


async def test_a_toxic_is_made_shown_changed_and_deleted(api: ApiClient) -> None:
    """Its name and stream have defaults; what a change leaves out stays."""
    async with server() as port:
        listen = await made(api, port)
        toxics = "/proxies/redis/toxics"
        created = await api.post(toxics, {"type": "limit_data", "attributes": {"bytes": 2}})
        shown = {
            "attributes": {"bytes": 2},
            "name": "limit_data_downstream",
            "type": "limit_data",
            "stream": "downstream",
            "toxicity": 1,
        }
        assert created == (200, shown)
        assert await api.get(toxics) == (200, [shown])
        assert (await api.get("/proxies/redis")).body["toxics"] == [shown]
        assert await says(listen) == b"he"
        one = f"{toxics}/limit_data_downstream"
        changed = await api.ask("PATCH", one, {"attributes": {"bytes": 4}})
        assert changed == (200, shown | {"attributes": {"bytes": 4}})
        assert await says(listen) == b"hell"
        assert (await api.post(one, {"toxicity": 0.5})).body["toxicity"] == 0.5
        assert await api.delete(one) == (204, None)
        assert await says(listen) == b"hello"
        assert await api.get(one) == (
            404,
            {"error": "toxic not found: 'limit_data_downstream'", "status": 404},
        )


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", {"latency": 5, "jitter": 2}),
        ("bandwidth", {"rate": 10_000}),
        ("slow_close", {"delay": 5}),
        ("timeout", {"timeout": 5}),
        ("reset_peer", {"timeout": 5}),
        ("slicer", {"average_size": 64, "size_variation": 32, "delay": 10}),
        ("limit_data", {"bytes": 100}),
        ("loading", {}),
        ("reset_stream", {"code": 8}),
        ("slow_headers", {"ms": 1}),
    ],
)
async def test_every_type_is_known_by_its_attributes(
    api: ApiClient, kind: str, attributes: dict[str, int]
) -> None:
    """Toxiproxy's seven, and three that know a protocol."""
    await made(api, free_port())
    body = {"name": "mine", "type": kind, "stream": "upstream", "attributes": attributes}
    answer = await api.post("/proxies/redis/toxics", body)
    assert answer.status == 200
    assert answer.body["attributes"] == attributes
    assert (answer.body["name"], answer.body["type"]) == ("mine", kind)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"type": "latncy"}, 400, "invalid toxic type: 'latncy': did you mean latency"),
        ({"type": "down"}, 400, "invalid toxic type: 'down'"),
        ({}, 400, "invalid toxic type: ''"),
        (
            {"type": "timeout", "stream": "sideways"},
            400,
            "stream was invalid, can be either upstream or downstream: 'sideways'",
        ),
        (
            {"type": "latency", "attributes": {"latncy": 1}},
            400,
            "bad request body: toxic latency has no attribute 'latncy': did you mean latency",
        ),
        ({"type": "latency"}, 400, "bad request body: fault ms is"),
        ({"type": "timeout", "toxicity": 2}, 400, "bad request body: fault share is 2"),
        ({"type": "timeout", "attributes": {"timeout": "x"}}, 400, "bad request body: Expected"),
        ({"type": "timeout", "name": "a b"}, 400, "bad request body: fault id is 'a b'"),
        ({"type": "timeout", "name": "taken"}, 409, "toxic already exists: 'taken'"),
    ],
)
async def test_a_wrong_toxic_is_refused(
    api: ApiClient, body: object, status: int, error: str
) -> None:
    """With Toxiproxy's words first, and what to do after them."""
    await made(api, free_port())
    await api.post("/proxies/redis/toxics", {"type": "timeout", "name": "taken"})
    answer = await api.post("/proxies/redis/toxics", body)
    assert answer.status == answer.body["status"] == status
    assert answer.body["error"].startswith(error)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "missing required field: name"),
        ({"name": "a"}, 400, "missing required field: upstream"),
        ({"name": "a", "upstream": "host"}, 400, "bad request body: upstream is 'host'"),
        ({"name": "a", "upstream": "host:0"}, 400, "bad request body: upstream is 'host:0'"),
        (
            {"name": "a", "upstream": "h:1", "listen": "0.0.0.0:1"},
            400,
            "bad request body: listen is '0.0.0.0:1': give a loopback address",
        ),
        ({"name": "a", "upstream": "h:1", "listen": "h:1"}, 400, "bad request body: listen"),
        ({"name": "gateway>video", "upstream": "h:1"}, 409, "proxy already exists"),
        ({"name": "a", "upstream": "h:²"}, 400, "bad request body: upstream is 'h:²'"),
        ([], 400, "bad request body: Expected `object`"),
    ],
)
async def test_a_wrong_proxy_is_refused(
    api: ApiClient, body: object, status: int, error: str
) -> None:
    """Nothing is left of it."""
    answer = await api.post("/proxies", body)
    assert answer.status == answer.body["status"] == status
    assert answer.body["error"].startswith(error)
    assert "a" not in (await api.get("/proxies")).body


@pytest.mark.parametrize("body", [b'{"name": "\xff"}', b'{"x": ' + b"[" * 100_000])
async def test_bytes_that_are_no_sane_json_are_refused(api: ApiClient, body: bytes) -> None:
    """Not UTF-8, or deeper than anybody reads: no failure of ours."""
    answer = await api.ask("POST", "/proxies", content=body)
    assert answer.status == 400
    assert answer.body["error"].startswith("bad request body: it is no JSON")


async def test_a_taken_port_is_a_conflict(api: ApiClient) -> None:
    """Named with what to do; the proxy isn't made."""
    async with server() as port:
        body = {"name": "a", "listen": f"localhost:{port}", "upstream": "127.0.0.1:1"}
        answer = await api.post("/proxies", body)
        assert answer.status == 409
        assert "the port is taken" in answer.body["error"]
        assert (await api.get("/proxies/a")).status == 404


async def test_a_disabled_proxy_refuses_and_comes_back(api: ApiClient) -> None:
    """At the same port, with its toxics; connections that stood are gone."""
    async with server() as port:
        listen = await made(api, port)
        await api.post("/proxies/redis/toxics", {"type": "limit_data", "attributes": {"bytes": 2}})
        answer = await api.ask("PATCH", "/proxies/redis", {"enabled": False})
        assert answer.body["enabled"] is False
        with pytest.raises(ConnectionRefusedError):
            await says(listen)
        assert (await api.post("/proxies/redis", {"enabled": True})).body["listen"] == listen
        assert await says(listen) == b"he"


async def test_a_proxy_can_be_moved(api: ApiClient) -> None:
    """To another server under its listener, and to another listener."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"other")
        writer.write_eof()

    async with server() as port, server(greet) as other:
        listen = await made(api, port)
        await api.post("/proxies/redis", {"upstream": f"127.0.0.1:{other}"})
        assert await says(listen, b"") == b"other"
        elsewhere = f"127.0.0.1:{free_port()}"
        answer = await api.post("/proxies/redis", {"listen": elsewhere})
        assert answer.body["listen"] == elsewhere
        assert await says(elsewhere, b"") == b"other"
        with pytest.raises(ConnectionRefusedError):
            await says(listen)


async def test_reset_enables_and_removes_toxics(api: ApiClient) -> None:
    """Of every proxy."""
    async with server() as port:
        listen = await made(api, port)
        await api.post("/proxies/redis/toxics", {"type": "timeout"})
        await api.post("/proxies/redis", {"enabled": False})
        assert await api.post("/reset") == (204, None)
        shown = (await api.get("/proxies/redis")).body
        assert (shown["enabled"], shown["toxics"]) == (True, [])
        assert await says(listen) == b"hello"


async def test_populate_makes_what_is_missing_and_leaves_what_is_right(api: ApiClient) -> None:
    """A second time changes nothing; another address makes another proxy of the name."""
    async with server() as port:
        body = [{"name": "a", "upstream": f"127.0.0.1:{port}"}, {"name": "b", "upstream": "h:1"}]
        first = await api.post("/populate", body)
        assert first.status == 201
        assert [proxy["name"] for proxy in first.body["proxies"]] == ["a", "b"]
        body[0]["listen"] = first.body["proxies"][0]["listen"]
        await api.post("/proxies/a/toxics", {"type": "limit_data", "attributes": {"bytes": 1}})
        second = await api.post("/populate", body)
        assert len(second.body["proxies"][0]["toxics"]) == 1
        body[0]["upstream"] = "127.0.0.1:9"
        third = await api.post("/populate", body)
        assert (third.body["proxies"][0]["upstream"], third.body["proxies"][0]["toxics"]) == (
            "127.0.0.1:9",
            [],
        )


async def test_populate_changes_nothing_when_an_entry_is_wrong(api: ApiClient) -> None:
    """The place of the wrong one is named."""
    answer = await api.post("/populate", [{"name": "a", "upstream": "h:1"}, {"name": "b"}])
    assert (answer.status, answer.body["error"]) == (
        400,
        "missing required field: upstream at proxy 2",
    )
    assert "a" not in (await api.get("/proxies")).body


async def test_edges_answer_in_json(api: ApiClient) -> None:
    """Unknown paths, wrong methods, broken and huge bodies, browsers."""
    assert await api.get("/nothing") == (404, {"error": "Not Found", "status": 404})
    assert await api.post("/version") == (405, {"error": "Method Not Allowed", "status": 405})
    broken = await api.ask("POST", "/proxies", content=b"{")
    assert (broken.status, broken.body["error"][:17]) == (400, "bad request body:")
    assert (await api.ask("POST", "/proxies", content=b" " * 2_000_000)).status == 413
    browser = await api.ask("GET", "/proxies", headers={"user-agent": "Mozilla/5.0"})
    assert browser == (403, {"error": "User agent not allowed", "status": 403})
