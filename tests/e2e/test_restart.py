"""An edit is run by `squall restart`, in both modes."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ROOT, Lab
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# Empty in the repository; what it prints goes to the process's log.
EDITED = ROOT / "services" / "video" / "__init__.py"


@pytest.fixture
def word() -> Iterator[str]:
    """Edit the video service so that it says a word when it starts; restored afterwards."""
    said = f"edited-{time.time_ns()}"
    assert EDITED.read_text() == ""
    EDITED.write_text(f'import sys\n\nsys.stderr.write("{said}\\n")\n')
    try:
        yield said
    finally:
        EDITED.write_text("")


def who_said(word: str) -> set[str]:
    """Instances of video with that word in their log."""
    from chaos.lab import load_lab

    logs = load_lab().driver().logs("video", 100)
    return {name for name, lines in logs.items() if any(word in line for line in lines)}


def test_restart_runs_the_edit_in_every_replica_and_touches_nobody_else(
    lab: Lab, word: str
) -> None:
    """Three replicas, ready again; the others' processes are those of before."""
    before = {row["instance"]: row["up_s"] for row in lab.json("status")["processes"]}
    done = lab.json("restart", "video")

    assert set(done["restarted"]) == {"video.1", "video.2", "video.3"}
    assert who_said(word) == {"video.1", "video.2", "video.3"}
    wait_until(lambda: lab.get("/v1/videos/1").status == 200, limit_s=10)
    after = {row["instance"]: row for row in lab.json("status")["processes"]}
    assert after.keys() == before.keys()
    for name in ("comment.1", "gateway.1", "l7.1", "store-1.1"):
        assert after[name]["up_s"] >= before[name], name


def test_one_replica_alone_runs_the_edit(lab: Lab, word: str) -> None:
    """Its siblings go on with what they have."""
    assert set(lab.json("restart", "video.2")["restarted"]) == {"video.2"}
    assert who_said(word) == {"video.2"}
    status = lab.json("status")
    assert status["is_ready"]
    assert sum(row["instance"].startswith("video.") for row in status["processes"]) == 3


def test_rolling_never_leaves_the_service_without_a_replica(lab: Lab) -> None:
    """One after the other: somebody answers all the while, at worst late on a busy machine."""
    over = threading.Event()
    statuses: list[int] = []

    def keep_asking() -> None:
        while not over.wait(0.05):
            statuses.append(lab.get("/v1/videos?limit=1").status)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        done = lab.json("restart", "video", "--rolling")["restarted"]
    finally:
        over.set()
        asking.join()
    seconds = [done[f"video.{number}"] for number in (1, 2, 3)]
    assert seconds == sorted(seconds)
    assert statuses.count(200) > 10
    assert set(statuses) <= {200, 504}


def test_down_keeps_data(lab: Lab) -> None:
    """A comment from before is there after down and up; make down is what removes it."""
    name = f"keeper_{time.time_ns() % 10**9}"
    token = lab.make("/v1/sessions", {"name": name}).json["token"]
    lab.make("/v1/videos/3/comments", {"text": name}, authorization=f"Bearer {token}")

    assert lab.run("down").returncode == 0
    assert lab.run("up", "--mode", lab.mode).returncode == 0
    texts = [one["text"] for one in lab.get("/v1/videos/3/comments").json["comments"]]
    assert name in texts
