"""What a person reads when the lab is ready: where it is, and what to try."""

from collections.abc import Mapping

# The lines a user pastes; the port is the only thing that may differ.
TRY_LINES = """\
curl -s 127.0.0.1:8080/v1/videos/1                          # l4, l7, gateway, four services, the store
./squall status                                             # every process: up, ready, rps, p99, memory
./squall fault add latency --on comment --ms 500 --ttl 60s  # the same page now answers 200 in under 450 ms,
curl -s 127.0.0.1:8080/v1/videos/1                          #   with "degraded": ["comments"]
./squall drill run overload                                 # open-loop Locust, fault, verdict, control
make down                                                   # leaves no process, container, network, volume or port"""  # noqa: E501 - as the README has them

# The same where nothing but Docker is needed: the command runs in the container `lab`.
INSIDE = {"./squall ": "docker compose exec lab squall ", "make down": "docker compose down -v"}
COPY_LINE = "docker compose cp lab:/app/runs runs  # the drill's report, to open in a browser"


def banner(data: Mapping[str, object]) -> str:
    """Return what a person reads when the lab is ready.

    Args:
        data: As ``squall up --json`` prints it.
    """
    state = f"ready after {data['seconds']} s" if data["started"] else "already up"
    size = f"{data['processes']} {data['mode']}, {data['memory_mib']} MiB"
    return _page(f"squall is {state}: {size}", data, _aligned(_on_port(data).splitlines()))


def inside_banner(data: Mapping[str, object]) -> str:
    """Return the same for a lab of plain ``docker compose up``, said from inside.

    Args:
        data: As ``squall banner --json`` prints it.
    """
    lines = [_said_for_containers(line) for line in _on_port(data).splitlines()]
    lines.insert(-1, COPY_LINE)
    title = f"squall is ready: {data['processes']} processes hold their lease"
    return _page(title, data, _aligned(lines))


def _page(title: str, data: Mapping[str, object], lines: list[str]) -> str:
    places = [f"  front door  http://127.0.0.1:{data['port']}/  (pages: /docs)"]
    places.append(f"  control     127.0.0.1:{data['control_port']}")
    if "store_port" in data:
        places.append(f"  store       127.0.0.1:{data['store_port']}  (any Redis client)")
    if "locust_port" in data:
        places.append(f"  locust      http://127.0.0.1:{data['locust_port']}/  (after make load)")
    return "\n".join([title, "", *places, "", *(f"    {line}" for line in lines)])


def _on_port(data: Mapping[str, object]) -> str:
    return TRY_LINES.replace(":8080/", f":{data['port']}/")


def _said_for_containers(line: str) -> str:
    for here, there in INSIDE.items():
        line = line.replace(here, there)
    return line


def _aligned(lines: list[str]) -> list[str]:
    """Put the comments below each other again."""
    pairs = [line.partition("  #")[::2] for line in lines]
    width = max(len(command.rstrip()) for command, _ in pairs)
    return [f"{command.rstrip():<{width}}  #{comment}" for command, comment in pairs]
