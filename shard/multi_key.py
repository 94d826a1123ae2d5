"""Commands of many keys over many slots: cut, sent at once, and put together again.

Not atomic: each slot's part happens by itself, others may read between them, and some may fail
alone. So a split write's result says of each key what is known of it, and as a whole it counts as
ACKNOWLEDGED only when every part is, as REFUSED only when no part was executed, else as UNKNOWN.
Keys with a common hash tag share a slot, and their command is never cut.
Source: ``shard.policy.split``; valkey-glide splits the same six.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shard.operation import Operation
from shard.policy.attempt import Reads, Work
from shard.policy.durability import STORE_ERROR, Durability, WriteStatus
from shard.policy.split import join
from shard.resp import Argument, Reply, pack
from shard.result import WriteResult
from shard.routing import Route, route
from shard.runner import Runner

KEYS_TOLD = 4  # in a message; the result itself has them all


class KeyedResult(NamedTuple):
    """What is known of the keys of one slot.

    Args:
        keys: Those of the part, as bytes, in the order they were given.
        result: The part's own.
    """

    keys: tuple[bytes, ...]
    result: WriteResult


class SplitResult(NamedTuple):
    """What is known of a write over several slots.

    Args:
        whole: As one result; its value is the joined reply.
        parts: One for each slot.
    """

    whole: WriteResult
    parts: tuple[KeyedResult, ...]

    @property
    def status(self) -> WriteStatus:
        """The whole's: UNKNOWN too when some parts were executed and some refused."""
        return self.whole.status

    @property
    def value(self) -> Reply:
        """The joined reply; None unless every part is acknowledged."""
        return self.whole.value

    def keys(self, status: WriteStatus) -> list[bytes]:
        """Return the keys of which that is known."""
        return [key for part in self.parts if part.result.status is status for key in part.keys]

    def raise_for_status(self) -> Reply:
        """Return the joined reply, or raise as ``WriteResult.raise_for_status``."""
        return self.whole.raise_for_status()


async def run_split(
    runner: Runner,
    work: Work,
    command: Sequence[Argument],
    durability: Durability,
    deadline_s: float | None,
    reads: Reads = Reads.PRIMARY,
) -> SplitResult:
    """Carry out a command of any number of keys and slots.

    Raises:
        CrossSlotError: Several slots, and it can't be split.
        ValueError: No key, or a wrong number of words.
    """
    found, until_s = route(command), runner.deadline(deadline_s)
    operations = [
        Operation(work, part.slot, pack(tuple(part.words)), until_s, durability, reads=reads)
        for part in found.parts
    ]
    results = await runner.run_all(operations)
    keyed = zip(found.parts, results, strict=True)
    parts = tuple(KeyedResult(tuple(part.keys), result) for part, result in keyed)
    return SplitResult(_whole(work, found, parts), parts)


def _whole(work: Work, found: Route, parts: Sequence[KeyedResult]) -> WriteResult:
    results = [each.result for each in parts]
    troubled = [each for each in results if each.status is not WriteStatus.ACKNOWLEDGED]
    if len(results) == 1:
        return results[0]
    if troubled:
        return troubled[0] if work is Work.READ else _troubled(parts)
    assert found.join is not None
    try:
        value = join(found.join, found.parts, [each.value for each in results])
    except ValueError as error:
        return WriteResult(WriteStatus.UNKNOWN, None, STORE_ERROR, str(error))
    return WriteResult(WriteStatus.ACKNOWLEDGED, value)


def _troubled(parts: Sequence[KeyedResult]) -> WriteResult:
    """Sum up a write of which at least one part isn't acknowledged; the first gives the reason."""
    statuses = {each.result.status for each in parts}
    worst = WriteStatus.UNKNOWN if WriteStatus.UNKNOWN in statuses else WriteStatus.REFUSED
    first = next(each for each in parts if each.result.status is worst)
    status = WriteStatus.REFUSED if statuses == {WriteStatus.REFUSED} else WriteStatus.UNKNOWN
    told = "; ".join(
        f"{status.value}: {_named(keys)}"
        for status in WriteStatus
        if (keys := [key for each in parts if each.result.status is status for key in each.keys])
    )
    message = f"{first.result.message} ({told})"
    return WriteResult(status, None, first.result.reason, message)


def _named(keys: Sequence[bytes]) -> str:
    named = ", ".join(key[:64].decode("utf-8", "backslashreplace") for key in keys[:KEYS_TOLD])
    more = len(keys) - KEYS_TOLD
    return f"{named} and {more} more" if more > 0 else named
