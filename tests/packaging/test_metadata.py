"""What the libraries' wheels say of themselves, and what is in them."""

import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.packaging.wheels import LIBRARIES, ROOT, build_wheel


def wheel_of(library: str, wheels: Path) -> zipfile.ZipFile:
    """Open a library's wheel."""
    return zipfile.ZipFile(next(wheels.glob(f"squall_{library}-*.whl")))


def metadata_of(library: str, wheels: Path) -> Message:
    """Return what a library's wheel says of itself."""
    with wheel_of(library, wheels) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_bytes(wheel.read(name))


def requirements_of(library: str, wheels: Path) -> list[Requirement]:
    """Return what a library requires, its extras' packages included."""
    return [Requirement(text) for text in metadata_of(library, wheels).get_all("Requires-Dist", [])]


def root() -> dict[str, Any]:
    """Return the root's pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wheel_holds_every_module_of_its_folder_and_its_types(library: str, wheels: Path) -> None:
    """The folder's Python files and py.typed lie under its name, and nothing else but metadata."""
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / library).rglob("*.py")}

    with wheel_of(library, wheels) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == sources | {f"{library}/py.typed"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_released_in_step_with_the_root(library: str, wheels: Path) -> None:
    """Version, Python and licence are those of the root project."""
    said, project = metadata_of(library, wheels), root()["project"]

    assert said["Version"] == project["version"]
    assert said["Requires-Python"] == project["requires-python"]
    assert said["License-Expression"] == project["license"]
    assert (ROOT / library / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_libraries_require_only_what_they_adapt(wheels: Path) -> None:
    """Hashing and resilience need nothing, shard needs hiredis and the other two."""
    always = {
        library: {each.name for each in requirements_of(library, wheels) if each.marker is None}
        for library in LIBRARIES
    }

    assert always == {
        "hashing": set(),
        "resilience": set(),
        "shard": {"hiredis", "squall-hashing", "squall-resilience"},
    }
    assert metadata_of("resilience", wheels).get_all("Provides-Extra") == [
        "grpc",
        "hashing",
        "httpx2",
    ]


def test_libraries_ask_for_the_same_versions_as_the_lab(wheels: Path) -> None:
    """A requirement is the root's own, to the letter; a sibling's admits the root's version."""
    project = root()["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    known = {(each := Requirement(text)).name: each.specifier for text in texts}

    for library in LIBRARIES:
        for requirement in requirements_of(library, wheels):
            if requirement.name.startswith("squall-"):
                assert requirement.specifier.contains(project["version"])
            else:
                assert requirement.specifier == known[requirement.name]


def test_the_workspace_has_every_library_as_a_member() -> None:
    """One lock and one environment can hold all of them."""
    assert root()["tool"]["uv"]["workspace"]["members"] == list(LIBRARIES)


def test_the_labs_own_wheel_still_holds_the_libraries_modules(tmp_path: Path) -> None:
    """It has their Python files, and not what makes them installable alone."""
    build_wheel(ROOT, tmp_path)

    with zipfile.ZipFile(next(tmp_path.glob("squall_lab-*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith(tuple(LIBRARIES))}
    assert {"hashing/ketama.py", "resilience/pipeline.py", "shard/store.py"} <= held
    assert not [name for name in held if not name.endswith((".py", "/py.typed"))]
