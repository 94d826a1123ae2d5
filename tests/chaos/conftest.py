"""A fake lab for the tests of drills and experiments."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.drill import soundness
from chaos.lab import Lab, LabPorts
from tests.chaos.drill.rig import ROOT, Rig
from tests.e2e.wait import wait_until
from tests.patience import be_patient
from tests.ports import free_port
from tests.valkey import start_valkey


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control that is late is not dead."""
    be_patient(monkeypatch)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Run a control plane and two members for one test.

    What doubts a busy machine raises is tested with plain numbers; here it would only make noise.
    """
    for name in ("MAX_GENERATOR_LAG_P99_MS", "MAX_LOOP_LAG_P99_MS", "MAX_CPU_SHARE"):
        monkeypatch.setattr(soundness, name, 1e9)
    with start_valkey() as control:
        front = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.drill.fake_lab", str(control.port), str(front)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        ports = LabPorts(front, control.port, front + 1, front + 2)
        rig = Rig(Lab(tmp_path, "processes", ports), control, process)
        try:
            wait_until(lambda: sum(m.ready for m in rig.members()) == 2, limit_s=30)
            yield rig
        finally:
            process.kill()
            process.wait(10)
