"""The limit of open files is raised as far as needed and allowed."""

import resource

import pytest

from kit.open_files import SPARE_FILES, allow_open_files, hard_file_limit

pytestmark = pytest.mark.unit
UNLIMITED = resource.RLIM_INFINITY


class Limits:
    """Stand in for the kernel's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        monkeypatch.setattr("resource.getrlimit", lambda _: self.now)
        monkeypatch.setattr("resource.setrlimit", lambda _, limits: setattr(self, "now", limits))


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "after"),
    [
        (1024, 20_000, 12_048, 12_048, 12_048),
        (1024, 4096, 12_048, 4096, 4096),
        (20_000, 20_000, 12_048, 20_000, 20_000),
        (1024, UNLIMITED, 12_048, 12_048, 12_048),
        (UNLIMITED, UNLIMITED, 12_048, 12_048, UNLIMITED),
    ],
)
def test_as_many_as_needed_and_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int, after: int
) -> None:
    """Never lowered, and the hard limit never touched."""
    limits = Limits(monkeypatch, soft, hard)
    assert allow_open_files(wanted) == allowed
    assert limits.now == (after, hard)


def test_too_few_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With both figures."""
    Limits(monkeypatch, 1024, 4096)
    allow_open_files(12_048)
    (said,) = caplog.records
    assert (said.wanted, said.allowed) == (12_048, 4096)  # type: ignore[attr-defined]


def test_the_hard_limit_may_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then any number is below it."""
    Limits(monkeypatch, 1024, UNLIMITED)
    assert hard_file_limit() == float("inf")
    Limits(monkeypatch, 1024, 4096)
    assert hard_file_limit() == 4096
    assert SPARE_FILES == 2048
