"""Golden transcripts: equal passes, different shows how, and only on request is a file written."""

from pathlib import Path

import pytest

from tests.golden import transcript


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the real transcripts out of it, and the variable unset."""
    monkeypatch.setattr(transcript, "FOLDER", tmp_path)
    monkeypatch.delenv(transcript.REWRITE_VARIABLE, raising=False)
    return tmp_path


def test_lines_that_were_written_compare_equal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the variable wrote, the next run accepts; blanks at the end of a line don't count."""
    monkeypatch.setenv(transcript.REWRITE_VARIABLE, "1")
    transcript.check("a_story", ["once  ", "", "upon\na time"])
    monkeypatch.delenv(transcript.REWRITE_VARIABLE)

    transcript.check("a_story", ["once", "", "upon", "a time"])
    assert (folder / "a_story.txt").read_text(encoding="utf-8") == "once\n\nupon\na time\n"


def test_a_difference_is_shown_and_writes_nothing(folder: Path) -> None:
    """The failure is a diff that names both lines and how to accept the new one."""
    (folder / "story.txt").write_text("admit -> permit\n", encoding="utf-8")

    with pytest.raises(AssertionError) as failure:
        transcript.check("story", ["admit -> rejection"])
    assert "-admit -> permit" in str(failure.value)
    assert "+admit -> rejection" in str(failure.value)
    assert "SQUALL_REWRITE_GOLDEN=1" in str(failure.value)
    assert (folder / "story.txt").read_text(encoding="utf-8") == "admit -> permit\n"


def test_a_missing_transcript_is_a_failure(folder: Path) -> None:
    """A new story is never accepted silently."""
    with pytest.raises(AssertionError, match="differs"):
        transcript.check("new", ["first line"])
    assert list(folder.iterdir()) == []


def test_a_name_with_a_folder_is_refused() -> None:
    """Transcripts lie side by side in one folder."""
    with pytest.raises(AssertionError, match="no plain name"):
        transcript.check("../elsewhere", [])
