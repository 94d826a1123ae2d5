"""``squall shard check``: does the store keep what it acknowledged, whoever is killed?"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, nearest, say

if TYPE_CHECKING:
    from chaos.store.check import Checked, Options
    from shard.policy.topology import Address
    from shard.store import Durability

SCHEMA = "squall.shard-check/1"
FOLDER = Path("runs/shard-check")
DEFAULT_FAULTS = "kill,pause,cut"
SHOWN = 10  # violations; the history has all of them
BLIND = 4  # inconclusive: the control found nothing, so that finding nothing means nothing


def check(
    faults: Annotated[
        str, typer.Option(help="Of kill, pause, cut; `none` for a run without.", metavar="KINDS")
    ] = DEFAULT_FAULTS,
    seconds: Annotated[float, typer.Option(help="How long faults begin.", min=1, max=86_400)] = 30,
    times: Annotated[
        int, typer.Option(help="That many faults instead; 0 goes by --seconds.", min=0, max=10_000)
    ] = 0,
    role: Annotated[
        str, typer.Option(help="Hit only the primary or the replica.", show_default="both")
    ] = "",
    durability: Annotated[str, typer.Option(help="Of the writes: replicated or local.")] = (
        "replicated"
    ),
    seed: Annotated[int, typer.Option(help="Chooses the faults.", min=0)] = 17,
    control: Annotated[
        bool, typer.Option("--control", help="Lose LOCAL writes on purpose: it must be found.")
    ] = False,
    seeds: Annotated[
        str,
        typer.Option(
            help="Check the store of these nodes, host:port,…; nothing is broken.",
            show_default="a store of its own",
        ),
    ] = "",
    history: Annotated[
        Path | None, typer.Option(help="Judge this history again; nothing is started.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the history goes.", show_default=f"{FOLDER}/TIME.jsonl"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a store: six nodes of its own, clients, faults, a history, and its judge.

    Exit 0 no violation, 1 a violation, 4 inconclusive: too little happened.
    """
    from chaos.store.check import check_store
    from chaos.store.running import check_running

    if history is not None:
        _finish(_judge(history), history, as_json=as_json)
    nodes = _nodes(seeds)
    options = _options("none" if nodes else faults, seconds, times, role, durability, seed)
    path = _place(out)
    if control:
        _control(seed, path, as_json=as_json)
    try:
        made = check_running(nodes, options, path, say) if nodes else None
        checked = asyncio.run(made or check_store(options, path, say))
    except OSError as error:
        raise _unwritten(path, error) from error
    _finish(checked, path, as_json=as_json)


def _options(
    faults: str, seconds: float, times: int, role: str, durability: str, seed: int
) -> "Options":
    from chaos.store.check import Options
    from chaos.store.injector import KINDS, PRIMARY, REPLICA
    from shard.store import Durability

    known = {each.value: each for each in Durability}
    kinds = [] if faults == "none" else [each.strip() for each in faults.split(",")]
    for kind in kinds:
        _require("--faults", kind, (*KINDS, "none"))
    _require("--durability", durability, known)
    if role:
        _require("--role", role, (PRIMARY, REPLICA))
    return Options(tuple(kinds), seconds, times, role, known[durability], seed)


def _nodes(seeds: str) -> "list[Address]":
    from kit.errors import ConfigError
    from shard.form import read_nodes

    try:
        return read_nodes(seeds)
    except ValueError as error:
        raise ConfigError(f"--seeds: {error}; give host:port,host:port") from None


def _require(option: str, value: str, known: "Sequence[str] | dict[str, Durability]") -> None:
    from kit.errors import ConfigError

    if value not in known:
        raise ConfigError(f"{option} {value!r}: {nearest(value, known)}")


def _place(out: Path | None) -> Path:
    from datetime import UTC, datetime

    path = out or FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise _unwritten(path, error) from error
    return path


def _unwritten(path: Path, error: OSError) -> Exception:
    from kit.errors import ConfigError

    return ConfigError(f"the history {path} can't be written: {error}. Give another with --out")


def _judge(path: Path) -> "Checked":
    from chaos.store.check import judge_file
    from kit.errors import ConfigError
    from shard.check.fields import HistoryError

    try:
        return judge_file(path)
    except OSError as error:
        raise ConfigError(f"--history {path}: {error.strerror}. Give a history's file") from error
    except (HistoryError, UnicodeDecodeError) as error:
        raise ConfigError(f"--history {path}: {error}") from error


def _control(seed: int, path: Path, *, as_json: bool) -> None:
    """The same sequence twice: LOCAL must lose, or the judge is blind; REPLICATED must not."""
    from chaos.store.control import lose_by_force
    from shard.store import Durability

    beside = path.with_name(f"{path.stem}.local{path.suffix}")
    local = asyncio.run(lose_by_force(Durability.LOCAL, seed, beside, say))
    kept = asyncio.run(lose_by_force(Durability.REPLICATED, seed, path, say))
    code = kept.verdict.exit_code
    if not local.verdict.lost and not code:
        code = BLIND
    found = local.verdict.lost or "no"
    text = "\n".join(
        [
            f"LOCAL       {local.verdict}{'' if local.verdict.lost else ': the control is blind'}",
            *_violation_lines(local),
            f"            history {beside}",
            f"REPLICATED  {_text(kept, path)}",
        ]
    )
    say(f"squall: the control found {found} losses")
    data = {"local": _as_json(local, beside), "replicated": _as_json(kept, path)}
    emit(SCHEMA, {"exit_code": code, **data}, as_json=as_json, text=text)
    raise typer.Exit(code)


def _finish(checked: "Checked", path: Path, *, as_json: bool) -> None:
    code = checked.verdict.exit_code
    data = {"exit_code": code, **_as_json(checked, path)}
    emit(SCHEMA, data, as_json=as_json, text=_text(checked, path))
    raise typer.Exit(code)


def _text(checked: "Checked", path: Path) -> str:
    verdict = checked.verdict
    outcomes = ", ".join(f"{count:,} {name}" for name, count in verdict.outcomes.items())
    lines = [str(verdict), *_violation_lines(checked), outcomes]
    if verdict.stale:
        worst = max(each.by_ms for each in verdict.stale)
        lines.append(
            f"{len(verdict.stale)} stale reads in failover windows, the worst {worst:.0f} ms"
        )
    lines += map(str, checked.recoveries)
    lines += [f"inconclusive: {each}" for each in verdict.doubts]
    return "\n".join([*lines, f"history {path}"])


def _violation_lines(checked: "Checked") -> list[str]:
    found = checked.verdict.violations
    lines = [f"  {each}" for each in found[:SHOWN]]
    return lines + ([f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def _as_json(checked: "Checked", path: Path) -> dict[str, Any]:
    verdict = checked.verdict
    return {
        "verdict": str(verdict),
        "operations": verdict.operations,
        "outcomes": verdict.outcomes,
        "lost": verdict.lost,
        "violations": [each._asdict() for each in verdict.violations],
        "stale": [each._asdict() for each in verdict.stale],
        "faults": [
            {"kind": each.kind, "on": each.on, "role": each.role, "at_s": each.began_s,
             "has_bit": each.has_bit, "proof": each.proof}
            for each in verdict.faults
        ],
        "recoveries": [
            {"name": each.name, "seconds": [_finite(s) for s in each.seconds]}
            for each in checked.recoveries
        ],
        "doubts": list(verdict.doubts),
        "history": str(path),
    }  # fmt: skip


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else round(seconds, 3)
