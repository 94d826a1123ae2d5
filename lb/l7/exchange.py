"""One request through the proxy: from its head to the end of its answer.

Callbacks only, no task: the client's connection reports the request's body and its own end, the
backends' connections report answers and losses, the tries report that time or backends ran out.
Whatever happens, ``_finish`` runs exactly once.
"""

import time
from typing import cast

from kit.recorder import RequestSummary
from lb.l7.asker import Client, SwitchingClient
from lb.l7.errors import Problem, bad_answer, deadline_exceeded, draining, upstream_reset
from lb.l7.headers import Headers, render_trailers
from lb.l7.outbound import OutboundBody
from lb.l7.proxy import Proxy
from lb.l7.request import RequestHead
from lb.l7.response import ResponseHead, render_interim, render_switch
from lb.l7.tries import Attempt, Tries
from lb.l7.upstream import UpstreamConnection
from lb.policy.attempts import Failure, outcome_of_status
from resilience.context import Note
from resilience.policy.contract import Mode, Outcome
from resilience.wire import TIMEOUT_MS_HEADER, format_timeout_ms

_CLIENT_GONE_STATUS = 499
_TIMEOUT_LINE = TIMEOUT_MS_HEADER.encode() + b": %b\r\n"


class Exchange:
    """Carry one request.

    Args:
        proxy: What all share.
        client: Where the answer goes.
        head: The request.
    """

    def __init__(self, proxy: Proxy, client: Client, head: RequestHead) -> None:
        self.head = head
        self.body = OutboundBody(head.is_chunked, client.set_body_reading)
        self.is_started = False
        self._proxy = proxy
        self._client = client
        self._is_done = False
        self._tries: Tries | None = None
        self._deadline_mode = Mode.OFF
        self._budget_s: float | None = None
        self._winner: Attempt | None = None
        self._answer: ResponseHead | None = None
        self._keep_alive = False
        self._out: list[bytes] = []
        self._has_sent = False  # to a backend, some of it
        self._sent_bytes = 0  # of the answer's body

    # From the client's connection

    def start(self) -> None:
        """Begin: the request is the first in line."""
        self.is_started = True
        self._proxy.begin()
        head = self.head
        if head.problem is not None:
            self.refuse(head.problem)
            return
        now_s = time.monotonic()
        mode = self._deadline_mode = self._proxy.mode("deadline")
        deadline_s: float | None = None
        if mode is not Mode.OFF:
            self._budget_s = self._proxy.settings.route_budget_s
            if head.timeout_s is not None and head.timeout_s < self._budget_s:
                self._budget_s = head.timeout_s
            if mode is Mode.ON:
                deadline_s = head.arrived_s + self._budget_s
        if deadline_s is not None and now_s >= deadline_s:
            self.refuse(self._too_late(started=False))
            return
        self._tries = self._make_tries(deadline_s)
        self._tries.start(now_s)

    def on_client_gone(self) -> None:
        """Nobody waits any more: closing towards the backends cancels their work."""
        self._finish(_CLIENT_GONE_STATUS, "CLIENT_GONE", what="client gone", broken=True)

    def on_client_room(self, has_room: bool) -> None:
        """The client reads, or doesn't: let the backend wait with it."""
        if self._winner is not None and self._winner.conn is not None:
            self._winner.conn.set_reading(has_room)

    def refuse(self, problem: Problem, *, what: str = "given up") -> None:
        """Answer ourselves; if an answer has begun, only breaking it off can tell."""
        if self._is_done:
            return
        if self._answer is not None:
            self._finish(problem.status, problem.reason, what=what, broken=True)
            return
        head = self.head
        self._keep_alive = (
            head.keep_alive
            and self.body.is_complete
            and not problem.closes
            and not self._proxy.is_draining
        )
        answer = problem.render(
            head.request_id,
            timing=self._proxy.server_timing(time.monotonic() - head.arrived_s),
            keep_alive=self._keep_alive,
            head=head.is_head,
        )
        self._sent_bytes = len(answer.partition(b"\r\n\r\n")[2])
        self._client.write(answer)
        self._finish(problem.status, problem.reason, what=what)

    # From the tries

    def send(self, conn: UpstreamConnection) -> None:
        """Write the request: its head, and what is here of its body."""
        head = self.head
        on_switch = self.on_switch if head.upgrades else None
        data = head.prefix + self._deadline_line()
        conn.begin(self, data, is_head_request=head.is_head, on_switch=on_switch)
        if head.expects_continue and not self.body.is_complete:
            head.expects_continue = False
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._has_sent = True
        self.body.attach(conn)

    def on_all_failed(self, endpoint: str, failure: Failure | None) -> None:
        """No try is left."""
        if failure in (Failure.RESET, Failure.STALE):
            self.refuse(upstream_reset(endpoint))
        elif failure is Failure.BAD_ANSWER:
            self.refuse(bad_answer(endpoint))
        elif failure is Failure.NO_ROOM:
            self.refuse(self._proxy.no_room())
        else:
            self.refuse(self._proxy.no_backend(started=self._has_sent))

    def on_deadline(self) -> None:
        """Time has run out."""
        self.refuse(self._too_late(started=self._has_sent), what="deadline")

    def can_resend(self) -> bool:
        """Whether the whole request could be sent to another backend."""
        return self.body.can_resend

    # From the backends' connections

    def on_interim(self, conn: UpstreamConnection, status: int, headers: Headers) -> None:
        """Pass on 103 and its like; 100 is ours to send."""
        if status != 100 and self.head.is_http11 and self._answer is None:
            self._client.write(render_interim(status, headers))

    def on_head(
        self, conn: UpstreamConnection, status: int, headers: Headers, *, is_chunked: bool
    ) -> None:
        """An answer begins: this attempt is the one, unless another is made instead."""
        assert self._tries is not None
        now_s = time.monotonic()
        if self._tries.try_instead(conn, status, headers, now_s):
            self.body.retire(conn)
            return
        head = self.head
        self._winner = self._tries.choose(conn, now_s)
        headers = self._with_affinity(headers)
        answer = ResponseHead(status, headers, head, is_chunked=is_chunked)
        self._answer = answer
        self._keep_alive = (
            head.keep_alive
            and self.body.is_complete
            and not answer.ends_by_close
            and not self._proxy.is_draining
        )
        timing = self._proxy.server_timing(now_s - head.arrived_s)
        self._out.append(answer.render(head, timing=timing, keep_alive=self._keep_alive))
        if not self._client.has_room:
            conn.set_reading(False)

    def on_body(self, data: bytes) -> None:
        """Pass a piece of the answer on, in this connection's framing."""
        self._sent_bytes += len(data)
        assert self._answer is not None
        if self._answer.is_chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_turn_end(self) -> None:
        """The backend has said all it has for now."""
        self._flush()

    def on_answer_end(self, conn: UpstreamConnection, trailers: Headers) -> None:
        """The answer is complete."""
        answer = self._answer
        assert answer is not None
        if answer.is_chunked:
            self._out.append(b"0\r\n%b\r\n" % render_trailers(trailers))
        status = answer.status
        # Before the rest is written: a client without room must not pause an idle connection.
        self._end_winner(str(status), outcome_of_status(status))
        self._flush()
        self._finish(status, "OK" if status < 400 else f"HTTP_{status}")

    def on_switch(self, conn: UpstreamConnection, headers: Headers, rest: bytes) -> None:
        """The backend agreed to WebSocket: the exchange ends, the two connections go on."""
        assert self._tries is not None
        now_s = time.monotonic()
        self._winner = self._tries.choose(conn, now_s)
        if self._proxy.is_draining:
            conn.transport.abort()
            self.refuse(draining(self._proxy.instance))
            return
        headers = self._with_affinity(headers)
        self._end_winner("101", Outcome.OK)
        timing = self._proxy.server_timing(now_s - self.head.arrived_s)
        self._client.write(render_switch(headers, self.head, timing=timing))
        cast(SwitchingClient, self._client).switch(conn.transport, rest)
        self._finish(101, "SWITCHED")

    def on_lost(self, conn: UpstreamConnection, failure: Failure) -> None:
        """A connection broke before its answer was complete."""
        assert self._tries is not None
        if self._answer is None:
            self.body.retire(conn)
            self._tries.on_lost(conn, failure, time.monotonic())
            return
        self._flush()
        self._end_winner(failure.value, Outcome.FAILED)
        self._finish(502, "UPSTREAM_RESET", broken=True)

    def on_upstream_room(self, has_room: bool) -> None:
        """The backend reads the body, or doesn't: let the client wait with it."""
        self.body.on_room(has_room)

    # Private

    def _make_tries(self, deadline_s: float | None) -> Tries:
        head, settings = self.head, self._proxy.settings
        is_safe = (
            head.method in settings.retry_methods
            and head.target.startswith(settings.retry_paths)
            and not head.upgrades
        )
        return Tries(
            self._proxy,
            self,
            asked=self._proxy.asked_of(head),
            request_id=head.request_id,
            is_safe=is_safe,
            may_hedge=is_safe and not head.has_body,
            arrived_s=head.arrived_s,
            deadline_s=deadline_s,
        )

    def _with_affinity(self, headers: Headers) -> Headers:
        affinity = self._proxy.affinity
        if affinity is None or self._winner is None:
            return headers
        return affinity.renewed(headers, self.head.outline.headers, self._winner.endpoint)

    def _too_late(self, *, started: bool) -> Problem:
        budget_ms = (self._budget_s or 0.0) * 1000
        return deadline_exceeded(self._proxy.instance, budget_ms, started=started)

    def _deadline_line(self) -> bytes:
        if self._budget_s is None or self.head.upgrades:  # after the upgrade there is no deadline
            return b"\r\n"
        left_s = self.head.arrived_s + self._budget_s - time.monotonic()
        return _TIMEOUT_LINE % format_timeout_ms(left_s).encode() + b"\r\n"

    def _flush(self) -> None:
        if self._out:
            self._client.write(b"".join(self._out) if len(self._out) > 1 else self._out[0])
            self._out.clear()

    def _end_winner(self, what: str, outcome: Outcome) -> None:
        assert self._tries is not None
        assert self._winner is not None
        self._tries.finish(self._winner, what, outcome, time.monotonic())
        self._winner = None

    def _finish(
        self, status: int, reason: str, *, what: str = "given up", broken: bool = False
    ) -> None:
        if self._is_done:
            return
        self._is_done = True
        now_s = time.monotonic()
        self.body.detach()
        self._winner = None
        if self._tries is not None:
            # Why OVERLOADED at the deadline: slowness shows in what is in flight; only checks and
            # broken connections take a backend out, or a slow service behind all would do so.
            outcome = Outcome.OVERLOADED if what == "deadline" else Outcome.IGNORED
            self._tries.close(what, outcome, now_s)
        if self.is_started:
            self._proxy.end()
        self._record(status, reason, now_s)
        self._client.on_exchange_done(keep_alive=self._keep_alive, broken=broken)

    def _record(self, status: int, reason: str, now_s: float) -> None:
        head = self.head
        took_s = now_s - head.arrived_s
        given_s = self._budget_s
        notes = self._tries.notes if self._tries is not None else []
        if self._deadline_mode is Mode.SHADOW and given_s is not None and took_s > given_s:
            notes.append(Note("deadline", "shadow-rejected", given_s))
        log = self._proxy.access_log
        if log is not None and log.takes(head.request_id, status):
            log.add(head, status, reason, self._sent_bytes, took_s, notes)
        self._proxy.record(
            RequestSummary(
                request_id=head.request_id,
                trace_id=head.trace_id,
                instance=self._proxy.instance,
                route=head.method.decode(),
                started_unix_s=time.time() - took_s,
                duration_ms=took_s * 1000,
                remaining_in_ms=None if given_s is None else given_s * 1000,
                remaining_out_ms=None if given_s is None else (given_s - took_s) * 1000,
                status=reason,
                code=status,
                notes=notes,
            )
        )
