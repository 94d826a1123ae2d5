"""The proxies for plain TCP: nginx's stream module and HAProxy, and no proxy at all.

``direct`` is wrk against the backend: what the rest of the machine can do, so that a proxy's
throughput has something to be read against.
Source: nginx "ngx_stream_proxy_module"; HAProxy configuration manual 2.1 (mode tcp).
Not handled: UDP; HAProxy's ``option splice-auto``, which no default turns on.
"""

from pathlib import Path

from bench.limiters.processes import python
from bench.proxies.backend import nginx_command, nginx_top
from bench.proxies.contender import HOST, Contender, Place, module_exists, program
from bench.proxies.l7_peers import OURS, haproxy_tcp, here

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # where Debian puts it
DIRECT = "direct"


def nginx_stream(binary: Path, place: Place) -> list[str]:
    """Write nginx's config for plain TCP; return its command."""
    config = place.folder / "nginx.conf"
    top = nginx_top(place.folder, f"load_module {STREAM_MODULE};\n")
    config.write_text(
        f"{top}stream {{\n  server {{\n    listen {HOST}:{place.port} backlog=2048;\n"
        f"    proxy_pass {HOST}:{place.backend_port};\n  }}\n}}\n"
    )
    return nginx_command(binary, place.folder, config)


def nginx_with_stream() -> Path | None:
    """Return nginx; None where it or its stream module is missing."""
    return program("nginx") if module_exists(STREAM_MODULE) else None


def ours_l4(binary: Path, place: Place) -> list[str]:
    """Return the command that runs our L4 proxy."""
    return python("bench.proxies.ours", str(place.port), str(place.backend_port))


def no_proxy(binary: Path, place: Place) -> list[str]:
    """Return no command: nothing stands between."""
    return []


CONTENDERS = (
    Contender(OURS, "Squall's L4 proxy, its defaults", "is here", here, ours_l4),
    Contender(
        "nginx",
        "stream module, one worker",
        "apt-get install nginx-light libnginx-mod-stream",
        nginx_with_stream,
        nginx_stream,
    ),
    Contender(
        "haproxy",
        "mode tcp, one thread",
        "apt-get install haproxy",
        lambda: program("haproxy"),
        haproxy_tcp,
    ),
    Contender(DIRECT, "no proxy: wrk against the backend", "is here", here, no_proxy),
)
