"""What ``squall shard plan|add|remove`` are told should change, as nodes.

In the lab a node may be called by its service, ``store-7``, and the spare ones by ``spare``. Those
words are left alone until the command runs inside, where SQUALL_STORE and SQUALL_STORE_SPARE say
who that is.
"""

import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from kit.errors import ConfigError
from shard.form import SPARES_VARIABLE, read_nodes
from shard.policy.plan import ALGORITHMS
from shard.policy.topology import Address
from squall.output import nearest
from squall.store_reach import SEEDS_VARIABLE, SPARE

_SERVICE = re.compile(r"store-([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Change:
    """What should change.

    Args:
        add: host:port of a new primary and its replica, ``spare``, or none.
        remove: host:port of a node of the shard that leaves, ``store-7``, or "".
        algorithm: One of ``ALGORITHMS``.
    """

    add: tuple[str, ...]
    remove: str
    algorithm: str

    @property
    def argv(self) -> list[str]:
        """The change as options of ``plan``."""
        argv = ["--algorithm", self.algorithm]
        argv += ["--add", ",".join(self.add)] if self.add else []
        return argv + (["--remove", self.remove] if self.remove else [])


def read_change(
    add: str,
    remove: str,
    algorithm: str,
    *,
    in_lab: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Change:
    """Check what the command line says, and put addresses in digits for names.

    Args:
        add: host:port,host:port, or ``spare``; services of the lab for addresses.
        remove: host:port, or a service of the lab.
        algorithm: One of ``ALGORITHMS``.
        in_lab: Whether the command will be run again inside the lab, which knows its names.
        environ: Inside, the lab's nodes.

    Raises:
        ConfigError: It is no host:port, not two of them, or no algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"no algorithm {algorithm!r}: {nearest(algorithm, ALGORITHMS)}")
    leaving = _node(remove, environ, in_lab=in_lab)
    if add == SPARE and in_lab:
        return Change((SPARE,), leaving, algorithm)
    new = [*filter(None, add.split(","))] if add != SPARE else _spares(environ)
    joining = tuple(_node(each, environ, in_lab=in_lab) for each in new)
    if joining and len(joining) != 2:
        raise ConfigError(f"a shard is two nodes, {len(joining)} given: host:port,host:port")
    if len(set(joining)) < len(joining):
        raise ConfigError(f"{joining[0]} is named twice: a shard is two nodes")
    return Change(joining, leaving, algorithm)


def _spares(environ: Mapping[str, str]) -> list[str]:
    spares = environ.get(SPARES_VARIABLE, "")
    if not spares:
        raise ConfigError(
            "which nodes? Give host:port of two fresh ones; only the lab has nodes to spare"
        )
    return spares.split(",")


def _node(word: str, environ: Mapping[str, str], *, in_lab: bool) -> str:
    """Return host:port in digits, as the nodes know each other; "" of nothing."""
    service = _SERVICE.fullmatch(word)
    if service and in_lab:
        return word
    if service and environ.get(SEEDS_VARIABLE):
        word = _nth(int(service[1]), environ)
    try:
        found = read_nodes(word)
    except ValueError as error:
        raise ConfigError(f"{error}: give host:port") from None
    return str(_in_digits(found[0])) if found else ""


def _nth(number: int, environ: Mapping[str, str]) -> str:
    listed = ",".join(filter(None, map(environ.get, (SEEDS_VARIABLE, SPARES_VARIABLE))))
    nodes = listed.split(",")
    if number > len(nodes):
        raise ConfigError(f"no store-{number} here: store-1 to store-{len(nodes)}")
    return nodes[number - 1]


def _in_digits(address: Address) -> Address:
    with suppress(OSError):  # who can't be found is told so when it is asked
        return Address(socket.gethostbyname(address.host), address.port)
    return address
