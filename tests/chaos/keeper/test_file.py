"""The undo list on disk."""

from pathlib import Path

import pytest

from chaos.drivers.host_fault import HostFault
from chaos.keeper.file import LEDGER_FILE, load_ledger, save_ledger
from chaos.keeper.launch import finish_keeper, recall, see_to_keeper
from chaos.keeper.ledger import Ledger
from chaos.keeper.look import Look
from kit.errors import LabEnvironmentError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_list_comes_back_as_it_was(tmp_path: Path, is_durable: bool) -> None:
    """Standing and over, with everything that undoing needs."""
    ledger = Ledger()
    look = Look("running", "process 7", None, 1.5, 0.5, 9, {"memory": -1})
    fault = HostFault("f-1", "cpu", "video.1", 20.0, {"cores": 0.1})
    entry = ledger.add(fault, {"video.1": look}, 3.0, 100.0)
    ledger.observe(entry, {"video.1": look}, 101.0)

    save_ledger(tmp_path / "list.json", ledger, is_durable=is_durable)

    assert load_ledger(tmp_path / "list.json") == ledger
    assert [path.name for path in tmp_path.iterdir()] == ["list.json"]


def test_no_file_is_an_empty_list(tmp_path: Path) -> None:
    """Nothing was ever broken."""
    assert load_ledger(tmp_path / "list.json") == Ledger()


def test_a_damaged_file_does_not_keep_the_lab_from_ending(tmp_path: Path) -> None:
    """Ending it is the advice; no keeper is started, and whoever asks for faults is told."""
    (tmp_path / LEDGER_FILE).write_text("{")
    see_to_keeper(tmp_path, "nothing")
    finish_keeper(tmp_path, "nothing")
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_FILE]
    with pytest.raises(LabEnvironmentError, match="is damaged"):
        recall(tmp_path, "nothing")


@pytest.mark.parametrize("text", ["", "{", '{"entries": 5}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    """Not a traceback, and not silence: something may still be broken."""
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(LabEnvironmentError, match=r"is damaged .*: make down, then make up"):
        load_ledger(tmp_path / "list.json")
