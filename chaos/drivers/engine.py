"""The Docker engine of this machine: whether it answers, and how compose is called.

Why: containers are the first choice where an engine answers. Asked through the command line, since
that is what runs compose, and since its answer is the same one that a user sees.
Not handled: podman.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.errors import LabEnvironmentError

PROJECT = "squall"  # the compose file's name
DEFAULT_BASE = "python:3.13-slim-trixie"  # docker-compose.yml, BASE_IMAGE
IMAGE_LABEL = "squall.image"  # deploy/Dockerfile
# Engine 20.10 miscounts a network's endpoints when many containers start or end at once on a busy
# machine, and then never lets the network go: seen once in seven starts of 19 at once, not in five
# with four at a time.
PARALLEL_LIMIT = "4"
RESTART_ENGINE = (
    "\nthe containers are gone, but the engine keeps their network: restart the engine, "
    "then make down"
)
LAST_LINES = 15
ASK_TIMEOUT_S = 10.0
PULL_TIMEOUT_S = 180.0
HOW_TO_MEND = (
    "start it, or install one (Debian: apt-get install docker.io), or use processes: make up "
    "MODE=processes"
)


def engine_version() -> str | None:
    """Return the version of the engine that answers, None when none does."""
    answer = _run(["docker", "version", "--format", "{{.Server.Version}}"])
    return answer or None


def compose_command() -> list[str] | None:
    """Return how compose version 2 is called here, None when there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        version = _run([*command, "version", "--short"])
        if version and not version.lstrip("v").startswith("1."):
            return command
    return None


def require_compose() -> list[str]:
    """Return how compose is called.

    Raises:
        LabEnvironmentError: No engine answers, or there is no compose.
    """
    if engine_version() is None:
        raise LabEnvironmentError(f"no Docker engine answers: {HOW_TO_MEND}")
    command = compose_command()
    if command is None:
        raise LabEnvironmentError(
            "the Docker engine answers, but there is no compose 2: install it (Debian 13: apt-get "
            "install docker-compose), or use processes: make up MODE=processes"
        )
    return command


def run_compose(root: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run compose on the lab's file.

    Args:
        root: The working tree.
        arguments: E.g. ``["up", "-d"]``.
        environment: Variables beside our own.

    Raises:
        LabEnvironmentError: It failed; with the last lines it wrote.
    """
    command = [*require_compose(), "--project-directory", str(root), *arguments]
    if "down" in arguments:
        from chaos.keeper.launch import finish_keeper
        from chaos.lab import STATE_FOLDER

        # Compose can't end a frozen container, and a keeper would start a new lab's instances.
        finish_keeper(root / STATE_FOLDER, PROJECT)
    done = subprocess.run(  # noqa: S603 - our own arguments
        command,
        cwd=root,
        env={"COMPOSE_PARALLEL_LIMIT": PARALLEL_LIMIT, **os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-LAST_LINES:])
        hint = RESTART_ENGINE if "has active endpoints" in last else ""
        raise LabEnvironmentError(f"{' '.join(command)} failed:\n{last}{hint}")


def forget_old_images() -> None:
    """Remove the images of earlier builds, which an edit of code leaves without a name."""
    _run(["docker", "image", "prune", "--force", "--filter", f"label={IMAGE_LABEL}"])


def ensure_base(root: Path) -> str:
    """See to it that the image's base is here, and return its name.

    The one that the environment or ``.env`` names; else the official one, here or pulled; else one
    made on this machine by ``deploy/make-base.sh``.

    Raises:
        LabEnvironmentError: None can be had; says why.
    """
    named = os.environ.get("BASE_IMAGE") or read_env_file(root / ".env").get("BASE_IMAGE")
    if named and _has_image(named):
        return named
    wanted = DEFAULT_BASE if named is None or named.startswith("squall-base:") else named
    if _has_image(wanted) or _pull(wanted):
        return wanted
    done = subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", str(root / "deploy" / "make-base.sh")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabEnvironmentError(
            f"no image registry answers with {wanted}, and a base could not be made here:\n"
            f"{done.stderr.strip()[-500:]}"
        )
    return read_env_file(root / ".env")["BASE_IMAGE"]


def read_env_file(path: Path) -> dict[str, str]:
    """Read the ``NAME=value`` lines of compose's ``.env``; empty when there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _has_image(name: str) -> bool:
    return bool(_run(["docker", "image", "inspect", "--format", "{{.Id}}", name]))


def _pull(name: str) -> bool:
    return bool(_run(["docker", "pull", "--quiet", name], timeout_s=PULL_TIMEOUT_S))


def _run(command: Sequence[str], timeout_s: float = ASK_TIMEOUT_S) -> str:
    """Return what a command printed; empty when it is absent, fails or takes too long."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
