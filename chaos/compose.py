"""Read docker-compose.yml, the only description of the lab, for running it without Docker.

Why: one topology and two ways to run it. Every key is either honoured here, or known to matter to
containers only (``CONTAINERS_ONLY``); any other is an error that names it and its line, so that
the host never silently runs something else than Docker would. Further files (a service of one's
own) are laid over it, as ``docker compose -f`` does; where a service takes part, and under which
path it answers, its labels say.
Source: the Compose specification; design.md, "One topology, two ways to run it".
Not handled: profiles, env_file, depends_on (services start in any order), the list form of
``environment`` and ``labels``, the string form of ``command``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from chaos.interpolation import interpolate
from chaos.labels import Route, read_modes, read_route
from chaos.located_yaml import Located, empty, merge, parse_yaml
from kit.errors import ConfigError

Restart = Literal["no", "on-failure", "unless-stopped"]

RESTARTS: tuple[Restart, ...] = ("no", "on-failure", "unless-stopped")
DEFAULT_STOP_GRACE_S = 10.0  # the Compose specification's
TOP_LEVEL = frozenset({"name", "services", "volumes", "networks"})
HONOURED = frozenset(
    {
        *("command", "environment", "ports", "volumes", "restart", "stop_grace_period"),
        *("deploy", "labels"),
    }
)
CONTAINERS_ONLY = frozenset(
    {
        *("image", "build", "pull_policy", "init", "read_only", "user", "tmpfs"),
        *("cap_drop", "security_opt", "logging", "healthcheck", "networks"),
    }
)
DEPLOY_HONOURED = frozenset({"replicas"})
DEPLOY_CONTAINERS_ONLY = frozenset({"resources"})
IMAGE_FOLDER = "/app/"  # deploy/Dockerfile: where the working tree's code lies in a container


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of a service that is reachable from outside, as written (variables not filled in)."""

    host: str
    published: str
    port: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the file; texts as written, to be filled in for each replica."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[PublishedPort, ...]
    volumes: Mapping[str, str]  # name -> path in the container
    restart: Restart
    replicas: int
    stop_grace_s: float
    route: Route | None = None
    modes: frozenset[str] = frozenset({"containers", "processes"})

    @property
    def is_one_shot(self) -> bool:
        """Whether it ends by itself when its work is done."""
        return self.restart != "unless-stopped" and self.route is None

    @property
    def is_member(self) -> bool:
        """Whether its processes hold a lease at control: our own code that goes on running."""
        return self.command[0] == "python" and not self.is_one_shot and self.route is None

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of its replicas, counted from 1: ``video.1``, ``video.2``."""
        return tuple(f"{self.name}.{number}" for number in range(1, self.replicas + 1))


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole file, services in the order written."""

    project: str
    services: Mapping[str, Service]

    @property
    def instances(self) -> tuple[str, ...]:
        """Every instance of the lab, in the order of the file."""
        return tuple(name for service in self.services.values() for name in service.instances)

    def for_mode(self, mode: str) -> "Topology":
        """Leave out the services that take no part in a way of running the lab."""
        own = {name: one for name, one in self.services.items() if mode in one.modes}
        return replace(self, services=own)

    def only_members(self) -> "Topology":
        """Leave out what holds no lease."""
        own = {name: one for name, one in self.services.items() if one.is_member}
        return replace(self, services=own)


def read_topology(*paths: Path) -> Topology:
    """Read a compose file, and those that are laid over it.

    Raises:
        ConfigError: Not there, not YAML, or outside of the subset; says where.
    """
    texts = []
    for path in paths:
        try:
            texts.append((path.read_text(encoding="utf-8"), path.name))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return _read(texts)


def parse_topology(text: str, file: str = "docker-compose.yml") -> Topology:
    """Read the text of one compose file; as `read_topology`, which see."""
    return _read([(text, file)])


def _read(texts: Sequence[tuple[str, str]]) -> Topology:
    document: object = None
    for text, file in texts:
        own = parse_yaml(text, file)
        if not isinstance(own, Located):
            raise ConfigError(f"{file}: the file must be a mapping")
        document = own if document is None else merge(document, own)
    return _Reader(texts[0][1]).topology(document)


class _Reader:
    """Turns the document into values, and every surprise into an error with its place."""

    def __init__(self, file: str) -> None:
        self.file = file

    def topology(self, document: object) -> Topology:
        top = self.mapping(document, "the file")
        self.refuse_unknown(top, TOP_LEVEL, "the file", allow_x=True)
        services = self.mapping(top.get("services"), "services")
        volumes = self.mapping(top.get("volumes") or empty(), "volumes")
        found = {name: self.service(name, body) for name, body in services.items()}
        for service in found.values():
            for volume in service.volumes:
                if volume not in volumes:
                    raise self.error(
                        f"service {service.name!r} mounts volume {volume!r}, which is not declared",
                        services.places[service.name],
                    )
        return Topology(str(top.get("name", "squall")), found)

    def service(self, name: str, body: object) -> Service:
        where = f"service {name!r}"
        fields = self.mapping(body, where)
        self.refuse_unknown(fields, HONOURED | CONTAINERS_ONLY, where)
        deploy = self.mapping(fields.get("deploy") or empty(), f"{where}, deploy")
        self.refuse_unknown(deploy, DEPLOY_HONOURED | DEPLOY_CONTAINERS_ONLY, f"{where}, deploy")
        environment = self.mapping(fields.get("environment") or empty(), f"{where}, environment")
        route, modes = self.labels(name, fields, where)
        mounts = (
            self.volume(text, fields, where, modes) for text in self.list_of(fields, "volumes")
        )
        return Service(
            name=name,
            command=self.command(fields, where),
            environment={key: _text(value) for key, value in environment.items()},
            ports=tuple(self.port(text, fields, where) for text in self.list_of(fields, "ports")),
            volumes=dict(mount for mount in mounts if mount is not None),
            restart=self.restart(fields, where),
            replicas=self.replicas(deploy, where),
            stop_grace_s=self.grace(fields, where),
            route=route,
            modes=modes,
        )

    def labels(self, name: str, fields: Located, where: str) -> tuple[Route | None, frozenset[str]]:
        labels = self.mapping(fields.get("labels") or empty(), f"{where}, labels")
        texts = {key: _text(value) for key, value in labels.items()}
        try:
            return read_route(name, texts), read_modes(texts)
        except ConfigError as error:
            raise self.error(f"{where}: {error}", fields.places["labels"]) from error

    def command(self, fields: Located, where: str) -> tuple[str, ...]:
        command = tuple(_text(word) for word in self.list_of(fields, "command"))
        if not command:
            raise self.error(f"{where} has no command; the host cannot know the image's", None)
        for text in command:
            self.check_variables(text, fields.places["command"])
        return command

    def port(self, text: str, fields: Located, where: str) -> PublishedPort:
        line = fields.places["ports"]
        self.check_variables(text, line)
        head, colon, port = text.rpartition(":")
        host, _, published = head.partition(":")
        if not colon or not port.isdecimal() or not published:
            raise self.error(f"{where}: port {text!r} is not HOST:PUBLISHED:PORT", line)
        return PublishedPort(host, published, int(port))

    def volume(
        self, text: str, fields: Located, where: str, modes: frozenset[str]
    ) -> tuple[str, str] | None:
        """Read one mount; None for the tree's own folder, which the host has in its place."""
        name, colon, path = text.removesuffix(":ro").partition(":")
        if name.startswith(("./", "../", "/")):
            if "processes" not in modes or path == IMAGE_FOLDER + name.removeprefix("./"):
                return None
        elif colon and path.startswith("/"):
            return name, path
        raise self.error(
            f"{where}: volume {text!r} is not NAME:/PATH or ./FOLDER:{IMAGE_FOLDER}FOLDER:ro (the "
            "host has no other mounts)",
            fields.places["volumes"],
        )

    def restart(self, fields: Located, where: str) -> Restart:
        value = str(fields.get("restart", "no"))
        if value not in RESTARTS:
            raise self.error(
                f"{where}: restart {value!r} is none of {', '.join(RESTARTS)}",
                fields.places["restart"],
            )
        return value

    def replicas(self, deploy: Located, where: str) -> int:
        value = deploy.get("replicas", 1)
        if not isinstance(value, int) or value < 1:
            raise self.error(
                f"{where}: replicas {value!r} is no number above 0", deploy.places["replicas"]
            )
        return value

    def grace(self, fields: Located, where: str) -> float:
        value = str(fields.get("stop_grace_period", f"{DEFAULT_STOP_GRACE_S:.0f}s"))
        if not value.endswith("s") or not value[:-1].isdecimal():
            raise self.error(
                f"{where}: stop_grace_period {value!r} is not whole seconds such as 15s",
                fields.places["stop_grace_period"],
            )
        return float(value[:-1])

    def list_of(self, fields: Located, key: str) -> Sequence[str]:
        value = fields.get(key, [])
        if not isinstance(value, list):
            raise self.error(f"{key} must be a list", fields.places[key])
        return value

    def mapping(self, value: object, where: str) -> Located:
        if not isinstance(value, Located):
            raise self.error(f"{where} must be a mapping", None)
        return value

    def refuse_unknown(
        self, fields: Located, known: frozenset[str], where: str, *, allow_x: bool = False
    ) -> None:
        for key in fields:
            if key not in known and not (allow_x and key.startswith("x-")):
                raise self.error(f"key {key!r} in {where} is not one we run", fields.places[key])

    def check_variables(self, text: str, place: str) -> None:
        try:
            interpolate(text, {})
        except ValueError as error:
            raise self.error(str(error), place) from None

    def error(self, message: str, place: str | None) -> ConfigError:
        return ConfigError(f"{place or self.file}: {message}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
