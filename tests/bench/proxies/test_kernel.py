"""Kernel mode's measurement: its ratios, and a round of it where this machine allows that."""

from pathlib import Path

import pytest

from bench.proxies import kernel, netns
from bench.proxies.contender import program
from bench.proxies.kernel import KERNEL, PATHS, ROUTED, STRAIGHT, as_json, rows, summaries
from bench.proxies.run import Tools
from bench.proxies.session import Sample
from bench.proxies.wrk import Wrk
from kit.errors import LabEnvironmentError


def sample(number: int, way: str, cell: str, requests: int, cpu_us: float = 0.0) -> Sample:
    """Make one of a second."""
    return Sample(number, way, cell, Wrk(requests, 1.0, 0.0, 0.001, 0), cpu_us)


@pytest.mark.unit
def test_ratios_are_taken_in_each_round() -> None:
    """A machine that is half as fast in one round changes no ratio."""
    samples = []
    for number, speed in enumerate((1000, 500, 1000)):
        for cell in ("small", "bulk"):
            samples += [
                sample(number, KERNEL, cell, int(speed * 0.9), cpu_us=10.0),
                sample(number, ROUTED, cell, speed),
                sample(number, STRAIGHT, cell, speed * 2),
            ]
    small, bulk = summaries(samples)
    assert (small.name, bulk.name) == ("small", "bulk")
    assert small.of_routed == pytest.approx(0.9)
    assert small.of_straight == pytest.approx(0.45)
    assert small.rps == {KERNEL: 900, ROUTED: 1000, STRAIGHT: 2000}
    assert small.cpu_share == pytest.approx(0.009)
    assert rows([small])[0] == ("small", "900", "1,000", "2,000", "0.90", "0.45", "0.9%")
    assert set(as_json([small, bulk])) == {"small", "bulk"}


@pytest.mark.unit
async def test_a_machine_without_namespaces_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is started."""
    monkeypatch.setattr(netns, "lacks", lambda: "no nft")
    tools = Tools(Path("wrk"), Path("nginx"))
    with pytest.raises(LabEnvironmentError, match="kernel mode: no nft"):
        await kernel.measure(tools, 1, 1, lambda number, one: None)


@pytest.mark.integration
@pytest.mark.timeout(120)
async def test_one_round_by_all_three_ways() -> None:
    """Everybody is answered, and our process has nothing to do with it."""
    found = [program("wrk"), program("nginx")]
    if None in found or netns.lacks():
        pytest.skip(f"no wrk or nginx, or {netns.lacks()}")
    done = await kernel.measure(Tools(*found), 1, 1, lambda number, one: None)  # type: ignore[arg-type]
    assert {(one.contender, one.cell) for one in done} == {
        (way, cell.name) for way in PATHS for cell in kernel.CELLS
    }
    assert all(one.wrk.requests > 0 and one.wrk.errors == 0 for one in done)
    assert all(one.cpu_share < kernel.MOST_CPU_SHARE for one in summaries(done))
