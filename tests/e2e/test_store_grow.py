"""A shard joins the lab's store and leaves it again while pages are read and written."""

import threading
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.traffic import publish, readers, rename
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SOME_SLOTS = 50  # enough that the lab's keys are among them; all 4,096 take a minute and more


def shards(lab: Lab) -> list[dict[str, Any]]:
    """Return what the command says of each shard."""
    found: list[dict[str, Any]] = lab.json("shard", "status")["shards"]
    return found


def slots(shard: dict[str, Any]) -> int:
    """How many a shard owns."""
    owned: int = shard["nodes"][0]["slots"]
    return owned


def slots_of_the_fourth(lab: Lab) -> int:
    """How many slots the new shard owns; 0 before there is one."""
    return sum(slots(shard) for shard in shards(lab)[3:])


@pytest.mark.usefixtures("unhurried")
def test_a_shard_joins_and_leaves_under_traffic(lab: Lab) -> None:
    """The spare nodes become a shard, the move is called off half-way, and they leave empty."""
    assert len(shards(lab)) == 3
    paths = [f"/v1/videos/{number}" for number in range(1, 61)]
    path, headers = publish(lab, "0")
    ended: list[dict[str, Any]] = []
    with readers(lab, paths) as answers:
        adding = threading.Thread(
            target=lambda: ended.append(lab.json("shard", "add", "--yes")), daemon=True
        )
        adding.start()
        wait_until(lambda: slots_of_the_fourth(lab) > SOME_SLOTS, limit_s=60)
        written = [rename(path, str(number), headers).status for number in range(1, 31)]
        lab.json("shard", "cancel")
        adding.join()
        assert (ended[0]["is"], ended[0]["slots"] > SOME_SLOTS) == ("cancelled", True)
        assert [slots(shard) > 0 for shard in shards(lab)] == [True] * 4
        assert lab.json("shard", "remove", "store-7", "--yes")["is"] == "moved"
    assert set(answers) == {"OK"}
    assert set(written) == {200}
    assert lab.get(path).json["video"]["title"] == "30"
    assert sum(map(slots, shards(lab))) == 16384
    assert len(shards(lab)) == 3


def test_what_cannot_be_added_is_told(lab: Lab) -> None:
    """A node that is a shard already, one that isn't there; nothing has moved."""
    taken = lab.json("shard", "plan", "--add", "store-1,store-7", code=2)
    assert "is a shard with slots already" in taken["error"]
    unknown = lab.json("shard", "remove", "store-9", "--yes", code=2)
    assert "no store-9 here: store-1 to store-8" in unknown["error"]
    assert len(shards(lab)) == 3
