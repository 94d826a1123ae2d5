"""State breaker: stop calling a dependency that fails or drags, look again later, then go on.

CLOSED lets all pass and judges by what the window remembers; OPEN refuses all for a time;
HALF_OPEN lets a few pass, and they decide. Where each event leads is data (``breaker_states``).

    CLOSED    opens when calls >= min_calls and (failed / calls >= failure_ratio
              or slow / calls >= slow_ratio)
    HALF_OPEN opens as soon as the same shares of half_open_calls are reached, closes when all of
              them have ended without; after max_half_open_s it is judged by what there is, and
              what has not come back counts as failed and slow
    open time min(open_cap_s, open_s * open_growth ^ times opened without having closed) ± jitter

Source: resilience4j:resilience4j-circuitbreaker/.../internal/CircuitBreakerStateMachine.java;
Nygard, Release It!, "Circuit Breaker". Different here, because others are known to be wrong:

- A permit belongs to the state it was given in (generation): what began before the breaker opened
  says nothing about whether the other side is well again, and moves no later state.
- Half-open can't get stuck: not by calls that never return, not by too few callers (resilience4j
  #903, #935, #2028), not by a probe that another policy refused: an IGNORED call gives its place
  back (Sentinel #1638). And it is bounded: hyx lets every caller in at once.
- It opens again at the failure that settles the matter and does not wait for the rest.
- ``min_calls`` above the window is an error; resilience4j lowers it silently.
- An operator's state (forced open, disabled, counting only) outlives ``reset``.

Time is looked at when a call comes: with no caller, an open breaker stays open.
Not handled: calls that hang while CLOSED (they count when they end; a per-try timeout ends them,
and ``sre_breaker`` counts before the call); which errors are failures (``resilience.outcome``).
"""

import random

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_states import Event, State, Transition, next_state
from resilience.policy.breaker_window import CountWindow, Window
from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot

REASON = "BREAKER_OPEN"
RETRY_AFTER_S = 1.0  # half-open and full; the smallest that HTTP's Retry-After can say
DEFAULTS = BreakerSettings()

# By name in this module: looking a member up in its class costs more than the rest of a test.
_CLOSED, _OPEN, _HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
_DISABLED = State.DISABLED
_OK, _IGNORED = Outcome.OK, Outcome.IGNORED


class StateBreaker:
    """A Gate with states. Every call is O(1), and changes the state at most once.

    Args:
        settings: When it opens and closes.
        rng: Draws the jitter of the open time; needed only for that.

    Attributes:
        state: What it does now, as of the latest call.
        last_transition: The latest change of state; None before the first. Whoever looks after
            each call misses none.
        in_flight: Permits not yet settled, of whatever state.

    Raises:
        ValueError: Jitter is asked for without ``rng``.

    Invariant: in HALF_OPEN at most ``half_open_calls`` are under way or counted.
    """

    name = "breaker"

    __slots__ = (
        *("_all_window", "_generation", "_half_open_until_s", "_limit", "_min_calls", "_open_s"),
        *("_open_until_s", "_opened", "_probe_window", "_probes", "_rejected", "_rng", "_slow_s"),
        *("_value", "_window", "in_flight", "last_transition", "settings", "state"),
    )

    def __init__(
        self, settings: BreakerSettings = DEFAULTS, rng: random.Random | None = None
    ) -> None:
        if settings.open_jitter_ratio and rng is None:
            raise ValueError(f"open_jitter_ratio={settings.open_jitter_ratio} needs an rng")
        self.settings = settings
        self._rng = rng
        self._slow_s = settings.slow_s
        self._min_calls = settings.min_calls
        self._all_window = settings.new_window()
        self._probe_window: Window = CountWindow(settings.half_open_calls)
        self._window = self._all_window  # that of the two which judges now, or has judged last
        self._probes = 0  # given in this half-open; an ignored one is given back
        self._generation = 0
        self._open_s = settings.open_s  # how long it will be open next
        self._open_until_s = 0.0
        self._half_open_until_s = 0.0
        self._value: float | None = None  # the share that opened it, and what it was held against
        self._limit: float | None = None
        self._rejected = 0
        self._opened = 0
        self.in_flight = 0
        self.state = _CLOSED
        self.last_transition: Transition | None = None

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request pass, or refuse it by the state; an open time that is over ends here."""
        if self.state is not _CLOSED:
            rejection = self._refuse(now_s)
            if rejection is not None:
                self._rejected += 1
                return rejection
        self.in_flight += 1
        return Permit(self._generation, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take the permit back; a result of this very state counts, and may change it.

        FAILED and OVERLOADED are failures. IGNORED counts nothing and gives its place back.
        """
        permit.mark_settled()
        self.in_flight -= 1
        if permit.generation != self._generation:
            return
        state = self.state
        if outcome is _IGNORED:
            if state is _HALF_OPEN:
                self._probes -= 1
            return
        if state is _DISABLED:
            return
        window = self._window
        window.add(outcome is not _OK, now_s - permit.issued_s > self._slow_s, now_s)
        if state is _CLOSED:
            calls = window.calls
            if calls >= self._min_calls and (window.failed or window.slow):
                self._go(self._verdict(window, calls), now_s)
        elif state is _HALF_OPEN:
            self._judge_probes(now_s)

    def close(self, now_s: float) -> None:
        """Let all pass and judge anew, whatever it did before."""
        self._go(Event.CLOSE, now_s)

    def trip(self, now_s: float) -> None:
        """Open it as if too many had failed; it looks again after the open time."""
        self._go(Event.TRIP, now_s)

    def force_open(self, now_s: float) -> None:
        """Refuse all until ``close`` or another of these says otherwise."""
        self._go(Event.FORCE_OPEN, now_s)

    def disable(self, now_s: float) -> None:
        """Let all pass and count nothing, until told otherwise."""
        self._go(Event.DISABLE, now_s)

    def count_only(self, now_s: float) -> None:
        """Let all pass and only count; ``would_open`` in the snapshot says what it would do."""
        self._go(Event.COUNT_ONLY, now_s)

    def reset(self, now_s: float) -> None:
        """Forget what was learned: open and half-open close; what an operator set by hand stays."""
        self._go(Event.RESET, now_s)
        self._generation += 1
        self._window.reset()
        self._open_s = self.settings.open_s
        self._rejected = 0
        self._opened = 0

    def snapshot(self) -> Snapshot:
        """Return the state as of the latest call, and the counts that judge it or have."""
        window = self._window
        calls = window.calls
        judged = self.state is State.METRICS_ONLY and calls >= self._min_calls
        return {
            "state": self.state.value,
            "calls": calls,
            "failed": window.failed,
            "slow": window.slow,
            "failure_ratio": round(window.failed / calls, 4) if calls else 0.0,
            "slow_ratio": round(window.slow / calls, 4) if calls else 0.0,
            "would_open": judged and self._verdict(window, calls) is not None,
            "open_until_s": self._open_until_s if self.state is _OPEN else None,
            "probes": self._probes if self.state is _HALF_OPEN else 0,
            "in_flight": self.in_flight,
            "rejected": self._rejected,
            "opened": self._opened,
            "last_event": self.last_transition.event.value if self.last_transition else None,
        }

    def _refuse(self, now_s: float) -> Rejection | None:
        """Say why a call may not pass in a state other than CLOSED; None lets it pass."""
        if self.state is _OPEN and now_s >= self._open_until_s:
            self._go(Event.WAITED, now_s)
        elif self.state is _HALF_OPEN and now_s >= self._half_open_until_s:
            self._judge_late(now_s)
        state = self.state
        if state is _OPEN:
            wait_s = self._open_until_s - now_s
            return Rejection(self.name, REASON, wait_s, self._value, self._limit)
        if state is State.FORCED_OPEN:  # nobody knows until when; no time at all invites retries
            return Rejection(self.name, REASON, self.settings.open_s)
        if state is _HALF_OPEN:
            most = self.settings.half_open_calls
            if self._probes >= most:
                return Rejection(self.name, REASON, RETRY_AFTER_S, self._probes, most)
            self._probes += 1
        return None

    def _judge_probes(self, now_s: float) -> None:
        """Decide as soon as the results still missing can't change it."""
        window, most = self._window, self.settings.half_open_calls
        event = self._verdict(window, most)
        if event is None and window.calls == most:
            event = Event.RECOVERED
        self._go(event, now_s)

    def _judge_late(self, now_s: float) -> None:
        """Decide by what there is; with nothing at all to go by, give it the time again."""
        window = self._window
        for _ in range(self._probes - window.calls):
            window.add(True, True, now_s)  # it hangs
        if window.calls:
            self._go(self._verdict(window, window.calls) or Event.RECOVERED, now_s)
        else:
            self._half_open_until_s = now_s + self.settings.max_half_open_s

    def _verdict(self, window: Window, calls: int) -> Event | None:
        """Hold the shares of so many calls against the limits."""
        settings = self.settings
        if window.failed / calls >= settings.failure_ratio:
            return Event.TOO_MANY_FAILED
        return Event.TOO_MANY_SLOW if window.slow / calls >= settings.slow_ratio else None

    def _go(self, event: Event | None, now_s: float) -> None:
        """Change the state as the table says; an event that leads nowhere changes nothing."""
        source = self.state
        target = next_state(source, event) if event else None
        if event is None or target is None or target is source:
            return
        if target is _OPEN:
            self._open(event, now_s)
        elif target is _HALF_OPEN:
            self._window = self._probe_window
            self._window.reset()
            self._probes = 0
            self._half_open_until_s = now_s + self.settings.max_half_open_s
        else:
            self._window = self._all_window
            self._window.reset()
            self._open_s = self.settings.open_s
        self.state = target
        self._generation += 1
        self.last_transition = Transition(source, event, target, now_s)

    def _open(self, event: Event, now_s: float) -> None:
        settings = self.settings
        self._open_until_s = now_s + settings.jittered_s(self._open_s, self._rng)
        self._open_s = min(settings.open_cap_s, self._open_s * settings.open_growth)
        self._opened += 1
        window = self._window
        self._value = self._limit = None
        if event is Event.TOO_MANY_FAILED:
            self._value, self._limit = window.failed / window.calls, settings.failure_ratio
        elif event is Event.TOO_MANY_SLOW:
            self._value, self._limit = window.slow / window.calls, settings.slow_ratio

    def __repr__(self) -> str:
        window = self._window
        counts = f"{window.failed} failed, {window.slow} slow of {window.calls}"
        return f"<StateBreaker {self.state.name} {counts}>"
