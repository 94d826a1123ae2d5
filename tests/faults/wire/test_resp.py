"""Where RESP messages end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.wire.resp import (
    MAX_LINE_BYTES,
    NotRespError,
    ReplyKind,
    command_words,
    kind_of,
    message_end,
)

pytestmark = pytest.mark.unit

WHOLE = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"(123456789012345678901\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$7\r\na\r\nb\r\nc\r\n",
    b"=8\r\ntxt:text\r\n",
    b"!5\r\nERR x\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n+x\r\n",
    b"%1\r\n+key\r\n$5\r\nvalue\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b">3\r\n+message\r\n+channel\r\n$2\r\nhi\r\n",
    b"|1\r\n+ttl\r\n:5\r\n$5\r\nvalue\r\n",
    b"PING\r\n",
]


@pytest.mark.parametrize("message", WHOLE)
def test_a_message_ends_where_it_ends(message: bytes) -> None:
    """Found in the middle of others, and missed at every shorter length."""
    assert message_end(message) == len(message)
    assert message_end(b"+before\r\n" + message + b"+after\r\n", 9) == 9 + len(message)
    for cut in range(len(message)):
        assert message_end(message[:cut]) is None


values = st.recursive(
    st.one_of(
        st.binary(max_size=20).map(lambda data: b"$%d\r\n%s\r\n" % (len(data), data)),
        st.integers().map(lambda number: b":%d\r\n" % number),
    ),
    lambda inner: st.lists(inner, max_size=4).map(
        lambda items: b"*%d\r\n" % len(items) + b"".join(items)
    ),
    max_leaves=12,
)


@pytest.mark.property
@given(st.lists(values, min_size=1, max_size=5))
def test_messages_in_a_row_are_told_apart(messages: list[bytes]) -> None:
    """Whatever is in them."""
    buffer, start, found = b"".join(messages), 0, []
    while start < len(buffer):
        end = message_end(buffer, start)
        assert end is not None
        found.append(buffer[start:end])
        start = end
    assert found == messages


def test_what_is_no_header_is_an_error() -> None:
    """A length that is no number, and a line that never ends."""
    with pytest.raises(NotRespError, match="b'x' is no length"):
        message_end(b"*x\r\n")
    with pytest.raises(NotRespError, match="no line ends"):
        message_end(b"a" * (MAX_LINE_BYTES + 1))


def test_commands_are_named_in_both_forms() -> None:
    """First two words, in capitals."""
    assert command_words(b"*3\r\n$6\r\nclient\r\n$5\r\nreply\r\n$3\r\noff\r\n") == (
        b"CLIENT",
        b"REPLY",
    )
    assert command_words(b"*1\r\n$4\r\nping\r\n") == (b"PING", b"")
    assert command_words(b"get key\r\n") == (b"GET", b"KEY")
    assert command_words(b"\r\n") == (b"", b"")
    assert command_words(b"*0\r\n") == (b"", b"")


def test_a_push_answers_nothing() -> None:
    """It may come between replies."""
    assert kind_of(b">1\r\n+x\r\n") is ReplyKind.PUSH
    assert kind_of(b"+OK\r\n") is ReplyKind.REPLY
