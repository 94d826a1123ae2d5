"""Starting the keeper: one is enough, whoever asks and however slowly it starts."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.keeper import launch
from tests.chaos.supervisor.lab import wait_for

PROJECT = "squall-nobody"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A state folder, without a keeper in the end."""
    yield tmp_path
    if keeper := launch.find_keeper(tmp_path):
        os.kill(keeper, signal.SIGTERM)
        wait_for("the keeper has ended", lambda: launch.find_keeper(tmp_path) is None)


def test_one_who_asks_starts_one_keeper(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a keeper starts, which takes longer than a look, it is found: no second is started."""
    started: list[int | None] = []
    start = launch._start

    def noting(at: Path, project: str) -> None:
        start(at, project)
        started.append(launch.find_keeper(at))

    monkeypatch.setattr(launch, "_start", noting)
    assert launch.ask_keeper(folder, PROJECT, "host-faults") == []
    assert started == [launch.find_keeper(folder)]
    assert started != [None]


def test_many_who_ask_at_once_find_the_same_keeper(folder: Path) -> None:
    """Each has its answer, from the one that got the lock."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: launch.ask_keeper(folder, PROJECT, "host-faults"), range(4))
        )
    assert answers == [[]] * 4
    assert launch.find_keeper(folder) is not None
