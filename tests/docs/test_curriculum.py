"""docs/curriculum.md: every line has code, page and command that exist, or says later."""

import re
from collections.abc import Sequence

import pytest

from chaos.drill.catalogue import drill_files
from tests.docs.command_lines import check
from tests.docs.pages import ROOT, code_in, headings_of, links_of, section_of, tables_of, text_of

pytestmark = pytest.mark.unit

TEXT = text_of(ROOT / "docs/curriculum.md")
HEAD = ["topic", "code", "page", "see it", "drill"]
LATER = ["", "", "*later*", ""]
COURSE = {
    "Runtime": ["scheduler", "GIL", "memory", "garbage collection"],
    "Concurrency": ["Context", "cancellation", "fan-out", "channels", "queues", "errgroup",
                    "TaskGroup", "single-flight"],
    "Network": ["TCP server", "HTTP/1.1 server", "framing", "long connections"],
    "Errors": ["model", "wrapping", "codes"],
    "Engineering": ["layout", "API design", "configuration", "tests", "mocks"],
    "Front door": ["DNS", "HTTPDNS", "CDN", "L4", "L7"],
    "Sharding": ["which hash", "consistent hashing", "slots", "resharding", "cache",
                 "database split", "multi-active"],
    "Microservices": ["registry", "RPC", "BFF gateway", "balancing", "tracing"],
    "Availability": ["isolation", "timeouts", "overload protection", "rate limits", "retry",
                     "failover", "degradation", "chaos drills"],
}  # fmt: skip


def rows_of(chapter: str) -> list[Sequence[str]]:
    """Return the lines of a chapter, its head left out."""
    [table] = tables_of(section_of(TEXT, chapter))
    assert table[0] == HEAD
    return table[1:]


ROWS = [row for chapter in COURSE for row in rows_of(chapter)]


def test_chapters_are_the_course_s_in_its_order() -> None:
    """None is left out, none is added."""
    assert [title for level, title in headings_of(TEXT) if level == 2] == list(COURSE)


@pytest.mark.parametrize("chapter", COURSE)
def test_each_line_of_the_course_is_there(chapter: str) -> None:
    """By its word, at a line of its own or as part of one."""
    topics = " | ".join(row[0] for row in rows_of(chapter))
    assert [word for word in COURSE[chapter] if not re.search(rf"\b{word}\b", topics)] == []


@pytest.mark.parametrize("chapter", COURSE)
def test_each_line_is_whole_or_says_later(chapter: str) -> None:
    """Code that exists, one page, one command that can be run, drills that exist."""
    for topic, code, page, command, drill in rows_of(chapter):
        assert topic
        if [code, page, command, drill] == LATER:
            continue
        assert code_in(code), topic
        assert [path for path in code_in(code) if not (ROOT / path).exists()] == [], topic
        assert len(links_of(page)) == 1, topic
        [line] = code_in(command)
        assert line.split()[0] in ("./squall", "make", "curl", "pip"), topic
        if line.startswith("./squall"):
            check(line)
        assert drill == " ".join(f"`{name}`" for name in code_in(drill)), topic


def test_every_drill_is_in_the_course() -> None:
    """A lesson that no line leads to would be found by nobody."""
    named = {name for row in ROWS for name in code_in(row[4])}
    assert named == {path.stem for path in drill_files()}
