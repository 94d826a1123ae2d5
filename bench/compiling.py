"""Compile the L7 proxy's hot path with mypyc: ``python -m bench.compiling`` (make compiled).

Why mypyc: it takes the annotated sources as they are. A request without sockets took 26.5 µs from
the sources, 17 µs through mypyc, 35 µs through Cython 3.3 in pure-Python mode without declarations
of its own: classes stay Python's, and calls from them go through more layers.
Which modules: those a request runs through (cProfile), and what they call each time. Policies that
aren't asked on each request gain nothing and stay sources; so does what others inherit from, since
a class of the interpreter can't inherit from a compiled one (``resilience.policy.budget``).
How: the build runs in a process and a folder of its own, and the finished folder takes the old
one's place in one step, so a process that starts meanwhile finds the one or the other.
Source: mypyc documentation, "Getting started" (mypycify); issue 5, "compiled modules".
Not handled: cross-compiling, wheels; who has no C compiler runs the sources.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from sysconfig import get_config_var
from tempfile import TemporaryDirectory

import msgspec

from kit.compiled import FOLDER, MANIFEST, ROOT, Manifest, fingerprint, source_of
from kit.errors import LabEnvironmentError, LabError

HOT_MODULES = (
    "kit.recorder",
    "lb.l7.client",
    "lb.l7.client_transport",
    "lb.l7.exchange",
    "lb.l7.framing",
    "lb.l7.headers",
    "lb.l7.line",
    "lb.l7.outbound",
    "lb.l7.outline",
    "lb.l7.parser",
    "lb.l7.pool",
    "lb.l7.proxy",
    "lb.l7.reading",
    "lb.l7.request",
    "lb.l7.response",
    "lb.l7.tries",
    "lb.l7.upstream",
    "lb.policy.attempts",
    "lb.policy.balancer",
    "lb.policy.health",
    "lb.policy.outlier",
    "lb.policy.p2c",
    "lb.policy.rooms",
    "resilience.wire",
)
GROUP = "squall"  # names the extension that holds the code of all
BUILD_LIMIT_S = 600.0  # half a minute of one core, many times over
_LAST_LINES = 12  # of what the compiler said, when it fails

_SETUP = """
from setuptools import setup
from mypyc.build import mypycify
paths = {paths!r}
setup(
    name="squall-compiled",
    packages=[],
    ext_modules=mypycify(
        ["--config-file=", "--cache-dir={cache}", *paths],
        opt_level="2", debug_level="0", group_name={group!r}, target_dir="c",
    ),
)
"""


def compiler() -> str | None:
    """Return the C compiler that Python's extensions are made with, None when it isn't here."""
    command = str(get_config_var("CC") or "cc").split()[0]
    return shutil.which(command)


def build(
    modules: Sequence[str] = HOT_MODULES, folder: Path = FOLDER, root: Path = ROOT
) -> Manifest:
    """Compile modules into a folder, in the place of what was there; half a minute for all.

    Args:
        modules: Dotted names.
        folder: Where the extensions and their manifest go.
        root: Where the sources are.

    Raises:
        LabEnvironmentError: There is no C compiler.
        LabError: mypyc or the compiler refused; with what it said last.
    """
    if compiler() is None:
        raise LabEnvironmentError(
            "no C compiler: apt-get install gcc; without one everything runs from the sources"
        )
    # Before the build: a source that changes during it is then told as stale.
    sources = {name: fingerprint(name, root) for name in modules}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="compiling-") as place:
        made = Path(place) / "made"
        made.mkdir()
        _run_mypyc(modules, Path(place), made, root)
        suffix = str(get_config_var("EXT_SUFFIX"))
        files = {
            ".".join(file.relative_to(made).parts).removesuffix(suffix): str(file.relative_to(made))
            for file in sorted(made.rglob(f"*{suffix}"))
        }
        manifest = Manifest(suffix, sources, files)
        (made / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return manifest


def _run_mypyc(modules: Sequence[str], place: Path, made: Path, root: Path) -> None:
    """Translate and compile; the extensions land in ``made``, each under its package."""
    paths = [str(source_of(name, root)) for name in modules]
    text = _SETUP.format(paths=paths, cache=place / "cache", group=GROUP)
    (place / "setup.py").write_text(text)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(made)]
    try:
        done = subprocess.run(  # noqa: S603  # our own command
            command,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"compiling took more than {BUILD_LIMIT_S:.0f} s") from None
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        raise LabError(f"compiling failed:\n{said}")


def main() -> int:
    """Compile the hot modules; returns the exit code."""
    try:
        manifest = build()
    except LabError as error:
        sys.stderr.write(f"squall: {error}\n")
        return error.exit_code
    sys.stdout.write(f"squall: {len(manifest.sources)} modules compiled into {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
