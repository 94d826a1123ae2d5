"""What ``squall shard add|remove|plan`` are told, as nodes: addresses, names of the lab, spares."""

import pytest

from kit.errors import ConfigError
from squall.store_change import Change, read_change
from squall.store_reach import SPARE

pytestmark = pytest.mark.unit

INSIDE = {
    "SQUALL_STORE": "127.0.0.1:1,127.0.0.1:2",
    "SQUALL_STORE_SPARE": "localhost:3,127.0.0.1:4",
}
NEW = ("127.0.0.1:3", "127.0.0.1:4")


def test_the_lab_s_words_wait_until_they_are_inside() -> None:
    """Outside nobody knows who that is; the options say them again."""
    change = read_change(SPARE, "store-7", "modulo", in_lab=True, environ={})
    assert change == Change((SPARE,), "store-7", "modulo")
    pair = read_change("store-7,store-8", "", "modulo", in_lab=True, environ={})
    assert pair.add == ("store-7", "store-8")
    assert change.argv == ["--algorithm", "modulo", "--add", "spare", "--remove", "store-7"]


def test_inside_they_are_addresses_in_digits() -> None:
    """The spare ones follow the others: two and two make store-3 the first of them."""
    assert read_change(SPARE, "store-3", "maglev", environ=INSIDE) == Change(NEW, NEW[0], "maglev")
    assert read_change("", "store-1", "maglev", environ=INSIDE).remove == "127.0.0.1:1"


def test_addresses_are_taken_as_they_are_anywhere() -> None:
    """Names of hosts in digits, as nodes know each other."""
    change = read_change("localhost:3,127.0.0.1:4", "", "slot-map", environ={})
    assert (change.add, change.remove, change.argv[2:]) == (NEW, "", ["--add", ",".join(NEW)])


@pytest.mark.parametrize(
    ("add", "remove", "environ", "told"),
    [
        (SPARE, "", {}, "Give host:port of two fresh ones; only the lab has nodes to spare"),
        ("a:1", "", {}, "a shard is two nodes, 1 given"),
        ("a:1,b:2,c:3", "", {}, "a shard is two nodes, 3 given"),
        ("127.0.0.1:3,localhost:3", "", {}, "127.0.0.1:3 is named twice"),
        ("a:1,b", "", {}, "'b' is not host:port: give host:port"),
        ("", "store-7", {}, "'store-7' is not host:port"),
        ("", "store-5", INSIDE, "no store-5 here: store-1 to store-4"),
    ],
)
def test_what_is_no_pair_of_nodes_is_told(
    add: str, remove: str, environ: dict[str, str], told: str
) -> None:
    """What is wrong, and what to give."""
    with pytest.raises(ConfigError) as caught:
        read_change(add, remove, "slot-map", environ=environ)
    assert told in str(caught.value)


def test_an_unknown_algorithm_names_the_nearest() -> None:
    """As every unknown word does."""
    with pytest.raises(ConfigError, match=r"no algorithm .maglv.: .*maglev"):
        read_change("", "", "maglv", environ={})
