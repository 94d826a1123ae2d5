"""``squall shard hot``: the processes' lists, added up."""

import pytest

from squall.commands.shard_hot import _text, add_up

pytestmark = pytest.mark.unit


def answer(all_reads: float, **keys: float) -> dict[str, object]:
    """Make what one process answers."""
    rows = [{"key": key, "node": "cache-1", "per_s": rate} for key, rate in keys.items()]
    return {"per_s": all_reads, "keys": rows}


def test_rates_add_up_by_key_and_shares_are_of_all() -> None:
    """A key that two read names both; who reads it less comes later."""
    found = add_up(
        {"video.2": answer(100.0, a=20.0), "video.1": answer(300.0, a=180.0, b=50.0)}, 10
    )
    assert [row["key"] for row in found] == ["a", "b"]
    assert found[0] == {
        "key": "a", "node": "cache-1", "per_s": 200.0, "by": ["video.1", "video.2"],
        "share": 0.5,
    }  # fmt: skip
    assert found[1]["share"] == pytest.approx(0.125)


def test_only_as_many_as_asked() -> None:
    """The hottest."""
    assert [row["key"] for row in add_up({"v.1": answer(9.0, a=1.0, b=3.0)}, 1)] == ["b"]


def test_a_quiet_lab_is_told_and_divides_nothing_by_zero() -> None:
    """No key, no table."""
    assert add_up({"video.1": answer(0.0)}, 10) == []
    assert _text({"store": [], "cache": []}) == "nothing was asked for lately"


def test_the_table_names_node_rate_and_share() -> None:
    """One line a key."""
    text = _text({"store": [], "cache": add_up({"video.1": answer(10.0, a=5.0)}, 10)})
    head, line = text.splitlines()
    assert head.split() == ["tier", "key", "node", "per", "s", "share", "asked", "by"]
    assert line.split() == ["cache", "a", "cache-1", "5.0", "0.50", "video.1"]
