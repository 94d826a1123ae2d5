"""gRPC on the HTTP/1.1 route: refused in the form that gRPC clients read."""

import pytest

from tests.lb.l7.rig import answering, ok, rig, until


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind",
    ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=x"],
)
async def test_grpc_gets_status_12_and_no_backend_sees_it(kind: str) -> None:
    """HTTP 200 without a body, grpc-status 12, a message that names what speaks gRPC."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.get(
            "/video.v1.Videos/Get", f"Content-Type: {kind}", "Content-Length: 0", method="POST"
        )
        answer = await client.answer()
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/grpc"
        assert answer.headers["grpc-status"] == "12"
        assert "lb.l4" in answer.headers["grpc-message"]
        assert "%" not in answer.headers["grpc-message"]
        assert answer.body == b""
        assert lab.backends[0].requests == 0
        await until(lambda: len(lab.summaries) == 1)
        assert lab.summaries[0].status == "GRPC_NOT_SPOKEN"
        client.get("/")
        assert (await client.answer()).body == b"hello"  # the connection stays in use


@pytest.mark.integration
async def test_grpc_with_a_body_that_still_comes_ends_the_connection() -> None:
    """The answer comes before the body does; nothing of the body is taken for a request."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(
            b"POST /v.V/Get HTTP/1.1\r\nHost: lab\r\nContent-Type: application/grpc\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        answer = await client.answer()
        assert answer.headers["grpc-status"] == "12"
        assert answer.headers["connection"] == "close"
        client.send(b"5\r\nGET /\r\n0\r\n\r\n")
        assert await client.rest() == b""
        assert lab.backends[0].requests == 0


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind", ["application/grpc-web", "application/grpc-web+proto", "text/plain"]
)
async def test_other_types_are_passed_on_as_they_came(kind: str) -> None:
    """gRPC-Web is made for HTTP/1.1."""
    async with rig(answering(ok())) as lab:
        answer = await lab.ask("/", f"Content-Type: {kind}", method="POST")
        assert answer.body == b"hello"
        assert b"content-type: " + kind.encode() + b"\r\n" in lab.backends[0].received
