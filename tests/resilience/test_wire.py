"""Wire formats: what is read, what is written, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import wire

NOON_UNIX_S = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of the RFC's examples


@pytest.mark.parametrize(("text", "seconds"), [("1", 0.001), ("250", 0.25), ("600000", 600.0)])
def test_timeout_ms_reads_its_whole_range(text: str, seconds: float) -> None:
    """Integer milliseconds, 1 to 600000."""
    assert wire.parse_timeout_ms(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "600001", "1.5", "1e3", "abc", " 5", "٣", "9" * 30, "5ms"]
)
def test_timeout_ms_refuses_everything_else(text: str) -> None:
    """The message says what came and what should have."""
    with pytest.raises(ValueError, match="integer of 1 to 600000"):
        wire.parse_timeout_ms(text)


def test_a_long_header_is_quoted_short() -> None:
    """Whatever a client sends, the message stays a line."""
    with pytest.raises(ValueError, match=r"9\.\.\.'") as error:
        wire.parse_timeout_ms("9" * 5000)

    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250m", 0.25), ("1S", 1.0), ("2M", 120.0), ("1H", 3600.0), ("5u", 5e-6), ("0n", 0.0)],
)
def test_grpc_timeout_reads_every_unit(text: str, seconds: float) -> None:
    """H M S m u n, and 0, which is spent but legal."""
    assert wire.parse_grpc_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "123456789m", "1.5S", "1 S", "1Sx"])
def test_grpc_timeout_refuses_everything_else(text: str) -> None:
    """At most eight digits and exactly one unit."""
    with pytest.raises(ValueError, match="grpc-timeout"):
        wire.parse_grpc_timeout(text)


def test_of_two_deadlines_the_smaller_counts() -> None:
    """Either header alone, both, or none."""
    assert wire.parse_deadline("500", None) == 0.5
    assert wire.parse_deadline(None, "250m") == 0.25
    assert wire.parse_deadline("500", "250m") == 0.25
    assert wire.parse_deadline("100", "250m") == 0.1
    assert wire.parse_deadline(None, None) is None


@given(st.floats(0, 600))
def test_a_deadline_written_and_read_never_grows(seconds: float) -> None:
    """Rounding down never promises time there isn't; below a millisecond there is one."""
    assert wire.parse_timeout_ms(wire.format_timeout_ms(seconds)) <= max(seconds, 0.001)
    assert wire.parse_grpc_timeout(wire.format_grpc_timeout(seconds)) <= seconds + 1e-12


def test_grpc_timeout_is_written_in_the_finest_unit_that_fits() -> None:
    """Eight digits: nanoseconds to 0.1 s, then micro-, milli- and whole seconds."""
    assert wire.format_grpc_timeout(0.05) == "50000000n"
    assert wire.format_grpc_timeout(2.5) == "2500000u"
    assert wire.format_grpc_timeout(1000) == "1000000m"
    assert wire.format_grpc_timeout(1e6) == "1000000S"
    assert wire.format_grpc_timeout(-1) == "0n"


def test_traceparent_survives_writing_and_reading() -> None:
    """W3C's own example."""
    text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    parent = wire.parse_traceparent(text)

    assert parent == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True)
    assert wire.format_traceparent(parent.trace_id, parent.span_id) == text
    assert wire.format_traceparent("a", "b", sampled=False) == "00-a-b-00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ],
)
def test_a_bad_traceparent_is_refused(text: str) -> None:
    """Upper case, zeros, version ff, and more fields than version 00 has."""
    with pytest.raises(ValueError, match="traceparent"):
        wire.parse_traceparent(text)


def test_a_later_version_of_traceparent_may_say_more() -> None:
    """W3C Trace Context 3.2.4: read what is known of a higher version."""
    text = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what"

    assert wire.parse_traceparent(text).sampled is False


def test_baggage_reads_members_and_drops_properties() -> None:
    """Values are percent-decoded, properties after a semicolon dropped."""
    read = wire.parse_baggage("a=1, b=x%20y;ttl=3 ,c=")

    assert read == {"a": "1", "b": "x y", "c": ""}


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,10}", fullmatch=True), st.text(max_size=20)))
def test_baggage_survives_writing_and_reading(members: dict[str, str]) -> None:
    """Any text in a value comes back as it was."""
    assert wire.parse_baggage(wire.format_baggage(members)) == members


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "x" * 9000, ",".join(["a=1"] * 65)])
def test_bad_baggage_is_refused(text: str) -> None:
    """No key, a key that is no token, too long, too many."""
    with pytest.raises(ValueError, match="baggage"):
        wire.parse_baggage(text)


def test_retry_after_rounds_up_and_is_bounded() -> None:
    """Whole seconds, at least one: nobody comes back too early."""
    assert wire.format_retry_after(0.2) == "1"
    assert wire.format_retry_after(1.2) == "2"
    assert wire.parse_retry_after("3", 0.0) == 3.0
    assert wire.parse_retry_after("999999999", 0.0) == wire.MAX_RETRY_AFTER_S == 86_400.0


@pytest.mark.paper
@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_each_form_of_a_date_is_read(date: str) -> None:
    """RFC 9110, 5.6.7: three forms of one moment; 30 s before it the wait is 30 s."""
    assert wire.parse_retry_after(date, NOON_UNIX_S - 30) == 30.0
    assert wire.parse_retry_after(date, NOON_UNIX_S - 0.25) == 0.25


def test_seconds_and_the_ends_of_a_date() -> None:
    """120 s; a moment that has passed is now; nobody waits longer than a day."""
    assert wire.parse_retry_after("120", NOON_UNIX_S) == 120.0
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert wire.parse_retry_after(date, NOON_UNIX_S + 5) == 0.0
    assert wire.parse_retry_after(date, 0.0) == 86_400.0
    assert wire.parse_retry_after("Sun, 06 Nov 1994 08:49:37 -0000", NOON_UNIX_S - 9) == 9.0


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "9999999999", "2 min", "Sun, 06 Nov"])
def test_neither_seconds_nor_a_date_is_an_error(text: str) -> None:
    """The message shows what came."""
    with pytest.raises(ValueError, match="retry-after"):
        wire.parse_retry_after(text, NOON_UNIX_S)


def test_bounds_are_those_of_the_standards() -> None:
    """W3C Baggage 3.3.2 and the design's deadline range."""
    assert (wire.MAX_TIMEOUT_MS, wire.MAX_BAGGAGE_BYTES, wire.MAX_BAGGAGE_MEMBERS) == (
        600_000,
        8192,
        64,
    )
