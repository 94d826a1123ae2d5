"""A client of the control plane: read, write, hold a lease, ask the processes.

Why: commands, drills and processes speak to the same small server; this is the only file that knows
its protocol. Errors leave as ``LabEnvironmentError``, within a second and a half, naming the
address.
Source: design.md, "Control plane". The scripts: ``kit.scripts``; what to believe: ``kit.belief``.
Not handled: several control servers; the lab fails static instead.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from kit import scripts
from kit.entries import Entry, check_entry
from kit.errors import LabEnvironmentError
from kit.members import LEASE_S, LiveReport, Member, Renewal, select
from kit.replies import Sync, parse_sync, to_plain

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0  # with the connect timeout: a command against a dead control ends in 1.5 s
SETTLE_S = 3.0  # a new incarnation listens this long for the highest version (design.md)
ASK_TIMEOUT_S = 1.0
LIVE_TIMEOUT_S = 2.0
ASK_REPLY_KEPT_MS = 10_000
LIVE_POLL_S = 0.01
WRITE_RETRY_S = 0.1
WRITE_LIMIT_S = SETTLE_S + 2.0  # then somebody keeps restarting control

FOREIGN_ERRORS = (RedisError, OSError, TimeoutError)


class ControlLoadingError(LabEnvironmentError):
    """Control has just started and still reads its file: what it is asked now, ask again."""


class ControlSnapshot(NamedTuple):
    """What lies in the control plane.

    Args:
        entries: Field to value as plain JSON; faults and the overlay with their ``created_ms``.
        version: Of the state.
        incarnation: Which life of the control server.
        now_ms: Its clock.
        settled: Whether writing is possible yet.
    """

    entries: dict[str, dict[str, Any]]
    version: int
    incarnation: str
    now_ms: int
    settled: bool = True


class Ask(msgspec.Struct, frozen=True):
    """A question to the processes, as it is published."""

    kind: str
    reply_to: str
    args: dict[str, Any] = {}
    targets: list[str] | None = None


class ControlClient:
    """Speak with the control plane at one address; use it from one event loop.

    Args:
        address: Host and port.
        clock: Monotonic seconds.
        settle_s: How long a new incarnation listens for offers; tests take 0.

    Every method raises ``LabEnvironmentError`` when control does not answer.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        clock: Callable[[], float] = time.monotonic,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.address = address
        self._clock = clock
        self._settle_ms = int(settle_s * 1000)
        self._redis = redis.asyncio.Redis(
            host=address[0],
            port=address[1],
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._sync = self._redis.register_script(scripts.SYNC)
        self._write = self._redis.register_script(scripts.WRITE)
        self._take_offer = self._redis.register_script(scripts.TAKE_OFFER)
        self._leave = self._redis.register_script(scripts.LEAVE)

    async def close(self) -> None:
        """Close the connections; a second time does nothing."""
        await self._redis.aclose()

    async def read(self) -> ControlSnapshot:
        """Read the whole state."""
        reading = (await self.sync()).reading
        entries = {field: to_plain(stored) for field, stored in (reading.entries or {}).items()}
        return ControlSnapshot(
            entries, reading.version, reading.incarnation, reading.now_ms, reading.settled
        )

    async def write(self, changes: Mapping[str, object | None]) -> int:
        """Change fields in one step; None deletes. Returns the new version.

        Waits while a new incarnation loads and settles, at most ``WRITE_LIMIT_S``.

        Raises:
            ConfigError: When a field or value is wrong; nothing is written then.
            LabEnvironmentError: When control doesn't answer or doesn't settle.
        """
        args: list[str | bytes | int] = [self._settle_ms]
        for field, value in changes.items():
            args += [
                field,
                b"" if value is None else msgspec.json.encode(check_entry(field, value)),
            ]
        limit_s = self._clock() + WRITE_LIMIT_S
        while True:
            with suppress(ControlLoadingError):
                async with self._errors():
                    version = int(await self._write(keys=scripts.KEYS, args=args))
                if version >= 0:
                    return version
            if self._clock() > limit_s:
                raise LabEnvironmentError(
                    f"control at {self._where()} did not settle in {WRITE_LIMIT_S:.0f} s: "
                    "does it keep restarting?"
                )
            await asyncio.sleep(WRITE_RETRY_S)

    async def members(self) -> list[Member]:
        """Return everyone whose lease lives, by name."""
        return (await self.sync(want_members=True)).members or []

    async def renew(self, member: Member) -> Renewal:
        """Hold a member's lease for another 3 s."""
        reading = (await self.sync(member)).reading
        return Renewal(reading.version, reading.incarnation, reading.settled)

    async def leave(self, instance: str) -> None:
        """Give a lease back at once."""
        async with self._errors():
            await self._leave(keys=scripts.KEYS, args=[instance])

    async def sync(
        self,
        member: Member | None = None,
        *,
        known: tuple[str, int] = ("", 0),
        want_members: bool = False,
        announce: bool = False,
    ) -> Sync:
        """Renew a lease and read what is new, in one trip.

        Args:
            member: Whose lease to renew; None only reads.
            known: Incarnation and version held; the entries come when control has others.
            want_members: Whether to return the live leases.
            announce: Whether to hint everybody that this member changed.
        """
        lease = msgspec.json.encode(member) if member else b""
        args: list[str | bytes | int] = [
            self._settle_ms, known[0], known[1], int(want_members),
            member.instance if member else "", int(LEASE_S * 1000), lease, int(announce),
        ]  # fmt: skip
        async with self._errors():
            answer = await self._sync(keys=scripts.KEYS, args=args)
        return parse_sync(answer)

    async def offer(self, version: int, entries: Mapping[str, tuple[Entry, int]]) -> bool:
        """Offer a snapshot to an unsettled incarnation; True when it has settled already.

        Args:
            version: Of the snapshot.
            entries: Field to entry and its age in milliseconds.
        """
        args: list[str | bytes | int] = [self._settle_ms, version]
        for field, (entry, age_ms) in entries.items():
            args += [field, age_ms, msgspec.json.encode(entry)]
        async with self._errors():
            return bool(await self._take_offer(keys=scripts.KEYS, args=args))

    async def ask(
        self,
        kind: str,
        args: Mapping[str, Any],
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        targets: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Ask the processes; returns instance to answer, without those who stayed silent.

        Args:
            kind: What is asked, e.g. ``explain``; a process that doesn't know it answers null.
            args: What the handlers get, JSON-serialisable.
            timeout_s: How long to wait for the last of them.
            targets: Services or instances; None means everybody.
        """
        limit_s = self._clock() + timeout_s
        expected = {member.instance for member in select(await self.members(), targets)}
        reply_to = f"squall:answer:{uuid.uuid4().hex}"
        question = Ask(kind, reply_to, dict(args), None if targets is None else list(targets))
        answers: dict[str, Any] = {}
        async with self._errors():
            await self._redis.publish(scripts.ASK_CHANNEL, msgspec.json.encode(question))
            while expected - answers.keys() and (left_s := limit_s - self._clock()) > 0:
                popped = await self._redis.blpop([reply_to], timeout=min(left_s, 0.5))
                if popped is not None:
                    instance, answer = msgspec.json.decode(popped[1])
                    answers[instance] = answer
        return answers

    async def reply(self, ask: Ask, instance: str, answer: object) -> None:
        """Answer an ask."""
        async with self._errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(ask.reply_to, msgspec.json.encode((instance, answer)))
            pipe.pexpire(ask.reply_to, ASK_REPLY_KEPT_MS)
            await pipe.execute()

    async def wait_live(
        self,
        version: int,
        *,
        targets: Collection[str] | None = None,
        timeout_s: float = LIVE_TIMEOUT_S,
    ) -> LiveReport:
        """Wait until every targeted member acts on a version; the report names who doesn't."""
        started_s = self._clock()
        while True:
            members = select(await self.members(), targets)
            missing = tuple(m.instance for m in members if m.version_seen < version)
            spent_s = self._clock() - started_s
            if not missing or spent_s >= timeout_s:
                live = len(members) - len(missing)
                return LiveReport(live, len(members), spent_s * 1000.0, missing)
            await asyncio.sleep(LIVE_POLL_S)

    def pubsub(self) -> redis.asyncio.client.PubSub:
        """Return a subscription of its own connection, for ``kit.follower``."""
        return self._redis.pubsub(ignore_subscribe_messages=True)

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            with keeping_cancellation():
                yield
        except BusyLoadingError as error:
            raise ControlLoadingError(
                f"control at {self._where()} has just started and loads its file: try again"
            ) from error
        except FOREIGN_ERRORS as error:
            # The others of the pool go to the same server, and each would fail once more.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise LabEnvironmentError(
                f"control does not answer at {self._where()} ({type(error).__name__}): "
                "is the lab running? make up"
            ) from error

    def _where(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"


@contextmanager
def keeping_cancellation() -> Iterator[None]:
    """Raise a cancellation that arrived inside and was lost there.

    redis-py sends under ``asyncio.wait_for``, which before Python 3.12 drops a cancellation that
    arrives in the turn in which the inner future is done (python/cpython#86296).
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
