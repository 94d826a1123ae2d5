"""Compiled modules at a process's start: taken when asked for, refused when they don't fit."""

import logging
import os
import shutil
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from sysconfig import get_config_var

import msgspec
import pytest

from kit.compiled import (
    FOLDER,
    MANIFEST,
    ROOT,
    VARIABLE,
    CompiledFinder,
    Manifest,
    fingerprint,
    in_use,
    is_wanted,
    prefer_compiled,
    read_manifest,
    source_of,
    tell_in_use,
    why_stale,
)
from kit.errors import ConfigError

pytestmark = pytest.mark.unit
SUFFIX = str(get_config_var("EXT_SUFFIX"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source tree of one module."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "hot.py").write_text("ANSWER = 42\n")
    return tmp_path


def put_manifest(root: Path, *, suffix: str = SUFFIX) -> Path:
    """Write the manifest of a build of that tree; return its folder."""
    folder = root / "made"
    folder.mkdir(exist_ok=True)
    manifest = Manifest(
        suffix, {"pack.hot": fingerprint("pack.hot", root)}, {"pack.hot": f"pack/hot{SUFFIX}"}
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def test_only_one_and_zero_are_understood() -> None:
    """Nothing and 0 mean the sources; a word is a wrong setting, not a yes."""
    assert is_wanted({VARIABLE: "1"})
    assert not is_wanted({VARIABLE: "0"})
    assert not is_wanted({})
    with pytest.raises(ConfigError, match="SQUALL_COMPILED is 'yes': give 1"):
        is_wanted({VARIABLE: "yes"})


def test_the_build_lies_outside_of_the_source_tree() -> None:
    """It is where ``make clean`` removes it and version control ignores it."""
    assert FOLDER == ROOT / "build" / "compiled"
    assert "/build/" in (ROOT / ".gitignore").read_text().split()


def test_what_was_never_built_is_an_error_with_the_command(tmp_path: Path) -> None:
    """No folder: the error names make compiled."""
    with pytest.raises(ConfigError, match="no modules are compiled here; run make compiled"):
        prefer_compiled(tmp_path / "nothing")


def test_a_broken_manifest_is_an_error(root: Path) -> None:
    """Half a file is told, not raised as a decoder's error."""
    folder = put_manifest(root)
    (folder / MANIFEST).write_text('{"suffix":')

    with pytest.raises(ConfigError, match=r"manifest is broken: .*; run make compiled"):
        read_manifest(folder)


def test_a_source_that_changed_is_named(root: Path) -> None:
    """One byte more in a source, and its extension isn't used."""
    folder = put_manifest(root)
    assert why_stale(read_manifest(folder), root) is None

    source_of("pack.hot", root).write_text("ANSWER = 43\n")

    with pytest.raises(ConfigError, match=r"other sources than are here: pack\.hot; run make"):
        prefer_compiled(folder, root)


def test_a_source_that_is_gone_is_named(root: Path) -> None:
    """Without its source an extension is stale too."""
    folder = put_manifest(root)
    source_of("pack.hot", root).unlink()

    assert why_stale(read_manifest(folder), root) == (
        "built from other sources than are here: pack.hot"
    )


def test_a_build_for_another_python_is_refused(root: Path) -> None:
    """Extensions of another version would not load; the message has both."""
    folder = put_manifest(root, suffix=".cpython-399-x.so")

    with pytest.raises(ConfigError, match=r"another Python \(\.cpython-399-x\.so; this one: "):
        prefer_compiled(folder, root)


def test_the_finder_answers_for_its_modules_alone(tmp_path: Path) -> None:
    """What has an extension is loaded from it; all else is the next finder's."""
    file = tmp_path / f"hot{SUFFIX}"
    finder = CompiledFinder({"pack.hot": file})

    found = finder.find_spec("pack.hot", None)

    assert found is not None
    assert found.origin == str(file)
    assert isinstance(found.loader, ExtensionFileLoader)
    assert finder.find_spec("pack.cold", None) is None
    assert finder.find_spec("pack", None) is None


def test_a_fitting_build_goes_before_python_s_own_finders(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is first in line, and counts nothing as taken until a module is imported from it."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    finder = prefer_compiled(put_manifest(root), root)

    assert sys.meta_path[0] is finder
    assert in_use() == []


def test_the_log_says_how_many_are_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line with the count where any is, and none where all are sources."""
    caplog.set_level(logging.WARNING)
    tell_in_use()
    assert not caplog.records

    finder = CompiledFinder({__name__: Path(__file__)})  # a module whose file is the finder's
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    tell_in_use()

    assert [vars(line)["modules"] for line in caplog.records] == [1]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("value", "code", "told"),
    [("0", 0, ""), ("1", 2, "no modules are compiled here"), ("on", 2, "is 'on': give 1")],
)
def test_a_process_ends_with_one_line_when_it_can_t_have_what_it_asked_for(
    tmp_path: Path, value: str, code: int, told: str
) -> None:
    """A tree without a build: exit code 2 and no traceback; with 0 it starts from the sources."""
    (tmp_path / "kit").mkdir()
    for name in ("__init__", "compiled", "compiled_first", "errors"):
        shutil.copy(ROOT / "kit" / f"{name}.py", tmp_path / "kit")

    done = subprocess.run(
        [sys.executable, "-c", "import kit.compiled_first"],
        cwd=tmp_path,
        env={**os.environ, VARIABLE: value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == (1 if told else 0)
