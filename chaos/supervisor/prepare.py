"""What process mode needs to know before anything starts: programs, environment, plans.

Why: the supervisor, and a command that runs inside the lab (`Lab.run_inside`), must agree on every
value.
"""

import os
import sys
from pathlib import Path

from chaos.lab import DATA_FOLDER, STATE_FOLDER, load_lab
from chaos.server_binary import PROGRAM, find_server
from chaos.supervisor.plan import ProcessPlan, plan_processes

SHELL = "/bin/sh"  # POSIX; a command that must do something before it starts its server
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def plan_lab(root: Path) -> list[ProcessPlan]:
    """Work out every process of a working tree's lab, on the ports it was started with.

    Raises:
        ConfigError: The compose file is wrong.
        LabEnvironmentError: No valkey-server is new enough.
    """
    lab = load_lab(root)
    return plan_processes(
        lab.topology(),
        data=root / STATE_FOLDER / DATA_FOLDER,
        programs={"python": sys.executable, "sh": SHELL, PROGRAM: str(find_server().path)},
        environment={**os.environ, **lab.ports.environment},
        network=lab.network,
    )


def child_environment(root: Path) -> dict[str, str]:
    """Return what every process gets: a few variables of ours, our programs first, our packages.

    Not the whole of ours: a container doesn't get it either.

    Raises:
        LabEnvironmentError: No valkey-server is new enough.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ours = [str(Path(sys.executable).parent), str(find_server().path.parent)]
    folders = [*ours, passed.get("PATH", os.defpath)]
    return passed | {
        "PATH": os.pathsep.join(folders),
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "cli")]),
        "PYTHONUNBUFFERED": "1",
    }
