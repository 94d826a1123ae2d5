"""Links between pages lead to files and headings that exist."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import MARKDOWN, ROOT, anchors_of, headings_of, links_of, text_of

pytestmark = pytest.mark.unit


def targets_of(page: Path) -> list[tuple[str, Path, str]]:
    """Return the links of a page into the repository: as written, the file, the anchor."""
    found = []
    for link in links_of(text_of(page)):
        if not link.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = link.partition("#")
            found.append((link, (page.parent / path).resolve() if path else page, anchor))
    return found


def test_pages_have_links() -> None:
    """The pattern finds what there is, with anchors and without."""
    found = [target for page in MARKDOWN for target in targets_of(page)]
    assert len(found) > 150
    assert len([anchor for _, _, anchor in found if anchor]) > 30


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Each names a file of the repository, and a heading of it where it names one."""
    targets = targets_of(page)
    assert [link for link, path, _ in targets if not path.exists()] == []
    assert [
        link
        for link, path, anchor in targets
        if anchor and path.suffix == ".md" and anchor not in anchors_of(text_of(path))
    ] == []


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title(page: Path) -> None:
    """It begins with it, and the levels below skip none."""
    levels = [level for level, _ in headings_of(text_of(page))]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to every page under docs, decisions and drills included."""
    index = ROOT / "docs/README.md"
    linked = {path for _, path, _ in targets_of(index)}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page not in linked} == {index}


def test_anchors_are_github_s() -> None:
    """Lower case, punctuation dropped, blanks to dashes; a repeat is numbered."""
    text = "# A `b`, c\n\n## It's *x_y*\n\n```\n# none\n```\n\n## It's *x_y*\n\n## 开始 (a)\n"
    assert anchors_of(text) == {"a-b-c", "its-x_y", "its-x_y-1", "开始-a"}
