"""The lab that runs here: how it was started, where its ports are, and who drives it.

Why: every command must find the same lab whichever way it runs. ``squall up`` writes
``.squall/lab.json``; a lab started by plain ``docker compose up`` has none and is found by its
ports; inside the container `lab` the environment says where front door and control are.
Source: design.md, "One topology, two ways to run it".
Not handled: two labs of one working tree.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from chaos.compose import Topology, read_topology
from chaos.drivers.contract import Driver
from chaos.supervisor.plan import DEFAULT_NETWORK
from kit.errors import ConfigError, LabEnvironmentError

Mode = Literal["processes", "containers"]

ROOT = Path(__file__).resolve().parents[1]
STATE_FOLDER = ".squall"
LAB_FILE = "lab.json"
DATA_FOLDER = "data"
NETWORK_FILE = "network"
READY_FILE = "ready_s"
COMPOSE_FILE = "docker-compose.yml"

DEFAULT_PORT = 8080
CONTROL_OFFSET = -1
LOCUST_OFFSET = 9
CONSOLE_OFFSET = 10
TOXICS_OFFSET = 11
STORE_OFFSET = 12
PING_TIMEOUT_S = 1.0
INSIDE = "SQUALL_INSIDE"  # set in the container `lab`: the command, without an engine's socket


@dataclass(frozen=True, slots=True)
class LabPorts:
    """The published ports of a lab, all on 127.0.0.1."""

    front: int
    control: int
    locust: int
    console: int
    toxics: int = DEFAULT_PORT + TOXICS_OFFSET  # not in the files of labs before it was published
    store: int = DEFAULT_PORT + STORE_OFFSET  # the same

    @property
    def environment(self) -> dict[str, str]:
        """The variables that say so to the compose file and to every command."""
        return {
            "SQUALL_PORT": str(self.front),
            "SQUALL_CONTROL_PORT": str(self.control),
            "SQUALL_LOCUST_PORT": str(self.locust),
            "SQUALL_CONSOLE_PORT": str(self.console),
            "SQUALL_TOXICS_PORT": str(self.toxics),
            "SQUALL_STORE_PORT": str(self.store),
        }


def read_ports(environ: Mapping[str, str] = os.environ) -> LabPorts:
    """Work out the ports: each has a variable; those not set lie beside ``SQUALL_PORT``.

    Raises:
        ConfigError: A variable is no port number.
    """
    front = _port(environ, "SQUALL_PORT", DEFAULT_PORT)
    return LabPorts(
        front,
        _port(environ, "SQUALL_CONTROL_PORT", front + CONTROL_OFFSET),
        _port(environ, "SQUALL_LOCUST_PORT", front + LOCUST_OFFSET),
        _port(environ, "SQUALL_CONSOLE_PORT", front + CONSOLE_OFFSET),
        _port(environ, "SQUALL_TOXICS_PORT", front + TOXICS_OFFSET),
        _port(environ, "SQUALL_STORE_PORT", front + STORE_OFFSET),
    )


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ConfigError(
            f"{name} is {text!r}: set it to a port from 1 to 65535, such as {default}"
        )
    return int(text)


@dataclass(frozen=True, slots=True)
class InnerWays:
    """Where front door and control are for a command inside the lab's own network."""

    front: tuple[str, int]
    control: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab; `find_lab` checks that it runs."""

    root: Path
    mode: Mode
    ports: LabPorts
    network: str = DEFAULT_NETWORK  # of process mode
    files: tuple[str, ...] = ()  # compose files laid over the lab's own, for services of one's own
    variables: Mapping[str, str] = field(default_factory=dict)  # that ``squall up`` was given
    inside: InnerWays | None = None  # in the container `lab`

    @property
    def base_url(self) -> str:
        """The front door."""
        host, port = self.inside.front if self.inside else ("127.0.0.1", self.ports.front)
        return f"http://{host}:{port}"

    @property
    def control(self) -> tuple[str, int]:
        """Host and port of the control plane."""
        return self.inside.control if self.inside else ("127.0.0.1", self.ports.control)

    @property
    def compose_files(self) -> tuple[Path, ...]:
        """The lab's compose file and those laid over it."""
        return (self.root / COMPOSE_FILE, *(Path(file) for file in self.files))

    def topology(self) -> Topology:
        """Return what runs in this lab's mode.

        Raises:
            ConfigError: A compose file is wrong.
        """
        return read_topology(*self.compose_files).for_mode(self.mode)

    @property
    def state_folder(self) -> Path:
        """Where its state lies on this machine."""
        return self.root / STATE_FOLDER

    def driver(self) -> Driver:
        """Return who starts and stops its instances.

        Raises:
            LabEnvironmentError: No supervisor or no engine answers.
        """
        if self.inside:
            from chaos.inside import InsideDriver

            return InsideDriver(self.topology(), self.control)
        if self.mode == "processes":
            from chaos.drivers.processes import ProcessDriver

            return ProcessDriver(self.root)
        from chaos.drivers.containers import ContainerDriver

        return ContainerDriver(self.topology(), folder=self.state_folder)

    def require_host(self, what: str) -> None:
        """Refuse what only the machine itself can do, in the container `lab`.

        Args:
            what: E.g. ``end the lab``.

        Raises:
            LabEnvironmentError: We are inside.
        """
        if self.inside:
            from chaos.inside import refuse

            refuse(what)

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """Run a command where a service's first replica runs, with its environment.

        Args:
            service: E.g. ``account``.
            argv: E.g. ``["python", "-m", "squall.seed"]``; its output goes to ours.

        Returns:
            The command's exit code.
        """
        return self.driver().run_inside(service, argv)

    def save(self) -> None:
        """Write down that this lab was started from here."""
        self.state_folder.mkdir(parents=True, exist_ok=True)
        data = {
            "mode": self.mode, "ports": asdict(self.ports), "network": self.network,
            "files": list(self.files), "variables": dict(self.variables),
        }  # fmt: skip
        (self.state_folder / LAB_FILE).write_text(json.dumps(data) + "\n", encoding="utf-8")
        if self.mode == "processes":
            # Beside the data, since the store's nodes remember each other's addresses.
            (self.state_folder / DATA_FOLDER).mkdir(exist_ok=True)
            (self.state_folder / DATA_FOLDER / NETWORK_FILE).write_text(self.network)

    def note_ready(self, seconds: float) -> None:
        """Write down how long it took to be ready, for ``squall footprint``."""
        (self.state_folder / READY_FILE).write_text(f"{seconds:.1f}\n")

    def ready_s(self) -> float | None:
        """Return the seconds its last start took, None when nobody noted them."""
        try:
            return float((self.state_folder / READY_FILE).read_text())
        except (OSError, ValueError):
            return None

    def remembered_network(self) -> str | None:
        """Return the network that the data on disk was written in, None without data."""
        try:
            return (self.state_folder / DATA_FOLDER / NETWORK_FILE).read_text().strip()
        except FileNotFoundError:
            return None

    def is_answering(self) -> bool:
        """Ask control for a PONG, for at most 1 s."""
        try:
            with socket.create_connection(self.control, PING_TIMEOUT_S) as client:
                client.settimeout(PING_TIMEOUT_S)
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def load_lab(root: Path | None = None, environ: Mapping[str, str] = os.environ) -> Lab:
    """Return the lab of a working tree, running or not.

    Without ``lab.json`` it is one that plain ``docker compose up`` would start, on the ports that
    the environment says.
    """
    root = root or ROOT
    if environ.get(INSIDE):
        return Lab(root, "containers", read_ports(environ), inside=_inner_ways(environ))
    try:
        data = json.loads((root / STATE_FOLDER / LAB_FILE).read_text(encoding="utf-8"))
        ports = LabPorts(**data["ports"])
        files, variables = tuple(data.get("files", ())), dict(data.get("variables", {}))
        return Lab(root, data["mode"], ports, data["network"], files, variables)
    except FileNotFoundError:
        return Lab(root, "containers", read_ports(environ))
    except (ValueError, KeyError, TypeError) as error:
        raise LabEnvironmentError(
            f"{root / STATE_FOLDER / LAB_FILE} is damaged ({error}): make down, then make up"
        ) from error


def _inner_ways(environ: Mapping[str, str]) -> InnerWays:
    return InnerWays(
        _address(environ, "SQUALL_FRONT", "l4:8080"),
        _address(environ, "SQUALL_CONTROL", "control:6379"),
    )


def _address(environ: Mapping[str, str], name: str, example: str) -> tuple[str, int]:
    host, colon, port = environ.get(name, "").rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ConfigError(
            f"{name} is {environ.get(name, '')!r}: {INSIDE} is set, so give host:port, e.g. "
            f"{example}"
        )
    return host, int(port)


def find_lab(root: Path | None = None) -> Lab:
    """Return the lab that runs here.

    Args:
        root: The working tree; None for the one this code lies in.

    Raises:
        LabEnvironmentError: Control doesn't answer.
    """
    lab = load_lab(root)
    if not lab.is_answering():
        where = ":".join(map(str, lab.control))
        raise LabEnvironmentError(f"the lab is not running (no control plane at {where}): make up")
    return lab
