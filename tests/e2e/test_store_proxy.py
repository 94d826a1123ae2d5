"""Any Redis client reaches the lab's store through the published port, as if it were one server."""

import os
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import ClusterCrossSlotError

from tests.e2e.conftest import PORT, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

STORE_PORT = PORT + 12
TIMEOUT_S = 5.0
PIPELINE = 100


@pytest.fixture
def client(lab: Lab) -> Iterator[redis.Redis]:
    """A client that knows nothing of clusters."""
    assert lab.json("status")["store"] == f"127.0.0.1:{STORE_PORT}"
    with redis.Redis(port=STORE_PORT, socket_timeout=TIMEOUT_S, decode_responses=True) as one:
        yield one


@pytest.fixture
def prefix() -> str:
    """What the keys of one test begin with."""
    return f"e2e-proxy-{os.urandom(4).hex()}"


def test_keys_of_many_slots_are_read_and_written(client: redis.Redis, prefix: str) -> None:
    """One by one, together, and gone again."""
    values = {f"{prefix}:{number}": str(number) for number in range(20)}
    first = f"{prefix}:0"

    assert client.get(first) is None
    assert client.set(first, "other")
    assert client.get(first) == "other"
    assert client.mset(values)
    assert client.mget([*values, f"{prefix}:none"]) == [*values.values(), None]
    assert client.delete(*values) == len(values)
    assert client.exists(*values) == 0


def test_what_one_slot_must_hold_is_told(client: redis.Redis, prefix: str) -> None:
    """The error names both slots and the way out, and the connection goes on."""
    client.set(f"{prefix}:1", "one", ex=60)

    with pytest.raises(ClusterCrossSlotError, match="RENAME needs its keys in one slot") as told:
        client.rename(f"{prefix}:1", f"{prefix}:2")

    assert "common hash tag" in str(told.value)
    assert client.get(f"{prefix}:1") == "one"


def test_a_pipeline_is_answered_in_its_order(client: redis.Redis, prefix: str) -> None:
    """A hundred commands to every node in one write."""
    pipe = client.pipeline(transaction=False)
    for number in range(PIPELINE // 2):
        pipe.set(f"{prefix}:{number}", str(number), ex=60)
        pipe.get(f"{prefix}:{number}")

    wanted = [each for number in range(PIPELINE // 2) for each in (True, str(number))]
    assert pipe.execute() == wanted
