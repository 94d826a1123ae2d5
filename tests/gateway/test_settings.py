"""The gateway's live settings and the numbers it comes with."""

import pytest

from gateway.pages import HOME_VIDEOS, PAGE_COMMENTS
from gateway.settings import (
    DEFAULT_ATTEMPTS,
    DEFAULT_BUDGET_MS,
    DEFAULT_CAP,
    DEFAULT_PER_TRY_MS,
    LiveSettings,
    group_of,
)
from gateway.views import MAX_IN_FLIGHT, PRESSURE_LIMIT, TIMEOUT_S

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """256 slots and 1,000 ms a route; 20 comments a page, 10 videos at home; 32 views at once."""
    assert (DEFAULT_CAP, DEFAULT_BUDGET_MS) == (256, 1000)
    assert (DEFAULT_ATTEMPTS, DEFAULT_PER_TRY_MS) == (3, 0)
    assert (PAGE_COMMENTS, HOME_VIDEOS) == (20, 10)
    assert (MAX_IN_FLIGHT, TIMEOUT_S, PRESSURE_LIMIT) == (32, 0.3, 0.8)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("/v1/home", "home"),
        ("/v1/videos", "videos"),
        ("/v1/videos/7", "video"),
        ("/v1/videos/x", "video"),
        ("/v1/videos/7/comments", "comments"),
        ("/v1/videos/7/likes", "likes"),
        ("/v1/sessions", "sessions"),
        ("/v1/home/more", "other"),
        ("/v1/videos/7/else", "other"),
        ("/v1/", "other"),
        ("/", "other"),
        ("/docs", "other"),
    ],
)
def test_paths_belong_to_groups(path: str, group: str) -> None:
    """Each route has a group of its own; what is no route of the API is ``other``."""
    assert group_of(path) == group


def test_a_groups_budget_goes_before_everybodys() -> None:
    """``budget_ms.home`` holds for home, ``budget_ms`` for the rest, 1,000 ms without either."""
    numbers: dict[str, float] = {}
    settings = LiveSettings(lambda name, default: numbers.get(name, default))
    assert settings.budget_s({"path": "/v1/home"}) == 1.0
    numbers |= {"budget_ms": 500.0, "budget_ms.home": 200.0, "cap": 16.0}
    assert settings.cap() == 256  # read again only when told
    settings.refresh()
    assert settings.budget_s({"path": "/v1/home"}) == 0.2
    assert settings.budget_s({"path": "/v1/videos/1"}) == 0.5
    assert settings.budget_s({"path": "/docs"}) == 0.5
    assert settings.cap() == 16


def test_the_bulkhead_s_limit_is_a_setting_of_at_least_one() -> None:
    """A gateway told 8 lets 8 calls at once to each dependency; 0 would let none ever."""
    told = LiveSettings(lambda name, default: 8.0 if name == "bulkhead" else default)
    assert told.bulkhead() == 8
    assert LiveSettings(lambda name, default: 0.0).bulkhead() == 1
    assert LiveSettings(lambda name, default: default).bulkhead() == 32


def test_attempts_are_one_at_least_and_a_try_of_0_ms_has_no_limit() -> None:
    """A gateway told 4 tries of 500 ms makes them so; told nothing, 3 without a limit of time."""
    numbers = {"attempts": 4.0, "per_try_ms": 500.0}
    told = LiveSettings(lambda name, default: numbers.get(name, default))
    assert (told.attempts(), told.per_try_s()) == (4, 0.5)
    numbers["attempts"] = 0.0
    told.refresh()
    assert told.attempts() == 1
    untold = LiveSettings(lambda name, default: default)
    assert (untold.attempts(), untold.per_try_s()) == (3, None)
