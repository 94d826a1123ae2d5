"""Floor 0 is pure: importing a policy brings in no loop, framework or store."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PURE = ("hashing", "resilience/policy", "lb/policy", "shard/policy")
FORBIDDEN = ("asyncio", "grpc", "redis", "kit")


def policy_modules() -> list[str]:
    """Name every module of floor 0 that there is."""
    return sorted(
        f"{folder.replace('/', '.')}.{module.name}"
        for folder in PURE
        for module in pkgutil.iter_modules([str(ROOT / folder)])
    )


@pytest.mark.parametrize("folder", PURE)
def test_every_pure_package_has_modules(folder: str) -> None:
    """A package that moved away would make the test below hold for nothing."""
    assert list(pkgutil.iter_modules([str(ROOT / folder)]))


def test_a_policy_module_brings_in_no_loop_and_no_framework() -> None:
    """Each one imported in a fresh interpreter leaves asyncio, grpc, redis and kit out."""
    script = "\n".join(
        [
            "import importlib, os, sys",
            f"forbidden = {FORBIDDEN!r}",
            f"for name in {policy_modules()!r}:",
            "    if os.fork() == 0:",
            "        importlib.import_module(name)",
            "        found = [each for each in forbidden if each in sys.modules]",
            "        if found: print(name, 'imports', *found, flush=True)",
            "        os._exit(1 if found else 0)",
            "    if os.wait()[1]: sys.exit(name + ' is not pure, or does not import')",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
