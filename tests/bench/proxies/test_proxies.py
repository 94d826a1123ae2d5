"""The pure parts of the proxies' bench, and that the peers that are here accept their configs."""

import subprocess
from pathlib import Path

import pytest

from bench.proxies import h2load, l4_peers, l7_peers, wrk
from bench.proxies.backend import write_backend
from bench.proxies.cells import BULK, L7_CELLS, SMALL
from bench.proxies.contender import Place, program
from bench.proxies.cores import Cores, cores, pinned
from bench.proxies.idle import Idle
from bench.proxies.session import DURATION_S, ROUNDS, Sample, chosen, plan, unspoken
from bench.proxies.summary import ratio, summaries
from kit.errors import LabEnvironmentError

pytestmark = pytest.mark.unit
REPORT = """Running 1s test @ http://127.0.0.1:28101/small
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.37ms    2.94ms  31.45ms   88.06%
    Req/Sec    30.92k     6.63k   42.29k    70.00%
  Latency Distribution
     50%    1.36ms
     75%    3.06ms
     90%    5.97ms
     99%   13.74ms
  30759 requests in 1.01s, 4.87MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 7
Requests/sec:  30584.36
Transfer/sec:      4.84MB
"""


def sample(number: int, name: str, cpu_us: float | None, requests: int = 100) -> Sample:
    """Make a measurement of the small cell."""
    return Sample(number, name, "small", wrk.Wrk(requests, 1.0, 1.0, 0.01, 0), cpu_us)


def test_wrk_s_report_is_read() -> None:
    """Requests, seconds, bytes, p99; errors of every kind are one sum."""
    seen = wrk.parse(REPORT)

    assert (seen.requests, seen.duration_s, seen.errors) == (30759, 1.01, 10)
    assert seen.p99_s == pytest.approx(0.01374)
    assert seen.read_bytes == pytest.approx(4.87 * 2**20)
    assert seen.rps == pytest.approx(30759 / 1.01)


def test_what_is_no_report_is_an_error() -> None:
    """It repeats what wrk said last."""
    with pytest.raises(LabEnvironmentError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_cell_s_command_is_wrk_s() -> None:
    """A script and a closing connection are asked for only where they are wanted."""
    bare = wrk.command(Path("wrk"), "http://x/", 3)
    whole = wrk.command(Path("wrk"), "http://x/", 3, script=Path("a.lua"), is_closing=True)

    assert "-s" not in bare
    assert "-H" not in bare
    assert whole[-5:] == ["-s", "a.lua", "-H", "Connection: close", "http://x/"]


def test_the_ratio_is_of_the_same_round() -> None:
    """A round in which everything was twice as dear moves no ratio."""
    ours = [sample(0, "ours", 10.0), sample(1, "ours", 20.0), sample(2, "ours", 10.0)]
    theirs = [sample(0, "nginx", 5.0), sample(1, "nginx", 10.0)]

    assert ratio(ours, theirs, lambda one: one.cpu_us) == 2.0
    assert ratio([], theirs, lambda one: one.cpu_us) is None


def test_a_summary_is_the_median_of_the_rounds() -> None:
    """Ours has no ratio to itself, and nobody between has no cost."""
    samples = [sample(n, "ours", cost) for n, cost in enumerate((1.0, 9.0, 2.0))]
    ours, direct = summaries([*samples, sample(0, "direct", None)], ["ours", "direct"])

    assert (ours.cpu_us, ours.cpu_ratio, ours.rounds) == (2.0, None, 3)
    assert (direct.cpu_us, direct.cpu_ratio, direct.rps_ratio) == (None, None, 1.0)


def test_a_round_has_each_cell_once_and_the_seed_settles_the_order() -> None:
    """Three seconds a cell and five rounds by default."""
    planned = plan(["ours", "nginx"], L7_CELLS, 2, seed=1)

    assert (ROUNDS, DURATION_S) == (5, 3)
    assert planned == plan(["ours", "nginx"], L7_CELLS, 2, seed=1)
    assert planned != plan(["ours", "nginx"], L7_CELLS, 2, seed=2)
    assert [one.round for one in planned] == [0] * 10 + [1] * 10
    assert len(set(planned[:10])) == 10


def test_http2_is_asked_of_those_who_speak_it() -> None:
    """Of nobody where there is no h2load."""
    some = chosen(l7_peers.CONTENDERS, ["nginx", "ours"])
    assert unspoken(some, L7_CELLS, has_h2load=True) == {("nginx", "http2")}
    without = unspoken(some, L7_CELLS, has_h2load=False)
    planned = plan(["ours", "nginx"], L7_CELLS, 1, without=without)
    assert {one.cell.name for one in planned} == {"small", "large", "upload", "connect"}


def test_h2load_s_report_is_read() -> None:
    """Duration, answers, bytes; p99 from its log."""
    text = (
        "finished in 2.00s, 5.00 req/s, 1KB/s\n"
        "requests: 12 total, 12 started, 11 done, 10 succeeded, 1 failed, 0 errored, 0 timeout\n"
        "traffic: 1.2KB (1234) total, 100B (100) headers (space savings 90%), 1B (1) data\n"
    )
    log = "".join(f"1\t200\t{n * 1000}\n" for n in range(1, 101))
    seen = h2load.parse(text, log)
    assert (seen.requests, seen.duration_s, seen.read_bytes, seen.errors) == (10, 2.0, 1234.0, 1)
    assert seen.p99_s == pytest.approx(0.099)
    assert h2load.command(Path("h2load"), "http://x/", 3, Path("l"))[1:5] == ["-c", "8", "-m", "8"]
    with pytest.raises(LabEnvironmentError, match="h2load said: no"):
        h2load.parse("no", "")


def test_who_is_asked_for_is_chosen() -> None:
    """In the table's order; an unknown name is told."""
    assert [one.name for one in chosen(l7_peers.CONTENDERS, ["nginx", "ours"])] == ["ours", "nginx"]
    with pytest.raises(KeyError, match="nginks"):
        chosen(l7_peers.CONTENDERS, ["nginks"])


def test_work_is_counted_in_the_cell_s_unit() -> None:
    """Sixteen answers of 64 KiB are a MiB."""
    assert BULK.units(16) == 1.0
    assert SMALL.units(16) == 16


def test_proxy_and_load_get_cores_of_their_own() -> None:
    """With one core nobody is pinned."""
    assert cores([0, 1, 5]) == Cores(0, 5)
    assert cores([3]) == Cores()
    assert pinned(5, ["x"]) == ["taskset", "-c", "5", "x"]
    assert pinned(None, ["x"]) == ["x"]


def test_an_idle_connection_costs_its_share_and_never_less_than_nothing() -> None:
    """A proxy that gave memory back is not credited."""
    assert Idle(10, 1000, 2000).bytes_each == 100.0
    assert Idle(10, 2000, 1000).bytes_each == 0.0


@pytest.mark.parametrize("write", [l7_peers.nginx, l4_peers.nginx_stream, None])
def test_nginx_accepts_our_configs(tmp_path: Path, write: object) -> None:
    """Proxy for HTTP, proxy for TCP, backend."""
    binary = program("nginx")
    if binary is None or (write is l4_peers.nginx_stream and not l4_peers.nginx_with_stream()):
        pytest.skip("nginx or its stream module is not installed")
    if callable(write):
        command = write(binary, Place(tmp_path, 28_901, 28_902))
    else:
        command = [str(binary), "-p", str(tmp_path), "-c", str(write_backend(tmp_path, 28_903))]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=10)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("write", [l7_peers.haproxy, l7_peers.haproxy_tcp])
def test_haproxy_accepts_our_configs(tmp_path: Path, write: object) -> None:
    """For HTTP and for TCP."""
    binary = program("haproxy")
    if binary is None:
        pytest.skip("haproxy is not installed")
    assert callable(write)
    command = write(binary, Place(tmp_path, 28_901, 28_902))
    done = subprocess.run([*command, "-c"], capture_output=True, text=True, timeout=10)

    assert done.returncode == 0, done.stderr
