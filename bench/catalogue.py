"""Catalogue: every job and chain there is."""

from collections.abc import Sequence

from bench import chains
from bench.contender import Chain, Job
from bench.jobs import breakers, bulkheads, limiters, parts, rates, retries

JOBS: tuple[Job, ...] = (
    *breakers.JOBS,
    *bulkheads.JOBS,
    *limiters.JOBS,
    *rates.JOBS,
    *retries.JOBS,
    *parts.JOBS,
)
CHAINS: tuple[Chain, ...] = chains.CHAINS
CHAINS_NAME = "chains"  # what ``--policy`` calls all of them


def names() -> list[str]:
    """Return what ``--policy`` takes."""
    return [*(job.policy for job in JOBS), CHAINS_NAME]


def chosen(asked: Sequence[str]) -> tuple[list[Job], list[Chain]]:
    """Return the jobs and chains asked for; all when nothing is."""
    jobs = [job for job in JOBS if not asked or job.policy in asked]
    return jobs, list(CHAINS) if not asked or CHAINS_NAME in asked else []
