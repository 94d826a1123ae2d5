"""Frames: found as hiredis and the server find them, whole or in pieces, strict at the edges."""

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy.frames import (
    MAX_ARGUMENTS,
    MAX_BULK_BYTES,
    MAX_COMMAND_BYTES,
    MAX_INLINE_BYTES,
    STRANGER_ARGUMENTS,
    STRANGER_BULK_BYTES,
    STRANGER_LIMITS,
    FrameLimits,
    ProtocolError,
    ReplyCut,
    RequestCut,
    elements,
    inline_words,
    length_of,
)
from shard.resp import pack

WORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)

REPLIES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":42\r\n",
    b"$3\r\nabc\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+a\r\n*2\r\n_\r\n,1.5\r\n",
    b"~1\r\n#t\r\n",
    b"(12345678901234567890\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"!5\r\nERR x\r\n",
    b"|1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n",
    b"*3\r\n*1\r\n*1\r\n*0\r\n*-1\r\n$-1\r\n",
]


def test_defaults() -> None:
    """Each bound is the documented one; those of strangers are the server's."""
    assert (MAX_BULK_BYTES, MAX_ARGUMENTS) == (16 * 1024 * 1024, 65_536)
    assert (MAX_COMMAND_BYTES, MAX_INLINE_BYTES) == (64 * 1024 * 1024, 64 * 1024)
    assert (STRANGER_BULK_BYTES, STRANGER_ARGUMENTS) == (16_384, 10)


@given(WORDS, st.binary(max_size=30), st.binary(max_size=10))
def test_a_request_ends_where_it_ends(words: list[bytes], behind: bytes, before: bytes) -> None:
    """Whatever stands before and behind it, its words and its end are found."""
    frame = pack(tuple(words))
    cut = RequestCut()

    assert cut.go_on(before + frame + behind, len(before)) == len(before) + len(frame)
    assert cut.words == words


@given(WORDS, st.data())
def test_a_request_in_pieces_is_taken_up_where_it_was_left(
    words: list[bytes], data: st.DataObject
) -> None:
    """Growing piece by piece it isn't found before its last byte, and then as a whole."""
    frame = pack(tuple(words))
    cut = RequestCut()
    ends = data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=5).map(sorted))

    for end in ends:
        assert cut.go_on(frame[:end]) == -1
        assert cut.needed <= len(frame)
    assert cut.go_on(frame) == len(frame)
    assert cut.words == words


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*65537\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*" + b"1" * 40, "too big mbulk count string"),
        (b"*1\r\n+GET\r\n", "expected '$', got '+'"),
        (b"*1\r\n:", "expected '$', got ':'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$03\r\nGET\r\n", "invalid bulk length"),
        (b"*1\r\n$ 3\r\nGET\r\n", "invalid bulk length"),
        (b"*1\r\n$536870912\r\n", "invalid bulk length"),
        (b"*1\r\n$" + b"1" * 40, "too big bulk count string"),
        (b"*1\r\n$2\r\nGET\r\n", "another length"),
    ],
)
def test_what_is_no_request_is_refused(said: bytes, told: str) -> None:
    """Each by the words that the server has for it."""
    with pytest.raises(ProtocolError, match=told.replace("$", r"\$").replace("+", r"\+")):
        RequestCut().go_on(said)


def test_a_request_that_adds_up_to_too_much_is_refused() -> None:
    """Each word is short enough, all together aren't; and not all need have come."""
    limits = FrameLimits(command_bytes=100)

    with pytest.raises(ProtocolError, match="too big command"):
        RequestCut(limits).go_on(b"*9\r\n$50\r\n" + b"a" * 50 + b"\r\n$90\r\n")


def test_strangers_may_say_less() -> None:
    """Who isn't logged in is told so, in the server's words."""
    with pytest.raises(ProtocolError, match="unauthenticated multibulk length"):
        RequestCut(STRANGER_LIMITS).go_on(b"*11\r\n")
    with pytest.raises(ProtocolError, match="unauthenticated bulk length"):
        RequestCut(STRANGER_LIMITS).go_on(b"*1\r\n$16385\r\n")


@pytest.mark.parametrize("count", [b"*0\r\n", b"*-1\r\n"])
def test_an_empty_request_is_nothing(count: bytes) -> None:
    """The server skips it too."""
    cut = RequestCut()

    assert (cut.go_on(count), cut.words) == (len(count), [])


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_ends_where_it_ends(reply: bytes) -> None:
    """Whole, in two pieces, and with another behind it."""
    assert ReplyCut().go_on(b"xx" + reply + b"+next\r\n", 2) == 2 + len(reply)
    for end in range(len(reply)):
        cut = ReplyCut()
        assert cut.go_on(reply[:end]) == -1
        assert cut.needed <= len(reply)
        assert cut.go_on(reply) == len(reply)


def nested(depth: int) -> st.SearchStrategy[bytes]:
    """Make replies of any shape."""
    plain = st.sampled_from(REPLIES[:8]) | st.binary(max_size=20).map(
        lambda value: b"$%d\r\n%b\r\n" % (len(value), value)
    )
    if not depth:
        return plain
    return plain | st.lists(nested(depth - 1), max_size=4).map(
        lambda each: b"*%d\r\n%b" % (len(each), b"".join(each))
    )


@given(nested(3), nested(1))
def test_a_reply_ends_where_hiredis_says(reply: bytes, behind: bytes) -> None:
    """The parser of the clients takes exactly the bytes that are found."""
    end = ReplyCut().go_on(reply + behind)
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    reader.feed(reply[:end])

    assert end == len(reply)
    assert reader.gets() is not Ellipsis
    assert reader.gets() is Ellipsis


@pytest.mark.parametrize("said", [b"GET\r\n", b"$x\r\n", b"*1x\r\n", b"\r\n"])
def test_what_is_no_reply_is_refused(said: bytes) -> None:
    """A node that says it can't be followed."""
    with pytest.raises(ProtocolError):
        ReplyCut().go_on(said)


@given(st.lists(nested(2), max_size=5))
def test_elements_are_cut_apart(each: list[bytes]) -> None:
    """Each as its bytes, in order."""
    assert elements(b"*%d\r\n%b" % (len(each), b"".join(each))) == each


def test_only_an_array_has_elements() -> None:
    """A null has none."""
    assert elements(b"*-1\r\n") == []
    with pytest.raises(ProtocolError, match="not an array"):
        elements(b":1\r\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"GET a", [b"GET", b"a"]),
        (b"  GET\t a \r", [b"GET", b"a"]),
        (b"", []),
        (b'SET a "b c"', [b"SET", b"a", b"b c"]),
        (rb'SET a "\x41\n\q\\"', [b"SET", b"a", b"A\nq\\"]),
        (rb"SET a 'it\'s'", [b"SET", b"a", b"it's"]),
        (b"SET a ''", [b"SET", b"a", b""]),
    ],
)
def test_a_line_is_split_as_by_the_server(line: bytes, words: list[bytes]) -> None:
    """Quotes and escapes are those of sdssplitargs."""
    assert inline_words(line) == words


@pytest.mark.parametrize("line", [b'GET "a', b'GET "a"b', b"GET 'a'b", b'GET "a\\"'])
def test_a_line_with_an_open_quote_is_refused(line: bytes) -> None:
    """And one with a word right behind a quote."""
    with pytest.raises(ProtocolError, match="unbalanced quotes"):
        inline_words(line)


@pytest.mark.parametrize("text", [b"", b"01", b"+1", b"-2", b"1 ", b"1_0", b"\xb2", b"1" * 20])
def test_a_length_is_digits(text: bytes) -> None:
    """Python's int() takes some that the server doesn't."""
    assert length_of(text) is None


def test_a_length_may_be_long_or_minus_one() -> None:
    """Those in the table and those beyond."""
    assert [length_of(text) for text in (b"0", b"4096", b"-1")] == [0, 4096, -1]
