"""State breaker: its transcript, from a bad release to the morning after."""

import pytest

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.state_breaker import StateBreaker
from tests.golden import transcript

REQUEST = Request()


class Teller:
    """Call a breaker, and write down what it said."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.breaker = StateBreaker(settings)
        self.lines: list[str] = []
        self.open: list[Permit] = []

    def say(self, text: str) -> None:
        self.lines += ["", f"# {text}"]

    def admit(self, now_s: float, count: int = 1) -> None:
        """Ask for so many places; permits are kept, in order."""
        for _ in range(count):
            decision = self.breaker.admit(REQUEST, now_s)
            if isinstance(decision, Rejection):
                wait = f"come back in {decision.retry_after_s:g} s"
                shown = f"{decision.reason}, {decision.value} against {decision.limit}, {wait}"
            else:
                self.open.append(decision)
                shown = "permit"
            self.write(now_s, "admit", shown)

    def settle(self, now_s: float, outcome: Outcome, count: int = 1) -> None:
        """End the oldest calls under way."""
        for _ in range(count):
            self.breaker.settle(self.open.pop(0), outcome, now_s)
            self.write(now_s, f"settle {outcome.name}", repr(self.breaker))

    def command(self, now_s: float, name: str) -> None:
        getattr(self.breaker, name)(now_s)
        self.write(now_s, name, repr(self.breaker))

    def write(self, now_s: float, what: str, result: str) -> None:
        self.lines.append(f"{now_s:6.1f}  {what:<17} {result}")


@pytest.mark.golden
def test_the_transcript_of_an_outage() -> None:
    """Opened by failures, probed in vain, hung, slow, recovered; then an operator."""
    story = Teller(
        BreakerSettings(
            window_calls=6, min_calls=4, slow_s=1.0, open_s=5.0, open_growth=2.0, half_open_calls=2
        )
    )
    story.say("a bad release: the fourth result is the first that may speak; half failed")
    story.admit(0.0, 5)
    story.settle(0.1, Outcome.OK, 2)
    story.settle(0.2, Outcome.FAILED)
    story.settle(0.3, Outcome.OVERLOADED)
    story.admit(1.0)
    story.say("a call of before comes back well; it says nothing about now")
    story.settle(2.0, Outcome.OK)
    story.say("5 s later two may look, not more; one caller leaves, the next takes the place")
    story.admit(5.3, 3)
    story.settle(5.4, Outcome.IGNORED)
    story.admit(5.4)
    story.say("the first failure settles it; open again, twice as long")
    story.settle(5.5, Outcome.FAILED)
    story.admit(5.6)
    story.settle(5.6, Outcome.OK)
    story.say("the next two hang; a minute later they count as failed")
    story.admit(15.5, 3)
    story.admit(75.5)
    story.settle(80.0, Outcome.OK, 2)
    story.say("answers again, but each takes longer than 1 s")
    story.admit(95.5, 2)
    story.settle(97.0, Outcome.OK, 2)
    story.say("well at last; the open time starts over at 5 s")
    story.admit(137.0, 2)
    story.settle(137.1, Outcome.OK, 2)
    story.admit(137.2)
    story.settle(137.3, Outcome.OK)
    story.say(
        "an operator takes the dependency out, and brings it back with the guard only looking"
    )
    story.command(200.0, "force_open")
    story.admit(200.1)
    story.command(300.0, "count_only")
    story.admit(300.1, 4)
    story.settle(300.2, Outcome.FAILED, 4)
    story.lines.append(f"        would_open        {story.breaker.snapshot()['would_open']}")
    story.command(400.0, "close")

    transcript.check("state_breaker", story.lines[1:])
