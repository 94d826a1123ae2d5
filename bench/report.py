"""Report: the table and the JSON of a bench run."""

from collections.abc import Sequence

from bench.machine import machine, versions
from bench.measure import AIM_RATIO, ChainResult, Figure, JobResult, Status, exit_code

SCHEMA = "squall.bench-policies/1"
JOB_HEAD = ("policy", "path", "contender", "best ns", "median ns", "ratio", "")
CHAIN_HEAD = ("chain", "best µs", "median µs", "aim µs", "", "layers")
LEGEND = (
    "CPU nanoseconds per call beyond the bare call: admit plus settle, the clock read twice. "
    "A ratio is our best over a peer's, beside ours over the fastest peer's; "
    f"the aim is {AIM_RATIO} at most."
)


def as_json(
    jobs: Sequence[JobResult], chains: Sequence[ChainResult], rounds: int
) -> dict[str, object]:
    """Return the whole run."""
    return {
        "machine": machine(),
        "versions": versions(),
        "rounds": rounds,
        "aim_ratio": AIM_RATIO,
        "jobs": [_job_json(job) for job in jobs],
        "chains": [_chain_json(chain) for chain in chains],
        "exit_code": code_of(jobs, chains),
    }


def code_of(jobs: Sequence[JobResult], chains: Sequence[ChainResult]) -> int:
    """Return 0 when every aim is held, 1 when one is missed, 4 when one is unknown."""
    return exit_code([*(job.verdict for job in jobs), *(chain.verdict for chain in chains)])


def job_rows(jobs: Sequence[JobResult]) -> list[tuple[str, ...]]:
    """Return the rows below ``JOB_HEAD``: ours first, its peers under it, none left out."""
    rows: list[tuple[str, ...]] = []
    for job in jobs:
        verdict = _note(job.ours) or (job.verdict.value if job.peers else "no peer does this")
        label = job.path.label
        ratio = _ratio(job.ours, job.fastest)
        rows.append((job.policy, label, job.ours.name, *_cells(job.ours), ratio, verdict))
        for peer in job.peers:
            cells = (*_cells(peer), _ratio(job.ours, peer), _note(peer))
            rows.append(("", "", f"  {_title(peer)}", *cells))
    return rows


def chain_rows(chains: Sequence[ChainResult]) -> list[tuple[str, ...]]:
    """Return the rows below ``CHAIN_HEAD``."""
    return [
        (
            each.chain.name,
            _number(each.figure.best_ns, 1000),
            _number(each.figure.median_ns, 1000),
            "" if each.chain.aim_us is None else f"{each.chain.aim_us:g}",
            each.figure.why or each.verdict.value,
            each.chain.layers,
        )
        for each in chains
    ]


def _title(figure: Figure) -> str:
    return f"{figure.name} {figure.version}".rstrip()


def _cells(figure: Figure) -> tuple[str, str]:
    return _number(figure.best_ns), _number(figure.median_ns)


def _ratio(ours: Figure, peer: Figure | None) -> str:
    if ours.best_ns is None or peer is None or not peer.best_ns:
        return ""
    return f"{ours.best_ns / peer.best_ns:.2f}"


def _note(figure: Figure) -> str:
    return "" if figure.status is Status.MEASURED else f"{figure.status.value}: {figure.why}"


def _number(value_ns: float | None, unit: int = 1) -> str:
    if value_ns is None:
        return ""
    return f"{value_ns / unit:.1f}" if unit > 1 else f"{value_ns:.0f}"


def _job_json(job: JobResult) -> dict[str, object]:
    fastest = job.fastest
    return {
        "policy": job.policy,
        "path": job.path.label,
        "ours": _figure_json(job.ours),
        "peers": [_figure_json(peer) for peer in job.peers],
        "fastest_peer": None if fastest is None else fastest.name,
        "ratio": None if job.ratio is None else round(job.ratio, 3),
        "verdict": job.verdict.value,
    }


def _chain_json(each: ChainResult) -> dict[str, object]:
    return {
        "chain": each.chain.name,
        "layers": each.chain.layers,
        "aim_us": each.chain.aim_us,
        **_figure_json(each.figure),
        "verdict": each.verdict.value,
    }


def _figure_json(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "package": figure.package,
        "version": figure.version,
        "status": figure.status.value,
        "why": figure.why,
        "best_ns": figure.best_ns,
        "median_ns": figure.median_ns,
        "samples_ns": list(figure.samples_ns),
    }
