"""What pages say of settings, variables, defaults and errors is what the code has."""

import re

import pytest

from gateway.settings import DEFAULT_BUDGET_MS, DEFAULT_CAP, GROUPS
from kit.state import DEFAULT_MODES, default_mode
from resilience.policy.contract import Mode
from squall.banner import TRY_LINES
from tests.docs.pages import PAGES, ROOT

pytestmark = pytest.mark.unit

REASON = re.compile(r"`([A-Z]+(?:_[A-Z]+)+)`")
VARIABLE = re.compile(r"\bSQUALL_[A-Z]+(?:_[A-Z]+)*\b")


def test_the_readme_has_the_banner_s_lines() -> None:
    """What ``make up`` prints to paste stands in the README, letter by letter."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [line for line in TRY_LINES.splitlines() if line not in readme]
    assert missing == []


def test_the_gateway_s_page_names_its_settings_with_their_defaults() -> None:
    """Names and defaults of the live settings are those of ``gateway.settings``."""
    text = (ROOT / "docs/gateway.md").read_text(encoding="utf-8")
    named = re.search(r"settings `budget_ms`, `budget_ms\.(\w+)`((?:, `\.\w+`)+) \(default", text)
    assert named is not None
    assert {named[1], *re.findall(r"`\.(\w+)`", named[2])} == set(GROUPS)
    assert f"(default {DEFAULT_BUDGET_MS:,.0f})" in text
    assert f"setting `cap` (default {DEFAULT_CAP:.0f})" in text


def test_every_variable_is_documented_and_every_documented_one_read() -> None:
    """The SQUALL_ variables of code, compose file and scripts are those of the documents."""
    places = ("kit", "chaos", "cli", "shard", "lb", "gateway", "services", "deploy")
    files = [
        path
        for place in places
        for path in (ROOT / place).rglob("*")
        if path.suffix in (".py", ".sh")
    ]
    files.append(ROOT / "docker-compose.yml")
    read = {name for path in files for name in VARIABLE.findall(path.read_text("utf-8"))}
    told = {name for page in PAGES for name in VARIABLE.findall(page.read_text("utf-8"))}
    assert read == told


def test_processes_read_what_the_control_page_says() -> None:
    """The table of a process's variables has exactly those that ``kit.settings`` reads."""
    text = (ROOT / "docs/control.md").read_text(encoding="utf-8")
    read = VARIABLE.findall((ROOT / "kit/settings.py").read_text(encoding="utf-8"))
    assert re.findall(r"^\| `(SQUALL_[A-Z_]+)`", text, re.MULTILINE) == [
        "SQUALL_CONTROL", "SQUALL_STORE", "SQUALL_STORE_SPARE", "SQUALL_CACHE", "SQUALL_HOST",
        "SQUALL_REPLICA", "SQUALL_LOG_LEVEL",
    ]  # fmt: skip
    assert set(read) == set(re.findall(r"^\| `(SQUALL_[A-Z_]+)`", text, re.MULTILINE))


def test_the_control_page_has_the_lab_s_defaults() -> None:
    """Its table of switches that are on and in shadow is the code's."""
    text = (ROOT / "docs/control.md").read_text(encoding="utf-8")
    row = re.search(r"\| on by default \|.*\n\|-.*\n\| (.*); `retry` on `l7` \| (.*) \|", text)
    assert row is not None
    for names, mode in ((row[1], Mode.ON), (row[2], Mode.SHADOW)):
        assert set(names.split(", ")) == {n for n, m in DEFAULT_MODES.items() if m is mode}
    assert default_mode("retry", "l7") is Mode.ON


def test_every_reason_of_the_gateway_s_page_is_in_the_code() -> None:
    """No reason is documented that nothing gives."""
    packages = ("gateway", "services", "resilience", "kit", "faults", "shard")
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for package in packages
        for path in (ROOT / package).rglob("*.py")
    )
    named = REASON.findall((ROOT / "docs/gateway.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    # One place makes X_FULL of a policy's name.
    made = {f"{name}_FULL" for name in re.findall(r'"(CONCURRENCY|BULKHEAD)', code.upper())}
    assert {reason for reason in named if f'"{reason}"' not in code} - made == set()


def test_every_reason_of_the_gateway_s_own_is_on_its_page() -> None:
    """What the gateway itself refuses with is documented."""
    text = (ROOT / "docs/gateway.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    own = set(re.findall(r'^([A-Z]+(?:_[A-Z]+)+) = "\1"', code, re.MULTILINE))
    # A skipped part is no answer: it is named in `degraded`.
    assert {reason for reason in own - {"PART_SKIPPED"} if f"`{reason}`" not in text} == set()
