"""``squall fault``: break something for a while, see what is broken, and mend it early."""

import asyncio
import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, nearest, table

if TYPE_CHECKING:
    from faults.rule import FaultRule
    from kit.control import ControlClient
    from kit.members import LiveReport

app = typer.Typer(
    help="Break something for a while: latency, errors, aborts, a blocked loop.",
    no_args_is_help=True,
)

Number = float | None

WITHOUT_FAULTS = frozenset({"l4", "l7"})  # balancers: what goes wrong there is the wire


@app.command("add")
def add(
    kind: Annotated[str, typer.Argument(help="latency, error, abort or block.")],
    on: Annotated[str, typer.Option("--on", help="A service, or a replica such as video.2.")],
    ms: Annotated[Number, typer.Option("--ms", help="latency, block: how long.")] = None,
    jitter_ms: Annotated[
        Number, typer.Option("--jitter-ms", help="latency: so much more or less, evenly.")
    ] = None,
    every_ms: Annotated[
        Number, typer.Option("--every-ms", help="block: at most one block in that time.")
    ] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="error: UNAVAILABLE, NOT_FOUND, 503 ...")
    ] = None,
    share: Annotated[float, typer.Option("--share", help="Of matching requests, 0..1.")] = 1.0,
    route: Annotated[str, typer.Option("--route", help="Only this route or gRPC method.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant's requests.")] = "",
    ttl: Annotated[str, typer.Option("--ttl", help="It ends by itself after this.")] = "60s",
    as_json: JsonFlag = False,
) -> None:
    """Put a fault into the lab; it ends by itself."""
    from faults.rule import KINDS, FaultRule, parse_rule
    from squall.durations import parse_duration
    from squall.link import live_data

    params = {"ms": ms, "jitter_ms": jitter_ms, "every_ms": every_ms, "code": code}
    rule = parse_rule(
        FaultRule(
            # A misspelt kind may be no id, and must be named as what it is.
            id=f"{kind if kind in KINDS else 'fault'}-{secrets.token_hex(4)}",
            kind=kind,
            target=on,
            params={name: value for name, value in params.items() if value is not None},
            route=route,
            tenant=tenant,
            share=share,
            ttl_s=parse_duration(ttl, "--ttl"),
        )
    )
    report = asyncio.run(_add(rule))
    text = (
        f"{describe(rule)} for {rule.ttl_s:g} s: {report}\n"
        f"end it early: ./squall fault remove {rule.id}"
    )
    emit("squall.fault/1", {**_data(rule), **live_data(report)}, as_json=as_json, text=text)
    raise typer.Exit(1 if report.missing else 0)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Show the faults in force, how long they still last, and the proof that they bit."""
    rows = asyncio.run(_list())
    columns = ("id", "what", "ends_in_s", "proof")
    text = table(columns, [[row[column] for column in columns] for row in rows])
    emit("squall.faults/1", {"faults": rows}, as_json=as_json, text=text if rows else "no faults")


@app.command("remove")
def remove(
    fault_id: Annotated[str, typer.Argument(help="An id that `squall fault list` shows.")],
    as_json: JsonFlag = False,
) -> None:
    """End a fault now."""
    removed, report = asyncio.run(_remove(fault_id))
    _emit_removed(removed, report, as_json=as_json)


@app.command("clear")
def clear(as_json: JsonFlag = False) -> None:
    """End every fault now; a running drill's own are not touched."""
    removed, report = asyncio.run(_remove(None))
    _emit_removed(removed, report, as_json=as_json)


def describe(rule: "FaultRule") -> str:
    """A fault in a few words, e.g. ``latency ms=500 on comment, route GET /v1/home, 30 %``."""
    words = [rule.kind, *(f"{name}={value}" for name, value in rule.params.items())]
    limits = [f"route {rule.route}"] * bool(rule.route) + [f"tenant {rule.tenant}"] * bool(
        rule.tenant
    )
    if rule.share < 1.0:
        limits.append(f"{rule.share:.0%} of requests")
    return ", ".join([f"{' '.join(words)} on {rule.target}", *limits])


def _data(rule: "FaultRule") -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(rule)
    return fields


async def _add(rule: "FaultRule") -> "LiveReport":
    from squall.link import change, control, resolve_target

    async with control() as client:
        targets = await resolve_target(client, rule.target)
        _require_injection(rule.target, targets)
        return await change(client, {f"fault/{rule.id}": _data(rule)}, targets)


def _require_injection(target: str, instances: list[str]) -> None:
    """Refuse a fault that could never bite."""
    from kit.errors import ConfigError

    if all(name.rpartition(".")[0] in WITHOUT_FAULTS for name in instances):
        raise ConfigError(
            f"{target} takes no faults: they bite in the services and the gateway; try --on gateway"
        )


async def _list() -> list[dict[str, Any]]:
    from squall.link import control

    async with control() as client:
        rules = await _live_rules(client)
        proofs = await client.ask("faults", {})
    rows = []
    for rule, ends_in_s in rules:
        proof: dict[str, float] = {}
        for answer in proofs.values():
            for name, value in (answer or {}).get(rule.id, {}).items():
                if isinstance(value, int | float):
                    proof[name] = proof.get(name, 0) + value
        rows.append(
            {
                **_data(rule),
                "what": describe(rule),
                "ends_in_s": round(ends_in_s, 1),
                "proof": ", ".join(f"{name} {value:g}" for name, value in proof.items()),
                "proof_counts": proof,
            }
        )
    return rows


async def _live_rules(client: "ControlClient") -> list[tuple["FaultRule", float]]:
    """Every fault in force with the seconds it still has, a running drill's included."""
    from faults.rule import FaultRule
    from kit.entries import Overlay
    from squall.link import live_entries

    rules: list[tuple[FaultRule, float]] = []
    for entry, left_s in live_entries(await client.read()).values():
        if isinstance(entry, FaultRule | Overlay) and left_s is not None:
            found = [entry] if isinstance(entry, FaultRule) else entry.faults
            rules.extend((rule, left_s) for rule in found)
    return rules


async def _remove(fault_id: str | None) -> tuple[list[str], "LiveReport | None"]:
    """Delete one fault, or all when None; returns the ids gone."""
    from kit.errors import ConfigError
    from squall.link import change, control, resolve_target

    async with control() as client:
        snapshot = await client.read()
        known = [
            field.removeprefix("fault/") for field in snapshot.entries if field.startswith("fault/")
        ]
        if fault_id is not None and fault_id not in known:
            raise ConfigError(f"no fault has the id {fault_id!r}; {nearest(fault_id, known)}")
        gone = known if fault_id is None else [fault_id]
        if not gone:
            return [], None
        targets = await resolve_target(client, "*")
        return gone, await change(client, {f"fault/{name}": None for name in gone}, targets)


def _emit_removed(removed: list[str], report: "LiveReport | None", *, as_json: bool) -> None:
    from squall.link import live_data

    data: dict[str, object] = {"removed": removed}
    text = "no faults"
    if report is not None:
        data |= live_data(report)
        text = f"removed {', '.join(removed)}: {report}"
    emit("squall.fault-removed/1", data, as_json=as_json, text=text)
    raise typer.Exit(1 if report is not None and report.missing else 0)
