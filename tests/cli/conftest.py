"""Run the command in this process, with or without something to talk to."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from kit.errors import LabEnvironmentError
from squall.main import run
from tests.cli.nodes import Nodes, run_nodes
from tests.patience import PATIENCE_S, be_patient
from tests.valkey import start_valkey


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Squall = Callable[..., Done]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control or a process that is late is not dead."""
    be_patient(monkeypatch)
    monkeypatch.setattr("squall.link.LIVE_LIMIT_S", PATIENCE_S)


@pytest.fixture
def squall(capsys: pytest.CaptureFixture[str]) -> Squall:
    """Run a command line as ``squall`` does and say how it ended."""

    def call(*argv: str) -> Done:
        with pytest.raises(SystemExit) as left:
            run(argv)
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no lab be found, whatever runs on this machine."""

    def find_lab() -> None:
        raise LabEnvironmentError("the lab is not running: make up")

    monkeypatch.setattr("chaos.lab.find_lab", find_lab)


@pytest.fixture(scope="session")
def shared_nodes() -> Iterator[Nodes]:
    """One control plane with processes for all tests that need one."""
    with start_valkey() as server, run_nodes(server) as nodes:
        yield nodes


@pytest.fixture
def nodes(shared_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """Let commands find that control plane, and clear it afterwards."""
    found = SimpleNamespace(control=shared_nodes.control)
    monkeypatch.setattr("chaos.lab.find_lab", lambda: found)
    yield shared_nodes
    shared_nodes.run(shared_nodes.forget())
