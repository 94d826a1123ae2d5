"""What a process remembers of its requests."""

from kit import recorder as module
from kit.recorder import Recorder, RequestSummary


def summary(request_id: str = "r", code: int = 200, duration_ms: float = 1.0) -> RequestSummary:
    """Make a summary."""
    return RequestSummary(request_id, "t" * 32, "video.1", "/v1", 0.0, duration_ms, code=code)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_two_thousand_are_kept() -> None:
    """The issue's figure; the oldest goes first."""
    assert module.KEPT_SUMMARIES == 2_000
    recorder = Recorder(kept=3)
    for number in range(5):
        recorder.add(summary(f"r{number}"))
    assert [one.request_id for one in recorder.newest(9)] == ["r4", "r3", "r2"]
    assert recorder.find("r0") == []
    assert repr(recorder) == "<Recorder 3 kept, 5 counted>"


def test_retries_of_one_request_are_all_found() -> None:
    """Oldest first."""
    recorder = Recorder()
    for code in (503, 200):
        recorder.add(summary("same", code))
    recorder.add(summary("other"))
    assert [one.code for one in recorder.find("same")] == [503, 200]


def test_rates_are_of_the_last_second() -> None:
    """What is older doesn't count; failures are 5xx only."""
    clock = Clock()
    recorder = Recorder(clock=clock)
    recorder.add(summary(duration_ms=500.0))
    clock.now_s += 2.0
    for number in range(100):
        recorder.add(summary(code=503 if number < 4 else 404, duration_ms=number))
    assert recorder.rates() == (100.0, 99.0, 4.0)
    clock.now_s += 2.0
    assert recorder.rates() == (0.0, 0.0, 0.0)


def test_rates_above_what_is_kept_are_scaled() -> None:
    """10 kept of 40 in 0.25 s still say 40 a second."""
    clock = Clock()
    recorder = Recorder(kept=10, clock=clock)
    for _ in range(40):
        clock.now_s += 0.025
        recorder.add(summary())
    clock.now_s += 0.025
    assert round(recorder.rates().rps) == 40


def test_counts_start_anew_and_summaries_stay() -> None:
    """Evidence outlives a reset."""
    recorder = Recorder()
    recorder.add(summary(code=504))
    recorder.add(summary(code=200))
    assert recorder.by_code() == {"200": 1, "504": 1}
    recorder.reset_counts()
    assert recorder.by_code() == {}
    assert len(recorder.find("r")) == 2


def test_listeners_hear_each_summary() -> None:
    """Metrics listen here."""
    recorder = Recorder()
    heard: list[RequestSummary] = []
    recorder.on_add(heard.append)
    recorder.add(summary())
    assert heard == recorder.find("r")
