"""Suites: which modules are mutated, and which tests are a module's own."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("resilience/policy", "hashing")
# Adapters that decide something themselves, and whose tests notice each inversion.
ADAPTERS = (
    "admission",
    "attempt",
    "cutoff",
    "fallback",
    "fallback_sources",
    "flight",
    "guard",
    "hedging",
    "outcome",
    "pipeline",
    "pipeline_attempts",
    "pipeline_fallback",
    "pipeline_plan",
    "pipeline_settings",
    "pushback",
    "refusal",
    "single_flight",
    "sweep",
)
# Parts that are tested through the whole they belong to: by which tests.
TESTED_AS = {
    "attempt": ("pipeline", "hedging"),
    "fallback_sources": ("fallback",),
    "flight": ("single_flight",),
    "pipeline_attempts": ("pipeline", "hedging"),
    "pipeline_plan": ("pipeline", "hedging"),
    "ring": ("published_vectors",),
}
ONLY_VALUES = frozenset({"contract"})  # Protocols and values: nothing in them decides


@dataclass(frozen=True, slots=True)
class Suite:
    """A module and its own tests.

    Args:
        path: The module's file, below the root.
        tests: Its test files, below the root; empty when it has none.
    """

    path: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """What ``--policy`` calls it."""
        return Path(self.path).stem

    @property
    def module(self) -> str:
        """How it is imported."""
        return self.path.removesuffix(".py").replace("/", ".")

    def source(self) -> str:
        """Return its text."""
        return (ROOT / self.path).read_text(encoding="utf-8")


def suites() -> list[Suite]:
    """Return every module that decides something, with its tests."""
    paths = [
        path
        for folder in FOLDERS
        for path in sorted(f"{folder}/{file.name}" for file in (ROOT / folder).glob("*.py"))
        if Path(path).stem not in ONLY_VALUES | {"__init__"}
    ]
    paths += [f"resilience/{name}.py" for name in ADAPTERS]
    return [Suite(path, own_tests(path)) for path in paths]


def own_tests(path: str) -> tuple[str, ...]:
    """Return the mirrored test files; where there are none, those beside them that import it."""
    stem, folder = Path(path).stem, ROOT / "tests" / Path(path).parent
    mirrored = {
        file
        for name in TESTED_AS.get(stem, (stem,))
        for pattern in (f"test_{name}.py", f"test_{name}_*.py")
        for file in folder.glob(pattern)
    }
    if not mirrored:
        module = path.removesuffix(".py").replace("/", ".")
        package, _, name = module.rpartition(".")
        imports = re.compile(
            rf"^(from|import) {re.escape(module)}\b|^from {re.escape(package)} import .*\b{name}\b",
            re.MULTILINE,
        )
        mirrored = {
            file for file in folder.glob("test_*.py") if imports.search(file.read_text("utf-8"))
        }
    return tuple(sorted(str(file.relative_to(ROOT)) for file in mirrored))
