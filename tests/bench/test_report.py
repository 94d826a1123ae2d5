"""The report: every contender has its row, in the table and in the JSON."""

import json

import pytest

from bench.contender import Chain, Path
from bench.measure import ChainResult, Figure, JobResult, Status
from bench.report import CHAIN_HEAD, JOB_HEAD, as_json, chain_rows, code_of, job_rows

pytestmark = pytest.mark.unit

OURS = Figure("Ours", "", "", Status.MEASURED, samples_ns=(40.0, 30.0, 50.0), best_ns=30.0)
PEER = Figure("peer", "peer", "1.2", Status.MEASURED, samples_ns=(100.0,), best_ns=100.0)
ABSENT = Figure("absent", "absent", "", Status.NOT_INSTALLED, "pip install absent")
BROKEN = Figure("broken", "broken", "3.4", Status.FAILED, "KeyError: 'x'")
JOB = JobResult("policy", Path.GIVE_UP, OURS, (PEER, ABSENT, BROKEN))
ALONE = JobResult("alone", Path.HAPPY, OURS, ())
CHAIN = ChainResult(
    Chain("server", "a ▸ b", lambda work: work.call, lambda work: work.call, 6.0),
    Figure("server", "", "", Status.MEASURED, samples_ns=(5600.0,), best_ns=5400.0),
)


def test_a_table_leaves_nobody_out() -> None:
    """The absent and the broken are rows, with what to do and what went wrong."""
    assert job_rows([JOB, ALONE]) == [
        ("policy", "give up", "Ours", "30", "40", "0.30", "unknown"),
        ("", "", "  peer 1.2", "100", "100", "0.30", ""),
        ("", "", "  absent", "", "", "", "not installed: pip install absent"),
        ("", "", "  broken 3.4", "", "", "", "failed: KeyError: 'x'"),
        ("alone", "happy", "Ours", "30", "40", "", "no peer does this"),
    ]
    assert {len(row) for row in job_rows([JOB])} == {len(JOB_HEAD)}


def test_ours_failing_is_told_in_its_row() -> None:
    """Not as an empty cell."""
    failed = JobResult("policy", Path.HAPPY, BROKEN, (PEER,))

    assert job_rows([failed])[0][-1] == "failed: KeyError: 'x'"


def test_chains_are_told_in_microseconds() -> None:
    """With their aim, and what is in them."""
    assert chain_rows([CHAIN]) == [("server", "5.4", "5.6", "6", "held", "a ▸ b")]
    assert len(CHAIN_HEAD) == 6


def test_the_json_has_the_machine_the_versions_and_every_sample() -> None:
    """Enough to judge the run without having seen it."""
    data = json.loads(json.dumps(as_json([JOB], [CHAIN], rounds=3)))

    assert set(data["machine"]) == {
        "system", "architecture", "processor", "cores", "load_1m", "python",
    }  # fmt: skip
    assert set(data["versions"]) == {"squall-lab", "uvloop"}
    assert (data["rounds"], data["aim_ratio"], data["exit_code"]) == (3, 0.35, 4)
    [job] = data["jobs"]
    assert job["fastest_peer"] == "peer"
    assert (job["path"], job["ratio"], job["verdict"]) == ("give up", 0.3, "unknown")
    assert job["ours"]["samples_ns"] == [40.0, 30.0, 50.0]
    assert job["ours"]["median_ns"] == 40.0
    assert [peer["status"] for peer in job["peers"]] == ["measured", "not installed", "failed"]
    [chain] = data["chains"]
    assert (chain["chain"], chain["aim_us"], chain["verdict"]) == ("server", 6.0, "held")


def test_the_run_ends_with_the_worst_verdict() -> None:
    """One unknown aim makes the run inconclusive."""
    assert code_of([JOB], [CHAIN]) == 4
    assert code_of([ALONE], [CHAIN]) == 0
