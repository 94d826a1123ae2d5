"""Run edited code: build the image's code layer and put new containers in place of the old.

Why: an edit should be seen seconds later. Only the layers of our own code are built anew (the
virtual environment's is cached), the old containers serve meanwhile, and only the service that was
named is touched. In process mode there is nothing to build: a restarted process reads the tree.
Source: ``docker compose up``: a container whose image or configuration moved is made anew.
Not handled: an image of one's own (build it as you build it; `squall restart` then takes it).
"""

import subprocess
from collections.abc import Mapping, Sequence

from chaos.drivers.engine import run_compose
from chaos.lab import Lab

IMAGE_SERVICE = "control"  # docker-compose.yml: the one service that says how the image is built


def file_options(lab: Lab) -> list[str]:
    """Return how compose is told of all files; nothing when there is only the lab's own."""
    files = lab.compose_files
    return [word for file in files for word in ("-f", str(file))] if len(files) > 1 else []


def environment(lab: Lab) -> Mapping[str, str]:
    """Return what compose fills into the file: ports, and what ``squall up`` was given."""
    return {**lab.variables, **lab.ports.environment}


def build_image(lab: Lab) -> None:
    """Build the image of the tree as it is now.

    Raises:
        LabEnvironmentError: It failed; with the last lines the build wrote.
    """
    _compose(lab, "build", "--quiet", IMAGE_SERVICE)


def recreate(lab: Lab, service: str) -> None:
    """Put new containers in place of all of a service's; they start side by side.

    Raises:
        LabEnvironmentError: The engine refused.
    """
    _compose(lab, "up", "--detach", "--no-deps", "--no-build", "--force-recreate", service)


def recreate_one(lab: Lab, instance: str) -> None:
    """Put a new container in place of one, and leave its siblings alone.

    Raises:
        LabEnvironmentError: The engine refused.
    """
    service = instance.rpartition(".")[0]
    lab.driver().stop(instance)
    container = f"{lab.topology().project}-{instance.replace('.', '-')}"
    # Compose then misses exactly this one, and gives the newcomer its number.
    subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)  # noqa: S603,S607
    _compose(lab, "up", "--detach", "--no-deps", "--no-build", "--no-recreate", service)


def _compose(lab: Lab, *arguments: str) -> None:
    words: Sequence[str] = [*file_options(lab), *arguments]
    run_compose(lab.root, words, environment(lab))
