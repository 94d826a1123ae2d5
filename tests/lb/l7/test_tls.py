"""TLS towards clients, over real connections: handshakes, versions, certificates that change."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.errors import ConfigError
from kit.listen import bind
from kit.source import SourceError
from lb.l7.arrivals import NO_HEADERS, ProxyProtocolOptions
from lb.l7.config import parse_config
from lb.l7.tls import LOOK_S, Certificates, TlsOptions, load_context
from lb.l7.tunnel import WebSocketOptions
from lb.proxy_protocol import Address, Header, render_v2
from tests.lb.l7.certificates import Pair, make_pair
from tests.lb.l7.rig import WAIT_S, Backend, RawClient, Rig, answering, ok, rig, until
from tests.ports import free_port


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    """Make two pairs of different names."""
    folder = tmp_path_factory.mktemp("pairs")
    return make_pair(folder, "first"), make_pair(folder, "second")


def options_of(pair: Pair, min_version: float = 1.2) -> TlsOptions:
    """Return the section that uses a pair."""
    return TlsOptions(certificate=str(pair.certificate), key=str(pair.key), min_version=min_version)


class SecureRig:
    """A proxy with a TLS listener, and clients of it."""

    def __init__(self, lab: Rig, certificates: Certificates, port: int) -> None:
        self.lab = lab
        self.certificates = certificates
        self.port = port
        self._clients: list[RawClient] = []

    async def client(self, trusted: Pair, maximum: ssl.TLSVersion | None = None) -> RawClient:
        """Connect, believing one certificate; ssl.SSLError when it is another."""
        context = ssl.create_default_context(cafile=str(trusted.certificate))
        context.set_alpn_protocols(["h3", "http/1.1"])
        if maximum is not None:
            context.maximum_version = maximum
        client = RawClient(
            *await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=context, server_hostname="localhost"
            )
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close what the test has opened."""
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def secure(
    options: TlsOptions, headers: ProxyProtocolOptions = NO_HEADERS
) -> AsyncIterator[SecureRig]:
    """Run a proxy with TLS."""
    async with rig(answering(ok())) as lab:
        made = SecureRig(lab, Certificates(options), free_port())
        lab.server.start_tls(bind("127.0.0.1", made.port), made.certificates, headers)
        try:
            yield made
        finally:
            made.close()
            made.certificates.close()


@pytest.mark.integration
async def test_requests_come_through_and_the_backend_hears_of_https(
    pairs: tuple[Pair, Pair],
) -> None:
    """Two requests on one connection, ALPN chosen, x-forwarded-proto https."""
    async with secure(options_of(pairs[0])) as tls:
        client = await tls.client(pairs[0])
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        for _ in range(2):
            client.get("/")
            assert (await client.answer()).body == b"hello"
        assert b"x-forwarded-proto: https\r\n" in tls.lab.backends[0].received
        assert tls.certificates.snapshot()["handshakes"] == 1


@pytest.mark.integration
async def test_a_body_larger_than_every_buffer(pairs: tuple[Pair, Pair]) -> None:
    """A mebibyte arrives whole."""
    body = os.urandom(1024 * 1024)
    async with secure(options_of(pairs[0])) as tls:
        tls.lab.backends[0].handler = answering(ok(body))
        client = await tls.client(pairs[0])
        client.get("/")
        assert (await client.answer()).body == body


@pytest.mark.integration
async def test_a_websocket_over_tls(pairs: tuple[Pair, Pair]) -> None:
    """A mebibyte goes to the backend and comes back; the client's end ends the tunnel."""
    blob = os.urandom(1024 * 1024)
    async with secure(options_of(pairs[0])) as tls:
        tunnels = tls.lab.proxy.heads.tunnels
        tunnels.options = WebSocketOptions(enabled=True)
        tls.lab.backends[0].handler = echoing
        client = await tls.client(pairs[0])
        client.get("/", "Connection: Upgrade", "Upgrade: websocket")
        assert (await client.answer()).status == 101
        client.send(blob)
        async with asyncio.timeout(WAIT_S):
            assert await client.reader.readexactly(len(blob)) == blob
        client.writer.close()
        await until(lambda: tunnels.open == 0)
        await until(lambda: tls.lab.backends[0].open_connections == 0)
        assert tunnels.bytes_from_clients == tunnels.bytes_from_backends == len(blob)


async def echoing(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Agree to WebSocket and echo."""
    await backend.read_head(reader)
    writer.write(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    while data := await reader.read(64 * 1024):
        writer.write(data)


@pytest.mark.integration
async def test_the_least_version_is_held(pairs: tuple[Pair, Pair]) -> None:
    """With 1.3 as the least a client of 1.2 gets no further, and is counted."""
    async with secure(options_of(pairs[0], 1.3)) as tls:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await tls.client(pairs[0], ssl.TLSVersion.TLSv1_2)
        await until(lambda: tls.lab.server.arrivals()["failed_handshakes"] == 1)
        client = await tls.client(pairs[0])
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


@pytest.mark.integration
async def test_plain_http_to_the_tls_listener_is_a_failed_handshake(
    pairs: tuple[Pair, Pair],
) -> None:
    """No backend sees it, and the next client is served."""
    async with secure(options_of(pairs[0])) as tls:
        _reader, writer = await asyncio.open_connection("127.0.0.1", tls.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        await until(lambda: tls.lab.server.arrivals()["failed_handshakes"] == 1)
        writer.transport.abort()
        assert tls.lab.backends[0].requests == 0
        client = await tls.client(pairs[0])
        client.get("/")
        assert (await client.answer()).status == 200


@pytest.mark.integration
async def test_a_header_before_the_handshake(pairs: tuple[Pair, Pair]) -> None:
    """The PROXY protocol names the client, then TLS begins."""
    headers = ProxyProtocolOptions(mode="require", trusted=("127.0.0.1",))
    header = render_v2(Header(Address("203.0.113.7", 1), Address("192.0.2.1", 443)))
    async with secure(options_of(pairs[0]), headers) as tls:
        context = ssl.create_default_context(cafile=str(pairs[0].certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", tls.port)
        writer.write(header)
        async with asyncio.timeout(10):
            await writer.start_tls(context, server_hostname="localhost")
        client = RawClient(reader, writer)
        client.get("/")
        assert (await client.answer()).status == 200
        assert b"x-forwarded-for: 203.0.113.7\r\n" in tls.lab.backends[0].received
        writer.transport.abort()


@pytest.mark.integration
async def test_a_new_pair_is_taken_and_open_connections_stay(
    pairs: tuple[Pair, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next handshake gets the new certificate; the old connection goes on."""
    monkeypatch.setattr("lb.l7.tls.LOOK_S", 0.01)
    pair = copy(pairs[0], tmp_path)
    async with secure(options_of(pair)) as tls:
        tls.certificates.start()
        before = await tls.client(pairs[0])
        replace(pairs[1], pair)
        await until(lambda: tls.certificates.reloads == 1)
        after = await tls.client(pairs[1])
        for client in (before, after):
            client.get("/")
            assert (await client.answer()).body == b"hello"
        with pytest.raises(ssl.SSLError):
            await tls.client(pairs[0])


@pytest.mark.integration
async def test_a_broken_pair_changes_nothing_and_is_told(
    pairs: tuple[Pair, Pair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate without its key, then no certificate, then the right pair."""
    pair = copy(pairs[0], tmp_path)
    async with secure(options_of(pair)) as tls:
        replace(Pair(pairs[1].certificate, pairs[0].key), pair)
        await asyncio.to_thread(tls.certificates.look)
        assert tls.certificates.failed_reloads == 1
        assert "are no certificate and its key" in tls.certificates.last_error
        assert "the certificate in use stays" in caplog.text
        await tls.client(pairs[0])
        pair.certificate.unlink()
        await asyncio.to_thread(tls.certificates.look)
        assert "can't read" in tls.certificates.last_error
        await tls.client(pairs[0])
        replace(pairs[1], pair)
        await asyncio.to_thread(tls.certificates.look)
        assert (tls.certificates.reloads, tls.certificates.last_error) == (1, "")
        await tls.client(pairs[1])


def test_files_that_do_not_change_are_not_read_again(pairs: tuple[Pair, Pair]) -> None:
    """A look costs two stats."""
    certificates = Certificates(options_of(pairs[0]))
    certificates.look()
    assert (certificates.reloads, certificates.failed_reloads) == (0, 0)


def test_what_is_no_pair_is_told(pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    """Another certificate's key, and a file that isn't PEM at all."""
    with pytest.raises(ConfigError, match=r"are no certificate and its key \(key values mismatch"):
        load_context(options_of(Pair(pairs[0].certificate, pairs[1].key)))
    noise = tmp_path / "noise.pem"
    noise.write_text("hello")
    with pytest.raises(ConfigError, match=r"are no certificate and its key \(not PEM\)"):
        load_context(options_of(Pair(noise, pairs[0].key)))


def test_a_key_with_a_password_is_refused_without_asking(tmp_path: Path) -> None:
    """Nobody sits at a balancer's terminal."""
    pair = make_pair(tmp_path, "locked", "-passout", "pass:secret")
    with pytest.raises(ConfigError, match="the key has a password; give one without"):
        load_context(options_of(pair))


def test_defaults() -> None:
    """No TLS until a certificate is named; 1.2 at least; a look each second."""
    assert TlsOptions() == TlsOptions(
        listen="0.0.0.0:8443", certificate="", key="", min_version=1.2, alpn=("h2", "http/1.1")
    )
    assert not TlsOptions().is_on
    assert TlsOptions().address == ("0.0.0.0", 8443)
    assert LOOK_S == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls: {certificate: a.pem}", "l7.yaml:1:7: a certificate without a key; give both"),
        ("tls: {key: a.key}", "l7.yaml:1:7: a key without a certificate; give both"),
        ("tls: {listen: '8443'}", "l7.yaml:1:7: listen is '8443'; give host:port"),
        ("tls: {min_version: 1.1}", "l7.yaml:1:7: min_version is 1.1; give 1.2 or 1.3"),
        ("tls: {alpn: [spdy]}", "l7.yaml:1:14: spdy is not spoken; give "),
        (
            "tls: {certificate: /none/a.pem, key: /none/a.key}",
            "l7.yaml:1:7: can't read /none/a.pem and /none/a.key: No such file or directory",
        ),
    ],
)
def test_what_a_file_says_wrong_is_told(text: str, said: str) -> None:
    """With its place, and what to do."""
    with pytest.raises(SourceError) as caught:
        parse_config(text)
    assert str(caught.value).startswith(said)


def copy(source: Pair, folder: Path) -> Pair:
    """Copy a pair to files that a test may replace."""
    pair = Pair(folder / "tls.pem", folder / "tls.key")
    replace(source, pair)
    return pair


def replace(source: Pair, target: Pair) -> None:
    """Put other files in place at once each, as whoever renews certificates does."""
    for new, old in zip(reversed(source), reversed(target), strict=True):
        beside = old.with_suffix(".new")
        shutil.copy(new, beside)
        beside.replace(old)
