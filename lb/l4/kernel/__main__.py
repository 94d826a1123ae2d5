"""Run kernel mode: ``python -m lb.l4.kernel FILE``."""

import sys
from pathlib import Path

from kit.errors import EXIT_USAGE, LabError
from lb.l4.kernel.config import load_kernel_config
from lb.l4.kernel.run import run


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 stopped, 2 a wrong file, 3 the machine lacks something."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m lb.l4.kernel FILE (see docs/lb/kernel.md)\n")
        return EXIT_USAGE
    path = Path(arguments[0])
    try:
        run(load_kernel_config(path), path)
    except LabError as error:
        sys.stderr.write(f"l4-kernel: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
