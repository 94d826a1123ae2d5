"""What all clients of one proxy share: the router, the users, the bounds, the counts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from shard.policy.acl import Users
from shard.proxy.heads import Heads
from shard.proxy.own import VERSION
from shard.proxy.router import Router
from shard.proxy.session import Session
from shard.proxy.settings import ProxySettings
from shard.proxy.turn import Turn

SWEEP_S = 0.02  # deadlines and second attempts are this exact
IDLE_SWEEP_S = 1.0

TOO_MANY = "ERR max number of clients reached"


class Front:
    """The clients' side of a proxy.

    Args:
        router: Brings commands to nodes.
        users: Who may log in.
        settings: Bounds.
        turn: Says when to write.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        users: Users,
        settings: ProxySettings,
        turn: Turn,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.router = router
        self.users = users
        self.settings = settings
        self.turn = turn
        self.clock = clock
        self.heads = Heads()
        self.buffered_bytes = 0  # of unfinished commands
        self.own_answers = 0
        self.counts = dict.fromkeys(
            (
                "clients", "refused_clients", "idle_clients", "refused_commands", "failed_logins",
                "protocol_errors", "overflows", "output_overflows",
            ),
            0,
        )  # fmt: skip
        self.is_draining = False
        self._sessions: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._number = 0
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._idle_s = clock() + IDLE_SWEEP_S

    @property
    def client_count(self) -> int:
        """Clients now."""
        return len(self._sessions)

    async def listen(self, host: str, port: int) -> int:
        """Take clients; return the port, which was free when 0 was asked for.

        Raises:
            OSError: The port is taken, or the host isn't this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, host, port, backlog=1024)
        self.router.start()
        self._sweep()
        listening: Sequence[int] = self._server.sockets[0].getsockname()
        return listening[1]

    def admit(self, session: Session) -> str | None:
        """Count a client in; return why it can't be."""
        if len(self._sessions) >= self.settings.max_clients or self.is_draining:
            self.counts["refused_clients"] += 1
            return TOO_MANY
        self.counts["clients"] += 1
        self._sessions.add(session)
        return None

    def leave(self, session: Session) -> None:
        """Count a client out."""
        self._sessions.discard(session)
        if not self._sessions:
            self._empty.set()

    async def drain(self) -> int:
        """Take nobody new, answer what is under way, close; return how many had to be cut off."""
        self.is_draining = True
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.finish()
        if self._sessions:
            self._empty.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), self.settings.drain_s)
        left = len(self._sessions)
        for session in list(self._sessions):
            session.abort()
        return left

    async def close(self) -> None:
        """End everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.abort()
        await self.router.close()
        await asyncio.sleep(0)  # transports that were aborted end in the next turn

    def figures(self) -> dict[str, float]:
        """Return what metrics tell, by name."""
        return {
            "clients": len(self._sessions),
            "commands_under_way": sum(each.under_way for each in self._sessions),
            "own_answers_total": self.own_answers,
            "buffered_bytes": self.buffered_bytes,
            **{f"{name}_total": count for name, count in self.counts.items()},
            **self.router.figures(),
        }

    def info(self) -> str:
        """Return the same as INFO gives it."""
        lines = [f"{name}:{value:g}" for name, value in self.figures().items()]
        head = ["# Server", f"redis_version:{VERSION}", "redis_mode:standalone", "", "# Proxy"]
        return "\r\n".join([*head, *lines, ""])

    def _session(self) -> Session:
        self._number += 1
        return Session(self, self._number)

    def _sweep(self) -> None:
        now_s = self.clock()
        self.router.sweep(now_s)
        if now_s >= self._idle_s:
            self._idle_s = now_s + IDLE_SWEEP_S
            self._close_idle(now_s)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _close_idle(self, now_s: float) -> None:
        limit_s = self.settings.idle_timeout_s
        if not limit_s:
            return
        for session in list(self._sessions):
            if now_s - session.heard_s > limit_s and not session.under_way:
                self.counts["idle_clients"] += 1
                session.abort()
