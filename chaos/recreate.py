"""Put new containers in place of the old, on the image as it is now.

Why: an edit should be seen seconds later, and only what was named is touched. A successor is made
beside the old one and takes over its name, number, volumes and address, each replica on its own.
Why not ``docker compose up``: it knows services only, gives a lone newcomer another number, and
starts nobody before all old ones are gone (measured: a second more for three replicas).
Source: the Engine API 1.41, "Create a container"; what compose itself does with one container.
Not handled: a compose file that was edited since (``docker compose up`` takes that in), and an
image of one's own (build it as you build it; its next container then runs it).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import docker.errors
import requests

from chaos.lab import Lab
from kit.errors import LabEnvironmentError

TIMEOUT_S = 30.0  # longer than a stop with its grace period of 15 s
IMAGE_LABEL = "com.docker.compose.image"  # compose looks here whether a container is up to date


def recreate(lab: Lab, instances: Sequence[str]) -> None:
    """Put new containers in place of old ones, side by side.

    Raises:
        LabEnvironmentError: The engine refused, or a container isn't there.
    """
    topology = lab.topology()
    grace_s = {name: one.stop_grace_s for name, one in topology.services.items()}
    try:
        client = docker.from_env(timeout=TIMEOUT_S)
        with ThreadPoolExecutor(len(instances)) as pool:
            list(
                pool.map(
                    lambda name: _replace(
                        client,
                        f"{topology.project}-{name.replace('.', '-')}",
                        grace_s[name.rpartition(".")[0]],
                    ),
                    instances,
                )
            )
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LabEnvironmentError(f"the Docker engine says: {error}: ./squall status") from error


def successor(attrs: Mapping[str, Any], image_id: str) -> dict[str, Any]:
    """Return what the engine is asked to create in place of a container.

    Args:
        attrs: The old one, as the engine describes it.
        image_id: The image that its image's name means now.
    """
    config = {key: value for key, value in attrs["Config"].items() if key != "Hostname"}
    config["Labels"] = {**config["Labels"], IMAGE_LABEL: image_id}
    endpoints = {
        name: {
            "IPAMConfig": endpoint["IPAMConfig"],
            # The engine adds the id as an alias, and would add the next one's.
            "Aliases": [one for one in endpoint["Aliases"] or () if one not in attrs["Id"]],
        }
        for name, endpoint in attrs["NetworkSettings"]["Networks"].items()
    }
    return {
        **config,
        "HostConfig": attrs["HostConfig"],
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }


def _replace(client: Any, name: str, grace_s: float) -> None:
    old = client.containers.get(name)
    image = client.images.get(old.attrs["Config"]["Image"])
    body = successor(old.attrs, image.id)
    new = client.containers.get(client.api.create_container_from_config(body, f"{name}-new")["Id"])
    try:
        if old.status == "paused":
            old.unpause()  # a frozen process can't hear SIGTERM
        old.stop(timeout=int(grace_s))
        old.remove()
    except docker.errors.DockerException:
        new.remove(force=True)
        raise
    new.rename(name)
    new.start()
