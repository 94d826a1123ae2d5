"""Which faults come, by chance and by seed; which keys tell of a shard."""

from random import Random

import pytest

from chaos.store.check import DEFAULT_SEED, Options
from chaos.store.injector import BRIEF_S, KINDS, LONG_S, key_in, plan_next
from chaos.store.own import NODE_TIMEOUT_S, OPTIONS, REJOIN_DELAY_S
from hashing.slots import slot_of
from shard.store import Durability
from tests.docs.pages import ROOT

pytestmark = pytest.mark.unit


def test_the_same_seed_plans_the_same_faults() -> None:
    """And another seed others."""
    plans = [[plan_next(KINDS, 3, rng) for _ in range(50)] for rng in map(Random, (17, 17, 18))]

    assert plans[0] == plans[1] != plans[2]
    assert {each.kind for each in plans[0]} == set(KINDS)
    assert {each.role for each in plans[0]} == {"primary", "replica"}
    assert {each.shard for each in plans[0]} == {0, 1, 2}


def test_a_killed_node_stays_down_for_as_long_as_the_labs_do() -> None:
    """The others last from below the node timeout to well above twice of it."""
    plans = [plan_next(KINDS, 3, Random(seed)) for seed in range(200)]

    assert {each.seconds for each in plans if each.kind == "kill"} == {REJOIN_DELAY_S}
    others = [each.seconds for each in plans if each.kind != "kill"]
    assert BRIEF_S <= min(others) < NODE_TIMEOUT_S < 2 * NODE_TIMEOUT_S < max(others) <= LONG_S
    assert f"REJOIN_DELAY_S={REJOIN_DELAY_S:g}" in (ROOT / "deploy/store-node.sh").read_text()


def test_a_role_can_be_chosen() -> None:
    """For the figures of killed primaries."""
    assert {plan_next(("kill",), 3, Random(seed), "primary").role for seed in range(20)} == {
        "primary"
    }


def test_a_key_lies_in_the_slots_that_were_asked_for() -> None:
    """The first name of that prefix whose slot it is."""
    assert slot_of(key_in(((7, 9),), "a:").encode()) in range(7, 10)


def test_nodes_run_as_the_labs_do() -> None:
    """The options that the promise rests on are docker-compose.yml's."""
    compose = (ROOT / "docker-compose.yml").read_text()

    for name, value in zip(OPTIONS[::2], OPTIONS[1::2], strict=True):
        quoted = [f"    - {each}\n" for each in (value, f'"{value}"')]
        assert any(f"    - {name}\n{each}" in compose for each in quoted), name


def test_the_header_says_what_a_run_was() -> None:
    """Seed, faults and durability, as JSON takes them."""
    header = Options(("kill",), durability=Durability.LOCAL).header()

    assert (header["seed"], header["faults"], header["durability"]) == (
        DEFAULT_SEED, ["kill"], "local",
    )  # fmt: skip
    assert (header["bound_s"], header["node_timeout_s"]) == (2.0, 1.0)
