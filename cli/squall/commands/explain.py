"""``squall explain``: one request, hop by hop: time, budget, who decided what and why."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from squall.output import JsonFlag, emit, say, table

TIERS = ("l4", "l7", "gateway")  # from the client inwards; services come after


def explain(
    request_id: Annotated[str, typer.Argument(help="The x-request-id of an answer.")],
    as_json: JsonFlag = False,
) -> None:
    """Say what every hop knows of one request; processes remember their last 2,000."""
    hops = asyncio.run(collect(request_id))
    data = {"request_id": request_id, "hops": hops}
    if not hops:
        say(
            f"squall: no process remembers request {request_id!r}: "
            "each keeps its last 2,000, and a restart forgets them"
        )
    text = waterfall(request_id, hops) if hops else ""
    if hops or as_json:
        emit("squall.explain/1", data, as_json=as_json, text=text)
    raise typer.Exit(0 if hops else 1)


async def collect(request_id: str) -> list[dict[str, Any]]:
    """Ask every live process for its summaries of a request; outermost hop first."""
    from squall.link import control

    async with control() as client:
        answers = await client.ask("explain", {"request_id": request_id})
    hops = [hop for answer in answers.values() if isinstance(answer, list) for hop in answer]
    return sorted(hops, key=_order)


def _order(hop: Mapping[str, Any]) -> tuple[int, float]:
    service = str(hop["instance"]).rpartition(".")[0]
    tier = TIERS.index(service) if service in TIERS else len(TIERS)
    return tier, float(hop["started_unix_s"])


def waterfall(request_id: str, hops: Sequence[Mapping[str, Any]]) -> str:
    """Draw the hops as a table, each with its decisions indented below."""
    began = min(float(hop["started_unix_s"]) for hop in hops)
    lines = table(
        ["hop", "route", "at ms", "took ms", "budget in", "budget out", "status"],
        [
            [
                hop["instance"],
                hop["route"],
                _fixed((float(hop["started_unix_s"]) - began) * 1000, 1),
                _fixed(float(hop["duration_ms"]), 1),
                _budget(hop.get("remaining_in_ms")),
                _budget(hop.get("remaining_out_ms")),
                hop["status"],
            ]
            for hop in hops
        ],
    ).splitlines()
    out = [f"request {request_id}", lines[0]]
    for hop, line in zip(hops, lines[1:], strict=True):
        out.append(line)
        out.extend(f"    {_note(note)}" for note in hop.get("notes", ()))
    return "\n".join(out)


def _budget(value: object) -> str:
    return f"{_fixed(value, 0)} ms" if isinstance(value, int | float) else "none"


def _fixed(value: float, digits: int) -> str:
    """Write a figure without a minus before nothing: -0.2 is 0, not -0."""
    return f"{value:z.{digits}f}"


def _note(note: Mapping[str, Any]) -> str:
    detail = " ".join(f"{key}={_short(value)}" for key, value in note.get("detail", {}).items())
    at_ms = _fixed(float(note["at_s"]) * 1000, 1)
    return f"+{at_ms} ms {note['policy']}: {note['what']} {detail}".rstrip()


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
