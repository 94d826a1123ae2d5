"""Several drills one after another, and the one exit code that sums them up.

Source: drills.md: the exit code of several drills is the worst in the order 3, 1, 4, 0.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaos.drill.catalogue import drill_files
from chaos.drill.engine import Options, run_drill
from chaos.drill.loading import load_drill
from chaos.drill.report import DrillRun, smallest_margin_sd
from chaos.drill.schema import Drill
from chaos.lab import Lab
from chaos.report.write import HTML_FILE
from kit.errors import EXIT_ENVIRONMENT, ConfigError, LabError
from kit.nearest import nearest

SCHEMA = "squall.drill-suite/1"
WORST_FIRST = (3, 1, 4, 0)
NOT_RUN = "not run"
HEAD = ("drill", "verdict", "seconds", "margin, sd", "report")


@dataclass(frozen=True, slots=True)
class Item:
    """A drill to run.

    Args:
        drill: Checked.
        text: Its file.
    """

    drill: Drill
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A drill that was run, or couldn't be.

    Args:
        drill: What was run.
        run: None when it couldn't be run.
        error: Why it couldn't; None when it was.
        seconds: Wall time.
        began_unix_s: When.
    """

    drill: Drill
    run: DrillRun | None
    error: LabError | None
    seconds: float
    began_unix_s: float

    @property
    def verdict(self) -> str:
        """``held``, ``refuted``, ``inconclusive`` or ``not run``."""
        return NOT_RUN if self.run is None else self.run.verdict.verdict

    @property
    def exit_code(self) -> int:
        """As of this drill alone; one that names what this lab hasn't can't be run here either."""
        return EXIT_ENVIRONMENT if self.run is None else self.run.verdict.exit_code

    @property
    def report(self) -> str:
        """Its page; "" when it wasn't run."""
        return "" if self.run is None else str(self.run.folder / HTML_FILE)

    @property
    def why(self) -> str:
        """In words why it didn't hold; "" when it did."""
        if self.error is not None:
            return str(self.error)
        return "; ".join(r.message for r in self.run.verdict.reasons) if self.run else ""


def load_items(paths: Sequence[Path], overrides: Sequence[str] = ()) -> list[Item]:
    """Read drills; raises ConfigError for the first that is wrong, before anything runs."""
    return [Item(load_drill(path, overrides), path.read_text(encoding="utf-8")) for path in paths]


def all_items(tag: str = "", folder: Path | None = None) -> list[Item]:
    """Return every drill of the lab, or those with a tag.

    Raises:
        ConfigError: A file is wrong, or no drill has the tag.
    """
    items = load_items(drill_files() if folder is None else drill_files(folder))
    chosen = [item for item in items if not tag or tag in item.drill.tags]
    if not chosen:
        known = {name for item in items for name in item.drill.tags}
        raise ConfigError(f"no drill has the tag {tag}: {nearest(tag, known)}")
    return chosen


def run_suite(
    lab: Lab,
    items: Sequence[Item],
    options: Options,
    run: Callable[[Lab, Drill, str, Options], DrillRun] = run_drill,
    places: Sequence[str] = (),
) -> Iterator[Entry]:
    """Run drills one after another; one that can't be run doesn't stop the others.

    Args:
        lab: A lab that answers.
        items: What to run.
        options: How; each is shown in one line.
        run: Runs one.
        places: What each line begins with; ``2 of 8`` where nothing is said.
    """
    places = places or [f"{number} of {len(items)}" for number in range(1, len(items) + 1)]
    for item, place in zip(items, places, strict=True):
        began_s, began_unix_s = time.monotonic(), time.time()
        done: DrillRun | None = None
        failed: LabError | None = None
        try:
            done = run(lab, item.drill, item.text, replace(options, place=place))
        except LabError as error:
            failed = error
        yield Entry(item.drill, done, failed, time.monotonic() - began_s, began_unix_s)


def worst(codes: Sequence[int]) -> int:
    """Return the exit code of several drills."""
    return next((code for code in WORST_FIRST if code in codes), 0)


def line(entry: Entry) -> str:
    """Say in one line how a drill ended."""
    margin = _margin(entry)
    parts = [
        f"{entry.drill.drill:<20} {entry.verdict.upper():<13} {entry.seconds:4.0f} s",
        f"margin {margin} sd" if margin else "",
        entry.why,
    ]
    return "  ".join(filter(None, parts))


def row(entry: Entry) -> list[str]:
    """Return a drill as a row of HEAD."""
    seconds = f"{entry.seconds:.0f}"
    return [entry.drill.drill, entry.verdict, seconds, _margin(entry), entry.report or entry.why]


def sentence(entries: Sequence[Entry]) -> str:
    """Sum several drills up in one line."""
    verdicts = [entry.verdict for entry in entries]
    said = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
    return f"{len(entries)} drills in {sum(entry.seconds for entry in entries):.0f} s: {said}"


def as_json(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the object that ``squall drill run --all --json`` prints (without its schema)."""
    return {
        "exit_code": worst([entry.exit_code for entry in entries]),
        "seconds": round(sum(entry.seconds for entry in entries), 1),
        "drills": [_entry_json(entry) for entry in entries],
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "drill": entry.drill.drill,
        "verdict": entry.verdict,
        "exit_code": entry.exit_code,
        "seconds": round(entry.seconds, 1),
        "smallest_margin_sd": None if entry.run is None else smallest_margin_sd(entry.run),
        "why": entry.why,
        "report": entry.report,
        "replay": "" if entry.run is None else entry.run.replay,
    }


def _margin(entry: Entry) -> str:
    margin = None if entry.run is None else smallest_margin_sd(entry.run)
    return "" if margin is None else f"{margin:.1f}"
