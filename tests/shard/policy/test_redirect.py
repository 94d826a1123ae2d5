"""Reading MOVED and ASK."""

import pytest

from shard.policy.redirect import Redirect, parse_redirect
from shard.policy.topology import Address

ASKED = Address("10.0.0.9", 7009)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirect(3999, Address("127.0.0.1", 6381), False)),
        ("ASK 3999 127.0.0.1:6381", Redirect(3999, Address("127.0.0.1", 6381), True)),
        ("MOVED 0 store-1:6379", Redirect(0, Address("store-1", 6379), False)),
        ("MOVED 1 ::1:6381", Redirect(1, Address("::1", 6381), False)),
        ("MOVED 1 :6380", Redirect(1, Address("10.0.0.9", 6380), False)),
        ("MOVED 1 ?:6380", Redirect(1, Address("10.0.0.9", 6380), False)),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
        ("ERR unknown command", None),
    ],
)
def test_redirections(error: str, expected: Redirect | None) -> None:
    """Slot, address (IPv6 and "same host" included), and whether ASKING must precede."""
    assert parse_redirect(error, ASKED) == expected


@pytest.mark.parametrize(
    "error", ["MOVED", "MOVED x 1.2.3.4:1", "ASK 1 nowhere", "MOVED 16384 1.2.3.4:1", "ASK 1 h:p"]
)
def test_a_malformed_redirection_is_an_error(error: str) -> None:
    """A client must not go to half an address."""
    with pytest.raises(ValueError, match="malformed redirection"):
        parse_redirect(error, ASKED)


@pytest.mark.parametrize("port", ["0", "65536", "99999999999999999999", "²"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """A connection to it would be no refusal but a crash."""
    with pytest.raises(ValueError, match="malformed redirection"):
        parse_redirect(f"MOVED 1 10.0.0.1:{port}", Address("10.0.0.9", 1))
