"""README.zh-CN.md says what README.md says: same structure, commands, links and figures."""

import re

import pytest

from tests.docs.pages import ROOT, blocks_of, code_in, headings_of, links_of, tables_of, text_of

pytestmark = pytest.mark.unit

ENGLISH = text_of(ROOT / "README.md")
CHINESE = text_of(ROOT / "README.zh-CN.md")
PICTURE = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


def test_command_blocks_are_the_same() -> None:
    """Line by line; only comments are translated."""
    assert blocks_of(CHINESE) == blocks_of(ENGLISH)
    assert sum(map(len, blocks_of(ENGLISH))) >= 8


def test_the_picture_is_the_same() -> None:
    """Its words are names of the code."""
    assert PICTURE.findall(CHINESE) == PICTURE.findall(ENGLISH) != []


def test_headings_have_the_same_levels() -> None:
    """The same sections in the same order."""
    assert [level for level, _ in headings_of(CHINESE)] == [
        level for level, _ in headings_of(ENGLISH)
    ]


def test_links_lead_to_the_same_pages() -> None:
    """In the same order, but for those from one README to the other."""
    assert without_the_other(links_of(CHINESE)) == without_the_other(links_of(ENGLISH))
    assert "README.zh-CN.md" in links_of(ENGLISH)
    assert "README.md" in links_of(CHINESE)


def test_tables_have_the_same_rows_commands_and_figures() -> None:
    """A figure that is measured anew changes in both."""
    english, chinese = tables_of(ENGLISH), tables_of(CHINESE)
    assert [[len(row) for row in table] for table in chinese] == [
        [len(row) for row in table] for table in english
    ]
    for table, translated in zip(english, chinese, strict=True):
        for row, other in zip(table, translated, strict=True):
            here, there = "|".join(row), "|".join(other)
            assert code_in(there) == code_in(here)
            assert sorted(FIGURE.findall(there)) == sorted(FIGURE.findall(here))


def without_the_other(links: list[str]) -> list[str]:
    """Leave out the links between the two."""
    return [link for link in links if not link.startswith("README")]
