"""Several slots on their way side by side, so that what a node does for one it does for all.

Each SETSLOT waits for the node's replica and has both write nodes.conf; each slot that is claimed
has every node of the cluster sync that file to its disk, and a node serves nobody meanwhile. A node
that gets many at once writes once: slots that take each step together share the file, its sync and
the message to the others. Each slot has connections of its own, since SETSLOT blocks the one it
comes on. What the steps promise holds slot by slot, as if each went alone.
Source: valkey: CLUSTER SETSLOT; cluster_legacy.c, clusterBeforeSleep and clusterSaveConfig.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from shard.move.slot import SlotMove
from shard.policy.slot_move import Step

T = TypeVar("T")

Watcher = Callable[[Step, int], Awaitable[None]]
"""Told after each step, with the slot: reports, or a test's place to break something."""


async def move_together(
    slots: Sequence[SlotMove],
    before_claim: Callable[[], Awaitable[None]],
    watcher: Watcher,
    *,
    back: bool = False,
) -> None:
    """Go on to the end with all of them, or back where that is safe.

    Args:
        slots: Of one target.
        before_claim: Awaited before the target claims any.
        watcher: See ``Watcher``.
        back: Whether the move was cancelled.

    Raises:
        NodeTrouble: One of them can't go on; the others took the same step first.
    """
    under_way = list(slots)
    while under_way:
        steps = await _all(one.next_step(back=back) for one in under_way)
        due = [
            (one, step) for one, step in zip(under_way, steps, strict=True) if step is not Step.DONE
        ]
        if any(step is Step.CLAIM for _, step in due):
            await before_claim()
        await _all(one.take(step) for one, step in due)
        for one, step in due:
            await watcher(step, one.slot)
        under_way = [one for one, _ in due]


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait until all are done; the first error then, so that none goes on unseen."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]
