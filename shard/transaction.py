"""A transaction: MULTI, the commands and EXEC as one block, and what its answers come to.

The block leaves in one write on the shared connection, nothing between its commands, so it costs
one round trip and holds nobody up. All keys share a slot. EXEC's reply decides:

- a list: all were executed, together. A command may have failed inside (WRONGTYPE); its place then
  holds a ``ReplyError``, and the others were executed all the same: Redis doesn't roll back.
- EXECABORT: a command was refused when it was queued, so none was executed; that refusal is what
  is reported, or followed when it is a MOVED, ASK or TRYAGAIN.
- nil: a watched key had changed (``shard.watch``), none was executed: STORE_CONFLICT.

Source: valkey: "Transactions"; EXEC redirects like any command (cluster.c, ``getNodeByQuery``).
Not handled: MULTI itself refused (an ACL without it) lets the commands through one by one, which is
told as UNKNOWN.
"""

from collections.abc import Sequence

from shard.policy.attempt import Failure, is_refusal
from shard.policy.split import CrossSlotError, cross_slot
from shard.resp import Answer, Argument, ReplyError, pack
from shard.routing import route

EXEC = pack(("EXEC",))
_MULTI = pack(("MULTI",))
_BECAUSE = "because of: "


def slot_of_all(commands: Sequence[Sequence[Argument]]) -> int:
    """Return the one slot of all keys.

    Raises:
        CrossSlotError: There are several; the keys are named.
        ValueError: No command, one without a key, or one that can't be in a transaction.
    """
    parts = [part for command in commands for part in route(command).parts]
    if not parts:
        raise ValueError("a transaction of no commands: give at least one")
    slots = {part.slot for part in parts}
    if len(slots) > 1:
        raise CrossSlotError(cross_slot(b"MULTI", [key for part in parts for key in part.keys]))
    return slots.pop()


def leaders_of(commands: Sequence[Sequence[Argument]]) -> tuple[bytes, ...]:
    """Pack MULTI and the commands; EXEC is the operation itself."""
    return (_MULTI, *(pack(tuple(each)) for each in commands))


def outcome(queued: Sequence[Answer], executed: Answer) -> Answer:
    """Reduce a block's answers to one that the usual rules can be applied to.

    Args:
        queued: To MULTI and to each command, as far as they came.
        executed: To EXEC.
    """
    if isinstance(executed, Failure):
        return executed
    errors = [str(each) for each in queued if isinstance(each, ReplyError)]
    if queued and isinstance(queued[0], ReplyError) and not is_refusal(errors[0]):
        return ReplyError(f"ERR no transaction, the commands may have run alone: {errors[0]}")
    if isinstance(executed, ReplyError):
        return _refused(errors, str(executed))
    return ReplyError("CONFLICT a watched key has changed") if executed is None else executed


def _refused(errors: Sequence[str], executed: str) -> ReplyError:
    """Say why EXEC refused: by the first command refused, else by its own words."""
    if not errors:
        cause = executed.partition(_BECAUSE)[2].lstrip("-")
        return ReplyError(cause if is_refusal(cause) else executed)
    return ReplyError(errors[0] if is_refusal(errors[0]) else f"EXECABORT {errors[0]}")
