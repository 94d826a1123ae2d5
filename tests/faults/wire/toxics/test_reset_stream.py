"""Streams that end in RST_STREAM: frame by frame, and with real gRPC on both sides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from faults.rule import FaultRule
from faults.wire.exchange import Exchange
from faults.wire.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    rst_stream,
    window_update,
)
from faults.wire.proof import WireProof
from faults.wire.proxy import Proxy
from faults.wire.spec import ToxicSpec, spec_of
from faults.wire.toxics import reset_stream
from tests.faults.wire.drive import DOWN, UP, data, drain, exchange_with
from tests.faults.wire.lab import ports, toxic
from tests.faults.wire.test_http2 import SETTINGS, frame
from tests.ports import free_port

HEAD = frame(HEADERS, END_HEADERS, 1, b"head")
BODY = frame(DATA, 0, 1, b"body" * 10)
TRAILERS = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"trailers")
OTHER = frame(HEADERS, END_HEADERS, 3, b"other")


def begun(share: float = 1.0) -> tuple[Exchange, WireProof]:
    """Make a connection whose client has said who it is; its proof too."""
    told = toxic("reset_stream", share=share)
    exchange = exchange_with(told)
    exchange.take(UP, PREFACE + SETTINGS, 0.0)
    assert data(drain(exchange, 0.0, UP)) == PREFACE + SETTINGS
    return exchange, told[1]


def answer(exchange: Exchange, text: bytes) -> bytes:
    """Send as a server; return what reaches the client."""
    exchange.take(DOWN, text, 0.0)
    return data(drain(exchange, 0.0, DOWN))


@pytest.mark.unit
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_headers_pass_the_stream_is_reset_and_trailers_still_pass(size: int) -> None:
    """The block is decoded by the client, so its table stays right; the body is gone."""
    exchange, proof = begun()
    text = SETTINGS + HEAD + BODY + TRAILERS
    got = b"".join(answer(exchange, text[i : i + size]) for i in range(0, len(text), size))
    assert got == SETTINGS + HEAD + rst_stream(1, reset_stream.DEFAULT_CODE) + TRAILERS
    assert data(drain(exchange, 0.0, UP)) == rst_stream(1, 8) + window_update(40)
    assert (proof.hits, proof.resets, proof.connections) == (1, 1, 1)
    assert reset_stream.DEFAULT_CODE == 2


@pytest.mark.unit
def test_the_stream_is_reset_with_the_rules_code() -> None:
    """Also where the rule says it by its name."""
    rule = FaultRule("f", "reset_stream", "link:gateway>video", {"code": "REFUSED_STREAM"})
    exchange = exchange_with((spec_of(rule), WireProof("f")))
    exchange.take(UP, PREFACE + SETTINGS, 0.0)

    assert answer(exchange, SETTINGS + HEAD).endswith(HEAD + rst_stream(1, 7))


@pytest.mark.unit
def test_an_answer_of_headers_alone_no_longer_ends_its_stream() -> None:
    """Its end is the reset; the server, which has ended it, isn't told."""
    exchange, _ = begun()
    assert answer(exchange, TRAILERS) == (
        frame(HEADERS, END_HEADERS, 1, b"trailers") + rst_stream(1, 2)
    )
    assert data(drain(exchange, 0.0, UP)) == b""


@pytest.mark.unit
def test_the_reset_waits_for_the_last_part_of_the_headers() -> None:
    """Between HEADERS and its CONTINUATIONs no other frame may come."""
    exchange, _ = begun()
    first = frame(HEADERS, 0, 1, b"he")
    assert answer(exchange, first) == first
    middle, last = (frame(CONTINUATION, flags, 1, b"ad") for flags in (0, END_HEADERS))
    assert answer(exchange, middle) == middle
    assert answer(exchange, last) == last + rst_stream(1, 2)


@pytest.mark.unit
def test_our_frames_wait_for_a_place_between_the_clients() -> None:
    """Not inside a frame, and not inside a header block."""
    exchange, _ = begun()
    request = frame(HEADERS, 0, 3, b"re")
    exchange.take(UP, request[:5], 0.0)
    answer(exchange, HEAD)
    assert data(drain(exchange, 0.0, UP)) == b""
    exchange.take(UP, request[5:], 0.0)
    assert data(drain(exchange, 0.0, UP)) == rst_stream(1, 8) + request
    answer(exchange, BODY)
    assert data(drain(exchange, 0.0, UP)) == b""
    rest = frame(CONTINUATION, END_HEADERS, 3, b"st")
    exchange.take(UP, rest, 0.0)
    assert data(drain(exchange, 0.0, UP)) == rest + window_update(40)


@pytest.mark.unit
def test_streams_that_are_not_drawn_pass_untouched() -> None:
    """A share of nearly nothing hits nothing here."""
    exchange, proof = begun(share=1e-9)
    text = HEAD + BODY + OTHER + TRAILERS
    assert answer(exchange, text) == text
    assert proof.hits == 0
    exchange.set_toxics((), 1.0)
    assert answer(exchange, b"") == b""


@pytest.mark.unit
def test_frames_of_a_reset_stream_are_still_dropped_after_the_toxic_has_ended() -> None:
    """The client forgot the stream; then the stage goes, too."""
    exchange, _ = begun()
    answer(exchange, HEAD)
    exchange.set_toxics((), 1.0)
    assert answer(exchange, BODY + OTHER + TRAILERS) == OTHER + TRAILERS
    answer(exchange, SETTINGS)
    assert exchange.is_plain(DOWN)


@pytest.mark.unit
def test_a_link_of_another_protocol_is_left_alone_and_says_so() -> None:
    """An HTTP/1 request passes."""
    told = toxic("reset_stream")
    exchange = exchange_with(told)
    exchange.take(UP, b"GET / HTTP/1.1\r\n\r\n", 0.0)
    assert data(drain(exchange, 0.0, UP)) == b"GET / HTTP/1.1\r\n\r\n"
    assert told[1].error.startswith("not an HTTP/2 link")


SERVICE = "test.Echo"


def identity(message: bytes) -> bytes:
    """Serialise nothing."""
    return message


async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """Answer with the request, in headers and trailers too, so that HPACK's table fills."""
    tag = request[:8].decode()
    await context.send_initial_metadata((("x-request", tag), (f"x-{tag}", "first")))
    context.set_trailing_metadata((("x-trailer", tag), (f"x-{tag}-end", "last")))
    return request


async def plain_echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """Answer in one go, so that the body is on its way when the reset is."""
    return request


@asynccontextmanager
async def grpc_through(*toxics: tuple[ToxicSpec, WireProof]) -> AsyncIterator[grpc.aio.Channel]:
    """Run a gRPC server and a channel to it through a proxy."""
    server = grpc.aio.server()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method, identity, identity)
        for name, method in (("Echo", echo), ("Plain", plain_echo))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = free_port()
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    proxy = Proxy(ports().listen(), ("127.0.0.1", port), random.Random(11))
    proxy.set_toxics(toxics)
    options = (("grpc.use_local_subchannel_pool", 1),)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{proxy.listen[1]}", options) as channel:
            yield channel
        assert proxy.accepted == 1  # nobody broke the connection
    finally:
        proxy.close()
        await server.stop(None)


async def call(channel: grpc.aio.Channel, number: int, size: int) -> grpc.StatusCode:
    """Make a call and check its answer; return its status."""
    request = b"%08d" % number + b"." * size
    pending = channel.unary_unary(f"/{SERVICE}/Echo", identity, identity)(request, timeout=20)
    try:
        assert await pending == request
    except grpc.aio.AioRpcError as error:
        return error.code()
    tag = f"{number:08d}"
    initial = dict(await pending.initial_metadata())
    trailing = dict(await pending.trailing_metadata())
    assert (initial["x-request"], initial[f"x-{tag}"]) == (tag, "first")
    assert (trailing["x-trailer"], trailing[f"x-{tag}-end"]) == (tag, "last")
    return grpc.StatusCode.OK


@pytest.mark.integration
async def test_grpc_loses_only_the_streams_that_were_reset() -> None:
    """Of 300 calls side by side about half fail; the others' metadata is right to the last."""
    told = toxic("reset_stream", share=0.5)
    async with grpc_through(told) as channel:
        codes: list[grpc.StatusCode] = []
        for start in range(0, 300, 30):
            codes += await asyncio.gather(
                *(call(channel, number, 100) for number in range(start, start + 30))
            )
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.INTERNAL}
    assert 100 < codes.count(grpc.StatusCode.INTERNAL) < 200
    assert told[1].hits == codes.count(grpc.StatusCode.INTERNAL)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (7, grpc.StatusCode.UNAVAILABLE),
        (8, grpc.StatusCode.CANCELLED),
        (11, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_grpc_tells_apart_what_a_stream_is_reset_with(
    code: int, status: grpc.StatusCode
) -> None:
    """What docs/faults.md says a client sees."""
    async with grpc_through(toxic("reset_stream", code=code)) as channel:
        assert await call(channel, 1, 100) is status


@pytest.mark.integration
async def test_dropped_answers_do_not_use_up_the_connections_window() -> None:
    """Many dropped answers later the connection still carries: the window was given back."""
    told = toxic("reset_stream", share=0.8)
    codes = []
    async with grpc_through(told) as channel:
        plain = channel.unary_unary(f"/{SERVICE}/Plain", identity, identity)
        for _ in range(200):
            pending = plain(b"." * 50_000, timeout=20)
            codes.append(await pending.code())
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.INTERNAL}
    assert told[1].resets == codes.count(grpc.StatusCode.INTERNAL) > 100
