"""The beginnings of commands that have been seen: most are known at one look.

A command's bytes up to its key (``*2 $3 GET $16``) say its name, how many words it has and how long
its key is, and come again and again. So they are looked up whole: what was found out about them
once, by the slow way, needn't be found out again. Only commands with one key, right behind the
name, are learnt: their bytes go on as they came.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from shard.policy.attempt import Work
from shard.policy.commands import find
from shard.policy.refusals import REFUSED
from shard.routing import SIMPLE

HEAD = re.compile(
    rb"\*[1-9][0-9]{0,4}\r\n\$[1-9][0-9]?\r\n[^\r\n]{1,99}\r\n\$(?:0|[1-9][0-9]{0,8})\r\n"
)
"""All that comes before the key; strict in its numbers as ``shard.policy.frames``."""

MARKED_LENGTHS = {b"$%d" % number: number for number in range(4096)}
MAX_KEY_BYTES = 1024  # longer keys go the slow way, so that the table stays small
MAX_HEADS = 8192  # then it begins anew


class Head(NamedTuple):
    """What a beginning says.

    Args:
        key_bytes: How long the key is.
        values: Words behind the key.
        work: What the command does.
    """

    key_bytes: int
    values: int
    work: Work


class Heads(dict[bytes, Head]):
    """Beginnings and what they say."""

    def learn(self, begin: bytes, words: Sequence[bytes]) -> None:
        """Learn from a whole command, if it is of the kind that goes on as it came."""
        name = words[0].upper()
        command = find(name)
        if command is None or name not in SIMPLE or name in REFUSED:
            return
        if not command.takes(len(words)) or len(words[1]) > MAX_KEY_BYTES:
            return
        if len(self) >= MAX_HEADS:
            self.clear()
        self[begin] = Head(len(words[1]), len(words) - 2, command.work)
