"""How compose is called: what comes before the lab's end, and what a failure says."""

from pathlib import Path

import pytest

from chaos.drivers import engine
from chaos.drivers.engine import PROJECT, run_compose
from kit.errors import LabEnvironmentError

pytestmark = pytest.mark.unit


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """What was told to undo its host faults; compose is a program that does nothing."""
    calls: list[tuple[Path, str]] = []
    monkeypatch.setattr(engine, "require_compose", lambda: ["true"])
    monkeypatch.setattr(
        "chaos.keeper.launch.finish_keeper", lambda folder, project: calls.append((folder, project))
    )
    return calls


def test_a_lab_s_end_undoes_its_host_faults_first(
    tmp_path: Path, finished: list[tuple[Path, str]]
) -> None:
    """Compose can't end a frozen container; nothing else asks the keeper to finish."""
    run_compose(tmp_path, ["up", "--detach"], {})
    assert finished == []
    run_compose(tmp_path, ["down", "--volumes"], {})
    assert finished == [(tmp_path / ".squall", PROJECT)]


def test_a_failure_has_the_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the engine keeps a network, what to do."""
    script = "echo network x has active endpoints; exit 1"
    monkeypatch.setattr(engine, "require_compose", lambda: ["sh", "-c", script])
    with pytest.raises(LabEnvironmentError, match="restart the engine, then make down"):
        run_compose(tmp_path, ["up"], {})
