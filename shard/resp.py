"""RESP as Python values: a command packed, a reply typed.

Bytes, integers, None and lists of these are plain replies. An error reply is a ``ReplyError``
value, not a raised exception, since one pipeline holds good and bad replies side by side.
"""

from collections.abc import Callable
from typing import TypeAlias, cast

import hiredis

from shard.policy.attempt import Failure

Argument: TypeAlias = str | bytes | int | float

Reply: TypeAlias = object
"""bytes | int | None | list of these; narrow it with isinstance before use."""

Answer: TypeAlias = object
"""A Reply, a ReplyError, or a Failure when there is no reply at all."""


class ReplyError(Exception):
    """An error reply; its text begins with the kind, e.g. ``MOVED 3999 127.0.0.1:6381``."""

    @property
    def kind(self) -> str:
        """The first word."""
        return str(self).partition(" ")[0]


def is_plain(answer: Answer) -> bool:
    """Whether an answer is a reply to hand on, neither an error nor a failure."""
    return not isinstance(answer, ReplyError | Failure)


# hiredis types its parameter as a tuple of one.
pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
"""Pack one command, name first; strings leave as UTF-8."""
