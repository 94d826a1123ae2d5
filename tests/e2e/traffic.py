"""Readers and writers of the lab's pages, for tests that do something to it meanwhile."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import PORT, Lab
from tests.e2e.http import Answer, ask

READERS = 2


def publish(lab: Lab, title: str) -> tuple[str, dict[str, str]]:
    """Publish a video as somebody new; return its path and the author's headers."""
    opened = lab.make("/v1/sessions", {"name": f"author_{uuid.uuid4().hex[:8]}"}).json
    headers = {"authorization": f"Bearer {opened['token']}"}
    made = lab.make("/v1/videos", {"title": title, "duration_s": 60}, **headers)
    return made.headers["location"], headers


def rename(path: str, title: str, headers: dict[str, str]) -> Answer:
    """PATCH a video's title."""
    return ask(PORT, "PATCH", path, body={"title": title}, headers=headers)


@contextmanager
def readers(lab: Lab, paths: list[str]) -> Iterator[list[str]]:
    """Read these paths in turn, from several threads, for the length of a with block.

    Yields what each answer was: ``OK``, or why not.
    """
    answers: list[str] = []
    is_over = threading.Event()

    def read() -> None:
        number = 0
        while not is_over.is_set():
            try:
                answer = lab.get(paths[number % len(paths)])
                answers.append("OK" if answer.status == 200 else answer.json["reason"])
            except OSError as error:
                answers.append(repr(error))
            number += 1

    threads = [threading.Thread(target=read, daemon=True) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
