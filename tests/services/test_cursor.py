"""Cursors: what is made can be read back, and nothing else can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import Code, ServiceError
from services.cursor import (
    DEFAULT_PAGE_LIMIT,
    MAX_CURSOR_CHARS,
    MAX_PAGE_LIMIT,
    MAX_POSITION,
    decode_cursor,
    encode_cursor,
    page_limit,
)

POSITIONS = st.integers(1, MAX_POSITION)


def position_or_refusal(word: str) -> str:
    """Read a cursor into its position, or the reason it was refused for."""
    try:
        return str(decode_cursor("video", word))
    except ServiceError as error:
        return error.reason


def test_defaults_are_the_documented_ones() -> None:
    """Pages have 20 entries unless asked for others, 100 at most; positions end at 2**53."""
    assert (DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT, MAX_POSITION) == (20, 100, 2**53)


@given(POSITIONS, st.sampled_from(["video", "comment"]))
def test_a_cursor_reads_back_as_the_position_it_was_made_of(position: int, kind: str) -> None:
    """Encoding and decoding are inverse, and a cursor is a short word without padding."""
    cursor = encode_cursor(kind, position)
    assert decode_cursor(kind, cursor) == position
    assert len(cursor) <= MAX_CURSOR_CHARS
    assert "=" not in cursor


@given(POSITIONS)
def test_a_cursor_of_another_list_is_refused(position: int) -> None:
    """A cursor belongs to the list that made it."""
    with pytest.raises(ServiceError) as caught:
        decode_cursor("comment", encode_cursor("video", position))
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "CURSOR_INVALID")


@given(st.text(min_size=1))
def test_any_other_word_is_refused_or_is_exactly_a_cursor(word: str) -> None:
    """Whatever a client sends is refused, unless it is the very word we would have made."""
    position = position_or_refusal(word)
    assert position == "CURSOR_INVALID" or encode_cursor("video", int(position)) == word


@given(POSITIONS, st.data())
def test_a_cursor_with_one_character_changed_never_reads_as_the_same_place(
    position: int, data: st.DataObject
) -> None:
    """There is one word per position: a changed word is refused or another position."""
    cursor = encode_cursor("video", position)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_="))
    changed = cursor[:at] + letter + cursor[at + 1 :]
    assert changed == cursor or position_or_refusal(changed) != str(position)


def test_the_empty_cursor_is_the_first_page() -> None:
    """No cursor means no position."""
    assert decode_cursor("video", "") is None


@pytest.mark.parametrize("position", [0, -1, MAX_POSITION + 1])
def test_a_position_out_of_range_makes_no_cursor(position: int) -> None:
    """Positions are 1 to 2**53; another one is a programming error."""
    with pytest.raises(ValueError, match="outside"):
        encode_cursor("video", position)


@pytest.mark.parametrize(("asked", "given_"), [(0, 20), (-3, 20), (1, 1), (100, 100), (101, 100)])
def test_page_limits_are_coerced(asked: int, given_: int) -> None:
    """0 and less mean the default; above the maximum means the maximum."""
    assert page_limit(asked) == given_
