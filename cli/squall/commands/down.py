"""``squall down``: end the lab, and with ``--purge`` everything it kept."""

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit

if TYPE_CHECKING:
    from chaos.lab import Lab


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its data and logs too, as make down does.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """End every process or container of the lab; its data stays unless --purge."""
    from chaos.lab import LAB_FILE, load_lab
    from chaos.supervisor.launch import end_supervisor

    lab = load_lab()
    lab.require_host("end the lab")
    was_up = end_supervisor(lab.state_folder)
    if lab.mode == "containers":
        was_up = _end_containers(lab, purge=purge) or was_up
    (lab.state_folder / LAB_FILE).unlink(missing_ok=True)
    if purge:
        shutil.rmtree(lab.state_folder, ignore_errors=True)
    data = {"mode": lab.mode, "was_up": was_up, "purged": purge}
    kept = "" if purge else "; its data stays (squall down --purge removes it)"
    text = f"squall is down{kept}" if was_up else f"squall was not up{kept}"
    emit("squall.down/1", data, as_json=as_json, text=text)


def _end_containers(lab: "Lab", *, purge: bool) -> bool:
    from chaos.build import environment
    from chaos.drivers.engine import engine_version, run_compose

    if engine_version() is None:
        return False
    was_up = bool(lab.driver().instances())
    volumes = ["--volumes"] if purge else []
    run_compose(lab.root, ["down", "--remove-orphans", *volumes], environment(lab))
    return was_up
