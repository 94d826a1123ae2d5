"""Measure: run jobs and chains, and judge each against its aim.

Nothing is left out silently. A peer that isn't installed or that fails has its row with the reason,
and a ratio that a missing peer could still worsen is *unknown*, never held.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from inspect import isawaitable, iscoroutine
from statistics import median

from bench.bare import bare_step
from bench.contender import Chain, Contender, Job, Path, Step, Work
from bench.timing import Stopwatch

AIM_RATIO = 0.35  # issue 4: of the fastest peer's time, per policy
CHECK_CALLS = 400
MAX_ASTRAY = 0.01  # of the steps checked; the SRE breaker lets 1 in 2,001 through


class Status(Enum):
    """Whether a contender has figures."""

    MEASURED = "measured"
    NOT_INSTALLED = "not installed"
    FAILED = "failed"


class Verdict(Enum):
    """Whether an aim is met."""

    HELD = "held"
    MISSED = "missed"
    UNKNOWN = "unknown"
    NO_AIM = "no aim"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a contender costs per step beyond the bare call.

    Args:
        name: The contender's.
        package: Its distribution; "" when it is ours.
        version: Of the package; "" when it is ours or not installed.
        status: Whether there are figures.
        why: What to do or what went wrong; "" when measured.
        samples_ns: CPU nanoseconds per step of each round, the median bare call subtracted.
        best_ns: The best round less the best bare one.
    """

    name: str
    package: str
    version: str
    status: Status
    why: str = ""
    samples_ns: tuple[float, ...] = ()
    best_ns: float | None = None

    @property
    def median_ns(self) -> float | None:
        """The median of the rounds."""
        return median(self.samples_ns) if self.samples_ns else None


@dataclass(frozen=True, slots=True)
class JobResult:
    """One way through one policy, ours and the peers'."""

    policy: str
    path: Path
    ours: Figure
    peers: tuple[Figure, ...]

    @property
    def fastest(self) -> Figure | None:
        """The peer with the best figure; None when none was measured."""
        measured = [peer for peer in self.peers if peer.best_ns is not None]
        return min(measured, key=lambda peer: peer.best_ns or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """Our best over the fastest peer's; None when either is missing."""
        fastest = self.fastest
        if fastest is None or not fastest.best_ns or self.ours.best_ns is None:
            return None
        return self.ours.best_ns / fastest.best_ns

    @property
    def verdict(self) -> Verdict:
        """Judge the ratio; one that is above the aim already can only get worse."""
        if not self.peers:
            return Verdict.NO_AIM if self.ours.best_ns is not None else Verdict.MISSED
        if self.ours.best_ns is None or (self.ratio is not None and self.ratio > AIM_RATIO):
            return Verdict.MISSED
        if any(peer.status is not Status.MEASURED for peer in self.peers):
            return Verdict.UNKNOWN
        return Verdict.HELD


@dataclass(frozen=True, slots=True)
class ChainResult:
    """A chain's figure and its aim."""

    chain: Chain
    figure: Figure

    @property
    def verdict(self) -> Verdict:
        """Judge the best round."""
        if self.figure.best_ns is None:
            return Verdict.MISSED
        if self.chain.aim_us is None:
            return Verdict.NO_AIM
        return Verdict.HELD if self.figure.best_ns <= self.chain.aim_us * 1000 else Verdict.MISSED


class AstrayError(Exception):
    """A contender took another path than the one that is measured."""


def run_job(job: Job, path: Path, watch: Stopwatch, rounds: int) -> JobResult:
    """Measure one path of one job, every contender against the bare call of its own kind."""
    contenders = (job.ours, *job.peers)
    ready: dict[str, tuple[Step, bool]] = {}
    out: dict[str, Figure] = {}
    for contender in contenders:
        try:
            ready[contender.name] = _prepare(contender, path, watch)
        except Exception as error:  # a peer may fail in any way; the row says how
            out[contender.name] = _without_figures(contender, error)
    samples = _sample(ready, path, watch, rounds)
    for contender in contenders:
        if contender.name in ready:
            is_async = ready[contender.name][1]
            out[contender.name] = _figure(
                contender, samples[contender.name], samples[_bare_name(is_async)]
            )
    ours, *peers = (out[contender.name] for contender in contenders)
    return JobResult(job.policy, path, ours, tuple(peers))


def run_chain(chain: Chain, watch: Stopwatch, rounds: int) -> ChainResult:
    """Measure one chain against the same call without it."""
    work = Work()
    contender = Contender(chain.name, lambda work, path: chain.make(work))
    try:
        step = watch.prepare(lambda: chain.make(work))
        _check_path(step, work, Path.HAPPY, watch)
        bare = watch.prepare(lambda: chain.bare(Work()))
        samples = watch.side_by_side({"chain": step, "bare": bare}, rounds)
    except Exception as error:
        return ChainResult(chain, _without_figures(contender, error))
    return ChainResult(chain, _figure(contender, samples["chain"], samples["bare"]))


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 1 when an aim is missed, else 4 when one is unknown, else 0."""
    found = set(verdicts)
    return 1 if Verdict.MISSED in found else 4 if Verdict.UNKNOWN in found else 0


def _prepare(contender: Contender, path: Path, watch: Stopwatch) -> tuple[Step, bool]:
    work = Work()
    step = watch.prepare(lambda: contender.make(work, path))
    is_async = _check_path(step, work, path, watch)
    return step, is_async


def _check_path(step: Step, work: Work, path: Path, watch: Stopwatch) -> bool:
    """See that each step runs the work as often as its path says; tell whether it is async."""
    first = step()
    is_async = isawaitable(first)
    if iscoroutine(first):
        first.close()
    before = work.made
    watch.run(step, CHECK_CALLS)
    # The stopwatch does one more step than it times, and async ones in whole turns of the loop.
    per_step = (work.made - before) / (CHECK_CALLS + 1)
    if abs(per_step - path.value) > MAX_ASTRAY:
        raise AstrayError(f"ran the work {per_step:.2f} times a step; {path.label} is {path.value}")
    return is_async


def _sample(
    ready: dict[str, tuple[Step, bool]], path: Path, watch: Stopwatch, rounds: int
) -> dict[str, list[float]]:
    steps = {name: step for name, (step, _) in ready.items()}
    for is_async in {is_async for _, is_async in ready.values()}:
        steps[_bare_name(is_async)] = bare_step(Work(), path, is_async=is_async)
    return watch.side_by_side(steps, rounds)


def _bare_name(is_async: bool) -> str:
    return "bare, async" if is_async else "bare"


def _figure(contender: Contender, samples: Sequence[float], bare: Sequence[float]) -> Figure:
    bare_ns = median(bare)
    return Figure(
        contender.name,
        contender.package,
        _version(contender.package),
        Status.MEASURED,
        samples_ns=tuple(round(sample - bare_ns, 1) for sample in samples),
        best_ns=round(max(0.1, min(samples) - min(bare)), 1),
    )


def _without_figures(contender: Contender, error: Exception) -> Figure:
    """Say why there are none: the package is missing, or it failed."""
    package = contender.package
    if package and isinstance(error, ModuleNotFoundError) and not _version(package):
        why = f"pip install {package}"
        return Figure(contender.name, package, "", Status.NOT_INSTALLED, why)
    why = f"{type(error).__name__}: {error}"
    return Figure(contender.name, package, _version(package), Status.FAILED, why)


def _version(package: str) -> str:
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return ""
