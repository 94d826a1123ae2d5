"""Write a run's report beside what it was made from."""

import os
from pathlib import Path

from chaos.report.machine import record_machine
from chaos.report.page import render
from chaos.report.run import read_run

HTML_FILE = "report.html"


def write_report(folder: Path, *, at_end_of_run: bool = False) -> Path:
    """Write ``report.html`` into a run's folder, anew when it is there.

    Args:
        folder: With verdict.json, or arms with requests.csv.
        at_end_of_run: Whether the run just ended here, so that this machine is what it ran on.

    Raises:
        ConfigError: The folder holds no run.
    """
    if at_end_of_run:
        record_machine(folder)
    return write_page(folder / HTML_FILE, render(read_run(folder)))


def write_page(path: Path, html: str) -> Path:
    """Replace a page at once: a browser that has it open never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(html, encoding="utf-8")
    os.replace(partial, path)
    return path
