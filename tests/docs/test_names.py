"""Names in pages (commands, kinds, policies, drills, metrics, paths) are those of the code."""

import re
from pathlib import Path

import pytest

from chaos.drill.catalogue import drill_files, find_drill
from chaos.drill.fault import DETACH, SLOWLORIS
from chaos.drill.loading import load_drill
from chaos.drill.metrics import METRICS
from chaos.drivers.host_fault import KINDS as HOST_KINDS
from faults.kinds import LINK_KINDS, SERVICE_KINDS
from kit.state import DEFAULT_MODES
from squall.banner import TRY_LINES
from squall.fault_asked import CUT
from tests.docs.command_lines import check
from tests.docs.pages import (
    MARKDOWN,
    PAGES,
    ROOT,
    code_in,
    commands_in,
    section_of,
    tables_of,
    text_of,
    words_of,
)

pytestmark = pytest.mark.unit

DRILLS = {path.stem for path in drill_files()}
LINES = [(page.name, line) for page in PAGES for line in commands_in(text_of(page))]
LINES += [("banner", line) for line in commands_in(TRY_LINES)]
TARGET = re.compile(r"(?:^ *(?:\$ )?|`)make ([a-z0-9-]+)", re.MULTILINE)
FRONT_PATH = re.compile(r"127\.0\.0\.1:8080(/[^\s'\"`?<]*)")
OVERRIDE = re.compile(r"--set ([\w.]+=[^\s`]+)")
MAKE_TESTS = re.compile(r'ARGS="(tests/[^\s"]+)')


def test_pages_have_command_lines() -> None:
    """The pattern finds what there is, in the README and elsewhere."""
    assert len(LINES) > 150
    pages = {"README.md", "README.zh-CN.md", "front.html", "banner", "run.md", "curriculum.md"}
    assert pages <= {name for name, _ in LINES}


@pytest.mark.parametrize("page", sorted({page for page, _ in LINES}))
def test_words_of_command_lines_exist(page: str) -> None:
    """Commands, options, fault kinds with params and targets, links, policies, drills, files."""
    wrong = {}
    for line in (line for name, line in LINES if name == page and "NAME" not in line):
        try:
            check(line)
        except Exception as error:  # told together, whatever is wrong with each
            wrong[line] = str(error)
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("squall fault ad latency", "no command ad"),
        ("squall fault add latency --on comment --mss 5", "--mss"),
        ("squall fault add latncy --on comment --ms 5", "latncy"),
        ("squall fault add latency --on coment --ms 5", "coment"),
        ("squall fault add latency --on comment --mb 5", "mb"),
        ("squall fault add down --on 'link:gateway>store'", "gateway>store"),
        ("squall fault add kill --on video.9", "video.9"),
        ("squall policy set limter off", "limter"),
        ("squall drill run overlod", "overlod"),
        ("squall drill run overload --set load.phases.falt.seconds=1", "falt"),
        ("squall restart vidoe", "vidoe"),
    ],
)
def test_words_that_do_not_exist_are_found(line: str, told: str) -> None:
    """The check tells a misspelt one."""
    with pytest.raises(Exception, match=re.escape(told)):
        check(line)


def test_make_targets_exist() -> None:
    """Every ``make …`` of a page is a target, and every path it is given is there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    named = {name for page in PAGES for name in TARGET.findall(text_of(page))}
    assert named - targets == set()
    assert {"up", "down", "test"} <= named
    files = {path for page in PAGES for path in MAKE_TESTS.findall(text_of(page))}
    assert {path for path in files if not (ROOT / path).exists()} == set()


def test_paths_of_the_front_door_are_routes() -> None:
    """What pages ask of port 8080 is a route of the gateway, or the own service's."""
    routes = code_in(section_of(text_of(ROOT / "docs/gateway.md"), "Routes"))
    known = {route.split("?")[0].split(" ")[-1] for route in routes if " /" in route}
    asked = {path for page in PAGES for path in FRONT_PATH.findall(text_of(page))}
    shapes = {re.sub(r"/\d+", "/{id}", path) for path in asked}
    assert len(known) > 8
    assert shapes - known == {"/hello"}


def test_fault_tables_have_every_kind() -> None:
    """Each table of docs/faults.md has the kinds of its depth, and no other."""
    text = text_of(ROOT / "docs/faults.md")
    for title, kinds in (
        ("Inside services", set(SERVICE_KINDS)),
        ("On links", set(LINK_KINDS)),
        ("Hosts", set(HOST_KINDS)),
    ):
        table = next(rows for rows in tables_of(section_of(text, title)) if rows[0][0] == "kind")
        assert {name for row in table[1:] for name in code_in(row[0])} == kinds


def test_the_drills_page_has_every_kind_and_metric() -> None:
    """Its table of depths names all kinds, its table of metrics all metrics."""
    text = text_of(ROOT / "docs/drills/README.md")
    [depths] = tables_of(section_of(text, "Faults"))
    for row, kinds in zip(
        depths[1:],
        ({*SERVICE_KINDS}, {*LINK_KINDS, CUT}, {*HOST_KINDS}, {DETACH}, {SLOWLORIS}),
        strict=True,
    ):
        assert set(code_in(row[2])) == kinds
    [metrics] = tables_of(section_of(text, "Metrics"))
    named = {name for row in metrics[1:] for name in code_in(row[0])}
    assert named - {"within_ms"} == set(METRICS)


def test_the_table_of_switches_has_only_policies() -> None:
    """docs/resilience.md names no switch that nobody reads."""
    table = tables_of(section_of(text_of(ROOT / "docs/resilience.md"), "Switches"))[0]
    assert {name for row in table[1:] for name in code_in(row[0])} <= set(DEFAULT_MODES)


def test_every_drill_has_a_page_with_its_parts() -> None:
    """And every page is a drill's: the incident, the lesson, what is done and must hold."""
    pages = {path.stem: path for path in (ROOT / "docs/drills").glob("*.md")}
    assert set(pages) - {"README"} == DRILLS
    for name in sorted(DRILLS):
        text = text_of(pages[name])
        parts = ("Incident", "Lesson", "What is done", "What must hold", "What it showed")
        assert [part for part in parts if f"**{part}.**" not in text] == [], name
        for line in OVERRIDE.findall(text):
            load_drill(find_drill(name), [line])


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_named_in_tables_of_packages_exist(page: Path) -> None:
    """A path that a page sets as code, with a folder and an ending, is a file."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"runs"}
    paths = {
        word
        for word in code_in(text_of(page))
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|yaml|yml|md|sh|toml|proto)", word)
        and word.split("/")[0] in folders
    }
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_words_are_taken_apart_as_a_shell_does() -> None:
    """Quotes hold together, comments fall off."""
    assert words_of("squall load --expect 'in_time>=0.99'  # why") == [
        "squall", "load", "--expect", "in_time>=0.99",
    ]  # fmt: skip
