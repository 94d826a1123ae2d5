"""Containers labelled as compose would, of a project of their own, for tests of drivers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import docker
import pytest

from chaos.drivers.engine import engine_version

IMAGES = ("squall:local", "squall-base:trixie", "python:3.13-slim-trixie")
CORES = 1.0
MEMORY_MB = 160

_numbers = count(1)


@contextmanager
def labelled(wanted: Sequence[tuple[str, int, str]]) -> Iterator[str]:
    """Run containers until the end of the with block; yields the project's name.

    Args:
        wanted: Service, number and shell command of each; they are limited as the lab's are.
    """
    if engine_version() is None:
        pytest.skip("no Docker engine answers")
    project = f"squall-test-{os.getpid()}-{next(_numbers)}"
    client = docker.from_env(timeout=10)
    made = []
    try:
        tags = {tag for image in client.images.list() for tag in image.tags}
        image = next((name for name in IMAGES if name in tags), None)
        if image is None:
            pytest.skip(f"none of {', '.join(IMAGES)} is here")
        for service, number, command in wanted:
            made.append(
                client.containers.run(
                    image,
                    ["/bin/sh", "-c", command],
                    detach=True,
                    init=True,
                    network_mode="none",
                    nano_cpus=round(CORES * 1e9),
                    mem_limit=f"{MEMORY_MB}m",
                    restart_policy={"Name": "unless-stopped" if service != "once" else "no"},
                    environment={"NAME": f"{service}.{number}"},
                    labels={
                        "com.docker.compose.project": project,
                        "com.docker.compose.service": service,
                        "com.docker.compose.container-number": str(number),
                    },
                )
            )
        yield project
    finally:
        for container in made:
            container.remove(force=True)
        client.close()
