"""Read docker-compose.yml, the only description of the lab, for running it without Docker.

Why: one topology and two ways to run it. Every key is either honoured here, or known to matter to
containers only (``CONTAINERS_ONLY``); any other is an error that names it and its line, so that
the host never silently runs something else than Docker would.
Source: the Compose specification; design.md, "One topology, two ways to run it".
Not handled: several files, profiles, env_file, depends_on (services start in any order),
the list form of ``environment``, the string form of ``command``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from chaos.interpolation import interpolate
from kit.errors import ConfigError

Restart = Literal["no", "on-failure", "unless-stopped"]

RESTARTS: tuple[Restart, ...] = ("no", "on-failure", "unless-stopped")
DEFAULT_STOP_GRACE_S = 10.0  # the Compose specification's
TOP_LEVEL = frozenset({"name", "services", "volumes", "networks"})
HONOURED = frozenset(
    {"command", "environment", "ports", "volumes", "restart", "stop_grace_period", "deploy"}
)
CONTAINERS_ONLY = frozenset(
    {
        *("image", "build", "pull_policy", "init", "read_only", "user", "tmpfs"),
        *("cap_drop", "security_opt", "logging", "healthcheck", "networks"),
    }
)
DEPLOY_HONOURED = frozenset({"replicas"})
DEPLOY_CONTAINERS_ONLY = frozenset({"resources"})


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

    @property
    def is_one_shot(self) -> bool:
        """Whether it ends by itself when its work is done."""
        return self.restart != "unless-stopped"

    @property
    def is_member(self) -> bool:
        """Whether its processes hold a lease at control: our own code that goes on running."""
        return self.command[0] == "python" and not self.is_one_shot

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


def read_topology(path: Path) -> Topology:
    """Read a compose file.

    Raises:
        ConfigError: Not there, not YAML, or outside of the subset; says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return parse_topology(text, path.name)


def parse_topology(text: str, file: str = "docker-compose.yml") -> Topology:
    """Read the text of a compose file; as `read_topology`, which see."""
    try:
        document = yaml.load(text, _LocatingLoader)  # noqa: S506 - a SafeLoader that adds lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise ConfigError(f"{place}: {error.problem}") from error
    return _Reader(file).topology(document)


class _Located(dict[str, Any]):
    """A mapping that remembers the line of each key."""

    lines: dict[str, int]


class _LocatingLoader(yaml.SafeLoader):
    """SafeLoader whose mappings are `_Located`; merge keys keep the line they were written on."""


def _construct_located(loader: _LocatingLoader, node: yaml.MappingNode) -> _Located:
    _refuse_duplicates(node)
    loader.flatten_mapping(node)
    located = _Located()
    located.lines = {}
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        located[key] = loader.construct_object(value_node, deep=True)
        located.lines[key] = key_node.start_mark.line + 1
    return located


def _refuse_duplicates(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key {key_node.value!r} is written twice", problem_mark=key_node.start_mark
            )
        seen.add(key_node.value)


_LocatingLoader.add_constructor("tag:yaml.org,2002:map", _construct_located)


class _Reader:
    """Turns the document into values, and every surprise into an error with its place."""

    def __init__(self, file: str) -> None:
        self.file = file

    def topology(self, document: object) -> Topology:
        top = self.mapping(document, "the file")
        self.refuse_unknown(top, TOP_LEVEL, "the file", allow_x=True)
        services = self.mapping(top.get("services"), "services")
        volumes = self.mapping(top.get("volumes") or _empty(), "volumes")
        found = {name: self.service(name, body) for name, body in services.items()}
        for service in found.values():
            for volume in service.volumes:
                if volume not in volumes:
                    raise self.error(
                        f"service {service.name!r} mounts volume {volume!r}, which is not declared",
                        services.lines[service.name],
                    )
        return Topology(str(top.get("name", "squall")), found)

    def service(self, name: str, body: object) -> Service:
        where = f"service {name!r}"
        fields = self.mapping(body, where)
        self.refuse_unknown(fields, HONOURED | CONTAINERS_ONLY, where)
        deploy = self.mapping(fields.get("deploy") or _empty(), f"{where}, deploy")
        self.refuse_unknown(deploy, DEPLOY_HONOURED | DEPLOY_CONTAINERS_ONLY, f"{where}, deploy")
        environment = self.mapping(fields.get("environment") or _empty(), f"{where}, environment")
        return Service(
            name=name,
            command=self.command(fields, where),
            environment={key: _text(value) for key, value in environment.items()},
            ports=tuple(self.port(text, fields, where) for text in self.list_of(fields, "ports")),
            volumes=dict(
                self.volume(text, fields, where) for text in self.list_of(fields, "volumes")
            ),
            restart=self.restart(fields, where),
            replicas=self.replicas(deploy, where),
            stop_grace_s=self.grace(fields, where),
        )

    def command(self, fields: _Located, where: str) -> tuple[str, ...]:
        command = tuple(_text(word) for word in self.list_of(fields, "command"))
        if not command:
            raise self.error(f"{where} has no command; the host cannot know the image's", None)
        for text in command:
            self.check_variables(text, fields.lines["command"])
        return command

    def port(self, text: str, fields: _Located, where: str) -> PublishedPort:
        line = fields.lines["ports"]
        self.check_variables(text, line)
        head, colon, port = text.rpartition(":")
        host, _, published = head.partition(":")
        if not colon or not port.isdigit() or not published:
            raise self.error(f"{where}: port {text!r} is not HOST:PUBLISHED:PORT", line)
        return PublishedPort(host, published, int(port))

    def volume(self, text: str, fields: _Located, where: str) -> tuple[str, str]:
        name, colon, path = text.partition(":")
        if not colon or not path.startswith("/") or name.startswith((".", "/")):
            raise self.error(
                f"{where}: volume {text!r} is not NAME:/PATH (the host has no other mounts)",
                fields.lines["volumes"],
            )
        return name, path

    def restart(self, fields: _Located, where: str) -> Restart:
        value = str(fields.get("restart", "no"))
        if value not in RESTARTS:
            raise self.error(
                f"{where}: restart {value!r} is none of {', '.join(RESTARTS)}",
                fields.lines["restart"],
            )
        return value

    def replicas(self, deploy: _Located, where: str) -> int:
        value = deploy.get("replicas", 1)
        if not isinstance(value, int) or value < 1:
            raise self.error(
                f"{where}: replicas {value!r} is no number above 0", deploy.lines["replicas"]
            )
        return value

    def grace(self, fields: _Located, where: str) -> float:
        value = str(fields.get("stop_grace_period", f"{DEFAULT_STOP_GRACE_S:.0f}s"))
        if not value.endswith("s") or not value[:-1].isdigit():
            raise self.error(
                f"{where}: stop_grace_period {value!r} is not whole seconds such as 15s",
                fields.lines["stop_grace_period"],
            )
        return float(value[:-1])

    def list_of(self, fields: _Located, key: str) -> Sequence[str]:
        value = fields.get(key, [])
        if not isinstance(value, list):
            raise self.error(f"{key} must be a list", fields.lines[key])
        return value

    def mapping(self, value: object, where: str) -> _Located:
        if not isinstance(value, _Located):
            raise self.error(f"{where} must be a mapping", None)
        return value

    def refuse_unknown(
        self, fields: _Located, known: frozenset[str], where: str, *, allow_x: bool = False
    ) -> None:
        for key in fields:
            if key not in known and not (allow_x and key.startswith("x-")):
                raise self.error(f"key {key!r} in {where} is not one we run", fields.lines[key])

    def check_variables(self, text: str, line: int) -> None:
        try:
            interpolate(text, {})
        except ValueError as error:
            raise self.error(str(error), line) from None

    def error(self, message: str, line: int | None) -> ConfigError:
        place = f"{self.file}:{line}" if line else self.file
        return ConfigError(f"{place}: {message}")


def _empty() -> _Located:
    located = _Located()
    located.lines = {}
    return located


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
