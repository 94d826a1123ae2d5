"""A command that isn't known at one look: checked, refused, split, queued or sent.

The order of the checks is a server's: who are you, is there such a command, has it as many words,
may you, and then whether a proxy can do it.
Source: valkey: src/server.c ``processCommand``, whose wording of errors clients know.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shard.policy.acl import ALWAYS, NOAUTH
from shard.policy.attempt import Work
from shard.policy.commands import Command, Join, find, key_positions
from shard.policy.refusals import refusal
from shard.policy.split import CrossSlotError, Part, split
from shard.proxy.own import OWN
from shard.proxy.request import Block, Gather, Request
from shard.proxy.router import error
from shard.proxy.transaction import ABORTED, QUEUED, Transaction
from shard.resp import pack

if TYPE_CHECKING:
    from shard.proxy.session import Session

_OK = b"+OK\r\n"
_ARGUMENTS_SHOWN = 128  # valkey: characters of the arguments in "unknown command"


def dispatch(session: "Session", words: Sequence[bytes], payload: bytes) -> None:
    """Carry one command out, or answer why not.

    Args:
        session: Whose it is.
        words: All of it, the name first.
        payload: The same as RESP.
    """
    name = words[0].upper()
    refused = _refused(session, name, words)
    if refused is not None:
        if session.transaction is not None:
            session.transaction.is_broken = True
        session.front.counts["refused_commands"] += 1
        session.reply(error(refused))
    elif name in _BLOCKS:
        _BLOCKS[name](session)
    elif name in OWN:
        OWN[name](session, words)
    elif _is_load(name, words):
        _load_script(session, words)
    else:
        _bring(session, words, payload)


def _refused(session: "Session", name: bytes, words: Sequence[bytes]) -> str | None:
    """Return why the command won't be carried out; None: it will."""
    if session.user is None and name not in ALWAYS:
        return NOAUTH
    known = find(name)
    if known is None:
        return _unknown(words)
    shown = name.decode("utf-8", "backslashreplace")
    if not known.takes(len(words)):
        return f"ERR wrong number of arguments for '{shown.lower()}' command"
    is_own = name in OWN or name in _BLOCKS or _is_load(name, words)
    try:
        keys = [] if is_own else [words[at] for at in key_positions(known, words)]
    except ValueError as wrong:
        return f"ERR {wrong}"
    not_allowed = None if session.user is None else session.user.refusal(name, keys)
    if not_allowed is not None or is_own:
        return not_allowed or _refused_in_block(session, name, shown)
    why = refusal(name) if not known.is_held or _blocks(known, words) else None
    if why is not None:
        return why
    return None if keys else f"ERR {shown} needs a key here: it says which node to ask"


def _refused_in_block(session: "Session", name: bytes, shown: str) -> str | None:
    in_block = session.transaction is not None
    if name == b"MULTI" and not session.front.router.has_blocks:
        return "ERR MULTI isn't available in front of a cache: its nodes share no keys; use EVAL"
    if name == b"MULTI" and in_block:
        return "ERR MULTI calls can not be nested"
    if name in (b"EXEC", b"DISCARD") and not in_block:
        return f"ERR {shown} without MULTI"
    if in_block and name not in _BLOCKS and name not in (b"QUIT", b"RESET"):
        return f"ERR {shown} can't be queued in a transaction through the proxy"
    return None


def _blocks(known: Command, words: Sequence[bytes]) -> bool:
    """Whether a command that may hold its connection does: XREAD does only by BLOCK."""
    if b"STREAMS" not in known.after:
        return True
    options = [word.upper() for word in words]
    end = options.index(b"STREAMS") if b"STREAMS" in options else len(options)
    return b"BLOCK" in options[:end]


def _unknown(words: Sequence[bytes]) -> str:
    shown = [word[:_ARGUMENTS_SHOWN].decode("utf-8", "backslashreplace") for word in words[:20]]
    begin = "".join(f"'{each}' " for each in shown[1:])[:_ARGUMENTS_SHOWN]
    return f"ERR unknown command '{shown[0]}', with args beginning with: {begin}"


def _bring(session: "Session", words: Sequence[bytes], payload: bytes) -> None:
    """Send a command to the node of its keys, or its parts to theirs."""
    router, known = session.front.router, find(words[0])
    assert known is not None
    try:
        parts = split(known, words, router.place_of)
    except CrossSlotError as wrong:
        _refuse(session, str(wrong))
        return
    first = parts[0]
    if session.transaction is not None:
        _queue(session, payload, [part.slot for part in parts], first.keys[0])
    elif len(parts) == 1:
        session.forward(session.request(payload, first.slot, first.keys[0], known.work))
    else:
        assert known.join is not None
        _spread(session, parts, known.join, known.work)


def _spread(session: "Session", parts: Sequence[Part], join: Join | None, work: Work) -> None:
    """Send the parts of one command, whose replies become one."""
    whole = session.request(b"", parts[0].slot, b"", work)
    gather = Gather(whole, parts, join)
    session.expect(whole)
    gather.requests = [
        Request(
            gather, pack(tuple(part.words)), part.slot, part.keys[0] if part.keys else b"",
            work, whole.deadline_s, session.protocol,
        )
        for part in parts
    ]  # fmt: skip
    for request in gather.requests:
        session.front.router.send(request)


def _is_load(name: bytes, words: Sequence[bytes]) -> bool:
    """Whether it is SCRIPT LOAD, which clients say after a NOSCRIPT: every node takes it."""
    return name == b"SCRIPT" and len(words) == 3 and words[1].upper() == b"LOAD"


def _load_script(session: "Session", words: Sequence[bytes]) -> None:
    places = session.front.router.places()
    if places:
        _spread(session, [Part(each, words, (), ()) for each in places], None, Work.READ)
    else:
        _refuse(session, "ERR STORE_UNAVAILABLE: no node is known; trying again is safe")


def _refuse(session: "Session", text: str) -> None:
    if session.transaction is not None:
        session.transaction.is_broken = True
    session.front.counts["refused_commands"] += 1
    session.reply(error(text))


def _queue(session: "Session", payload: bytes, places: Sequence[int], key: bytes) -> None:
    assert session.transaction is not None
    for place in places:
        if session.transaction.place not in (None, place) or place != places[0]:
            _refuse(session, "CROSSSLOT a transaction's keys must be in one slot")
            return
    wrong = session.transaction.add(payload, places[0], key)
    if wrong is None:
        session.reply(QUEUED)
    else:
        _refuse(session, wrong)


def _multi(session: "Session") -> None:
    session.transaction = Transaction()
    session.settle_mode()
    session.reply(_OK)


def _discard(session: "Session") -> None:
    session.transaction = None
    session.settle_mode()
    session.reply(_OK)


def _exec(session: "Session") -> None:
    queued, session.transaction = session.transaction, None
    session.settle_mode()
    assert queued is not None
    if queued.is_broken:
        session.reply(ABORTED)
    elif queued.place is None:
        session.reply(b"*0\r\n")
    else:
        plain = session.request(b"", queued.place, queued.key, Work.WRITE)
        session.forward(
            Block(
                session, queued.block, queued.place, queued.key,
                plain.deadline_s, session.protocol, len(queued.payloads) + 1,
            )
        )  # fmt: skip


_BLOCKS = {b"MULTI": _multi, b"EXEC": _exec, b"DISCARD": _discard}
