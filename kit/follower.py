"""Follow the control plane: hold the lease, take what is new, answer asks; survive its absence.

Why: pub/sub is a hint and can be lost, so the truth is read again when the version moved, on
reconnect and every second. With control dead nothing changes but one line in the log, and one when
it is back. That is the policy ``static``; off, leases are believed no longer than they would last
had control been asked, and a dead control empties the directory: the drill `control-plane-loss`.
Source: design.md, "Control plane". What to believe: ``kit.belief``; how it is stored:
``kit.scripts``.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from redis.asyncio.client import PubSub

from kit.belief import Belief, Decision
from kit.control import FOREIGN_ERRORS, Ask, ControlClient, keeping_cancellation
from kit.directory import Directory
from kit.errors import LabEnvironmentError
from kit.members import LEASE_S, RENEW_EVERY_S, Member
from kit.scripts import ASK_CHANNEL, HINT_CHANNEL
from kit.state import LabState

FIRST_RETRY_S = 0.1
ANNOUNCE_LIMIT_S = 1.5  # a dead control must not hold up a process that wants to stop
LISTEN_S = 2.0  # how long one wait for a message lasts; then look whether the link was lost

log = logging.getLogger(__name__)


class Follower:
    """Keep one process in step with the control plane.

    Args:
        client: Owned by the caller.
        directory: Updated with the members once somebody wants endpoints.
        make_member: Builds the lease for the version acted on.
        on_state: Called with each new picture of the lab, also when something expires.
        on_ask: Answers a question; None means that it isn't for us.
        is_static: Whether to go on with the endpoints known while control is away.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: ControlClient,
        directory: Directory,
        make_member: Callable[[int], Member],
        on_state: Callable[[LabState], None],
        on_ask: Callable[[Ask], tuple[str, object] | None],
        is_static: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._directory = directory
        self._make_member = make_member
        self._on_state = on_state
        self._on_ask = on_ask
        self._is_static = is_static
        self._clock = clock
        self._heard_s = clock()
        self._belief = Belief()
        self._wake = asyncio.Event()
        self._synced = asyncio.Event()
        self._announce = False
        self._expiry: asyncio.TimerHandle | None = None
        self.is_connected = False

    def __repr__(self) -> str:
        link = "connected" if self.is_connected else "alone"
        return f"<Follower {link}, version {self._belief.version}>"

    async def first_contact(self) -> None:
        """Wait for control, however long it takes, and take the first reading."""
        wait_s = FIRST_RETRY_S
        while not await self._try_sync():
            if wait_s == FIRST_RETRY_S:
                log.info("waiting for control")
            await asyncio.sleep(wait_s)
            wait_s = min(RENEW_EVERY_S, wait_s * 2)

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sync_forever())
                group.create_task(self._listen_forever())
        finally:
            if self._expiry is not None:
                self._expiry.cancel()

    async def announce(self) -> None:
        """Renew the lease now and hint everybody; gives up after 1.5 s without control."""
        self._announce = True
        self._synced.clear()
        self._wake.set()
        try:
            async with asyncio.timeout(ANNOUNCE_LIMIT_S):
                await self._synced.wait()
        except TimeoutError:
            return

    async def _sync_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RENEW_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._try_sync()

    async def _try_sync(self) -> bool:
        announce, self._announce = self._announce, False
        try:
            await self._sync(announce)
        except LabEnvironmentError as error:
            self._announce |= announce  # someone may have asked for one meanwhile
            self._note_lost(error)
            return False
        except Exception:
            self._announce |= announce
            # A bug, or an answer from another age of the lab: a process that goes on with what it
            # knows is worth more than one that has stopped following.
            log.exception("an answer of control could not be used")
            return False
        self._note_found()
        if not self._announce:
            self._synced.set()
        return True

    async def _sync(self, announce: bool) -> None:
        belief = self._belief
        sync = await self._client.sync(
            self._make_member(belief.version),
            known=(belief.incarnation, belief.version),
            want_members=self._directory.is_wanted,
            announce=announce,
        )
        now_s = self._heard_s = self._clock()
        if sync.reading.incarnation != belief.incarnation:
            self._directory.on_interruption()
        decision = belief.decide(sync.reading)
        if decision is Decision.OFFER:
            belief.lose(now_s)
            await self._client.offer(belief.version, belief.offer(now_s))
        elif decision is Decision.ADOPT:
            was = belief.version
            belief.adopt(sync.reading, now_s)
            self._publish()
            if belief.version != was:
                self._wake.set()  # tell at once which version we act on
        elif belief.confirm(now_s):
            self._publish()
        if sync.members is not None:
            self._directory.update(sync.members, now_s)

    def _publish(self) -> None:
        """Hand out the picture of now, and come back when something in it expires."""
        now_s = self._clock()
        self._on_state(self._belief.state_at(now_s))
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        due_s = self._belief.next_expiry_s(now_s)
        if due_s is not None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(due_s - now_s + 0.001, self._on_due)

    def _on_due(self) -> None:
        """Take what has expired out, and ask: an overlay ends at an answer."""
        self._publish()
        self._wake.set()

    async def _listen_forever(self) -> None:
        while True:
            pubsub = self._client.pubsub()
            try:
                with keeping_cancellation():
                    await pubsub.subscribe(HINT_CHANNEL, ASK_CHANNEL)
                self._wake.set()
                await self._listen(pubsub)
            except (*FOREIGN_ERRORS, LabEnvironmentError):
                pass  # the sync loop says in the log that control is away
            except Exception:
                # Without hints a process is a second late; without this task's group it would
                # lose its lease.
                log.exception("listening to control failed")
            finally:
                await _close(pubsub)
            await asyncio.sleep(RENEW_EVERY_S)

    async def _listen(self, pubsub: PubSub) -> None:
        """Pass messages on until the link is lost."""
        heard_s = self._clock()
        while self.is_connected or self._clock() - heard_s < LISTEN_S:
            message = await pubsub.get_message(timeout=LISTEN_S)
            if message is None:
                continue
            heard_s = self._clock()
            if message["channel"] == ASK_CHANNEL.encode():
                await self._answer(message["data"])
            else:
                self._wake.set()

    async def _answer(self, data: bytes) -> None:
        try:
            ask = msgspec.json.decode(data, type=Ask)
            answer = self._on_ask(ask)
            if answer is not None:
                await self._client.reply(ask, *answer)
        except LabEnvironmentError:
            raise
        except Exception:
            log.exception("an ask could not be answered")

    def _note_lost(self, error: LabEnvironmentError) -> None:
        now_s = self._clock()
        self._belief.lose(now_s)
        self._directory.on_interruption()
        if now_s - self._heard_s >= LEASE_S and not self._is_static():
            self._directory.forget()
        if self.is_connected:
            log.warning("control is away: going on with what is known", extra={"cause": str(error)})
        self.is_connected = False

    def _note_found(self) -> None:
        if not self.is_connected:
            log.info("control answers", extra={"version": self._belief.version})
        self.is_connected = True


async def _close(pubsub: PubSub) -> None:
    try:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    except Exception:  # it is given up either way; uvloop raises RuntimeError on a closed socket
        log.debug("a subscription did not close cleanly", exc_info=True)
