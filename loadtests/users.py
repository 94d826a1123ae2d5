"""Who visits the lab: the kinds of requests and how often each is wanted.

A Locust user of ours doesn't loop. The one instance of a class walks the schedule
(`generator.py`) and each arrival is sent by a greenlet of its own; the weights below decide what
an arrival asks for, and Locust's Ratio tab shows them.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gevent.event import Event
from locust import User

from loadtests.generator import Generator

Task = Callable[..., None]


class OpenLoopUser(User):  # type: ignore[misc, unused-ignore]
    """Carry a run: Locust starts one of these, and it sends everything."""

    abstract = True
    fixed_count = 1
    generator: ClassVar[Generator | None] = None
    """The run to carry; set when a test starts."""

    def on_start(self) -> None:
        """Walk the schedule, then wait for the end; the task loop is never entered."""
        generator = type(self).generator
        if generator is not None:
            generator.run()
        Event().wait()  # Locust ends its users itself, within a second


def home(user: User) -> None:
    """GET /v1/home."""


def list_videos(user: User) -> None:
    """GET /v1/videos: one service, the cheap route that drills load."""


def page(user: User) -> None:
    """GET /v1/videos/{id}: four services under one deadline."""


def comments(user: User) -> None:
    """GET /v1/videos/{id}/comments."""


def like(user: User) -> None:
    """POST /v1/videos/{id}/likes."""


class Browse(OpenLoopUser):
    """People who look around; few of them like something."""

    tasks: Any = {home: 30, list_videos: 20, page: 40, comments: 8, like: 2}  # noqa: RUF012 Locust's own


ROUTE_OF_TASK: Mapping[Task, str] = {
    home: "home",
    list_videos: "list",
    page: "page",
    comments: "comments",
    like: "like",
}


def default_mix() -> dict[str, float]:
    """Return Browse's weights by route."""
    mix: dict[str, float] = {}
    for task in Browse.tasks:  # Locust has turned the weights into a list with repetitions
        route = ROUTE_OF_TASK[task]
        mix[route] = mix.get(route, 0.0) + 1.0
    return mix
