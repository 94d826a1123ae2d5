"""What the control plane's scripts answer, as values.

Why: bytes end here. Entries of a kind or shape that this process doesn't know are left out.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from kit.belief import Reading, Stored
from kit.entries import decode_entry
from kit.members import Member


class Sync(NamedTuple):
    """One trip of a process: its lease renewed, a reading, the members when it wanted them."""

    reading: Reading
    members: list[Member] | None


def parse_sync(answer: list[Any]) -> Sync:
    """Read what the script SYNC returned."""
    run, is_settled, version, now_ms, state, members = answer
    entries = None if state is None else _parse_state(state)
    reading = Reading(run.decode(), bool(is_settled), int(version), int(now_ms), entries)
    if members is None:
        return Sync(reading, None)
    return Sync(reading, sorted(_parse_members(members), key=lambda one: one.instance))


def to_plain(stored: Stored) -> dict[str, Any]:
    """Return an entry as plain JSON; what ends by itself with the time it was written."""
    value: dict[str, Any] = msgspec.to_builtins(stored.entry)
    if "created_ms" in value:
        value["created_ms"] = stored.written_ms
    return value


def _parse_state(flat: list[bytes]) -> dict[str, Stored]:
    entries = {}
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        field = name.decode()
        written_ms, _, data = value.partition(b" ")
        entry = decode_entry(field, data)
        if entry is not None:
            entries[field] = Stored(entry, int(written_ms))
    return entries


def _parse_members(leases: list[bytes]) -> Iterator[Member]:
    decoder = msgspec.json.Decoder(Member)
    for lease in leases:
        try:
            yield decoder.decode(lease)
        except msgspec.MsgspecError:
            continue
