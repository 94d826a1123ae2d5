"""Cursors: a place in a list, handed to the client as an opaque word.

Why opaque: a client that can read a cursor builds its own, and then the order of the list can never
change. Why a position and not a page number: entries that arrive between two pages shift page
numbers, and the reader sees an entry twice or never.
Source: Google AIP-158, "Pagination".
Not handled: signing; a forged cursor shows only what a listing shows anyway.
"""

import base64
import binascii
import re

from resilience.errors import Code, ServiceError

CURSOR_INVALID = "CURSOR_INVALID"
MAX_POSITION = 2**53  # sorted sets keep scores as doubles: whole numbers are exact up to here
MAX_CURSOR_CHARS = 40  # base64 of the longest kind and position there is
DEFAULT_PAGE_LIMIT = 20
MAX_PAGE_LIMIT = 100

_WORD = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CURSOR_CHARS}}}", re.ASCII)
_POSITION = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def encode_cursor(kind: str, position: int) -> str:
    """Make the word for a place in a list.

    Args:
        kind: Whose list, e.g. ``video``; a cursor of one list is refused by another.
        position: 1..2**53, the id of the last entry that was shown.
    """
    if not 1 <= position <= MAX_POSITION:
        raise ValueError(f"position {position} is outside 1..{MAX_POSITION}")
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).rstrip(b"=").decode()


def decode_cursor(kind: str, cursor: str) -> int | None:
    """Read a cursor back.

    Returns:
        The position, or None for the empty cursor, which means the first page.

    Raises:
        ServiceError: ``CURSOR_INVALID`` when the word is none of ours, or another list's.
    """
    if not cursor:
        return None
    position = _position(kind, cursor)
    # Why compare: base64 has spare bits, so several words would decode to the same position.
    if position is None or encode_cursor(kind, position) != cursor:
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            CURSOR_INVALID,
            "the cursor isn't one of this list: take next_cursor from an answer, unchanged",
        )
    return position


def page_limit(asked: int, default: int = DEFAULT_PAGE_LIMIT, maximum: int = MAX_PAGE_LIMIT) -> int:
    """Say how many entries a page has: the default for 0 or less, never above the maximum.

    Source: AIP-158: a page size above the maximum is coerced, not refused.
    """
    return min(asked, maximum) if asked > 0 else default


def _position(kind: str, cursor: str) -> int | None:
    if not _WORD.fullmatch(cursor):
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    found_kind, _, number = text.partition(":")
    if found_kind != kind or not _POSITION.fullmatch(number) or int(number) > MAX_POSITION:
        return None
    return int(number)
