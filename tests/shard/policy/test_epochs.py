"""A claim is believed if its epoch is above all others, which the claimant must have heard of."""

import pytest

from shard.policy.epochs import Epochs, config_epoch, parse_epochs, would_be_believed


@pytest.mark.parametrize(
    ("claimant", "others", "is_believed"),
    [
        (Epochs(3, 3), [Epochs(1, 3), Epochs(2, 3)], True),  # it has the highest itself
        (Epochs(1, 3), [Epochs(3, 3), Epochs(2, 2)], True),  # it will take 4
        (Epochs(1, 2), [Epochs(3, 3), Epochs(2, 3)], False),  # it would take 3, as another has
        (Epochs(1, 4), [Epochs(4, 4), Epochs(4, 4)], False),  # one of them takes 5 by itself
        (Epochs(4, 4), [Epochs(4, 4)], False),
        (Epochs(0, 7), [Epochs(7, 7), Epochs(0, 7)], True),  # newcomers have none
        (Epochs(0, 0), [], True),
    ],
)
def test_who_is_believed(claimant: Epochs, others: list[Epochs], is_believed: bool) -> None:
    """Whoever has heard of all, while no two have the same."""
    assert would_be_believed(claimant, [claimant, *others]) is is_believed


def test_epochs_are_read_from_cluster_info() -> None:
    """As valkey says it; anything else is told."""
    said = "cluster_state:ok\r\ncluster_current_epoch:9\r\ncluster_my_epoch:4\r\n"
    assert parse_epochs(said) == Epochs(4, 9)
    for wrong in ("", "cluster_my_epoch:4", said.replace("9", "x")):
        with pytest.raises(ValueError, match="no epochs in CLUSTER INFO"):
            parse_epochs(wrong)


def test_what_a_node_knows_of_anothers_epoch() -> None:
    """It stands before the link's state; a node that isn't there, or a torn line, has none."""
    rows = (
        "aa 127.0.0.1:1@2 myself,master - 0 0 7 connected 0-99\n"
        "bb 127.0.0.2:1@2 slave aa 0 1 9 connected\n"
        "cc 127.0.0.3:1@2 master"
    )
    assert [config_epoch(rows, name) for name in ("aa", "bb", "cc", "dd")] == [7, 9, 0, 0]
