"""Measuring: what is missing or fails is said, and no aim is held without evidence."""

from importlib import import_module

import pytest

from bench.contender import Chain, Contender, Job, Path, Step, Work
from bench.measure import (
    AIM_RATIO,
    CHECK_CALLS,
    ChainResult,
    Figure,
    JobResult,
    Status,
    Verdict,
    exit_code,
    run_chain,
    run_job,
)
from bench.timing import LOOP_TURN_EVERY, Stopwatch

pytestmark = pytest.mark.unit

SAMPLE_MS = 0.05


def good(work: Work, path: Path) -> Step:
    """Work once, synchronously."""
    return lambda: work.call()


async def good_async(work: Work, path: Path) -> Step:
    """Work once, in a coroutine; set up on the loop."""

    async def step() -> None:
        await work.acall()

    return step


def missing(work: Work, path: Path) -> Step:
    """Import what nobody has."""
    import_module("no_such_package_at_all")
    raise AssertionError


def failing(work: Work, path: Path) -> Step:
    """Fail while setting up."""
    raise RuntimeError("no such option")


def idle(work: Work, path: Path) -> Step:
    """Look fast by not working."""
    return lambda: None


OURS = Contender("ours", good)
PEER = Contender("peer", good_async, "pytest")
MISSING = Contender("absent", missing, "no-such-package-at-all")


def measure(*peers: Contender, ours: Contender = OURS, path: Path = Path.HAPPY) -> JobResult:
    """Measure a job of these."""
    with Stopwatch(SAMPLE_MS) as watch:
        return run_job(Job("policy", ours, peers), path, watch, rounds=3)


def figure(best_ns: float | None, status: Status = Status.MEASURED) -> Figure:
    """Make a figure as if it had been measured."""
    samples = () if best_ns is None else (best_ns,)
    return Figure("any", "", "", status, samples_ns=samples, best_ns=best_ns)


def judged(ours: Figure, *peers: Figure) -> JobResult:
    """Put figures together."""
    return JobResult("policy", Path.HAPPY, ours, peers)


def test_contenders_of_both_kinds_are_measured_side_by_side() -> None:
    """A synchronous one and a coroutine, three samples each, the package's version with it."""
    done = measure(PEER)

    assert [len(each.samples_ns) for each in (done.ours, *done.peers)] == [3, 3]
    assert done.peers[0].version == pytest.__version__
    assert done.ours.best_ns is not None
    assert done.ours.best_ns > 0
    assert done.fastest is done.peers[0]


def test_a_peer_that_is_not_installed_has_its_row_and_says_how() -> None:
    """It is not left out, and the aim is not called held without it."""
    done = measure(MISSING)
    [peer] = done.peers

    assert (peer.status, peer.why) == (Status.NOT_INSTALLED, "pip install no-such-package-at-all")
    assert (done.ratio, done.verdict) == (None, Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (failing, "RuntimeError: no such option"),
        (idle, "AstrayError: ran the work 0.00 times a step; happy is 1"),
        (missing, "ModuleNotFoundError: No module named 'no_such_package_at_all'"),
    ],
)
def test_a_peer_that_fails_says_so_and_the_others_go_on(make: object, why: str) -> None:
    """Failing, not doing the work, and lacking a part of itself are failures, not absences."""
    done = measure(Contender("broken", make, "pytest"), PEER)  # type: ignore[arg-type]

    assert (done.peers[0].status, done.peers[0].why) == (Status.FAILED, why)
    assert done.peers[1].status is Status.MEASURED
    assert done.verdict in (Verdict.UNKNOWN, Verdict.MISSED)


def test_a_policy_of_ours_that_fails_misses_its_aim() -> None:
    """Whatever its peers do, or without any."""
    broken = Contender("ours", failing)

    assert measure(PEER, ours=broken).verdict is Verdict.MISSED
    assert measure(ours=broken).verdict is Verdict.MISSED


def test_work_done_on_the_rejection_path_is_astray() -> None:
    """A limiter that lets everything through is not measured as one that refuses."""
    done = measure(path=Path.REJECTION)

    assert done.ours.why == "AstrayError: ran the work 1.00 times a step; rejection is 0"


def test_the_check_covers_whole_turns_of_the_loop() -> None:
    """Else it would expect more steps of a coroutine than there are."""
    assert CHECK_CALLS % LOOP_TURN_EVERY == 0


@pytest.mark.parametrize(
    ("result", "ratio", "verdict"),
    [
        (judged(figure(35.0), figure(100.0), figure(200.0)), 0.35, Verdict.HELD),
        (judged(figure(36.0), figure(100.0), figure(200.0)), 0.36, Verdict.MISSED),
        (judged(figure(30.0), figure(100.0), figure(None, Status.FAILED)), 0.3, Verdict.UNKNOWN),
        (judged(figure(40.0), figure(100.0), figure(None, Status.FAILED)), 0.4, Verdict.MISSED),
        (judged(figure(40.0)), None, Verdict.NO_AIM),
        (judged(figure(None, Status.FAILED), figure(100.0)), None, Verdict.MISSED),
    ],
)
def test_the_aim_is_a_share_of_the_fastest_peer(
    result: JobResult, ratio: float | None, verdict: Verdict
) -> None:
    """Missed is missed, whoever is missing; held only when everybody was there."""
    assert AIM_RATIO == 0.35
    assert (result.ratio, result.verdict) == (ratio, verdict)


@pytest.mark.parametrize(
    ("best_ns", "aim_us", "verdict"),
    [
        (6000.0, 6.0, Verdict.HELD),
        (6000.1, 6.0, Verdict.MISSED),
        (9.0, None, Verdict.NO_AIM),
        (None, 6.0, Verdict.MISSED),
    ],
)
def test_a_chain_is_held_to_its_microseconds(
    best_ns: float | None, aim_us: float | None, verdict: Verdict
) -> None:
    """The best round counts; without an aim there is nothing to miss."""
    chain = Chain("any", "a ▸ b", lambda work: work.call, lambda work: work.call, aim_us)

    assert ChainResult(chain, figure(best_ns)).verdict is verdict


def test_a_chain_that_fails_says_so() -> None:
    """And has missed its aim."""

    def broken(work: Work) -> Step:
        raise RuntimeError("no layer")

    with Stopwatch(SAMPLE_MS) as watch:
        chain = Chain("any", "a", broken, lambda work: work.call, None)
        done = run_chain(chain, watch, rounds=1)

    assert (done.figure.why, done.verdict) == ("RuntimeError: no layer", Verdict.MISSED)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        ([Verdict.HELD, Verdict.NO_AIM], 0),
        ([Verdict.HELD, Verdict.UNKNOWN], 4),
        ([Verdict.UNKNOWN, Verdict.MISSED], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst(verdicts: list[Verdict], code: int) -> None:
    """As everywhere: 0 held, 1 refuted, 4 inconclusive."""
    assert exit_code(verdicts) == code
