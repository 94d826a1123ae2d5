"""No read is older than an answered write, while cache nodes are killed, frozen and stopped."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import PORT, Lab
from tests.e2e.http import ask
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OUTAGES = (
    ("kill", "start", "cache-1.1"),
    ("pause", "resume", "cache-2.1"),
    ("stop", "start", "cache-3.1"),
    ("pause", "resume", "cache-1.1"),
    ("kill", "start", "cache-3.1"),
)
AWAY_S = 2.0  # longer than an ejection takes, so that both sides of it are seen
BACK_S = 1.0


class Subject:
    """One video whose title is the number of its last write, with its writer and readers."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        opened = lab.make("/v1/sessions", {"name": f"author_{uuid.uuid4().hex[:8]}"})
        self._headers = {"authorization": f"Bearer {opened.json['token']}"}
        made = lab.make("/v1/videos", {"title": "0", "duration_s": 1}, **self._headers)
        self.path = made.headers["location"]
        self.answered = 0
        self.is_over = threading.Event()
        self.reads = 0
        self.stale: list[str] = []

    def write(self) -> None:
        """Rename again and again; what isn't answered 200 is repeated with its key."""
        while not self.is_over.is_set():
            title, key = str(self.answered + 1), uuid.uuid4().hex
            while not self.is_over.is_set():
                if self._is_renamed(title, {**self._headers, "idempotency-key": key}):
                    self.answered += 1
                    break

    def read(self) -> None:
        """Read again and again, and note what is older than the last write answered before."""
        while not self.is_over.is_set():
            oldest = self.answered
            try:
                answer = self._lab.get(self.path)
            except OSError:
                continue  # broken off at its deadline
            if answer.status != 200:
                continue  # refused for load, or out of time: no read
            self.reads += 1
            title = answer.json["video"]["title"]
            if int(title) < oldest:
                timing = answer.headers["server-timing"]
                self.stale.append(f"{title} after {oldest} was answered: {timing}")

    def _is_renamed(self, title: str, headers: dict[str, str]) -> bool:
        """Whether a PATCH was answered 200."""
        try:
            done = ask(PORT, "PATCH", self.path, body={"title": title}, headers=headers)
        except OSError:
            return False
        return done.status == 200


@contextmanager
def under_way(subjects: list[Subject]) -> Iterator[None]:
    """Write and read for the length of a with block."""
    threads = [
        threading.Thread(target=work, daemon=True)
        for each in subjects
        for work in (each.write, each.read, each.read)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in subjects:
            each.is_over.set()
        for thread in threads:
            thread.join()


def test_no_read_is_older_than_an_answered_write_in_any_outage(
    lab: Lab, driver: Callable[[str, str], None]
) -> None:
    """Two videos under writes and reads; each node dies, freezes or stops, and comes back."""
    subjects = [Subject(lab) for _ in range(2)]
    rng = random.Random(17)
    with under_way(subjects):
        for verb, undo, node in OUTAGES:
            driver(verb, node)
            time.sleep(AWAY_S * rng.uniform(0.5, 1.0))
            driver(undo, node)
            time.sleep(BACK_S * rng.uniform(0.5, 1.0))
        wait_until(lambda: all(each.reads > 100 for each in subjects), limit_s=60)
        wait_until(lambda: all(each.answered > 10 for each in subjects), limit_s=60)
    assert [each.stale for each in subjects] == [[], []]
