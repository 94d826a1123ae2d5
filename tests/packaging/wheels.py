"""Wheels of the libraries, and environments that hold nothing but what a test puts into them.

Nothing here asks an index: wheels are built by the backend that runs the tests, and what a library
adapts is linked file by file out of the environment that runs them, metadata included, so that pip
finds the requirement met and refuses to install when one is missing.
"""

import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LIBRARIES = ("hashing", "resilience", "shard")
LIMIT_S = 30.0

BUILD = "import sys, hatchling.build; hatchling.build.build_wheel(sys.argv[1])"
IMPORT_ALL = """
import importlib, pkgutil, sys
for library in sys.argv[1].split(","):
    package = importlib.import_module(library)
    for module in pkgutil.walk_packages(package.__path__, f"{library}."):
        if not module.name.startswith(tuple(sys.argv[2:])):
            importlib.import_module(module.name)
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(loaded - {"__main__", "__mp_main__"}))
"""


def build_wheel(folder: Path, into: Path) -> None:
    """Build a project's wheel as pip would, in a process of its own."""
    command = [sys.executable, "-c", BUILD, str(into)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LIMIT_S)


class Environment:
    """A virtual environment without pip, setuptools or anything else.

    Args:
        folder: Where it is made; must not exist.
        wheels: The only place that ``install`` finds packages in.
        adapted: Distributions of the running environment to link, with all that they require.
    """

    def __init__(self, folder: Path, wheels: Path, adapted: Sequence[str] = ()) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        self._folder = folder
        self._wheels = wheels
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site_packages = folder / "lib" / version / "site-packages"
        for name in closure(adapted):
            link_distribution(name, self.site_packages)

    def install(self, *requirements: str) -> None:
        """Install from the wheels alone; a requirement that nothing meets is an error."""
        pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(self.python), "install"]
        options = ["--quiet", "--no-index", "--find-links", str(self._wheels), "--no-compile"]
        done = subprocess.run(
            [*pip, *options, "--disable-pip-version-check", *requirements],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr

    def run(self, script: str, *arguments: str) -> str:
        """Run a script with warnings as errors, away from the checkout; return what it printed.

        ``-I`` keeps PYTHONPATH, the user's packages and the working folder out.
        """
        done = subprocess.run(
            [self.python, "-I", "-W", "error", "-c", script, *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def import_all(self, library: str, *, but: Sequence[str] = ()) -> list[str]:
        """Import every module of a library but those; name what came that is not Python's own."""
        return self.run(IMPORT_ALL, library, *but).split()


def closure(names: Sequence[str]) -> Iterator[str]:
    """Name those distributions and all that they require here, extras left out."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))


def link_distribution(name: str, site_packages: Path) -> None:
    """Link the files of an installed distribution, its metadata included, into another place."""
    for path in metadata.files(name) or ():
        if path.parts[0] == ".." or path.suffix == ".pyc":
            continue  # commands, and what Python writes by itself
        link = site_packages / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(str(path.locate()))
