"""Access log: a line of JSON for each request, or for some of them, and for every failure.

Why JSON: it is read by programs first. Why sampled by the id and not by chance: each tier that
keeps one in ten keeps the same one in ten, so what is kept can be joined.
Lines are written together, once per turn of the loop, by one call. A file that can't be written
(a disk that is full) costs lines, which are counted, and never a request; nor does a terminal that
nobody reads make the proxy wait.
Source: nginx ``access_log ... buffer= if=``; Envoy's JSON access log; consistent sampling as in
OpenTelemetry's ``TraceIdRatioBased`` sampler.
Rotation is somebody else's: move the file away and send SIGHUP.
Not handled: formats of one's own; a query is left out
unless asked for, since that is where people put tokens. A slow disk holds up the loop as nginx's
does: use a file system that buffers, or a pipe.
"""

import asyncio
import logging
import os
import time
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from kit.errors import ConfigError
from kit.source import DataPath
from kit.source_types import Part
from lb.l7.request import RequestHead
from resilience.context import Note
from resilience.policy.contract import Snapshot

STDOUT = "-"
FAILED_STATUS = 500
MAX_HELD_BYTES = 1 << 20  # of one turn, or of a pipe that nobody reads; then lines are dropped
MODE = 0o640  # who may read it: addresses are personal data
_FULL = 1 << 32  # one more than the largest CRC-32

log = logging.getLogger(__name__)


class AccessLogOptions(Part, frozen=True):
    """Section ``access_log``; without a path there is none.

    Args:
        path: A file, which is appended to, or ``-`` for standard output.
        sample: Share of the requests, 0..1; those that end with 500 or above are always logged.
        query: Whether targets are logged with their query.
    """

    path: str = ""
    sample: float = 1.0
    query: bool = False


def access_log_mistakes(options: AccessLogOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range."""
    if not 0.0 <= options.sample <= 1.0:
        yield (*at, "sample"), f"sample is {options.sample:g}; give 0 to 1"
    if not options.path and options != AccessLogOptions():
        yield at, "an access log needs a path; write path: FILE, or - for standard output"


class Entry(msgspec.Struct, frozen=True):
    """One line.

    Args:
        time: When the request arrived, UTC, ISO 8601 with milliseconds.
        request_id: The same on every hop.
        client: Its address.
        method: Of HTTP.
        target: The path, with its query where that is asked for.
        status: What was answered; 499 when the client left first.
        reason: ``OK``, or why not.
        bytes: Of the answer's body.
        ms: From the head's arrival to the answer's end.
        upstream: Who answered, or was tried last; "" for nobody.
        attempts: How often it was tried.
    """

    time: str
    request_id: str
    client: str
    method: str
    target: str
    status: int
    reason: str
    bytes: int
    ms: float
    upstream: str
    attempts: int


class AccessLog:
    """An open log; made, and written to, on one event loop.

    Args:
        options: With a path.

    Raises:
        ConfigError: The file can't be opened for writing.
    """

    def __init__(self, options: AccessLogOptions) -> None:
        self.options = options
        self.lines = 0
        self.lost = 0
        self._threshold = int(options.sample * _FULL)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._begun = b""  # the rest of a line that a pipe took half of
        self._fd = _open(options.path)

    def takes(self, request_id: str, status: int) -> bool:
        """Whether a request is logged; the same for every proxy with the same share."""
        if status >= FAILED_STATUS:
            return True
        return zlib.crc32(request_id.encode()) < self._threshold

    def add(
        self,
        head: RequestHead,
        status: int,
        reason: str,
        size: int,
        took_s: float,
        notes: Sequence[Note],
    ) -> None:
        """Log a request that has ended.

        Args:
            head: What was asked.
            status: What was answered; 499 when the client left first.
            reason: ``OK``, or why not.
            size: Bytes of the answer's body.
            took_s: From its head's arrival until now, seconds.
            notes: Taken at it; those of attempts are counted.
        """
        target = head.target if self.options.query else head.target.partition(b"?")[0]
        tried = [note.detail["endpoint"] for note in notes if note.policy == "attempt"]
        self._hold(
            Entry(
                time=stamp(time.time() - took_s),
                request_id=head.request_id,
                client=head.outline.peer.decode(),
                method=head.method.decode(),
                target=target.decode("latin-1"),
                status=status,
                reason=reason,
                bytes=size,
                ms=round(took_s * 1000, 3),
                upstream=str(tried[-1]) if tried else "",
                attempts=len(tried),
            )
        )

    def add_refusal(self, request_id: str, client: bytes, status: int, reason: str) -> None:
        """Log what was no request: a head that can't be read, or didn't come in time."""
        self._hold(
            Entry(
                time=stamp(time.time()),
                request_id=request_id,
                client=client.decode(),
                method="-",
                target="-",
                status=status,
                reason=reason,
                bytes=0,
                ms=0.0,
                upstream="",
                attempts=0,
            )
        )

    def flush(self) -> None:
        """Write what is held; what can't be written is lost, but for a line that was begun."""
        held, self._held = self._begun + b"".join(self._held), []
        self._held_bytes = 0
        self._begun = b""
        written = 0
        try:
            while written < len(held):
                written += os.write(self._fd, held[written:])
        except OSError:  # BlockingIOError of a pipe is one
            rest = held[written:]
            if held[:written][-1:] not in (b"", b"\n"):
                self._begun, end, rest = rest.partition(b"\n")
                self._begun += end
            self.lost += rest.count(b"\n")
        self.lines += held.count(b"\n", 0, written)

    def _hold(self, entry: Entry) -> None:
        line = msgspec.json.encode(entry) + b"\n"
        if self._held_bytes + len(line) > MAX_HELD_BYTES:
            self.lost += 1
            return
        if not self._held:
            asyncio.get_running_loop().call_soon(self.flush)
        self._held.append(line)
        self._held_bytes += len(line)

    def reopen(self) -> None:
        """Go on in the file that has this name now; where that fails, in the one that is open."""
        try:
            before, self._fd = self._fd, _open(self.options.path)
        except ConfigError as error:
            log.error("the access log stays where it is", extra={"error": str(error)})
            return
        os.close(before)

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        os.close(self._fd)

    def snapshot(self) -> Snapshot:
        """Lines written, and lines lost because they couldn't be."""
        return {"access_log.lines": self.lines, "access_log.lost": self.lost}


def prove_writable(options: AccessLogOptions) -> None:
    """Open what is to be logged to, and let go of it; raises ConfigError where that fails."""
    if options.path:
        os.close(_open(options.path))


def replaced(log: AccessLog | None, options: AccessLogOptions) -> AccessLog | None:
    """Return the log that options ask for: the open one as long as they stay, else a new one.

    Raises:
        ConfigError: The new one can't be opened; the old one stays open.
    """
    if log is not None and log.options == options:
        return log
    made = AccessLog(options) if options.path else None
    if log is not None:
        log.close()
    return made


def stamp(unix_s: float) -> str:
    """Return a time as log lines have it, e.g. ``2026-11-23T15:40:07.031Z``."""
    whole, milliseconds = divmod(round(unix_s * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


def _open(path: str) -> int:
    if path == STDOUT:
        return _open_stdout()
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise ConfigError(
            f"access_log: {path}: {error.strerror}; give a file that can be written to"
        ) from error


def _open_stdout() -> int:
    """Open it anew, so that only this log stops waiting for who reads it, and not stderr too."""
    try:
        return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a socket, or no /proc: then a write waits
        return os.dup(1)
