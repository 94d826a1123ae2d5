"""``squall bench``: one command, one table or one object, the house's exit codes."""

import pytest

from bench import catalogue
from tests.cli.conftest import Squall

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take samples so short that nobody waits for them."""
    monkeypatch.setattr("bench.timing.SAMPLE_MS", 0.05)
    monkeypatch.setattr("bench.timing.Stopwatch.__init__.__defaults__", (0.05,))


def test_the_json_is_one_object_of_its_schema(squall: Squall) -> None:
    """A policy without a peer has no aim to miss, so the run ends well."""
    done = squall("bench", "policies", "--policy", "pressure", "--rounds", "2", "--json")

    assert done.code == 0
    assert (done.json["schema"], done.json["rounds"]) == ("squall.bench-policies/1", 2)
    assert [job["policy"] for job in done.json["jobs"]] == ["pressure"]
    assert done.json["chains"] == []


def test_the_table_has_heads_and_says_what_is_counted(squall: Squall) -> None:
    """And progress goes to stderr."""
    done = squall("bench", "policies", "--policy", "pressure", "--policy", "single")

    assert done.out.startswith("policy")
    assert "CPU nanoseconds per call" in done.out
    assert done.err == "squall: measuring single\nsquall: measuring pressure\n"


def test_the_exit_code_is_the_verdict_s(squall: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aim that is missed makes the command fail."""
    monkeypatch.setattr("bench.report.exit_code", lambda verdicts: 1)

    assert squall("bench", "policies", "--policy", "pressure", "--rounds", "1").code == 1


def test_an_unknown_policy_is_a_usage_error(squall: Squall) -> None:
    """The message names the nearest."""
    done = squall("bench", "policies", "--policy", "bulkheed")

    assert (done.code, done.out) == (2, "")
    assert "did you mean bulkhead" in done.err
    assert squall("bench", "policies", "--rounds", "0").code == 2


def test_a_policy_is_called_as_its_module_is(squall: Squall) -> None:
    """So that a figure is found by the file it belongs to."""
    assert {"sre_breaker", "bulkhead", "bbr", "retry", "deadline", "single", "switch"} <= set(
        catalogue.names()
    )


def test_without_a_checkout_it_says_where_to_go(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has no bench/: exit code 3 and the way out, no traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = squall("bench", "policies")
    assert done.code == 3
    assert "make bench" in done.err
