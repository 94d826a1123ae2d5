"""The table of kernel mode: shares, what a change moves, what is rendered of it."""

from itertools import product

import pytest

from lb.l4.kernel.config import parse_kernel_config
from lb.l4.kernel.conntrack import deletion
from lb.l4.kernel.nft import render_changes, render_install, render_remove
from lb.l4.kernel.table import DEFAULT_PLACES, Target, diff, fill

A, B, C = (Target(f"10.92.0.{last}", 8000) for last in (11, 12, 13))
CONFIG = parse_kernel_config("listen: 10.91.0.1:80\nbackends: [{address: '10.92.0.11:8000'}]\n")


def test_three_equal_backends_have_a_third_of_the_places_each() -> None:
    """Maglev's shares differ by one place at most."""
    table = fill(dict.fromkeys((A, B, C), 1.0))
    assert DEFAULT_PLACES == len(table) == 4093
    assert sorted(table.count(each) for each in (A, B, C)) == [1364, 1364, 1365]


def test_weight_two_gets_twice_the_places() -> None:
    """Shares follow weights to within a place or two."""
    table = fill({A: 2.0, B: 1.0})
    assert abs(table.count(A) - 2 * table.count(B)) <= 4


def test_table_does_not_depend_on_the_order_of_the_file() -> None:
    """Two files that list the same backends differently give one table."""
    assert fill({A: 1.0, B: 1.0, C: 1.0}) == fill({C: 1.0, A: 1.0, B: 1.0})


def test_nobody_up_gives_the_empty_table_and_only_removals() -> None:
    """With no target every place is removed and none added."""
    changes = diff(fill({A: 1.0}), fill({}))
    assert (len(changes.removed), dict(changes.added)) == (DEFAULT_PLACES, {})


def test_one_of_three_leaving_moves_its_own_third_and_few_others() -> None:
    """A place whose backend stays moves rarely: under a tenth of them all."""
    before, after = fill(dict.fromkeys((A, B, C), 1.0)), fill(dict.fromkeys((A, B), 1.0))
    own = before.count(C)
    assert own <= diff(before, after).moved <= own + DEFAULT_PLACES // 10


def test_changes_applied_to_the_old_table_give_the_new_one() -> None:
    """Removals then additions lead from any of these tables to any other."""
    tables = [fill({}), fill({A: 1.0}), fill({A: 1.0, B: 3.0}), fill({B: 1.0, C: 1.0})]
    for old, new in product(tables, tables):
        changes = diff(old, new)
        places = dict(enumerate(old))
        for place in changes.removed:
            del places[place]
        assert not places.keys() & changes.added.keys()  # nft refuses an element that is there
        places.update(changes.added)
        assert places == dict(enumerate(new))


def test_places_that_are_no_prime_are_refused() -> None:
    """Maglev's walk would miss places of a table of 4096."""
    with pytest.raises(ValueError, match="prime"):
        fill({A: 1.0}, 4096)


def test_install_replaces_a_leftover_in_the_same_transaction() -> None:
    """The first two lines make the table and delete it, so neither can fail."""
    lines = render_install(CONFIG, (A, B)).splitlines()
    assert lines[:2] == ["add table ip squall_l4", "delete table ip squall_l4"]
    assert lines[-1] == (
        "add element ip squall_l4 maglev { 0 : 10.92.0.11 . 8000, 1 : 10.92.0.12 . 8000 }"
    )
    assert "    ip daddr 10.91.0.1 tcp dport 80 dnat ip to jhash ip saddr . tcp sport" in "".join(
        lines
    )


def test_changes_render_only_the_places_that_differ() -> None:
    """A place that stays is not named."""
    assert render_changes(CONFIG, diff((A, B), (A, C))) == (
        "delete element ip squall_l4 maglev { 1 }\n"
        "add element ip squall_l4 maglev { 1 : 10.92.0.13 . 8000 }\n"
    )
    assert render_changes(CONFIG, diff((A, B), (A, B))) == ""


def test_masquerade_off_renders_no_chain_after_routing() -> None:
    """Backends whose gateway is the balancer see their clients' addresses."""
    text = "listen: 10.91.0.1:80\nmasquerade: false\nbackends: [{address: '10.92.0.11:8000'}]\n"
    assert "masquerade" in render_install(CONFIG, ())
    assert "masquerade" not in render_install(parse_kernel_config(text), ())


def test_removal_cannot_fail() -> None:
    """Adding before deleting makes the absent table no error."""
    assert render_remove(CONFIG) == "add table ip squall_l4\ndelete table ip squall_l4\n"


def test_deletion_names_service_and_backend() -> None:
    """Connections of the same backend to another service stay."""
    assert " ".join(deletion(Target("10.91.0.1", 80), A)) == (
        "conntrack -D -f ipv4 -p tcp --orig-dst 10.91.0.1 --orig-port-dst 80"
        " --reply-src 10.92.0.11 --reply-port-src 8000"
    )
