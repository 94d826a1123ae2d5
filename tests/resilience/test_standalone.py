"""Resilience stands alone: its core and its ASGI adapters need the standard library only."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import pkgutil, importlib, sys, resilience
names = [m.name for m in pkgutil.walk_packages(resilience.__path__, "resilience.")]
for name in names:
    if not name.startswith(("resilience.rpc", "resilience.httpx2.")):
        importlib.import_module(name)
top = {name.partition(".")[0] for name in sys.modules} - {"hashing", "resilience", "__main__"}
print(*sorted(top - set(sys.stdlib_module_names)))
"""


def test_nothing_but_rpc_and_httpx2_imports_a_third_party_package() -> None:
    """Every module but those of the two adapters, in an interpreter without site-packages."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
