"""From a command as its caller writes it to what each slot gets.

Most commands have one key, right behind the name: those are known by name, in one look. Only the
others are taken apart (``shard.policy.commands``, ``shard.policy.split``). A command nobody knows,
of a module perhaps, is taken to have its key there too: the node has the last word.
Not handled: names in mixed case are as slow as the others.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hashing.slots import slot_of
from shard.policy.commands import COMMANDS, Command, Join, find
from shard.policy.split import Part, split
from shard.resp import Argument


class Route(NamedTuple):
    """Where a command goes.

    Args:
        parts: One for each slot; one alone is the command itself.
        join: How the replies of several parts become one.
    """

    parts: Sequence[Part]
    join: Join | None


def _is_simple(command: Command) -> bool:
    several = command.count_at or command.after or command.is_held
    return (command.first, command.last) == (1, 1) and not several


SIMPLE: frozenset[Argument] = frozenset(
    spelt
    for each in COMMANDS.values()
    if _is_simple(each)
    for name in (each.name, each.name.lower())
    for spelt in (name, name.decode())
)
"""Names, as str and bytes, of the commands whose only key is their second word."""


def key_of(command: Sequence[Argument]) -> bytes:
    """Return the second word.

    Raises:
        ValueError: There is none.
    """
    if len(command) < 2:
        raise ValueError(f"no key in {command!r:.80}: the key is a command's second element")
    key = command[1]
    return key.encode() if key.__class__ is str else as_bytes(key)


def route(command: Sequence[Argument]) -> Route:
    """Find the slots of any command.

    Raises:
        CrossSlotError: Its keys have several slots, and it can't be split.
        ValueError: No key, a wrong number of words, or a command that would hold the connection
            which it shares with others.
    """
    if not command:
        raise ValueError("an empty command")
    words = [as_bytes(each) for each in command]
    known = find(words[0])
    if known is None:
        return Route([Part(slot_of(key_of(words)), words, (0,), (words[1],))], None)
    if known.is_held and _holds(known, words):
        raise ValueError(
            f"{known.name.decode()} would hold a connection shared with others: see "
            "StoreClient.session (transactions, blocking) and StoreClient.subscribe"
        )
    return Route(split(known, words), known.join)


def as_bytes(argument: Argument) -> bytes:
    """Return an argument as it leaves."""
    if isinstance(argument, bytes):
        return argument
    return (argument if isinstance(argument, str) else repr(argument)).encode()


def _holds(command: Command, words: Sequence[bytes]) -> bool:
    """XREAD and XREADGROUP hold their connection only by BLOCK, an option before STREAMS."""
    if b"STREAMS" not in command.after:
        return True
    options = [word.upper() for word in words[1:]]
    end = options.index(b"STREAMS") if b"STREAMS" in options else len(options)
    return b"BLOCK" in options[:end]
