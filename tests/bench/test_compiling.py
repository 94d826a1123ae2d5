"""Compiling: what is built is what runs, with the sources' answers, and knows its sources."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.compiling import HOT_MODULES, build, compiler
from kit.compiled import FOLDER, ROOT, read_manifest, source_of, why_stale
from kit.errors import ConfigError, LabEnvironmentError, LabError

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")

SOURCE = '''"""A module to compile."""


class Counter:
    """Count."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, more: int) -> int:
        """Add some."""
        self.count += more
        return self.count
'''
USE = """
import json, sys
from pathlib import Path
from kit.compiled import in_use, prefer_compiled
prefer_compiled(Path(sys.argv[1]), Path(sys.argv[2]))
sys.path.insert(0, sys.argv[2])
from hot_pack.counter import Counter
from hot_pack.beside import DOUBLE
counter = Counter()
sums = [counter.add(2), counter.add(3)]
print(json.dumps([in_use(), sums, hasattr(counter, "__dict__"), DOUBLE]))
"""

# Each replaces a part of a module by a stand-in of the interpreter, which a compiled class refuses.
TESTS_THAT_REPLACE = (
    "tests/lb/l7/test_bodies.py::test_body_held_for_a_connection_is_bounded",
    "tests/lb/l7/test_cancellation.py::test_client_that_leaves_while_connecting_leaks_nothing",
    "tests/lb/l7/test_outbound.py::"
    "test_backend_without_room_for_what_was_held_makes_the_client_wait",
)
TESTS_OF_HOT_MODULES = (
    "tests/lb/l7",
    "tests/lb/policy",
    "tests/kit/test_recorder.py",
    "tests/resilience/test_wire.py",
)


def why_not_built() -> str:
    """Say why the hot modules' own build can't be tested here, "" when it can."""
    try:
        return why_stale(read_manifest()) or ""
    except ConfigError as error:
        return str(error)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package of two modules, one of them to be compiled."""
    package = tmp_path / "tree" / "hot_pack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "counter.py").write_text(SOURCE)
    (package / "beside.py").write_text('"""Not compiled."""\n\nDOUBLE = 2 * 21\n')
    return tmp_path / "tree"


@pytest.mark.unit
def test_every_hot_module_has_a_source() -> None:
    """A name that lost its file would fail a build half a minute later."""
    assert [name for name in HOT_MODULES if not source_of(name).is_file()] == []
    assert list(HOT_MODULES) == sorted(set(HOT_MODULES))


@pytest.mark.integration
@needs_compiler
def test_what_is_built_is_what_a_process_takes(root: Path, tmp_path: Path) -> None:
    """A native class without a dict, the right sums, and its neighbour from its source."""
    manifest = build(["hot_pack.counter"], tmp_path / "made", root)

    assert why_stale(manifest, root) is None
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "made"), str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["hot_pack.counter"], [2, 5], False, 42]


@pytest.mark.integration
@needs_compiler
def test_a_source_that_doesn_t_compile_leaves_the_old_build(root: Path, tmp_path: Path) -> None:
    """The error has mypyc's own words, and what was built before is still there."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "before").touch()
    source_of("hot_pack.counter", root).write_text("def half(x: int) -> int:\n    return 'x'\n")

    with pytest.raises(LabError, match=r"compiling failed:\n.*Incompatible return value"):
        build(["hot_pack.counter"], made, root)

    assert (made / "before").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "tree"]


@pytest.mark.unit
def test_without_a_compiler_it_says_what_to_install(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the surroundings, which leaves no folder behind."""
    monkeypatch.setattr("bench.compiling.compiler", lambda: None)

    with pytest.raises(LabEnvironmentError, match="no C compiler: apt-get install gcc"):
        build(["hot_pack.counter"], tmp_path / "made", root)
    assert not (tmp_path / "made").exists()


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(why_not_built()), reason=f"make compiled first: {why_not_built()}")
def test_the_compiled_modules_pass_the_tests_of_their_sources() -> None:
    """The same tests, in a process that takes the hot modules from their extensions."""
    left_out = [word for name in TESTS_THAT_REPLACE for word in ("--deselect", name)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "kit.compiled_first"),
            *("-p", "no:cacheprovider", *left_out, *TESTS_OF_HOT_MODULES),
        ],
        cwd=ROOT,
        env={**os.environ, "SQUALL_COMPILED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert FOLDER.is_dir()
