"""Cut a command whose keys live in several slots into one command per slot, and join the replies.

Why: a cluster's node refuses keys of two slots even when it owns both. A command that treats each
key by itself (``Command.join`` says which) means the same in parts, except that the parts aren't
one moment: another client may see or change something between them, and some may fail alone.
Source: Redis Cluster specification, "Implemented subset"; Envoy's Redis proxy, "Supported commands"
(its split commands); hash tags put keys that must stay together into one slot.
Not handled: atomicity over slots; a transaction needs its keys in one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hashing.slots import slot_of
from shard.policy.commands import Command, Join, key_positions

KEYS_NAMED = 8  # in an error; a command may have a million


class CrossSlotError(ValueError):
    """Keys of several slots in a command that can't be split; its text begins with CROSSSLOT."""


class Part(NamedTuple):
    """What one slot gets.

    Args:
        slot: 0..16383.
        words: A whole command.
        order: Which of the original keys these are, counted from 0.
        keys: The keys among the words.
    """

    slot: int
    words: Sequence[bytes]
    order: Sequence[int]
    keys: Sequence[bytes]


def split(
    command: Command, words: Sequence[bytes], place_of: Callable[[bytes], int] = slot_of
) -> list[Part]:
    """Cut a command by slot; one part, the command itself, when its keys share a slot.

    Args:
        command: What ``commands.find`` said.
        words: All of it, the name first.
        place_of: What keys must share instead of a slot: where there are none, a node's number.

    Raises:
        CrossSlotError: Several slots, and it can't be split; the keys are named.
        ValueError: A wrong number of words, or no key.
    """
    places = key_positions(command, words)
    if not places:
        raise ValueError(f"{command.name.decode()}: no key, so no slot to send it to")
    keys = [words[place] for place in places]
    by_slot: dict[int, list[int]] = {}
    for number, key in enumerate(keys):
        by_slot.setdefault(place_of(key), []).append(number)
    if len(by_slot) == 1:
        return [Part(next(iter(by_slot)), words, range(len(keys)), keys)]
    if command.join is None:
        raise CrossSlotError(cross_slot(command.name, keys))
    return [
        Part(slot, _part(command, words, places, order), order, [keys[each] for each in order])
        for slot, order in by_slot.items()
    ]


def join(how: Join, parts: Sequence[Part], replies: Sequence[object]) -> object:
    """Make one reply of those of the parts.

    Args:
        how: The command's ``join``.
        parts: What ``split`` said.
        replies: A plain reply to each, in the same order.

    Raises:
        ValueError: A reply isn't what that command answers.
    """
    if how is Join.OK:
        return b"OK"
    if how is Join.SUM:
        return sum(_count(reply) for reply in replies)
    joined: list[object] = [None] * sum(len(part.order) for part in parts)
    for part, reply in zip(parts, replies, strict=True):
        for number, value in zip(part.order, _values(reply, len(part.order)), strict=True):
            joined[number] = value
    return joined


def cross_slot(name: bytes, keys: Sequence[bytes]) -> str:
    """Say which keys of a command don't share a slot, and what to do."""
    named = [f"{_text(key)} (slot {slot_of(key)})" for key in keys[:KEYS_NAMED]]
    more = f" and {len(keys) - KEYS_NAMED} more" if len(keys) > KEYS_NAMED else ""
    return (
        f"CROSSSLOT {_text(name)} needs its keys in one slot: {', '.join(named)}{more}; "
        "give them a common hash tag, such as {user:7}:name"
    )


def _part(
    command: Command, words: Sequence[bytes], places: Sequence[int], order: Sequence[int]
) -> list[bytes]:
    part = [words[0]]
    for number in order:
        part.extend(words[places[number] : places[number] + command.step])
    return part


def _count(reply: object) -> int:
    if not isinstance(reply, int):
        raise ValueError(f"expected a count, got {reply!r:.80}")
    return reply


def _values(reply: object, wanted: int) -> Sequence[object]:
    if not isinstance(reply, list) or len(reply) != wanted:
        raise ValueError(f"expected a list of {wanted}, got {reply!r:.80}")
    return reply


def _text(raw: bytes) -> str:
    return raw[:64].decode("utf-8", "backslashreplace")
