"""The engine against a fake lab: real control plane, real members, real load."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.drill.engine import Options, run_drill
from chaos.drill.lease import OverlayLease
from chaos.drill.preconditions import check_machine
from chaos.drill.report import as_json, as_markdown, as_text
from chaos.drivers.contract import Capability
from chaos.drivers.host_fault import HostFault
from chaos.lab import Lab, LabPorts
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.drill.build import drill
from tests.chaos.drill.fake_driver import FakeDriver, driven, proof
from tests.chaos.drill.rig import Rig, read_overlay
from tests.e2e.wait import wait_until
from tests.valkey import launch, start_valkey

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PHASES = [
    {"name": "warm", "seconds": 0.3, "rates": {"list": 10}},
    {"name": "steady", "seconds": 1.2, "rates": {"list": 10}},
    {"name": "fault", "seconds": 2.5, "rates": {"list": 100}},
    {"name": "recover", "seconds": 3.0, "rates": {"list": 10}},
]
# Arms so far apart, and seconds so many, that one second of a stalled machine changes nothing.
SMALL: dict[str, Any] = {
    "steady_share": 0.1,
    "set": {"stations": {"video": {"workers": 2, "mean_ms": 100}}},
    "load": {"phases": PHASES, "budget_ms": 400, "gaps": "constant"},
    "hypotheses": [
        {"name": "goodput", "metric": "goodput_of_capacity", "bound": ">= 0.4"},
        {"name": "normal", "metric": "seconds_to_recover", "phase": "recover", "bound": "<= 2.5"},
    ],
    "control": {"off": ["limiter"], "refutes": [{"name": "goodput", "bound": "<= 0.35"}]},
}


def test_drill_holds_and_its_control_is_refuted(rig: Rig) -> None:
    """Both arms, verdict, evidence, files; and afterwards nothing of it is set."""
    small = drill(**SMALL)

    done = run_drill(rig.lab, small, "the text", Options(live=False))

    data = as_json(done)
    assert data["verdict"] == "held", data["reasons"]
    assert data["control"]["verdict"] == "refuted"
    assert data["control"]["off"] == ["limiter"]
    goodput, normal = data["hypotheses"]
    assert (goodput["held"], goodput["exercised"]) == (True, True)
    assert (normal["held"], normal["exercised"]) == (True, False)
    assert data["load"]["sent"] == data["load"]["scheduled"] == data["control"]["load"]["scheduled"]
    assert data["faults"][0]["kind"] == "load"
    assert data["faults"][0]["proof"]["hits"] > 200
    kinds = {(one["arm"], one["kind"]) for one in data["evidence"]}
    assert {("main", "rejected"), ("control", "expired")} <= kinds
    assert [hop["instance"] for hop in data["evidence"][0]["hops"]] == ["gateway.1", "video.1"]
    assert data["replay"] == "squall drill run tiny --seed 17"
    assert data["smallest_margin_sd"] > 0

    latest = rig.lab.root / "runs/tiny/latest"
    assert json.loads((latest / "verdict.json").read_text())["verdict"] == "held"
    assert "<strong>Held" in (latest / "report.html").read_text()
    assert (latest / "main/requests.csv").exists()
    assert (latest / "control/latency.hgrm").exists()
    assert (latest / "drill.yaml").read_text() == "the text"
    assert "HELD" in as_text(done)
    assert "request" in as_text(done)
    assert "# tiny: held" in as_markdown(done)
    assert rig.overlay() is None


def test_fault_that_bites_is_proved_and_one_that_doesnt_is_inconclusive(rig: Rig) -> None:
    """An error fault on video has hits; the same on a route that nobody asks has none."""
    fault = {"kind": "error", "on": "video", "at": 0, "for": 3, "code": "INTERNAL"}
    silent = {**fault, "route": "GET /nowhere"}
    phases = [{**phase, "seconds": 1.0, "rates": {"list": 10}} for phase in PHASES]
    phases[0]["seconds"], phases[2]["seconds"] = 0.1, 3.0
    calm = drill(
        **{
            **SMALL,
            "load": {**SMALL["load"], "phases": phases},
            "faults": [fault, silent],
            "hypotheses": [{"name": "failed", "metric": "failed_count", "bound": ">= 5"}],
            "control": {"off": ["limiter"], "refutes": ["failed"]},
        }
    )

    done = run_drill(rig.lab, calm, "", Options(with_control=False, live=False))

    data = as_json(done)
    assert data["verdict"] == "inconclusive"
    assert [reason["check"] for reason in data["reasons"]] == ["no_proof"]
    bitten, unbitten = data["faults"]
    assert bitten["proof"]["hits"] >= 5
    assert unbitten["proof"]["hits"] == 0
    assert data["hypotheses"][0]["held"]
    assert done.verdict.exit_code == 4


CALM: dict[str, Any] = {
    **SMALL,
    "load": {
        **SMALL["load"],
        "phases": [
            {"name": name, "seconds": seconds, "rates": {"list": 10}}
            for name, seconds in {"warm": 0.2, "steady": 0.5, "fault": 1.4, "recover": 0.4}.items()
        ],
    },
    "hypotheses": [{"name": "failed", "metric": "failed_count", "bound": "<= 30"}],
    "control": {"off": ["limiter"], "refutes": ["failed"]},
}


def test_host_faults_act_in_their_windows_and_are_proved(rig: Rig) -> None:
    """Control is killed in both arms, and neither engine nor verdict minds; no id comes twice."""
    folder = rig.control.folder

    def revive(fault: HostFault) -> None:
        rig.control = launch(rig.control.port, folder=folder)

    driver = FakeDriver(act=lambda fault: rig.control.stop(), undo=revive)
    faults = [{"kind": "kill", "on": "control", "at": 0.2, "for": 0.8}]
    try:
        done = run_drill(
            driven(rig.lab, driver), drill(**CALM, faults=faults), "", Options(live=False)
        )
    finally:
        rig.control.stop()

    data = as_json(done)
    assert [reason["check"] for reason in data["reasons"]] == ["control_held"]
    (main,), (control,) = data["faults"], data["control"]["faults"]
    assert main["words"] == "kill on control"
    assert 0.8 < main["from_s"] < main["to_s"]
    assert main["proof"]["hits"] == control["proof"]["hits"] == 1
    assert len(driver.ended) == len(set(driver.begun)) == 2
    assert data["not_back"] == []


def test_host_fault_that_nobody_saw_act_is_inconclusive(rig: Rig) -> None:
    """Hits are observed, never assumed."""
    driver = FakeDriver(hits=0)
    faults = [{"kind": "pause", "on": "video.1", "for": 1}]
    options = Options(with_control=False, live=False)

    done = run_drill(driven(rig.lab, driver), drill(**CALM, faults=faults), "", options)

    assert [reason.check for reason in done.verdict.reasons] == ["no_proof"]
    assert driver.ended == list(driver.begun)


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (FakeDriver(capabilities=frozenset()), "tiny can't be run here"),
        (FakeDriver(capabilities=frozenset({Capability.KILL})), "cannot pause; it can kill"),
        (FakeDriver(standing=[proof("mine")]), r"a fault acts already: pause on video.1 \(mine\)"),
    ],
)
def test_drill_is_refused_up_front(tmp_path: Path, driver: FakeDriver, message: str) -> None:
    """Exit code 3 names what is missing; no lab is even asked."""
    lab = driven(Lab(tmp_path, "processes", LabPorts(1, 2, 3, 4)), driver)
    faults = [{"kind": "pause", "on": "video.1", "for": 1}]

    with pytest.raises(LabEnvironmentError, match=message) as caught:
        run_drill(lab, drill(**CALM, faults=faults), "", Options(live=False))

    assert caught.value.exit_code == 3


def test_link_fault_without_links_is_refused_up_front(rig: Rig) -> None:
    """Nobody there could carry it out."""
    cut = {"kind": "cut", "on": "link:gateway>video", "for": 1}

    with pytest.raises(LabEnvironmentError, match="it breaks a link, and this lab runs no links"):
        run_drill(rig.lab, drill(**CALM, faults=[cut]), "", Options(live=False))


def test_abort_condition_ends_the_run(rig: Rig) -> None:
    """As soon as it comes true; the verdict names it."""
    phases = [{**phase, "seconds": 20} if phase["name"] == "fault" else phase for phase in PHASES]
    long = drill(
        **{
            **SMALL,
            "load": {**SMALL["load"], "phases": phases, "max_in_flight": 1},
            "abort_if": [{"metric": "sent_share", "bound": "<= 0.9"}],
        }
    )

    done = run_drill(rig.lab, long, "", Options(with_control=False, live=False))

    assert [reason.check for reason in done.verdict.reasons] == ["aborted"]
    assert "sent_share is" in done.verdict.reasons[0].message
    assert rig.overlay() is None


def test_unknown_target_is_refused_before_anything_runs(rig: Rig) -> None:
    """With the nearest name; exit code 2."""
    wrong = drill(**{**SMALL, "set": {"drains": ["vide.2"]}})
    options = Options(with_control=False, live=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chaos.drill.preconditions.READY_LIMIT_S", 0.2)
        with pytest.raises(ConfigError, match=r"the lab has no vide.2: did you mean video"):
            run_drill(rig.lab, wrong, "", options)


def test_killed_engine_leaves_nothing_within_5_s(rig: Rig, tmp_path: Path) -> None:
    """Kill -9: the overlay's lease ends and the generator leaves with its parent."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from chaos.lab import Lab, LabPorts\n"
        "from chaos.drill.engine import Options, run_drill\n"
        "from tests.chaos.drill.build import drill\n"
        "from tests.chaos.drill.test_engine import SMALL\n"
        "root, front, control = sys.argv[1:]\n"
        "ports = LabPorts(int(front), int(control), 1, 2)\n"
        "run_drill(Lab(Path(root), 'processes', ports), drill(**SMALL), '', Options(live=False))\n"
    )
    ports = rig.lab.ports
    engine = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(ports.front), str(ports.control)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    progress = tmp_path / "runs/tiny/latest/main/progress.json"
    try:
        wait_until(progress.exists, limit_s=30)
        generator = json.loads(progress.read_text())["pid"]
        assert rig.arm() == "tiny/main"
        with pytest.raises(LabEnvironmentError, match=f"tiny \\(process {engine.pid}\\)"):
            run_drill(rig.lab, drill(**SMALL), "", Options(live=False))
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait(10)

    wait_until(lambda: rig.arm() is None, limit_s=10)
    wait_until(lambda: not Path(f"/proc/{generator}").exists(), limit_s=10)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Python's own SIGINT handler: a shell's background jobs begin with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_interrupt_restores_and_is_written_down(rig: Rig, tmp_path: Path) -> None:
    """Ctrl-C: the overlay is deleted at once, and the run's files say why there is no verdict."""
    folder = tmp_path / "runs/tiny/latest"
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until((folder / "main/progress.json").exists, limit_s=30)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_drill(rig.lab, drill(**SMALL), "", Options(live=False))
    thread.join()

    assert rig.overlay() is None
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["verdict"] == "inconclusive"
    assert verdict["reasons"][0]["check"] == "interrupted"


def test_machine_that_is_too_small_is_refused() -> None:
    """1 core where 1.2 are needed: exit code 3, with both figures."""
    wants = drill(needs={"seconds": 10, "cores": 1.2})

    with pytest.raises(LabEnvironmentError, match=r"needs 1\.2 cores at peak, and 1 are here"):
        check_machine(wants, cores=1.0)
    check_machine(wants, cores=2.0)


async def test_lease_is_renewed_and_released() -> None:
    """The entry is written again each second, and gone after the with block."""
    with start_valkey() as control:
        address = (control.host, control.port)
        with OverlayLease(address) as lease:
            await lease.hold({"id": "tiny/main"})
            first = (await read_overlay(address))["renewed"]
            await asyncio.to_thread(
                wait_until,
                lambda: asyncio.run(read_overlay(address))["renewed"] > first,
                limit_s=10,
            )
            assert not lease.has_lapsed
        assert await read_overlay(address) is None
