"""Each library imports whole where nothing is installed but what it adapts."""

import pytest

from tests.packaging.wheels import Environment

ADAPTERS = ["resilience.rpc", "resilience.httpx2."]


def test_hashing_stands_alone(bare: Environment) -> None:
    """Every module, in an environment of two wheels; only hashing is loaded."""
    assert bare.import_all("hashing") == ["hashing"]


def test_resilience_but_rpc_stands_alone(bare: Environment) -> None:
    """Every module outside of the adapters; hashing, which one of them uses, comes along."""
    assert bare.import_all("resilience", but=ADAPTERS) == ["hashing", "resilience"]


def test_resilience_needs_hashing_for_shuffle_shards_alone(with_fastapi: Environment) -> None:
    """Where hashing is not installed, every other module still imports."""
    but = [*ADAPTERS, "resilience.policy.shuffle_shard"]
    assert with_fastapi.import_all("resilience", but=but) == ["resilience"]


def test_resilience_with_its_extra_loads_grpc_and_no_more(with_grpc: Environment) -> None:
    """Every module of this extra; what is loaded besides belongs to its packages."""
    but = ["resilience.policy.shuffle_shard", "resilience.httpx2."]
    loaded = with_grpc.import_all("resilience", but=but)

    ours = [name for name in loaded if "cython" not in name]  # what grpc is compiled with
    assert ours == ["google", "grpc", "resilience", "typing_extensions"]


def test_resilience_with_httpx2_loads_it(with_httpx2: Environment) -> None:
    """The transport's modules import; what they load besides is httpx2's own."""
    but = ["resilience.policy.shuffle_shard", "resilience.rpc"]
    assert {"httpx2", "resilience"} <= set(with_httpx2.import_all("resilience", but=but))


def test_shard_loads_hiredis_and_its_two_siblings(with_hiredis: Environment) -> None:
    """Every module of all three that are installed with it; hiredis alone is foreign."""
    loaded = with_hiredis.import_all("hashing,resilience,shard", but=ADAPTERS)

    assert loaded == ["hashing", "hiredis", "resilience", "shard"]


def test_a_requirement_that_is_not_there_stops_the_installation(bare: Environment) -> None:
    """Shard without hiredis is refused, and nothing fetches it from anywhere."""
    with pytest.raises(AssertionError, match="No matching distribution found for hiredis"):
        bare.install("squall-shard")


def test_nothing_of_the_checkout_can_be_imported(bare: Environment) -> None:
    """The environments are as empty as the tests above take them to be."""
    look = "import importlib.util as u; print([n for n in {!r} if u.find_spec(n)])"

    assert bare.run(look.format(["kit", "shard", "grpc", "pip", "hiredis"])) == "[]\n"
