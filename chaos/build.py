"""Build the lab's image with what ``squall up`` was told: files, ports, variables.

Why: an edit of code is run by `squall restart`. Only the layers of our own code are built anew (the
virtual environment's is cached), and the old containers serve meanwhile. In process mode there is
nothing to build: a restarted process reads the tree.
Not handled: an image of one's own (build it as you build it; its next container then runs it).
"""

from collections.abc import Mapping

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
    words = [*file_options(lab), "build", "--quiet", IMAGE_SERVICE]
    run_compose(lab.root, words, environment(lab))
