"""Find containers by the labels that compose puts on them, and turn the engine's errors into ours.

Why: a lab started by plain ``docker compose up`` is found as well as one of ``squall up``.
Source: the Engine API 1.41 (engine 20.10), through the ``docker`` library.
Not handled: other projects of the same name on one engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import docker
import docker.errors
import requests

from chaos.drivers.engine import HOW_TO_MEND
from kit.errors import ConfigError, LabEnvironmentError

TIMEOUT_S = 30.0  # longer than a stop with its grace period of 15 s


class LabelledContainers:
    """The containers of one compose project; asks the engine only when it is asked.

    Args:
        project: The compose project's name.
    """

    def __init__(self, project: str) -> None:
        self._project = project

    @cached_property
    def _client(self) -> Any:
        return docker.from_env(timeout=TIMEOUT_S)

    def all(self) -> list[Any]:
        """Return every container, running or not.

        Raises:
            LabEnvironmentError: No engine answers.
        """
        return self._labelled()

    def one(self, instance: str) -> Any | None:
        """Return an instance's container, None when there is none; cheaper than `named`."""
        service, _, number = instance.rpartition(".")
        found = self._labelled(service=service, **{"container-number": number})
        return found[0] if found else None

    def named(self, target: str) -> list[Any]:
        """Return those that a target means: an instance, a service or ``*``.

        Raises:
            ConfigError: None is called so; names the nearest.
        """
        containers = self.all()
        found = [one for one in containers if target in (instance_of(one), service_of(one), "*")]
        if not found:
            services = {service_of(one) for one in containers}
            known = sorted(services | {instance_of(one) for one in containers})
            close = get_close_matches(target, known, n=3, cutoff=0.4) or sorted(services)
            raise ConfigError(
                f"nothing called {target!r} runs here; there is {', '.join(close) or 'nothing'}"
            )
        return found

    def _labelled(self, **values: str) -> list[Any]:
        wanted = {"project": self._project, **values}
        labels = [f"com.docker.compose.{name}={value}" for name, value in wanted.items()]
        with engine_errors():
            found: list[Any] = self._client.containers.list(
                all=True, filters={"label": labels}, ignore_removed=True
            )
        return found


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn what the library raises into a sentence that says what to do."""
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LabEnvironmentError(f"the Docker engine says: {error}; {HOW_TO_MEND}") from error


def service_of(container: Any) -> str:
    """Return its service, e.g. ``video``."""
    return str(container.labels["com.docker.compose.service"])


def instance_of(container: Any) -> str:
    """Return its name in the lab, e.g. ``video.2``."""
    return f"{service_of(container)}.{container.labels['com.docker.compose.container-number']}"
