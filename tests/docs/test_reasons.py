"""The gateway's page lists every reason that a client may be answered with, under its status."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience.errors import Code
from tests.docs.pages import ROOT

pytestmark = pytest.mark.unit

REASON = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
ROW = re.compile(r"^\| (\d{3}|any) \| (.+) \|$", re.MULTILINE)
PLACES = ("gateway", "services", "resilience", "shard", "kit/station.py", "faults/act.py")
VARIABLE = "SQUALL_"
ANY = "any"

NOT_ANSWERED = {
    "ACCOUNT_NOT_FOUND": "an author who is gone is a part left out, said in x-squall-decision",
    "PART_SKIPPED": "a part left out is named in `degraded`",
    "TOO_MANY_IDS": "the gateway asks for 100 at most",
    "STORE_CONFLICT": "of transactions under watch, which the lab does not use",
    "RATE_EXCEEDED": "of the library's rate limits, which the lab doesn't use",
    # Why a failed call isn't tried again: the failure itself is the answer.
    "ATTEMPTS_SPENT": "a note",
    "FAILED_DEEPER": "a note",
    "NOT_IDEMPOTENT": "a note",
    "PUSHED_BACK": "a note",
    "RETRY_BUDGET_SPENT": "a note",
}


def files() -> Iterator[Path]:
    """Yield every file that an answer's reason may come from."""
    for place in PLACES:
        path = ROOT / place
        yield from path.rglob("*.py") if path.is_dir() else [path]


def words(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a file, but for the names that it exports."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                continue
            case ast.Constant(value=str(word)):
                yield word
        yield from words(node)


def reasons() -> set[str]:
    """Return every word of the code that is shaped like a reason, and is no code's name."""
    found = {
        word
        for path in files()
        for word in words(ast.parse(path.read_text(encoding="utf-8")))
        if REASON.fullmatch(word)
    }
    codes = {name for code in Code for name in (code.name, code.grpc_name)}
    return {word for word in found if not word.startswith(VARIABLE)} - codes


def raised() -> Iterator[tuple[str, str]]:
    """Yield the code and the reason of each error that is raised with both in plain sight."""
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    args=[
                        ast.Attribute(value=ast.Name(id="Code"), attr=code),
                        ast.Constant(value=str(reason)) | ast.Name(id=reason),
                        *_,
                    ]
                ) if REASON.fullmatch(reason):
                    yield code, reason


def documented() -> dict[str, str]:
    """Return each reason of the page's table with its status."""
    text = (ROOT / "docs/gateway.md").read_text(encoding="utf-8")
    errors = text[text.index("## Errors") : text.index("## Not handled")]
    return {
        reason: status
        for status, reasons in ROW.findall(errors)
        for reason in re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", reasons)
    }


def test_every_reason_that_a_client_may_meet_is_listed() -> None:
    """Whoever adds a reason documents it, or says here why nobody is answered with it."""
    found = reasons()
    assert len(found) > 50
    assert sorted(found - set(documented()) - set(NOT_ANSWERED)) == []


def test_what_is_said_not_to_be_answered_exists_and_is_not_listed() -> None:
    """An exception that went out of the code goes out of this list."""
    assert set(NOT_ANSWERED) <= reasons()
    assert set(NOT_ANSWERED).isdisjoint(documented())


def test_each_reason_stands_under_its_status() -> None:
    """The code that it is raised with is the row that it is in."""
    listed = documented()
    pairs = {(code, reason) for code, reason in raised() if listed.get(reason, ANY) != ANY}
    assert len(pairs) > 20
    wrong = {
        (reason, listed[reason], Code[code].http_status)
        for code, reason in pairs
        if listed[reason] != str(Code[code].http_status)
    }
    assert wrong == set()
