"""HTTP/2 frames told apart, and made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.wire.http2 import (
    DATA,
    END_STREAM,
    HEADERS,
    PREFACE,
    FrameReader,
    NotHttp2Error,
    rst_stream,
    window_update,
)

pytestmark = pytest.mark.unit

SETTINGS = bytes.fromhex("000000040000000000")  # RFC 9113, section 6.5: an empty one


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Make any frame."""
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


@pytest.mark.property
@given(
    frames=st.lists(
        st.tuples(
            st.integers(0, 255), st.integers(0, 255), st.integers(0, 99), st.binary(max_size=50)
        ),
        max_size=10,
    ),
    size=st.integers(1, 60),
)
def test_frames_are_told_apart_in_pieces_of_any_size(
    frames: list[tuple[int, int, int, bytes]], size: int
) -> None:
    """Behind the client's preface; nothing is lost."""
    text = PREFACE + b"".join(frame(*each) for each in frames)
    reader = FrameReader(has_preface=True)
    out = b""
    found = []
    for start in range(0, len(text), size):
        preface, whole = reader.feed(text[start : start + size])
        found += whole
        out += preface + b"".join(each.data for each in whole)
    assert out == text
    assert [(each.kind, each.flags, each.stream, each.data[9:]) for each in found] == frames
    assert reader.partial == b""


def test_the_frames_we_send_are_those_of_the_specification() -> None:
    """RFC 9113, sections 6.4 and 6.9."""
    assert rst_stream(3, 8) == bytes.fromhex("000004 03 00 00000003 00000008")
    assert window_update(65_535) == bytes.fromhex("000004 08 00 00000000 0000ffff")


def test_a_flag_is_taken_off_and_nothing_else() -> None:
    """END_STREAM goes, END_HEADERS stays."""
    _, [found] = FrameReader(has_preface=False).feed(frame(HEADERS, 0x25, 7, b"block"))
    assert found.without(END_STREAM) == frame(HEADERS, 0x24, 7, b"block")
    assert (found.kind, found.stream, found.size) == (HEADERS, 7, 5)
    assert DATA == 0


def test_a_client_without_the_preface_is_no_http2() -> None:
    """Named at its first wrong byte."""
    with pytest.raises(NotHttp2Error):
        FrameReader(has_preface=True).feed(b"GET / HTTP/1.1\r\n")
    reader = FrameReader(has_preface=True)
    assert reader.feed(PREFACE[:5]) == (b"", [])
    assert reader.feed(PREFACE[5:] + SETTINGS)[0] == PREFACE
