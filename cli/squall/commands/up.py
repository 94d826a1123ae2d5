"""``squall up``: start the lab, wait until it is ready, and say what to do with it."""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squall.banner import banner
from squall.output import JsonFlag, emit, say

if TYPE_CHECKING:
    from chaos.lab import Lab, Mode

# Read by the compose file: a later restart must fill in the same.
KEPT_VARIABLES = ("SQUALL_SUBNET", "SQUALL_LOG_LEVEL")


def up(
    mode: Annotated[
        str,
        typer.Option(help="containers, processes, or auto: containers where an engine answers."),
    ] = "auto",
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="A compose file of your own beside the lab's."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Start the lab and wait until it is ready; does nothing when it runs already."""
    began_s = time.monotonic()
    lab = _running_lab()
    files = tuple(str(path.resolve()) for path in file or ())
    is_new = lab is None
    if lab is not None and mode not in ("auto", lab.mode):
        from kit.errors import LabEnvironmentError

        raise LabEnvironmentError(f"the lab runs as {lab.mode} already: make down first")
    if lab is not None and not set(files) <= set(lab.files):
        from kit.errors import LabEnvironmentError

        new = ", ".join(sorted(set(files) - set(lab.files)))
        raise LabEnvironmentError(f"the lab runs already, without {new}: squall down first")
    if lab is None:
        lab = _start(mode, files)
    _wait(lab)
    _publish_routes(lab)
    if is_new:
        lab.note_ready(time.monotonic() - began_s)
    data = _describe(lab, time.monotonic() - began_s, is_new=is_new)
    emit("squall.up/1", data, as_json=as_json, text=banner(data))


def _running_lab() -> "Lab | None":
    """Return the lab if it was started already; asks who drives it, since control may be down."""
    from chaos.lab import LAB_FILE, load_lab
    from chaos.supervisor.launch import find_supervisor

    lab = load_lab()
    lab.require_host("start the lab")
    if lab.mode == "processes":
        return lab if find_supervisor(lab.state_folder) else None
    is_ours = (lab.state_folder / LAB_FILE).exists()
    return lab if is_ours and lab.is_answering() else None


def _start(wanted: str, files: tuple[str, ...]) -> "Lab":
    from chaos.checks import check_machine, choose_network, require
    from chaos.lab import ROOT, Lab, read_ports
    from kit.errors import LabEnvironmentError

    ports = read_ports()
    mode, base = _choose(wanted)
    remembered = Lab(ROOT, mode, ports).remembered_network()
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if os.environ.get(name)}
    if base:
        variables["BASE_IMAGE"] = base
    lab = Lab(ROOT, mode, ports, choose_network(remembered), files, variables)
    lab.topology()  # a mistake in a file is told before anything starts
    require(check_machine(lab, mode))
    if mode == "processes" and lab.is_answering():
        raise LabEnvironmentError(
            f"another lab answers at 127.0.0.1:{ports.control}: make down, or set SQUALL_PORT"
        )
    say(f"squall: starting {mode}")
    if mode == "processes":
        from chaos.supervisor.launch import start_supervisor

        lab.save()
        start_supervisor(lab.root, lab.state_folder)
    else:
        from chaos.build import environment, file_options
        from chaos.drivers.engine import forget_old_images, run_compose

        words = [*file_options(lab), "up", "--detach", "--build", "--remove-orphans"]
        run_compose(lab.root, words, environment(lab))
        forget_old_images()
        lab.save()
    return lab


def _choose(wanted: str) -> tuple["Mode", str]:
    """Return the mode, and for containers the base image."""
    from chaos.drivers.engine import compose_command, engine_version, ensure_base
    from chaos.lab import ROOT
    from kit.errors import ConfigError, LabEnvironmentError

    if wanted == "processes":
        return "processes", ""
    if wanted == "containers":
        return "containers", ensure_base(ROOT) if engine_version() else ""
    if wanted != "auto":
        raise ConfigError(f"--mode {wanted!r} is none of containers, processes, auto")
    if engine_version() is None or compose_command() is None:
        return "processes", ""
    try:
        return "containers", ensure_base(ROOT)
    except LabEnvironmentError as error:
        say(f"squall: a Docker engine answers, but {error}\nsquall: going on with processes")
        return "processes", ""


def _wait(lab: "Lab") -> None:
    from chaos.readiness import wait_ready

    topology = lab.topology()
    asyncio.run(
        wait_ready(
            topology,
            lab.driver(),
            lab.control,
            on_missing=lambda missing: say(f"squall: waiting for {', '.join(missing)}"),
        )
    )


def _publish_routes(lab: "Lab") -> None:
    from chaos.own_routes import container_routes, process_routes, publish

    topology = lab.topology()
    entries = (
        process_routes(topology, lab.network)
        if lab.mode == "processes"
        else container_routes(topology)
    )
    asyncio.run(publish(lab.control, entries, forget_others=True))


def _describe(lab: "Lab", seconds: float, *, is_new: bool) -> dict[str, object]:
    driver = lab.driver()
    return {
        "mode": lab.mode,
        "started": is_new,
        "seconds": round(seconds, 1),
        "processes": sum(status.state == "running" for status in driver.instances()),
        "memory_mib": round(sum(driver.memory().values()) / 2**20),
        "url": lab.base_url,
        "port": lab.ports.front,
        "control_port": lab.ports.control,
        "store_port": lab.ports.store,
        "locust_port": lab.ports.locust,
    }
