"""Golden transcripts: what a policy says, held against a file that reads like a story.

A test makes the lines; the file is reviewed like code. To accept a change on purpose, run the tests
with ``SQUALL_REWRITE_GOLDEN=1`` and read the difference before committing it.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REWRITE_VARIABLE = "SQUALL_REWRITE_GOLDEN"


def check(name: str, lines: Sequence[str]) -> None:
    """Compare the lines with ``tests/golden/<name>.txt``; raise with the difference.

    Writes the file instead when the environment has ``SQUALL_REWRITE_GOLDEN=1``.

    Args:
        name: The file's name without ``.txt``; a plain word, no folder.
        lines: Without line ends; trailing blanks don't count.

    Raises:
        AssertionError: The file is missing or differs, with a unified diff.
    """
    assert name.replace("_", "").isalnum(), f"{name!r} is no plain name of a transcript"
    path = FOLDER / f"{name}.txt"
    now = [part.rstrip() for line in lines for part in line.split("\n")]
    if os.environ.get(REWRITE_VARIABLE) == "1":
        path.write_text("\n".join(now) + "\n", encoding="utf-8")
        return
    kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    difference = list(difflib.unified_diff(kept, now, f"golden/{path.name}", "now", lineterm=""))
    advice = f"{REWRITE_VARIABLE}=1 accepts what is new"
    assert not difference, "\n".join(["the transcript differs", *difference, advice])
