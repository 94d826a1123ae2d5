"""When a fault was active, and which: the shaded stretches of every chart over time.

Pure. A lone fault is named on the chart; where there are several each gets a letter there and its
words below, since words of neighbours would lie over one another.
"""

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any, NamedTuple

from chaos.drill.arms import CONTROL, control_arm, fault_windows, main_arm
from chaos.drill.records import Window
from chaos.drill.schema import FAULT, Drill
from chaos.report import svg

LOAD = "load of the fault phase"
LETTER = 6.0  # width of a letter of 10 units' height, about


class Band(NamedTuple):
    """One fault.

    Args:
        window: When it acted, in seconds since the arm began.
        words: What it was, e.g. ``pause on video.1``.
    """

    window: Window
    words: str


def seen_bands(rows: Iterable[Mapping[str, Any]]) -> list[Band]:
    """Return the faults as a verdict's rows tell when they acted; older files don't."""
    return [
        Band(Window(float(row["from_s"]), float(row["to_s"])), str(row.get("words", row["kind"])))
        for row in rows
        if "from_s" in row and "to_s" in row
    ]


def planned_bands(drill: Drill | None, arm: str, windows: Mapping[str, Window]) -> list[Band]:
    """Return the faults as planned; a drill whose fault is its load has the whole phase."""
    if drill is not None and drill.faults:
        of = control_arm(drill) if arm == CONTROL else main_arm(drill)
        return [Band(each.window, each.describe()) for each in fault_windows(drill, of)]
    return [Band(windows[FAULT], LOAD)] if FAULT in windows else []


def draw(frame: svg.Frame, bands: Sequence[Band]) -> str:
    """Shade them, widest first, so that none hides another."""
    widest_first = sorted(bands, key=lambda band: -band.window.seconds)
    shades = "".join(svg.band(frame, band.window, band.words) for band in widest_first)
    labels = "".join(
        svg.band_label(frame, from_s, ", ".join(names)) for from_s, names in _labels(frame, bands)
    )
    return shades + labels


def caption(bands: Sequence[Band]) -> str:
    """Say what is shaded; "" when the chart says it or nothing is."""
    if len(bands) < 2:
        return ""
    marks = _marks(bands)
    said = (
        f"{marks[band]} {band.words}, {band.window.from_s:.3g} to {band.window.to_s:.3g} s"
        for band in sorted(bands, key=_begin)
    )
    return f"shaded: {'; '.join(dict.fromkeys(said))}"


def _labels(frame: svg.Frame, bands: Sequence[Band]) -> list[tuple[float, list[str]]]:
    """Return where each label begins and what it says; those that would overlap are one."""
    marks = _marks(bands)
    labels: list[tuple[float, list[str]]] = []
    for band in sorted(bands, key=_begin):
        if labels and frame.x(_begin(band)) < _ends_x(frame, *labels[-1]):
            labels[-1][1].append(marks[band])
        else:
            labels.append((_begin(band), [marks[band]]))
    return labels


def _ends_x(frame: svg.Frame, from_s: float, names: Sequence[str]) -> float:
    return frame.x(from_s) + LETTER * (len(", ".join(names)) + 2)


def _begin(band: Band) -> float:
    return round(band.window.from_s, 1)


def _marks(bands: Sequence[Band]) -> dict[Band, str]:
    if len(bands) == 1:
        return {bands[0]: bands[0].words}
    ordered = sorted(bands, key=_begin)
    return {band: ascii_lowercase[place % 26] for place, band in enumerate(ordered)}
