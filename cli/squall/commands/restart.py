"""``squall restart``: end instances with SIGTERM, and start them with the code as it is now."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, nearest, say

if TYPE_CHECKING:
    from chaos.lab import Lab
    from kit.members import Member

READY_LIMIT_S = 30.0
POLL_S = 0.05


def restart(
    target: Annotated[str, typer.Argument(help="A service (video) or one instance (video.2).")],
    rolling: Annotated[
        bool, typer.Option("--rolling", help="One after the other: the service never stands still.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Restart instances on the code as it is now; containers get a new image for it."""
    began_s = time.monotonic()
    from chaos.lab import load_lab
    from kit.errors import LabEnvironmentError

    lab = load_lab()
    lab.require_host(f"restart {target}")
    if not (lab.is_answering() or lab.driver().instances()):
        raise LabEnvironmentError("the lab is not running: make up")
    meant = _meant(lab, target)
    if lab.mode == "containers":
        _build(lab)
    is_whole = target not in meant and not rolling
    seconds: dict[str, float] = {}
    for names in [meant] if not rolling else [[name] for name in meant]:
        say(f"squall: restarting {', '.join(names)}")
        seconds |= asyncio.run(_restart(lab, names, is_whole, began_s))
    text = "\n".join(f"{name} is ready again after {spent} s" for name, spent in seconds.items())
    emit("squall.restart/1", {"restarted": seconds}, as_json=as_json, text=text)


def _build(lab: "Lab") -> None:
    from concurrent.futures import ThreadPoolExecutor

    from chaos.build import build_image

    say("squall: building the image's code")
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(build_image, lab)
        import chaos.recreate  # noqa: F401 - takes a quarter of a second, which is free here

        building.result()


def _meant(lab: "Lab", target: str) -> list[str]:
    from kit.errors import ConfigError

    services = lab.topology().services.values()
    meant = [name for one in services for name in one.instances if target in (name, one.name)]
    if not meant:
        known = {one.name for one in services} | {n for one in services for n in one.instances}
        raise ConfigError(f"no service or instance {target!r} runs here; {nearest(target, known)}")
    return meant


async def _restart(
    lab: "Lab", names: Sequence[str], is_whole: bool, began_s: float
) -> dict[str, float]:
    """Restart side by side; returns the seconds from the command to each one's readiness."""
    from chaos.readiness import read_members
    from kit.errors import LabEnvironmentError

    services = lab.topology().services
    leased = [name for name in names if services[name.rpartition(".")[0]].is_member]
    before = await read_members(lab.control)
    act = asyncio.create_task(asyncio.to_thread(_act, lab, names, is_whole))
    seconds: dict[str, float] = {}
    while len(seconds) < len(leased) or not act.done():
        if act.done():
            act.result()  # raises what went wrong
        now = await read_members(lab.control)
        spent_s = time.monotonic() - began_s
        for name in leased:
            if name not in seconds and _is_new(before.get(name), now.get(name)):
                seconds[name] = round(spent_s, 1)
        if spent_s > READY_LIMIT_S * (1 + len(names)):
            missing = ", ".join(name for name in leased if name not in seconds)
            raise LabEnvironmentError(f"not ready after {spent_s:.0f} s: {missing}: squall status")
        await asyncio.sleep(POLL_S)
    await act
    spent_s = round(time.monotonic() - began_s, 1)
    return {name: seconds.get(name, spent_s) for name in names}


def _is_new(before: "Member | None", now: "Member | None") -> bool:
    if now is None or not now.ready:
        return False
    return before is None or now.started_unix_s != before.started_unix_s


def _act(lab: "Lab", names: Sequence[str], is_whole: bool) -> None:
    if lab.mode == "containers":
        from chaos.recreate import recreate

        recreate(lab, names)
    else:
        lab.driver().restart(names[0].rpartition(".")[0] if is_whole else names[0])
