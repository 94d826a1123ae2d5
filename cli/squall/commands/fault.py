"""``squall fault``: break something for a while, see what is broken, and mend it early."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from faults.rule import FaultRule
    from kit.control import LiveReport

app = typer.Typer(
    help="Break something for a while: latency, errors, aborts, a blocked loop.",
    no_args_is_help=True,
)


@app.command("add")
def add(
    kind: Annotated[str, typer.Argument(help="latency, error, abort or block.")],
    on: Annotated[str, typer.Option("--on", help="A service, or a replica such as video.2.")],
    ms: Annotated[float | None, typer.Option("--ms", help="latency, block: how long.")] = None,
    jitter_ms: Annotated[
        float | None, typer.Option("--jitter-ms", help="latency: plus or minus so much.")
    ] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="error: a canonical code, e.g. UNAVAILABLE.")
    ] = None,
    share: Annotated[float, typer.Option("--share", help="Of matching requests, 0..1.")] = 1.0,
    route: Annotated[str, typer.Option("--route", help="Only this route.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant's requests.")] = "",
    ttl: Annotated[str, typer.Option("--ttl", help="It ends by itself after this.")] = "60s",
    as_json: JsonFlag = False,
) -> None:
    """Put a fault into the lab; it ends by itself."""
    from faults.rule import make_rule
    from squall.durations import parse_duration

    params = {"ms": ms, "jitter_ms": jitter_ms, "code": code}
    rule = make_rule(
        kind,
        on,
        {name: value for name, value in params.items() if value is not None},
        route=route,
        tenant=tenant,
        share=share,
        ttl_s=parse_duration(ttl, "--ttl"),
    )
    report = asyncio.run(_add(rule))
    _emit_change(report, "added", rule, as_json=as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Show the faults in force, how long they still last, and the proof that they bit."""
    rows = asyncio.run(_list())
    text = table(
        ["id", "kind", "on", "ends in s", "hits", "what"],
        [
            [row["id"], row["kind"], row["on"], row["ends_in_s"], row["hits"], row["what"]]
            for row in rows
        ],
    )
    emit("squall.faults/1", {"faults": rows}, as_json=as_json, text=text if rows else "no faults")


@app.command("remove")
def remove(
    fault_id: Annotated[str, typer.Argument(help="An id that `squall fault list` shows.")],
    as_json: JsonFlag = False,
) -> None:
    """End a fault now."""
    report = asyncio.run(_remove({fault_id}))
    _emit_removed(report, 1, as_json=as_json)


@app.command("clear")
def clear(as_json: JsonFlag = False) -> None:
    """End every fault now."""
    report = asyncio.run(_remove(None))
    _emit_removed(report, report[1] if report else 0, as_json=as_json)
