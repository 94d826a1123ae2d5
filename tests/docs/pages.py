"""What is written for people: the pages, and what can be read out of them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("hashing", "resilience", "shard")
MARKDOWN = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name / "README.md" for name in LIBRARIES),
    ]
)
PAGES = [*MARKDOWN, *sorted((ROOT / "gateway/static").glob("*.html"))]
COMMAND = re.compile(
    r"(?:^ *(?:\$ )?|`|<pre>|\| )(?:\./)?(squall [a-z](?:[^`#\n<]|<(?!/))*)", re.MULTILINE
)
OUTPUT = re.compile(r"^```text$.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"\s+#\s.*")
SHELL_FENCES = ("```sh", "```bash", "```console")
CELLS = re.compile(r"(?<!\\)\|")


def text_of(page: Path) -> str:
    """Read a page."""
    return page.read_text(encoding="utf-8")


def commands_in(text: str) -> list[str]:
    """Find the command lines; a list of alternatives, an ellipsis or an output is none."""
    found = COMMAND.findall(OUTPUT.sub("", text))
    return [line.strip() for line in found if "…" not in line and " | " not in line]


def words_of(line: str) -> list[str]:
    """Take a command line apart, without its comment and what the shell does with its output."""
    words = shlex.split(line, comments=True)
    ends = [words.index(mark) for mark in (">", "&", ";") if mark in words]
    return words[: min(ends, default=None)]


def headings_of(text: str) -> list[tuple[int, str]]:
    """Find the headings with their levels; a ``#`` in a code block is none."""
    return [(len(marks), title) for marks, title in HEADING.findall(FENCE.sub("", text))]


def anchors_of(text: str) -> set[str]:
    """Name what can stand behind ``#`` in a link to a page, as GitHub makes it of headings."""
    anchors: set[str] = set()
    for _, title in headings_of(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")
        number = 1
        while anchor in anchors:
            anchor, number = f"{anchor.removesuffix(f'-{number - 1}')}-{number}", number + 1
        anchors.add(anchor)
    return anchors


def links_of(text: str) -> list[str]:
    """Find what links point at, outside of code."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return LINK.findall(prose)


def section_of(text: str, title: str) -> str:
    """Cut out what stands under a heading, up to the next of its level or above.

    Raises:
        AssertionError: No heading has that title.
    """
    begin = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert begin is not None, f"no heading {title!r}"
    end = re.search(rf"^#{{1,{len(begin[1])}}} ", text[begin.end() :], re.MULTILINE)
    return text[begin.end() :][: end.start() if end else None]


def tables_of(text: str) -> list[list[Sequence[str]]]:
    """Read the tables: rows of cells, the head first, the line of dashes left out."""
    tables: list[list[Sequence[str]]] = []
    is_inside = False
    for line in FENCE.sub("", text).splitlines():
        is_row = line.startswith("|")
        if is_row and not is_inside:
            tables.append([])
        if is_row and not set(line) <= set("|-: "):
            tables[-1].append([cell.strip() for cell in CELLS.split(line)[1:-1]])
        is_inside = is_row
    return tables


def code_in(text: str) -> list[str]:
    """Find what is set as code within a line."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks_of(text: str) -> list[list[str]]:
    """Read the blocks of commands, indented or fenced as shell, without their comments."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
            blocks.append([])
        elif fence in SHELL_FENCES if fence else line.startswith("    "):
            blocks[-1].append(COMMENT.sub("", line).strip())
        elif blocks[-1]:
            blocks.append([])
    return [[line for line in block if line] for block in blocks if any(block)]
