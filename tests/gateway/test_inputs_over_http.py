"""Bad input over a real socket: always 4xx problem+json with a reason, never a 500."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from resilience.policy.contract import Mode
from tests.gateway.lab import HOST, START_LIMIT_S, SmallLab, small_lab, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


class Door(NamedTuple):
    """One lab for all tests here, a client, and the token of an open session."""

    lab: SmallLab
    client: httpx2.AsyncClient
    token: str

    @property
    def authorized(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def door() -> AsyncIterator[Door]:
    """Run one lab for all tests here."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        token = (await client.post("/v1/sessions", json={"name": "tester"})).json()["token"]
        yield Door(lab, client, token)


def check_problem(answer: httpx2.Response, status: int, reason: str) -> dict[str, Any]:
    """Check that an answer is problem+json as RFC 9457 has it."""
    assert (answer.status_code, answer.json().get("reason")) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert "/work" not in answer.text
    return body


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1/videos/abc", 400, "ID_INVALID"),
        ("/v1/videos/0", 400, "ID_INVALID"),
        ("/v1/videos/-1", 400, "ID_INVALID"),
        ("/v1/videos/1.5", 400, "ID_INVALID"),
        ("/v1/videos/1e3", 400, "ID_INVALID"),
        ("/v1/videos/1_000", 400, "ID_INVALID"),
        ("/v1/videos/%D9%A1", 400, "ID_INVALID"),
        ("/v1/videos/99999999999999999999999", 400, "ID_INVALID"),
        ("/v1/videos/%00", 400, "ID_INVALID"),
        ("/v1/videos/null", 400, "ID_INVALID"),
        ("/v1/videos/999999999999999", 404, "VIDEO_NOT_FOUND"),
        ("/v1/videos/999/comments", 404, "VIDEO_NOT_FOUND"),
        ("/v1/videos/x/comments", 400, "ID_INVALID"),
        ("/v1/videos?limit=0", 400, "LIMIT_INVALID"),
        ("/v1/videos?limit=101", 400, "LIMIT_INVALID"),
        ("/v1/videos?limit=-1", 400, "LIMIT_INVALID"),
        ("/v1/videos?limit=ten", 400, "LIMIT_INVALID"),
        ("/v1/videos?limit=", 400, "LIMIT_INVALID"),
        ("/v1/videos?limit=99999999999", 400, "LIMIT_INVALID"),
        ("/v1/videos?cursor=nonsense", 400, "CURSOR_INVALID"),
        ("/v1/videos?cursor=Y29tbWVudDoy", 400, "CURSOR_INVALID"),
        ("/v1/videos?cursor=%ff", 400, "QUERY_INVALID"),
        ("/v1/videos?cursor=%00", 400, "CURSOR_INVALID"),
        ("/v1/videos?" + "&".join(f"a{n}=1" for n in range(17)), 400, "QUERY_INVALID"),
        ("/v1/videos?cursor=" + "A" * 5000, 400, "CURSOR_INVALID"),
        ("/v1/videos/1/comments?cursor=dmlkZW86Mg", 400, "CURSOR_INVALID"),
        ("/v1/nothing", 404, "ROUTE_NOT_FOUND"),
        ("/v1/videos/", 404, "ROUTE_NOT_FOUND"),
        ("/V1/home", 404, "ROUTE_NOT_FOUND"),
        ("/..%2f..%2fetc/passwd", 404, "ROUTE_NOT_FOUND"),
    ],
)
async def test_bad_reads(door: Door, path: str, status: int, reason: str) -> None:
    """An id, limit, cursor or path that makes no sense is refused with its reason."""
    check_problem(await door.client.get(path), status, reason)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "JSON_MALFORMED"),
        (b"{", 400, "JSON_MALFORMED"),
        (b'{"text": "a"} and more', 400, "JSON_MALFORMED"),
        (b'{"text": "\xff"}', 400, "JSON_MALFORMED"),
        (b'{"text": "\\ud800"}', 400, "JSON_MALFORMED"),
        (b"text=hello", 400, "JSON_MALFORMED"),
        (b"null", 422, "FIELD_INVALID"),
        (b"[]", 422, "FIELD_INVALID"),
        (b'"text"', 422, "FIELD_INVALID"),
        (b"[" * 100_000, 422, "FIELD_INVALID"),
        (b'{"text": 7}', 422, "FIELD_INVALID"),
        (b'{"text": null}', 422, "FIELD_INVALID"),
        (b"{}", 422, "FIELD_MISSING"),
        (b'{"text": "a", "author_id": 1}', 422, "FIELD_UNKNOWN"),
        (b'{"text": ""}', 400, "COMMENT_TEXT_INVALID"),
        (b'{"text": "\\u0000"}', 400, "COMMENT_TEXT_INVALID"),
        (json.dumps({"text": "x" * 1001}).encode(), 400, "COMMENT_TEXT_INVALID"),
    ],
)
async def test_bad_comment_bodies(door: Door, body: bytes, status: int, reason: str) -> None:
    """A body that can't be read is 400, and one that is well-formed and wrong is 422."""
    answer = await door.client.post("/v1/videos/1/comments", content=body, headers=door.authorized)
    check_problem(answer, status, reason)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"name": "ab"}', 400, "ACCOUNT_NAME_INVALID"),
        (b'{"name": "UPPER"}', 400, "ACCOUNT_NAME_INVALID"),
        (b'{"name": 12345}', 422, "FIELD_INVALID"),
        (b'{"name": NaN}', 400, "JSON_MALFORMED"),
        (b'{"name": 1e999}', 422, "FIELD_INVALID"),
        (b'{"name": ' + b"9" * 10_000 + b"}", 422, "FIELD_INVALID"),
        (b'{"name": 7, "name": "abc"}', 422, "FIELD_INVALID"),
        (b'{"x": ' * 100_000, 422, "FIELD_UNKNOWN"),
        (b'\xef\xbb\xbf{"name": "abc"}', 400, "JSON_MALFORMED"),
        ('{"name": "abc"}'.encode("utf-16"), 400, "JSON_MALFORMED"),
        (b'{"nickname": "abc"}', 422, "FIELD_UNKNOWN"),
        (b"{}", 422, "FIELD_MISSING"),
    ],
)
async def test_bad_session_bodies(door: Door, body: bytes, status: int, reason: str) -> None:
    """A session is opened for a well-formed name alone."""
    check_problem(await door.client.post("/v1/sessions", content=body), status, reason)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "TOKEN_MISSING"),
        ("", "TOKEN_MALFORMED"),
        ("Bearer", "TOKEN_MALFORMED"),
        ("Bearer xyz", "TOKEN_MALFORMED"),
        ("Basic YTpi", "TOKEN_MALFORMED"),
        ("Bearer " + "g" * 32, "TOKEN_MALFORMED"),
        ("Bearer " + "0" * 33, "TOKEN_MALFORMED"),
        ("Bearer " + "0" * 32, "SESSION_INVALID"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/videos/1/comments", "/v1/videos/1/likes"])
async def test_bad_tokens(door: Door, path: str, authorization: str | None, reason: str) -> None:
    """Writing needs the token of an open session; a refusal says how to send one."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await door.client.post(path, json={"text": "hello"} | {}, headers=headers)
    if reason == "SESSION_INVALID" and path.endswith("likes"):
        answer = await door.client.post(path, headers=headers)
    check_problem(answer, 401, reason)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value", ["0", "-5", "600001", "abc", "1.5", "", "1e3", "10ms", "99999999999"]
)
async def test_bad_deadline_headers(door: Door, value: str) -> None:
    """A deadline that is no integer of 1 to 600000 is 400, whatever the route."""
    headers = {"x-envoy-expected-rq-timeout-ms": value}
    check_problem(await door.client.get("/v1/videos", headers=headers), 400, "DEADLINE_INVALID")


@pytest.mark.parametrize("value", ["1", "S", "100x", "123456789m", "-1S"])
async def test_bad_grpc_timeouts(door: Door, value: str) -> None:
    """A grpc-timeout that isn't in gRPC's own syntax is 400."""
    answer = await door.client.get("/v1/videos", headers={"grpc-timeout": value})
    check_problem(answer, 400, "DEADLINE_INVALID")


async def test_spent_deadline_is_504(door: Door) -> None:
    """A request that arrives with no time left is answered 504 and not begun."""
    answer = await door.client.get("/v1/videos", headers={"grpc-timeout": "0m"})
    check_problem(answer, 504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/videos/1/comments", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/v1/videos/1", "GET, HEAD, OPTIONS, PATCH"),
        ("PUT", "/v1/videos", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/v1/sessions", "OPTIONS, POST"),
        ("POST", "/v1/home", "GET, HEAD, OPTIONS"),
        ("PATCH", "/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_methods(door: Door, method: str, path: str, allow: str) -> None:
    """A method that a path doesn't take is 405, and Allow names all that it takes."""
    answer = await door.client.request(method, path)
    check_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/videos/1/comments", "GET, HEAD, OPTIONS, POST"),
        ("/v1/videos/1/likes", "OPTIONS, POST"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_says_what_a_path_takes(door: Door, path: str, allow: str) -> None:
    """OPTIONS is 204 with Allow; a browser's question for another origin gets no permission."""
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = await door.client.request("OPTIONS", path, headers=headers)
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allow)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    check_problem(await door.client.request("OPTIONS", "/nowhere"), 404, "ROUTE_NOT_FOUND")


async def test_head_has_the_headers_of_get_and_no_body(door: Door) -> None:
    """HEAD answers as GET does, errors too, without the body."""
    for path in ("/", "/v1/videos/1", "/docs", "/v1/videos/x"):
        head, get = await door.client.head(path), await door.client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/videos/%31 HTTP/1.1", 200),
        (b"GET http://localhost/v1/videos HTTP/1.1", 200),
        (b"GET /v1/videos HTTP/1.0", 200),
        (b"GET //v1/videos HTTP/1.1", 404),
        (b"GET /v1/videos/%zz HTTP/1.1", 400),
        (b"GET /v1/videos/1%0a HTTP/1.1", 400),
        (b"GET /v1/videos/" + b"9" * 30_000 + b" HTTP/1.1", 400),
        (b"GET /v1/videos?cursor=" + b"A" * 30_000 + b" HTTP/1.1", 400),
        (b"GET /v1/videos/\xff HTTP/1.1", 400),
        (b"BREW /pot HTTP/1.1", 400),
        (b"TRACE / HTTP/1.1", 405),
        (b"GET /v1/videos HTTP/1.1\r\nx-big: " + b"x" * 60_000, 200),
        (b"GET /v1/videos HTTP/1.1\r\nbaggage: \xff\xfe=,;;=squall.criticality=;", 200),
        (b"GET /v1/videos HTTP/1.1\r\nbaggage: " + b"a=b," * 10_000, 200),
        (b"GET /v1/videos HTTP/1.1\r\ntraceparent: \xff00-zz", 200),
        (b"GET /v1/videos HTTP/1.1\r\nx-request-id: \xff\xfe bad", 200),
        (b"GET /v1/videos HTTP/1.1\r\nx-envoy-expected-rq-timeout-ms: \xb2", 400),
        (b"GET / HTTP/1.1\r\naccept: ;;q=,text/html;q=\xb2", 200),
        (b"POST /v1/sessions HTTP/1.1\r\ncontent-length: -1", 400),
        (b"POST /v1/sessions HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3", 400),
        (b"POST /v1/videos/1/likes HTTP/1.1\r\nauthorization: Bearer \xff", 401),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_odd_requests_never_break_the_gateway(door: Door, line: bytes, status: int) -> None:
    """Bytes that no client library would send are read or refused, and never a 500."""
    reader, writer = await asyncio.open_connection(HOST, door.lab.port)
    writer.write(line + b"\r\nhost: localhost\r\n\r\n")
    first = await asyncio.wait_for(reader.readline(), START_LIMIT_S)
    writer.close()
    assert int(first.split()[1]) == status


async def test_a_body_of_a_read_has_the_same_limit(door: Door) -> None:
    """A GET may bring a body, which nobody reads, and not one over 1 MiB."""
    small = await door.client.request("GET", "/v1/videos", content=b"x" * 100)
    assert small.status_code == 200
    large = await door.client.request("GET", "/v1/videos", content=b"x" * (1024 * 1024 + 1))
    check_problem(large, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\tkey"])
async def test_bad_idempotency_keys(door: Door, key: str) -> None:
    """An idempotency key has 1 to 128 printable ASCII characters."""
    headers = {**door.authorized, "idempotency-key": key}
    answer = await door.client.post("/v1/videos/1/likes", headers=headers)
    check_problem(answer, 400, "IDEMPOTENCY_KEY_INVALID")


async def test_body_over_the_limit_is_refused_by_its_length(door: Door) -> None:
    """A body that says it is larger than 1 MiB is refused before it is read."""
    answer = await door.client.post("/v1/sessions", content=b" " * (1024 * 1024 + 1))
    check_problem(answer, 413, "BODY_TOO_LARGE")


async def test_body_at_the_limit_is_read(door: Door) -> None:
    """Exactly 1 MiB passes the limit and is judged by its content."""
    body = b'{"name": "' + b"a" * (1024 * 1024 - 12) + b'"}'
    assert len(body) == 1024 * 1024
    answer = await door.client.post("/v1/sessions", content=body)
    check_problem(answer, 400, "ACCOUNT_NAME_INVALID")


async def test_streamed_body_is_refused_when_it_passes_the_limit(door: Door) -> None:
    """A chunked body, which names no length, is refused while it streams in."""
    reader, writer = await asyncio.open_connection(HOST, door.lab.port)
    writer.write(
        b"POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for _ in range(17):  # 17 times 64 KiB, and no last chunk
        writer.write(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), START_LIMIT_S)
    assert head.startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("deadline", [Mode.ON, Mode.OFF])
async def test_client_that_leaves_in_its_body_is_499_and_no_bug(
    door: Door, deadline: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """A client who leaves before its body is complete is counted as such and not logged."""
    door.lab.node.modes["deadline"] = deadline
    request_id = f"left-{deadline.value}"
    _, writer = await asyncio.open_connection(HOST, door.lab.port)
    writer.write(
        b"POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
        b"x-request-id: " + request_id.encode() + b"\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: bool(door.lab.node.recorder.find(request_id)))
    door.lab.node.modes.clear()
    summary = door.lab.node.recorder.find(request_id)[0]
    assert (summary.code, summary.status) == (499, "CLIENT_CLOSED")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "http://evil.example"}, "ORIGIN_FORBIDDEN"),
        ({"origin": "null"}, "ORIGIN_FORBIDDEN"),
        ({"origin": "http://127.0.0.1:1"}, "ORIGIN_FORBIDDEN"),
        ({"sec-fetch-site": "cross-site"}, "ORIGIN_FORBIDDEN"),
        ({"host": "evil.example"}, "HOST_FORBIDDEN"),
        ({"host": "evil.example", "origin": "http://evil.example"}, "HOST_FORBIDDEN"),
    ],
)
async def test_foreign_pages_may_not_write(
    door: Door, headers: dict[str, str], reason: str
) -> None:
    """A POST that a page of another origin sent is refused, a rebound name too."""
    answer = await door.client.post("/v1/sessions", json={"name": "abc"}, headers=headers)
    check_problem(answer, 403, reason)


async def test_own_pages_and_plain_clients_may_write(door: Door) -> None:
    """A POST from our own page, or from a client that names no origin, is let in."""
    for headers in ({"origin": door.lab.base_url}, {"host": "localhost:8080"}, {}):
        answer = await door.client.post("/v1/sessions", json={"name": "abc"}, headers=headers)
        assert answer.status_code == 201


async def test_foreign_pages_may_read(door: Door) -> None:
    """Reading changes nothing and is not refused; the browser keeps the answer from the page."""
    answer = await door.client.get("/v1/home", headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_an_unhandled_error_shows_nothing_of_itself(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of ours is 500 problem+json without its text; the log has the cause."""

    async def broken(_: int) -> None:
        """Fail as a bug would."""
        raise KeyError("a secret of ours")

    monkeypatch.setattr(door.lab.services.videos, "find", broken)
    answer = await door.client.get("/v1/videos/29")  # nobody has read it: it isn't cached
    assert answer.status_code in (500, 502)
    assert "secret" not in answer.text
    assert any("a secret of ours" in str(record.exc_info) for record in caplog.records)
