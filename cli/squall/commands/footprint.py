"""``squall footprint``: what the running lab costs, by the figures that the README shows."""

import time
from typing import Annotated, Any

import typer

from squall.output import JsonFlag, emit, say

MIB = 2**20


def footprint(
    duration: Annotated[str, typer.Option("--for", help="How long CPU is watched.")] = "10s",
    as_json: JsonFlag = False,
) -> None:
    """Show memory, CPU when nothing is asked of the lab, image size and seconds to ready."""
    from chaos.footprint import busy_cores, cpu_seconds, image_bytes
    from chaos.lab import find_lab
    from squall.durations import parse_duration

    seconds = parse_duration(duration, "--for")
    lab = find_lab()
    lab.require_host("weigh the lab")
    say(f"squall: watching for {seconds:g} s; let nothing else ask it meanwhile")
    before, began_s = cpu_seconds(lab), time.monotonic()
    time.sleep(seconds)
    after, watched_s = cpu_seconds(lab), time.monotonic() - began_s
    memory = lab.driver().memory()
    data: dict[str, Any] = {
        "mode": lab.mode,
        "instances": len(after),
        "memory_bytes": sum(memory.values()),
        "cpu_cores": round(busy_cores(before, after, watched_s), 3),
        "watched_s": round(watched_s, 1),
        "ready_s": lab.ready_s(),
        "image_bytes": image_bytes() if lab.mode == "containers" else None,
    }
    emit("squall.footprint/1", data, as_json=as_json, text=as_text(data))


def as_text(data: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    ready = "unknown" if data["ready_s"] is None else f"{data['ready_s']:g} s"
    lines = [
        f"{data['mode']}, {data['instances']} of them",
        f"from squall up to ready  {ready}",
        f"memory                   {data['memory_bytes'] / MIB:.0f} MiB",
        f"CPU                      {data['cpu_cores']:.2f} core over {data['watched_s']:g} s",
    ]
    if data["image_bytes"] is not None:
        lines.append(f"image                    {data['image_bytes'] / 1e6:.0f} MB")
    return "\n".join(lines)
