"""Three network namespaces: a client, the balancer, the backends; gone at the end, always.

Client and backends reach each other in two ways that the balancer's rules have no part in: through
its namespace as through any router, and over a link of their own.
"""

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lb.l4.kernel.config import parse_kernel_config
from lb.l4.kernel.nft import render_install

CLONE_NEWNET = 0x40000000
VIP, BACKENDS = "10.91.0.1", ("10.92.0.11", "10.92.0.12", "10.92.0.13")
CLIENT, STRAIGHT = "10.93.0.1", "10.93.0.2"  # ends of the link of their own
_numbers = itertools.count()


def lacks() -> str:
    """Why this machine can't have them, with root's tools; empty when it can."""
    for program in ("ip", "nft", "conntrack"):
        if shutil.which(program) is None:
            return f"no {program}"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    try:
        with network() as net:
            config = parse_kernel_config(f"listen: {VIP}:80\nbackends: [{{address: '{VIP}:1'}}]")
            net.run("lb", "nft", "-c", "-f", "-", text=render_install(config, ()))
            net.run("lb", "conntrack", "-L")
    except subprocess.CalledProcessError as error:
        return f"no namespaces, veth or nftables here: {error.stderr.strip()}"
    return ""


class Network:
    """The three namespaces, by role: client, lb, backends."""

    def __init__(self) -> None:
        number = f"{os.getpid():x}{next(_numbers)}"
        self.names = {role: f"sqk{number}{role[0]}" for role in ("client", "lb", "backends")}

    def run(self, role: str, *command: str, text: str = "") -> str:
        """Run a command inside; raises CalledProcessError."""
        return _run("ip", "netns", "exec", self.names[role], *command, text=text)

    def socket(self, role: str) -> socket.socket:
        """Make a TCP socket that lives inside, wherever it is used."""
        made: list[socket.socket] = []

        def make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.names[role]}") as namespace:
                assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0
            made.append(socket.socket())

        thread = threading.Thread(target=make)  # a namespace is a thread's own
        thread.start()
        thread.join()
        made[0].setblocking(False)
        return made[0]

    def build(self) -> None:
        """Make namespaces, links, addresses and routes."""
        names = self.names
        for name in names.values():
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        for role, at_lb, inside in (
            ("client", VIP, ("10.91.0.2",)),
            ("backends", "10.92.0.1", BACKENDS),
        ):
            lb, far = ("-n", names["lb"]), ("-n", names[role])
            peer = ("peer", "name", "up0", "netns", names[role])
            _run("ip", *lb, "link", "add", role, "type", "veth", *peer)
            for side, device, addresses in ((lb, role, (at_lb,)), (far, "up0", inside)):
                for address in addresses:
                    _run("ip", *side, "addr", "add", f"{address}/24", "dev", device)
                _run("ip", *side, "link", "set", device, "up")
        self.run("lb", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run("client", "ip", "route", "add", "10.92.0.0/24", "via", VIP)
        self.run("backends", "ip", "route", "add", "10.91.0.0/24", "via", "10.92.0.1")
        peer = ("peer", "name", "own0", "netns", names["backends"])
        _run("ip", "-n", names["client"], "link", "add", "own0", "type", "veth", *peer)
        for role, address in (("client", CLIENT), ("backends", STRAIGHT)):
            _run("ip", "-n", names[role], "addr", "add", f"{address}/24", "dev", "own0")
            _run("ip", "-n", names[role], "link", "set", "own0", "up")

    def tear_down(self) -> None:
        """Delete the namespaces, and with them links and tables."""
        for name in self.names.values():
            command = ("ip", "netns", "del", name)
            subprocess.run(command, capture_output=True, check=False)  # noqa: S603  our own names


@contextmanager
def network() -> Iterator[Network]:
    """Have the three namespaces for a while."""
    net = Network()
    try:
        net.build()
        yield net
    finally:
        net.tear_down()


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(  # noqa: S603  commands are this file's
        command, input=text, capture_output=True, text=True, check=True
    )
    return done.stdout
