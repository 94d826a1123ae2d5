"""Pytest plugin: put one mutant in a module's place, without touching a file.

The environment names the module, the number of its mutant, and a copy of its source. Shrinking is
off: that a property fails is enough, the smallest example of it is not asked for.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, settings

from tests.mutation.mutants import mutate

MODULE = "SQUALL_MUTANT_MODULE"
INDEX = "SQUALL_MUTANT_INDEX"  # below 0: the module as it is
SOURCE = "SQUALL_MUTANT_SOURCE"
EXIT_NOT_IMPORTED = 70  # pytest's own end at 5


class Mutation(MetaPathFinder, Loader):
    """Find and load one module from its mutated source; leave all others alone."""

    def __init__(self, module: str, index: int, source: Path) -> None:
        self.module = module
        self.index = index
        self.source = source
        self.imported = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self.module:
            return None
        return spec_from_loader(fullname, self, origin=str(self.source))

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutated source."""
        self.imported = True
        text = self.source.read_text(encoding="utf-8")
        code = text if self.index < 0 else mutate(text, self.index)
        exec(compile(code, self.source, "exec"), module.__dict__)  # noqa: S102 - our own source


def pytest_configure(config: pytest.Config) -> None:
    """Stand in the way of the import before any test module is read."""
    settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutation")
    module = os.environ[MODULE]
    assert module not in sys.modules, f"{module} was imported before its mutant"
    mutation = Mutation(module, int(os.environ[INDEX]), Path(os.environ[SOURCE]))
    sys.meta_path.insert(0, mutation)
    config.stash[_KEY] = mutation


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell apart tests that pass from tests that never saw the mutant."""
    if not session.config.stash[_KEY].imported:
        session.exitstatus = EXIT_NOT_IMPORTED


_KEY = pytest.StashKey[Mutation]()
