"""What leaves when, toxic by toxic, with plain numbers."""

import pytest

from faults.kinds import LINK_KINDS
from faults.wire.piece import Signal
from faults.wire.toxics import bandwidth
from faults.wire.toxics.registry import MESSAGE_KINDS, PROTOCOL_KINDS, TOXICS
from tests.faults.wire.drive import (
    DOWN,
    UP,
    Timeline,
    data,
    drain,
    exchange_with,
    flow,
    signals,
    times,
)
from tests.faults.wire.lab import toxic

pytestmark = pytest.mark.unit


def test_every_kind_of_link_fault_has_its_toxic() -> None:
    """The table of kinds and the table of toxics name the same."""
    assert set(TOXICS) == set(LINK_KINDS)
    assert {"loading", "reset_stream", "slow_headers"} == PROTOCOL_KINDS
    assert {"loading", "reset_stream"} == MESSAGE_KINDS


def test_latency_delays_each_piece_and_the_end() -> None:
    """Two pieces 10 ms apart leave 10 ms apart, 100 ms later; so does the end."""
    told = toxic("latency", ms=100)
    left = flow(exchange_with(told), [(0.0, b"a"), (0.01, b"b"), (0.02, Signal.END)])
    assert left == [(0.1, b"a"), (0.11, b"b"), (0.12, Signal.END)]
    assert told[1].as_dict() == {
        "kind": "latency",
        "hits": 2,
        "connections": 1,
        "bytes": 2,
        "delayed_ms": 200.0,
        "resets": 0,
    }


def test_latency_with_jitter_stays_in_its_range_and_keeps_order() -> None:
    """50 ± 50 ms: each piece within 0..100 ms after it came, none before the one ahead of it."""
    feeds = [(number * 0.01, bytes([number])) for number in range(100)]
    left = flow(exchange_with(toxic("latency", ms=50, jitter_ms=50)), feeds)
    assert [piece for _, piece in left] == [piece for _, piece in feeds]
    assert times(left) == sorted(times(left))
    waits = [out - came for (out, _), (came, _) in zip(left, feeds, strict=True)]
    assert min(waits) >= 0.0
    assert max(waits) <= 0.1 + 1e-6
    assert len({round(wait, 4) for wait in waits}) > 20


def test_jitter_beyond_the_latency_never_goes_back_in_time() -> None:
    """10 ± 500 ms would be negative half of the time; then it is no delay."""
    left = flow(exchange_with(toxic("latency", ms=10, jitter_ms=500)), [(1.0, b"x")] * 20)
    assert min(times(left)) >= 1.0


def test_an_idle_line_with_bandwidth_needs_a_second_for_its_rate() -> None:
    """10 KB at 10 KB/s leave in ten shares, the last after one second."""
    left = flow(exchange_with(toxic("bandwidth", kbps=10)), [(0.0, b"x" * 10_000)])
    assert times(left) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert {len(piece) for _, piece in left if isinstance(piece, bytes)} == {1_000}
    assert (bandwidth.BYTES_PER_KB, bandwidth.SHARE_S) == (1_000, 0.1)


def test_a_busy_line_with_bandwidth_queues() -> None:
    """What comes while the line is busy is behind; after a pause the line is free again."""
    feeds: Timeline = [
        (0.0, b"x" * 1_000),
        (0.0, b"y" * 1_000),
        (5.0, b"z" * 1_000),
        (5.0, Signal.END),
    ]
    left = flow(exchange_with(toxic("bandwidth", kbps=1)), feeds)
    assert data(left) == b"x" * 1_000 + b"y" * 1_000 + b"z" * 1_000
    assert times(left)[-2:] == [6.0, 6.0]
    assert max(at_s for at_s, piece in left if piece == b"y" * 100) == 2.0


def test_slow_close_delays_only_the_end() -> None:
    """Bytes pass at once, the half-close a second later; a reset isn't held up."""
    told = toxic("slow_close", ms=1_000)
    left = flow(exchange_with(told), [(0.0, b"a"), (0.5, Signal.END)])
    assert left == [(0.0, b"a"), (1.5, Signal.END)]
    assert (told[1].hits, told[1].delayed_ms) == (1, 1_000.0)
    assert flow(exchange_with(toxic("slow_close", ms=9)), [(1.0, Signal.RESET)]) == [
        (1.0, Signal.RESET)
    ]


def test_timeout_swallows_and_closes_on_time() -> None:
    """200 ms after the connection began, not after its last byte."""
    told = toxic("timeout", ms=200)
    left = flow(exchange_with(told), [(0.05, b"a"), (0.1, b"b")])
    assert left == [(0.2, Signal.CLOSE)]
    assert (told[1].hits, told[1].bytes) == (2, 2)


def test_timeout_of_zero_is_a_black_hole_until_a_side_ends() -> None:
    """Nothing leaves, for as long as it takes; a half-close still passes."""
    exchange = exchange_with(toxic("timeout"))
    assert flow(exchange, [(0.0, b"a"), (600.0, b"b")]) == []
    assert flow(exchange, [(700.0, Signal.END)]) == [(700.0, Signal.END)]


def test_a_timeout_that_ends_closes_what_lost_bytes_and_spares_what_did_not() -> None:
    """A stream with a hole in it must not go on."""
    spared, holed = exchange_with(toxic("timeout")), exchange_with(toxic("timeout"))
    holed.take(DOWN, b"lost", 1.0)
    for exchange in (spared, holed):
        exchange.set_toxics((), 2.0)
    assert drain(holed, 2.0) == [(2.0, Signal.CLOSE)]
    assert flow(spared, [(3.0, b"kept")]) == [(3.0, b"kept")]


def test_reset_peer_counts_from_the_first_bytes() -> None:
    """Nothing happens on a silent connection; then 50 ms; nothing gets through."""
    told = toxic("reset_peer", ms=50)
    exchange = exchange_with(told)
    assert exchange.next_s(DOWN) is None
    assert flow(exchange, [(1.0, b"a"), (1.01, b"b")]) == [(1.05, Signal.RESET)]
    assert told[1].resets == 1


def test_slices_have_about_the_size_and_the_distance_told() -> None:
    """100 bytes in slices of 10 ± 2, 1 ms apart, of a second piece too."""
    told = toxic("slicer", bytes=10, variation=2, us=1_000)
    left = flow(exchange_with(told), [(0.0, b"x" * 100), (0.0, b"y" * 20)])
    sizes = [len(piece) for _, piece in left if isinstance(piece, bytes)]
    assert data(left) == b"x" * 100 + b"y" * 20
    assert max(sizes) <= 12
    assert sum(size < 8 for size in sizes) <= 2  # the rest of each piece
    assert times(left) == [round(number * 0.001, 6) for number in range(len(left))]


def test_slices_of_one_byte_may_not_vary() -> None:
    """A variation as large as the size would make empty slices."""
    left = flow(exchange_with(toxic("slicer", bytes=1, variation=50)), [(0.0, b"abc")])
    assert [piece for _, piece in left] == [b"a", b"b", b"c"]


def test_limit_data_delivers_the_limit_and_closes() -> None:
    """Of 4 + 4 bytes with a limit of 6, six arrive; what comes later is nobody's."""
    told = toxic("limit_data", bytes=6)
    exchange = exchange_with(told)
    left = flow(exchange, [(0.0, b"abcd"), (1.0, b"efgh"), (2.0, b"ijkl")])
    assert left == [(0.0, b"abcd"), (1.0, b"ef"), (1.0, Signal.CLOSE)]


def test_a_raised_limit_counts_what_has_passed() -> None:
    """With 4 of 10 bytes gone, a limit of 6 leaves 2."""
    exchange = exchange_with(toxic("limit_data", bytes=10))
    assert data(flow(exchange, [(0.0, b"abcd")])) == b"abcd"
    exchange.set_toxics([toxic("limit_data", bytes=6)], 1.0)
    assert flow(exchange, [(1.0, b"efgh")]) == [(1.0, b"ef"), (1.0, Signal.CLOSE)]


def test_down_resets_before_a_byte() -> None:
    """The reset is there when the connection is, and counted."""
    told = toxic("down")
    exchange = exchange_with(told)
    assert flow(exchange, [(0.0, b"late")]) == [(0.0, Signal.RESET)]
    assert (told[1].hits, told[1].resets, told[1].connections) == (1, 1, 1)


def test_the_other_direction_is_left_alone() -> None:
    """A toxic upstream disturbs requests, not answers."""
    exchange = exchange_with(toxic("latency", UP, ms=100))
    assert flow(exchange, [(0.0, b"answer")], DOWN) == [(0.0, b"answer")]
    assert flow(exchange, [(0.0, b"request")], UP) == [(0.1, b"request")]
    assert exchange.is_plain(DOWN)
    assert not exchange.is_plain(UP)


def test_signals_keep_their_place_behind_bytes() -> None:
    """A close overtakes nothing, whatever the toxics."""
    left = flow(
        exchange_with(toxic("latency", ms=10), toxic("slicer", bytes=2, us=500)),
        [(0.0, b"abcdef"), (0.0, Signal.CLOSE)],
    )
    assert data(left) == b"abcdef"
    assert signals(left) == [Signal.CLOSE]
    assert left[-1][1] is Signal.CLOSE
