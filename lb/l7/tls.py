"""TLS towards clients: certificates that are read anew when their files change.

Why: certificates are renewed every few weeks, and a balancer that has to be restarted for it drops
every connection. New handshakes get the new pair, open connections keep theirs; a pair that can't
be used changes nothing and is told.
Source: RFC 8446 (TLS 1.3), RFC 7301 (ALPN), RFC 6066 3 (server name).
Not handled: a certificate for each name, client certificates, OCSP stapling, keys with a password.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kit.errors import ConfigError
from kit.reload import file_mark
from kit.source import DataPath
from kit.source_types import Part

LOOK_S = 1.0  # how late a new pair may be noticed
SPOKEN = ("h2", "http/1.1")  # what may be offered by ALPN
_VERSIONS = {1.2: ssl.TLSVersion.TLSv1_2, 1.3: ssl.TLSVersion.TLSv1_3}

log = logging.getLogger(__name__)


class TlsOptions(Part, frozen=True):
    """Section ``tls``: a listener beside the plain one.

    Args:
        listen: ``host:port``.
        certificate: PEM file, the whole chain, the server's own first; empty: no TLS.
        key: PEM file, without a password.
        min_version: 1.2 or 1.3.
        alpn: What is offered, best first; ``h2`` only while ``http2`` is enabled.
    """

    listen: str = "0.0.0.0:8443"
    certificate: str = ""
    key: str = ""
    min_version: float = 1.2
    alpn: tuple[str, ...] = SPOKEN

    @property
    def is_on(self) -> bool:
        """Whether there is such a listener."""
        return bool(self.certificate)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)


def tls_mistakes(options: TlsOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is wrong, a pair of files that can't be used included."""
    host, _, port = options.listen.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65_536):
        yield (*at, "listen"), f"listen is {options.listen!r}; give host:port"
    if options.min_version not in _VERSIONS:
        yield (*at, "min_version"), f"min_version is {options.min_version:g}; give 1.2 or 1.3"
        return
    for index, name in enumerate(options.alpn):
        if name not in SPOKEN:
            yield (*at, "alpn", index), f"{name} is not spoken; give {' or '.join(SPOKEN)}"
    if bool(options.certificate) is not bool(options.key):
        missing, given = ("key", "certificate") if options.certificate else ("certificate", "key")
        yield (*at, given), f"a {given} without a {missing}; give both"
    elif options.is_on:
        try:
            load_context(options)
        except ConfigError as error:
            yield (*at, "certificate"), str(error)


def load_context(options: TlsOptions) -> ssl.SSLContext:
    """Read the pair.

    Raises:
        ConfigError: A file can't be read, isn't PEM, or the key belongs to another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(options.alpn))
    pair = f"{options.certificate} and {options.key}"
    try:
        context.load_cert_chain(options.certificate, options.key, password=_refuse_password)
    except ssl.SSLError as error:
        what = error.reason.lower().replace("_", " ") if error.reason else "not PEM"
        raise ConfigError(f"{pair} are no certificate and its key ({what})") from error
    except OSError as error:
        raise ConfigError(f"can't read {pair}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"can't use {options.key}: {error}") from error
    return context


class Certificates:
    """The pair in use, replaced when its files have changed.

    Args:
        options: The file's section, checked.

    Raises:
        ConfigError: The first pair can't be used.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._seen = self._marks()
        self._current = self.context = load_context(options)
        self.context.sni_callback = self._choose
        self._following: asyncio.Task[None] | None = None
        self.handshakes = 0
        self.reloads = 0
        self.failed_reloads = 0
        self.last_error = ""

    def offer(self, alpn: tuple[str, ...]) -> None:
        """Offer these by ALPN from now on, best first; open connections keep what was agreed."""
        self._options = msgspec.structs.replace(self._options, alpn=alpn)
        self._current.set_alpn_protocols(list(alpn))

    def start(self) -> None:
        """Look at the files each second from now on."""
        loop = asyncio.get_running_loop()
        self._following = loop.create_task(self._follow(), name="certificates")

    def close(self) -> None:
        """Look no more."""
        if self._following is not None:
            self._following.cancel()

    def look(self) -> None:
        """Read the pair anew when a file has changed; reads files, so not in the event loop."""
        seen = self._marks()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._current = load_context(self._options)
        except ConfigError as error:
            self.failed_reloads += 1
            self.last_error = str(error)
            log.warning("the certificate in use stays", extra={"error": str(error)})
            return
        self.reloads += 1
        self.last_error = ""
        log.info("a new certificate is in use", extra={"certificate": self._options.certificate})

    def snapshot(self) -> dict[str, float | int | str | bool | None]:
        """Handshakes begun, pairs taken and refused since the start, and why the last was."""
        return {
            "handshakes": self.handshakes,
            "reloads": self.reloads,
            "failed_reloads": self.failed_reloads,
            "last_error": self.last_error,
        }

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.look)

    def _choose(self, conn: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Give a handshake today's pair; called for every one, a server name or not."""
        self.handshakes += 1
        conn.context = self._current

    def _marks(self) -> tuple[tuple[int, int, int] | None, ...]:
        paths = (self._options.certificate, self._options.key)
        return tuple(file_mark(Path(path)) for path in paths)


def _refuse_password() -> str:
    raise ValueError("the key has a password; give one without")
