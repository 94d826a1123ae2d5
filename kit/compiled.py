"""Compiled modules: a process takes its hot path from C extensions when it is asked to.

Why: half of what the L7 proxy costs is the interpreter. The same annotated modules, translated by
mypyc, do the same work in about two thirds of that half. Sources stay what runs by default: nothing
has to be built, and an extension is never taken for a source that it wasn't made from.
How: ``make compiled`` (``bench/compiling.py``) puts the extensions into a folder outside of the
source tree, with a manifest of the sources' hashes. ``SQUALL_COMPILED=1`` puts a finder before
Python's own, which answers for the modules of the manifest alone, so packages stay where they are.
Source: mypyc documentation, "Introduction"; Python library reference, ``importlib.abc``.
Not handled: building (that is ``bench``), other processes than those that import
``kit.compiled_first``.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from sysconfig import get_config_var
from types import ModuleType

import msgspec

from kit.errors import ConfigError

VARIABLE = "SQUALL_COMPILED"
ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "compiled"  # not in the source tree, not in version control
MANIFEST = "manifest.json"
_SHARED = "__mypyc"  # ends the name of the extension that holds the code of all
log = logging.getLogger(__name__)
_HOW_TO = f"run make compiled, or leave {VARIABLE} out to run from the sources"


class Manifest(msgspec.Struct, frozen=True):
    """What was built.

    Args:
        suffix: Of extensions for the Python it was built by, e.g.
            ``.cpython-311-x86_64-linux-gnu.so``.
        sources: Module to the SHA-256 of its source.
        files: Module to its extension, relative to the folder; the modules' shared code too.
    """

    suffix: str
    sources: dict[str, str]
    files: dict[str, str]


class CompiledFinder(MetaPathFinder):
    """Find extensions for the modules that have one; every other is left to the next finder.

    Args:
        files: Module to the file of its extension.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how the extension is loaded, None for a module without one."""
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)

    def has_loaded(self, name: str) -> bool:
        """Whether a module of the sources was taken from its extension."""
        file, module = self._files.get(name), sys.modules.get(name)
        return file is not None and getattr(module, "__file__", None) == str(file)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for compiled modules.

    Raises:
        ConfigError: The variable is neither 0 nor 1.
    """
    text = environ.get(VARIABLE, "")
    if text not in ("", "0", "1"):
        raise ConfigError(f"{VARIABLE} is {text!r}: give 1 for compiled modules, else 0 or nothing")
    return text == "1"


def prefer_compiled(folder: Path = FOLDER, root: Path = ROOT) -> CompiledFinder:
    """Take these modules from their extensions from now on; call before any is imported.

    Returns:
        The finder that was put first.

    Raises:
        ConfigError: Nothing is built, or not from the sources that are here, or not for this
            Python; says which and what to do.
    """
    manifest = read_manifest(folder)
    stale = why_stale(manifest, root)
    if stale is not None:
        raise ConfigError(f"the compiled modules can't be used: {stale}; {_HOW_TO}")
    early = [name for name in manifest.sources if name in sys.modules]
    assert not early, f"imported before they could be taken compiled: {early}"
    finder = CompiledFinder({name: folder / file for name, file in manifest.files.items()})
    sys.meta_path.insert(0, finder)
    return finder


def read_manifest(folder: Path = FOLDER) -> Manifest:
    """Return what was built there.

    Raises:
        ConfigError: Nothing was, or its manifest can't be read.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ConfigError(f"no modules are compiled here; {_HOW_TO}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"the compiled modules' manifest is broken: {error}; {_HOW_TO}") from None


def why_stale(manifest: Manifest, root: Path = ROOT) -> str | None:
    """Return why the extensions may not be used here, None when they may."""
    suffix = get_config_var("EXT_SUFFIX")
    if manifest.suffix != suffix:
        return f"they were built for another Python ({manifest.suffix}; this one: {suffix})"
    changed = [name for name, known in manifest.sources.items() if fingerprint(name, root) != known]
    if changed:
        return f"built from other sources than are here: {', '.join(sorted(changed))}"
    return None


def fingerprint(module: str, root: Path = ROOT) -> str:
    """Return the SHA-256 of a module's source, "" when there is none."""
    try:
        return sha256(source_of(module, root).read_bytes()).hexdigest()
    except OSError:
        return ""


def source_of(module: str, root: Path = ROOT) -> Path:
    """Return the file of a module that is no package."""
    return root.joinpath(*module.split(".")).with_suffix(".py")


def in_use() -> list[str]:
    """Return the modules that this process has taken from an extension, sorted."""
    finders = [one for one in sys.meta_path if isinstance(one, CompiledFinder)]
    return sorted(
        name
        for name in tuple(sys.modules)
        if not name.endswith(_SHARED) and any(one.has_loaded(name) for one in finders)
    )


def tell_in_use() -> None:
    """Log how many modules are compiled, where any is; call when the log is set up."""
    modules = in_use()
    if modules:
        log.warning("hot modules are compiled ones", extra={"modules": len(modules)})
