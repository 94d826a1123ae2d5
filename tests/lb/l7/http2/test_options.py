"""Section ``http2`` of the file: defaults, mistakes, ALPN, and what a reload changes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.listen import bind
from kit.source import SourceError
from lb.l7.config import L7Config, parse_config
from lb.l7.http2 import frames, options
from lb.l7.http2.options import Http2, Http2Options
from lb.l7.http2.session import PREFACE
from lb.l7.standalone import Standalone
from lb.l7.tls import Certificates, TlsOptions
from tests.lb.l7.certificates import Pair, make_pair
from tests.lb.l7.http2.client import GET, connected
from tests.lb.l7.rig import RawClient, Rig, answering, ok, rig
from tests.ports import free_port


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Make a certificate and its key."""
    return make_pair(tmp_path_factory.mktemp("pair"), "one")


@asynccontextmanager
async def secure(pair: Pair) -> AsyncIterator[tuple[Rig, Certificates, int]]:
    """Run a proxy with TLS; also returns its port."""
    async with rig(answering(ok())) as lab:
        section = TlsOptions(certificate=str(pair.certificate), key=str(pair.key))
        certificates = Certificates(section)
        port = free_port()
        lab.server.start_tls(bind("127.0.0.1", port), certificates)
        try:
            yield lab, certificates, port
        finally:
            certificates.close()


def trusting(pair: Pair, *alpn: str) -> ssl.SSLContext:
    """Return a client's context that offers these."""
    context = ssl.create_default_context(cafile=str(pair.certificate))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def agreed(pair: Pair, port: int) -> str | None:
    """Return what a handshake that offers both agrees on."""
    context = trusting(pair, "h2", "http/1.1")
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    chosen: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.transport.abort()
    return chosen


def test_defaults_are_documented() -> None:
    """On; 100 streams, a window each, 100 resets and 200 control frames a second."""
    assert Http2Options() == Http2Options(
        enabled=True,
        max_streams=100,
        window_bytes=65_535,
        resets_per_s=100,
        control_frames_per_s=200,
    )
    assert L7Config().http2 == Http2Options()
    assert options.CONNECTION_WINDOW_BYTES == 1024 * 1024
    assert (frames.MAX_FRAME_BYTES, frames.WINDOW_S) == (16_384, 1.0)
    assert (frames.FREE_WINDOW_UPDATES, frames.WINDOW_UPDATES_PER_FRAME) == (5, 10)
    assert Http2().snapshot() == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http2: {max_streams: 0}", "l7.yaml:1:9: max_streams is 0; give 1 at least"),
        ("http2: {resets_per_s: 0}", "resets_per_s is 0; give 1 at least"),
        ("http2: {control_frames_per_s: -1}", "control_frames_per_s is -1; give 1 at least"),
        ("http2: {max_streams: 4294967296}", "max_streams is 4294967296; give 2147483647 at most"),
        ("http2: {window_bytes: 10}", "window_bytes is 10; give 1024 to 2147483647"),
        ("http2: {max_stream: 5}", "unknown key max_stream; did you mean max_streams"),
        ("{http2: {enabled: false}, tls: {alpn: [h2]}}", "give http/1.1 too"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError) as caught:
        parse_config(text)
    assert told in str(caught.value)


@pytest.mark.integration
async def test_alpn_chooses_http2(pair: Pair) -> None:
    """A client that offers both gets HTTP/2, and the backend hears of https."""
    async with secure(pair) as (lab, _, port):
        context = trusting(pair, "http/1.1", "h2")
        async with connected(lab, port=port, tls=context) as client:
            assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            assert (await client.ask()).body == b"hello"
        assert b"\r\nx-forwarded-proto: https\r\n" in lab.backends[0].received


@pytest.mark.integration
async def test_without_alpn_the_preface_is_no_http2(pair: Pair) -> None:
    """RFC 9113 3.3: over TLS it has to be agreed on; without that it is a bad request."""
    async with secure(pair) as (lab, _, port):
        client = RawClient(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=trusting(pair), server_hostname="localhost"
            )
        )
        client.send(PREFACE)
        assert (await client.answer()).status == 400
        client.writer.transport.abort()
        assert lab.proxy.http2.connections == 0


@pytest.mark.integration
async def test_what_is_offered_changes_while_it_runs(pair: Pair) -> None:
    """Taken away and given back; a pair that is read anew meanwhile doesn't bring it back."""
    async with secure(pair) as (_, certificates, port):
        assert await agreed(pair, port) == "h2"
        certificates.offer(("http/1.1",))
        assert await agreed(pair, port) == "http/1.1"
        pair.certificate.touch()
        certificates.look()
        assert certificates.reloads == 1
        assert await agreed(pair, port) == "http/1.1"
        certificates.offer(("h2", "http/1.1"))
        assert await agreed(pair, port) == "h2"


@pytest.mark.integration
async def test_a_reload_takes_the_section(tmp_path: Path) -> None:
    """Limits and the switch itself, without a new start; its requests still go through."""
    async with rig(answering(ok())) as lab:
        port = free_port()
        backends = f"backends: [{{address: '127.0.0.1:{lab.backends[0].port}'}}]"
        path = tmp_path / "l7.yaml"
        path.write_text(f"listen: 127.0.0.1:{port}\n{backends}\nhttp2: {{max_streams: 7}}\n")
        alone = Standalone(path)
        running = asyncio.create_task(alone.run())
        try:
            await until_listening(port)
            async with connected(lab, port=port) as client:
                assert (await client.ask(GET)).status == 200
                assert client.h2.remote_settings.max_concurrent_streams == 7
            path.write_text(f"listen: 127.0.0.1:{port}\n{backends}\nhttp2: {{enabled: false}}\n")
            alone.look()
            assert alone.file.reloads == 1
            raw = RawClient(*await asyncio.open_connection("127.0.0.1", port))
            raw.send(PREFACE)
            assert (await raw.answer()).status == 400
            raw.writer.transport.abort()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def until_listening(port: int) -> None:
    """Wait until somebody accepts; TimeoutError after the bound."""
    async with asyncio.timeout(10.0):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.005)
            else:
                writer.transport.abort()
                return
