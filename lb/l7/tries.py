"""The tries of one request: where it is sent, when again, and until when.

One timer holds the next of two times: the deadline, and the moment when a try has used up its share
of what is left and another starts beside it.
"""

import asyncio
import time
from typing import Protocol

from lb.l7.headers import Headers, says_not_started
from lb.l7.picks import PickLog, Seen, seen
from lb.l7.pool import Pool
from lb.l7.proxy import Proxy
from lb.l7.settings import ProxySettings
from lb.l7.upstream import UpstreamConnection
from lb.policy.attempts import (
    Failure,
    adds_no_load,
    is_error,
    may_try_again,
    outcome_of_status,
    per_try_timeout_s,
)
from resilience.context import Note
from resilience.policy.contract import Mode, Outcome, Request

# A head seldom comes alone: what is said at the deadline (a 504, most often) comes in two pieces.
# 50 ms is what a page keeps for itself when it gives its parts their time (design: Context).
ANSWER_GRACE_S = 0.05

_TIMER_SLACK_S = 0.0005  # the loop's clock counts milliseconds, ours doesn't
_NEVER_S = float("inf")


class Sender(Protocol):
    """The exchange, as its tries see it."""

    def send(self, conn: UpstreamConnection) -> None:
        """Write the request to this connection."""

    def on_all_failed(self, endpoint: str, failure: Failure | None) -> None:
        """No try is left; ``failure`` is the last one's, None when nothing could be tried."""

    def on_deadline(self) -> None:
        """Time has run out."""

    def can_resend(self) -> bool:
        """Whether the whole request could be sent to another backend."""


class Attempt:
    """One try: where, since when, and on which connection once there is one."""

    __slots__ = ("conn", "endpoint", "holds_retry", "started_s")

    def __init__(self, endpoint: str, started_s: float, holds_retry: bool) -> None:
        self.endpoint = endpoint
        self.started_s = started_s
        self.holds_retry = holds_retry
        self.conn: UpstreamConnection | None = None


class Tries:
    """Run attempts for one request, at most ``max_attempts``, within the retry budget.

    Args:
        proxy: Balancer, pools, budget and switches.
        sender: Who writes the request and answers the client.
        asked: What the balancer may know of the request.
        request_id: Under which its picks are kept, where they are.
        is_safe: Sending twice does no harm.
        may_hedge: It may also be under way twice at once, which takes a request without a body.
        arrived_s: When the request arrived; notes count from here.
        deadline_s: Absolute; None means no limit, and no second try beside a slow one.

    Invariant: every attempt that ``pick`` counted in is settled once, in ``_end``.
    """

    def __init__(
        self,
        proxy: Proxy,
        sender: Sender,
        *,
        asked: Request,
        request_id: str,
        is_safe: bool,
        may_hedge: bool,
        arrived_s: float,
        deadline_s: float | None,
    ) -> None:
        self._proxy = proxy
        self._asked = asked
        self._request_id = request_id
        self._settings: ProxySettings = proxy.settings
        self._sender = sender
        self._is_safe = is_safe
        self._may_hedge = may_hedge
        self._arrived_s = arrived_s
        self._deadline_s = _NEVER_S if deadline_s is None else deadline_s
        self._slow_at_s = _NEVER_S
        self._timer: asyncio.TimerHandle | None = None
        self._live: list[Attempt] = []
        self._tried: list[str] = []
        self._picks: list[Seen] | None = None
        self._count = 0
        # While in line: why it is tried again, and whether the budget counts it.
        self._awaits: tuple[Failure | None, bool] | None = None
        self._is_turned_away = False  # from the line, which was full
        self.notes: list[Note] = []

    def start(self, now_s: float) -> None:
        """Make the first try."""
        if not self._try(now_s):
            self._sender.on_all_failed("", Failure.NO_ROOM if self._is_turned_away else None)

    def on_room(self, now_s: float) -> None:
        """Called from the line: a backend may have room, or there is none left to wait for."""
        assert self._awaits is not None
        (after, is_paid), self._awaits = self._awaits, None
        if self._try(now_s, after, is_paid=is_paid, is_called=True):
            return
        if is_paid:
            self._proxy.budget.on_retry_end()
        self._sender.on_all_failed("", after)

    def choose(self, conn: UpstreamConnection, now_s: float) -> Attempt:
        """Name the attempt whose answer begins, and close the others: they are outrun.

        From here on it has ``ANSWER_GRACE_S`` at least. Else a backend that answers 504 in the last
        moment has its head passed on and its body broken off, and the client gets no answer at all.
        """
        winner = self._on(conn)
        self._deadline_s = max(self._deadline_s, now_s + ANSWER_GRACE_S)
        if len(self._live) > 1:
            for other in tuple(self._live):
                if other is not winner:
                    self._end(other, "outrun", Outcome.IGNORED, now_s)
        self._slow_at_s = _NEVER_S
        return winner

    def try_instead(
        self, conn: UpstreamConnection, status: int, headers: Headers, now_s: float
    ) -> bool:
        """Whether another attempt is under way in place of the one that got this answer.

        An answer is no reason to leave a backend, so after an error the same one may be asked
        again; one that says it has begun nothing sends us elsewhere.
        """
        if not is_error(status):
            return False
        failure = Failure.NOT_STARTED
        if not says_not_started(headers):
            failure = Failure.ERROR_ANSWER
            if not self._settings.retry_answers:
                return False
            self._tried.clear()
        if not self._try_again(failure, now_s):
            return False
        self._end(self._on(conn), str(status), outcome_of_status(status), now_s)
        return True

    def finish(self, attempt: Attempt, what: str, outcome: Outcome, now_s: float) -> None:
        """The chosen attempt has ended; its connection is no longer ours."""
        attempt.conn = None
        self._end(attempt, what, outcome, now_s)

    def on_lost(self, conn: UpstreamConnection, failure: Failure, now_s: float) -> None:
        """A connection broke before its answer began."""
        attempt = self._on(conn)
        attempt.conn = None
        self._fail(attempt, failure, now_s)

    def close(self, what: str, outcome: Outcome, now_s: float) -> None:
        """End everything: towards the backends, closing cancels their work."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._leave_line()
        for attempt in tuple(self._live):
            self._end(attempt, what, outcome, now_s)

    def _try(
        self,
        now_s: float,
        after: Failure | None = None,
        *,
        is_paid: bool = False,
        is_called: bool = False,
    ) -> bool:
        proxy = self._proxy
        if proxy.line.waiting and not is_called:  # who came first goes first
            return self._stand_in_line(now_s, after, is_paid)
        picked = proxy.pick(self._asked, self._tried, now_s)
        log = proxy.picks
        if log is not None and (after or picked is None or log.takes()):
            self._remember(log, picked[0] if picked else None, now_s, after)
        if picked is None:
            is_awaited = proxy.line.would_help(self._tried)
            return is_awaited and self._stand_in_line(now_s, after, is_paid)
        endpoint, pool = picked
        proxy.tallies.on_pick(endpoint)
        attempt = Attempt(endpoint, now_s, is_paid)
        self._live.append(attempt)
        self._tried.append(endpoint)
        self._count += 1
        self._arm(now_s)
        conn = pool.take_idle()
        if conn is not None:
            self._send(attempt, conn)
        else:
            pool.connect(lambda conn: self._on_connected(attempt, pool, conn))
        return True

    def _stand_in_line(self, now_s: float, after: Failure | None, is_paid: bool) -> bool:
        """Wait for room; a try beside a slow one doesn't."""
        if self._live:
            return False
        if not self._proxy.line.stand(self):
            self._is_turned_away = True
            return False
        self._awaits = after, is_paid
        self._slow_at_s = _NEVER_S
        self._set_timer(self._deadline_s, now_s)
        return True

    def _leave_line(self) -> None:
        if self._awaits is None:
            return
        self._proxy.line.leave(self)
        if self._awaits[1]:
            self._proxy.budget.on_retry_end()
        self._awaits = None

    def _remember(
        self, log: PickLog, endpoint: str | None, now_s: float, after: Failure | None
    ) -> None:
        """Keep what is known at this pick (``lb.l7.picks``)."""
        proxy = self._proxy
        if self._picks is None:
            self._picks = log.open(
                self._request_id, proxy.service, self._arrived_s, self._count + 1, self.notes
            )
        reason = after.value if after is not None else ""
        self._picks.append(seen(proxy.balancer, endpoint, now_s, self._tried, reason, self._asked))

    def _send(self, attempt: Attempt, conn: UpstreamConnection) -> None:
        attempt.conn = conn
        self._sender.send(conn)

    def _on_connected(self, attempt: Attempt, pool: Pool, conn: UpstreamConnection | None) -> None:
        if attempt not in self._live:  # given up meanwhile: somebody else may use the connection
            if conn is not None:
                pool.take_back(conn)
        elif conn is None:
            self._fail(attempt, Failure.NOT_CONNECTED, time.monotonic())
        else:
            self._send(attempt, conn)

    def _fail(self, attempt: Attempt, failure: Failure, now_s: float) -> None:
        if failure in (Failure.NOT_CONNECTED, Failure.RESET):
            self._proxy.balancer.on_unreachable(attempt.endpoint, now_s)
        elif failure is Failure.STALE and len(self._tried) >= len(self._proxy.balancer.candidates):
            # It only closed an idle connection, so it may be asked again; not while there are
            # others: if it has died, all that are kept to it are stale, and three tries soon made.
            self._tried.remove(attempt.endpoint)
        self._end(attempt, failure.value, Outcome.FAILED, now_s)
        is_left = attempt.endpoint not in self._proxy.balancer.candidates
        is_free = adds_no_load(failure, is_left=is_left)
        if not self._try_again(failure, now_s, is_free=is_free) and not self._live:
            self._sender.on_all_failed(attempt.endpoint, failure)

    def _try_again(self, failure: Failure, now_s: float, *, is_free: bool = False) -> bool:
        limit = self._settings.max_attempts
        if not may_try_again(failure, attempts=self._count, is_safe=self._is_safe, limit=limit):
            return False
        if not self._sender.can_resend():
            return False
        mode = self._proxy.mode("retry")
        if mode is not Mode.ON:
            self._proxy.shadow_retries += mode is Mode.SHADOW
            return False
        budget = self._proxy.budget
        if is_free:
            is_tried = self._try(now_s, failure)
            self._proxy.free_retries += is_tried
            return is_tried
        if not budget.try_start_retry():
            return False
        if not self._try(now_s, failure, is_paid=True):
            budget.on_retry_end()
            return False
        return True

    def _end(self, attempt: Attempt, what: str, outcome: Outcome, now_s: float) -> None:
        """Settle one attempt, close its connection if it is still ours, keep a note."""
        self._live.remove(attempt)
        if attempt.conn is not None:
            attempt.conn.abandon()
            attempt.conn = None
        self._proxy.settle(attempt.endpoint, outcome, now_s)
        if attempt.holds_retry:
            self._proxy.budget.on_retry_end()
        took_s = now_s - attempt.started_s
        self._proxy.tallies.on_end(attempt.endpoint, what, took_s)
        detail: dict[str, float | int | str | bool | None] = {
            "upstream": self._proxy.service,
            "endpoint": attempt.endpoint,
            "ms": round(took_s * 1000, 3),
        }
        self.notes.append(Note("attempt", what, now_s - self._arrived_s, detail))

    def _on(self, conn: UpstreamConnection) -> Attempt:
        for attempt in self._live:
            if attempt.conn is conn:
                return attempt
        raise AssertionError("a connection reported to tries that don't use it")

    def _arm(self, now_s: float) -> None:
        if self._deadline_s == _NEVER_S:
            return
        next_s = self._deadline_s
        if self._may_hedge and self._count < self._settings.max_attempts:
            self._slow_at_s = now_s + per_try_timeout_s(self._deadline_s - now_s)
            next_s = self._slow_at_s
        self._set_timer(next_s, now_s)

    def _set_timer(self, at_s: float, now_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at_s != _NEVER_S:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at_s - now_s), self._on_timer)

    def _on_timer(self) -> None:
        now_s = time.monotonic()
        self._timer = None
        if now_s + _TIMER_SLACK_S >= self._deadline_s:
            self._sender.on_deadline()
            return
        if now_s + _TIMER_SLACK_S >= self._slow_at_s:
            self._slow_at_s = _NEVER_S
            if self._try_again(Failure.TOO_SLOW, now_s):
                return  # which has armed the timer
        next_s = min(self._deadline_s, self._slow_at_s)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.001, next_s - now_s), self._on_timer)
