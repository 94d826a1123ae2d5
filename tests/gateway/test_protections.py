"""What switches and settings of the gateway change on the way to a service: tries and their end."""

import asyncio

import httpx2
import pytest

from resilience.policy.contract import Mode
from tests.gateway.lab import SmallLab, small_lab, until

pytestmark = pytest.mark.integration

LIST = "/v1/videos"


def abandoned(lab: SmallLab) -> dict[str, object]:
    """Return what goes on, or went on, for nobody."""
    return dict(lab.node.gates["video.abandoned"].snapshot())


def set_tries(lab: SmallLab, attempts: float, per_try_ms: float) -> None:
    """Say how often and how long each call tries."""
    lab.node.settings |= {"attempts": attempts, "per_try_ms": per_try_ms}
    lab.gateway.refresh()


async def leave(lab: SmallLab) -> None:
    """Ask for the list, and close the connection once the service works on it."""
    async with httpx2.AsyncClient(base_url=lab.base_url) as client:
        asking = asyncio.create_task(client.get(LIST))
        await until(lambda: lab.services.trouble["video.1"].calls != [])
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_try_that_takes_too_long_is_made_elsewhere() -> None:
    """One of two replicas stands still; with tries of 1.5 s nobody notices but by the time."""
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.node.modes |= {"retry": Mode.ON, "p2c": Mode.OFF}
        set_tries(lab, attempts=2, per_try_ms=1_500)
        lab.services.trouble["video.1"].delay_s = 60.0
        answers = [await client.get(LIST) for _ in range(2)]
        assert {each.status_code for each in answers} == {200}
        await until(lambda: lab.services.trouble["video.1"].cancelled >= 1)
        assert abandoned(lab) == {"running": 0, "abandoned": 0}


async def test_with_one_attempt_a_try_that_takes_too_long_is_the_end() -> None:
    """The time of a try holds without retries too."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.node.modes["retry"] = Mode.ON
        set_tries(lab, attempts=1, per_try_ms=100)
        lab.services.trouble["video.1"].delay_s = 60.0
        answer = await client.get(LIST)
        assert (answer.status_code, answer.json()["reason"]) == (504, "UPSTREAM_TIMEOUT")
        assert len(lab.services.trouble["video.1"].calls) <= 1  # it may be given up on the way


async def test_without_cancellation_what_a_try_began_goes_on() -> None:
    """Given up after 100 ms here, served to the end over there, and counted."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.node.modes |= {"cancellation": Mode.OFF, "deadline": Mode.OFF}
        set_tries(lab, attempts=1, per_try_ms=100)
        lab.services.trouble["video.1"].delay_s = 0.5
        assert (await client.get(LIST)).status_code == 504
        assert abandoned(lab)["abandoned"] == 1
        await until(lambda: abandoned(lab)["running"] == 0)
        assert lab.services.trouble["video.1"].cancelled == 0
        assert lab.services.trouble["video.1"].deadlines_s == [None]


@pytest.mark.parametrize(("mode", "cancelled"), [(Mode.ON, 1), (Mode.OFF, 0)])
async def test_a_client_who_leaves_ends_the_work_unless_cancellation_is_off(
    mode: Mode, cancelled: int
) -> None:
    """With the deadline off in both, only the leaving could be heard."""
    async with small_lab() as lab:
        lab.node.modes |= {"cancellation": mode, "deadline": Mode.OFF}
        trouble = lab.services.trouble["video.1"]
        trouble.delay_s = 60.0 if cancelled else 1.0
        await leave(lab)
        if cancelled:
            await until(lambda: trouble.cancelled == 1)
        else:
            await until(lambda: lab.node.recorder.by_code().get("200", 0) == 1)
            assert trouble.cancelled == 0


async def test_closing_the_gateway_ends_what_goes_on_for_nobody() -> None:
    """No task outlives the process."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.node.modes |= {"cancellation": Mode.OFF, "deadline": Mode.OFF}
        set_tries(lab, attempts=1, per_try_ms=50)
        lab.services.trouble["video.1"].delay_s = 60.0
        await client.get(LIST)
        await asyncio.wait_for(lab.gateway.close(), 10)
        assert abandoned(lab)["running"] == 0
