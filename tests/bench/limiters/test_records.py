"""Records on disk: whole, or an error that says what is wrong with them."""

from pathlib import Path

import pytest

from bench.limiters.records import UNSENT, Record, load, save
from kit.errors import LabEnvironmentError
from tests.bench.limiters.made import answered, refused

pytestmark = pytest.mark.unit


def test_what_was_saved_is_read_as_it_was(tmp_path: Path) -> None:
    """Answered, refused and never sent."""
    records = (answered(1.0), refused(2.5, tenant="b"), Record(3.0, 2, "c", status=UNSENT))
    save(records, tmp_path / "records.json")

    assert load(tmp_path / "records.json") == records


@pytest.mark.parametrize("text", ["", "[[1.0,0,", '[["soon",0,"a"]]', "{}"])
def test_records_that_are_not_whole_are_an_error(tmp_path: Path, text: str) -> None:
    """Cut off, of the wrong type, or none at all."""
    path = tmp_path / "records.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(LabEnvironmentError, match="the client's records cannot be read"):
        load(path)


def test_records_that_were_never_written_are_an_error(tmp_path: Path) -> None:
    """With the name of the file."""
    with pytest.raises(LabEnvironmentError, match=r"nothing\.json"):
        load(tmp_path / "nothing.json")
