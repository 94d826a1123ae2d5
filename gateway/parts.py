"""Optional parts of a page: asked for under their own deadline, covered by the last good answer.

    fallback ▸ deadline of the part ▸ pipeline of the service

With the switch ``fallback`` on, a part whose call fails for the other side's sake or ours is shown
as it was the last time, at most five minutes ago, and the page names it ``stale``. In shadow, and
off, it is missing and the page names it ``degraded``. Either way the page's ``x-squall-decision``
says who took the part away.

Why not the stage of the pipelines: one serves all methods of a service, and a session, say, may not
be shown old; and a part that there was no time to ask for never reaches a pipeline.
Source: RFC 5861, section 4 (stale-if-error).
Not handled: sharing what is kept between gateways; a part nobody asked for within five minutes.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from gateway.fanout import Missing, optional_part
from resilience.errors import ServiceError
from resilience.fallback import Fallback
from resilience.fallback_sources import Answer, LastGoodAnswer
from resilience.observer import Observer
from resilience.policy.contract import Mode, Snapshot
from resilience.refusal import decision_text

MAX_AGE_S = 300.0  # RFC 5861's examples allow 1,200 s; comments of five minutes ago are still some
MAX_KEYS = 1024  # videos' worth of each part, the library's default; some 4 MB of comments
PARTS = ("author", "comments", "stats", "authors")

T = TypeVar("T")


class Visible(Protocol):
    """A policy that can be shown and reset."""

    def reset(self, now_s: float) -> None:
        """Forget what was counted."""

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""


class Place(Protocol):
    """What the parts need of the node they are asked for on."""

    instance: str

    @property
    def events(self) -> Observer:
        """Who hears of each answer that stood in."""

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""

    def register_gate(self, name: str, gate: Visible) -> None:
        """Show a policy, and reset it when told to."""


class Shown(NamedTuple):
    """What a page says of its parts, besides what they hold."""

    degraded: list[str]
    stale: list[str]
    stale_age_s: dict[str, float]
    decisions: tuple[str, ...]


class Parts:
    """Ask for optional parts; make one and keep it, since it keeps the last good answers.

    Args:
        place: The node.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fallbacks: Mapping[str, Fallback[Any]] = {
            part: Fallback[Any](
                part,
                [LastGoodAnswer(MAX_AGE_S, MAX_KEYS, "last-good")],
                place,
                scope=f"{place.instance}>{part}",
                observer=place.events,
            )
            for part in PARTS
        }
        for part, fallback in self._fallbacks.items():
            place.register_gate(f"fallback.{part}", fallback)

    async def get(
        self, part: str, call: Callable[[], Awaitable[T]], key: Hashable
    ) -> Answer[T] | Missing:
        """Ask for one part; run it in a task of its own.

        Args:
            part: One of ``PARTS``.
            call: Begins the call; not called when no time is left for it.
            key: Whose part it is: the last good answer is that of the same key.
        """
        missing: Missing | None = None

        async def ask() -> T:
            nonlocal missing
            found = await optional_part(part, call, self._place)
            if isinstance(found, Missing):
                missing = found
                raise found.error
            return found

        try:
            return await self._fallbacks[part].answer(ask, key)
        except ServiceError as error:
            return missing or Missing(part, error)

    def show(self, parts: Mapping[str, Answer[Any] | Missing]) -> Shown:
        """Say which parts are missing or old, and who decided that."""
        shown = Shown([], [], {}, ())
        decisions = []
        for part, found in parts.items():
            if isinstance(found, Missing):
                shown.degraded.append(part)
                decisions.append(found.decision(self._place.instance))
            elif found.source:
                age_s = round(found.age_s, 3)
                shown.stale.append(part)
                shown.stale_age_s[part] = age_s
                scope = f"{self._place.instance}>{part}"
                decisions.append(decision_text("fallback", scope, age_s, MAX_AGE_S))
        return shown._replace(decisions=tuple(decisions))
